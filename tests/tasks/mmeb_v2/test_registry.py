"""The rows of the registry are what the benchmark publishes, to the letter."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from harness.errors import UserError
from harness.scoring.metrics import Metric
from harness.types import Task
from tasks.catalog import all_tasks, resolve_tasks
from tasks.mmeb_v2.documents import V2DocumentSource
from tasks.mmeb_v2.parts import VIDEO, VISDOC, board_name, names, task_name
from tasks.mmeb_v2.video import V2VideoSource, _labels
from tasks.suites import find_suite
from tests.helpers.mmeb_files import shared

TASKS = all_tasks()
PARTS = {
    "V-CLS": "video-classification",
    "V-QA": "video-qa",
    "V-RET": "video-retrieval",
    "V-MRET": "video-moment-retrieval",
    "ViDoRe-V1": "visdoc-vidore-v1",
    "ViDoRe-V2": "visdoc-vidore-v2",
    "VisRAG": "visdoc-visrag",
    "VisDoc-OOD": "visdoc-ood",
}


def published() -> dict[str, dict[str, object]]:
    """What is published on each of the 42 tasks, by the names of the registry."""
    content = json.loads(shared("mmeb", "v2.json").read_text(encoding="utf-8"))
    return {task_name(row["name"]): row for row in content["tasks"] if row["modality"] != "image"}


def instruction(task: Task, spaced: str | None) -> str | None:
    """The instruction as the facts give it. Retrieval tasks have the space before the caption at its end."""
    return spaced.removesuffix(" ") if spaced and task.name in VIDEO["video-retrieval"] else spaced


def test_the_suite_is_the_board() -> None:
    rows = published()
    assert list(rows) == [*names(VIDEO), *names(VISDOC)]
    for part, name in PARTS.items():
        assert [task for task, row in rows.items() if row["sub_task"] == part] == list({**VIDEO, **VISDOC}[name])
    assert find_suite("mmeb-v2").tasks == (*find_suite("mmeb").tasks, *rows)
    assert [board_name(task) for task in rows] == [row["name"] for row in rows.values()]


def test_numbers_pools_metrics_and_instructions_are_the_published_ones() -> None:
    for name, row in published().items():
        task = TASKS[name]
        assert task.num_queries == row["n_queries"], name
        assert task.scope == row["pool"], name
        assert f"{task.metrics[0]}" == str(row["metric"]).replace("ndcg_linear", "ndcg"), name
        if isinstance(row["n_candidates"], int):
            assert task.num_candidates == row["n_candidates"], name
        given = row["query_instruction"]
        assert instruction(task, task.query_instruction) == (given if isinstance(given, str) else None), name
        assert task.target_instruction == row["target_instruction"], name


def test_files_and_folders_are_the_published_ones() -> None:
    for name, row in published().items():
        source = TASKS[name].source
        if isinstance(source, V2VideoSource) and name != "MVBench":
            assert [f"video-tasks/data/{each}.jsonl" for each in source.rows] == [row["local_rows"]]
            root = str(row["eval_yaml"]["frame_root"])  # type: ignore[index]
            assert root in [f"video-tasks/frames/{source.archive}/{each}" for each in source.spellings]
        if isinstance(source, V2DocumentSource):
            assert source.hub == row["hub"]["id"]  # type: ignore[index]
            assert f"visdoc-tasks/{source.pages}" == row["media"]["yaml_root"]  # type: ignore[index]


def test_labels_are_the_published_ones() -> None:
    stated = json.loads(shared("mmeb", "v2_labels.json").read_text(encoding="utf-8"))
    for name, labels in _labels().items():
        assert sorted(labels) == sorted(stated[name])
        assert len(set(labels)) == len(labels) == TASKS[name].num_candidates


def test_every_metric_of_the_board_can_be_read_from_rows() -> None:
    for name in (*names(VIDEO), *names(VISDOC)):
        assert [str(Metric.parse(metric)) for metric in TASKS[name].metrics] == list(TASKS[name].metrics)
    assert Counter(TASKS[name].metrics[0] for name in names(VIDEO)) == {"hit@1": 18}
    assert Counter(TASKS[name].metrics[0] for name in names(VISDOC)) == {"ndcg@5": 24}


@pytest.mark.parametrize("name", [*names(VIDEO), *names(VISDOC)])
def test_without_data_it_is_said_what_to_fetch(name: str) -> None:
    (task,) = resolve_tasks(name)
    with pytest.raises(UserError, match="--data") as error:
        task.source.info(task)
    assert name in error.value.what
