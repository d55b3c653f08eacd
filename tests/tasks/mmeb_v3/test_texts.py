"""MMEB-V3: its text tasks are read in the layouts of the families, and nothing that is missing looks whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import llave
from harness.errors import UserError
from tasks.catalog import all_tasks, resolve_tasks
from tasks.mmeb_v3.parts import AUDIO, GROUPS, LACKING, READ
from tasks.suites import aggregate, find_suite
from tests.helpers.corpus_files import lines
from tests.helpers.mmeb_files import shared
from tests.helpers.v3_files import WRITERS, write_followir, write_r2med

READY = [f"{family}_{member}" for family, members in READ.items() for member in members]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("v3")
    for family, members in READ.items():
        for member in members:
            WRITERS[family](data / family, member)
    return data


def test_every_set_is_read_in_the_layout_of_its_family(folder: Path) -> None:
    tasks = resolve_tasks(suite="mmeb-v3", data=folder)
    assert [task.name for task in tasks] == READY == [task.name for task in resolve_tasks(data=folder)]
    for task in tasks:
        assert (task.metrics[0], task.scope) == ("ndcg@5", "global")
        data = task.source.load(task)
        assert [len(query.positives) for query in data.queries] == [1]
        assert len(data.targets) == 3
        assert data.queries[0].positives.tolist() == [1]


def test_texts_are_put_together_as_in_the_public_code(folder: Path) -> None:
    tasks = {task.name: task.source.load(task) for task in resolve_tasks(data=folder)}
    query = tasks["FollowIR_news21-instructions"].queries[0]
    assert query.item.full_text == "Only health. tea"
    assert query.grades == (2,)
    assert tasks["FollowIR_news21-instructions"].notes == {"queries_not_judged": 1}
    assert tasks["R2MED_Biology"].targets[1].text == "On tea\nleaf"
    assert tasks["R2MED_Biology"].queries[0].grades == (2,)  # of two grades of a pair the highest counts
    assert tasks["BRIGHT_pony"].queries[0].item.full_text == "why is tea bitter"
    assert tasks["NanoBEIR_NanoNQ"].targets[0].text == "milk"


def test_a_set_runs(folder: Path, tmp_path: Path) -> None:
    for model, least in (("classical", 0.0), ("null/oracle", 1.0)):
        results = llave.evaluate(
            model, ["R2MED_Biology"], data=folder, progress=False, out=tmp_path / "out", store=tmp_path / "s"
        )
        assert results["R2MED_Biology"].score.value >= least


def test_no_mean_over_fewer_tasks_looks_whole() -> None:
    suite = find_suite("mmeb-v3")
    assert len(suite.tasks) == len(set(suite.tasks)) == 190
    assert [len(names) for names in GROUPS.values()] == [53, 35, 8, 4, 11, 1]
    ready = [name for name in suite.tasks if name not in LACKING]
    assert set(ready) <= all_tasks().keys()
    assert not LACKING.keys() & all_tasks().keys()
    means = {mean.name: mean for mean in aggregate(suite, dict.fromkeys(ready, 0.5))}
    assert means["overall"].value is None
    assert set(means["overall"].missing) == LACKING.keys()
    assert all(means[name].value is None for name in GROUPS)
    assert means["video"].value == means["visdoc"].value == 0.5  # those of MMEB-V2 are whole
    assert all(mean.value is None for mean in aggregate(find_suite("mmeb-v3-text"), dict.fromkeys(ready, 0.5)))


@pytest.mark.parametrize("name", ["ESC-50", "MCMR", "ToolDe_web-1", "GAE-GUIAct_q2t", "LMEB_PeerQA", "LongEmbed_qmsum"])
def test_what_cannot_be_run_is_refused_by_name_with_the_reason(name: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve_tasks(name)
    assert f"{name} of MMEB-V3 cannot be run: {LACKING[name]}." in str(caught.value)
    assert ("audio" in str(caught.value)) == (name in AUDIO)


@pytest.mark.parametrize(
    ("path", "row", "why"),
    [
        ("FollowIR/core17-instructions/queries.jsonl", {"_id": "3", "text": "tea"}, "instruction_og is not a text"),
        ("R2MED/Biology/corpus.jsonl", {"id": 1, "text": ""}, "text is not a text"),
        ("R2MED/Biology/qrels.jsonl", {"q_id": "q", "p_id": 1, "score": 0.5}, "no whole number"),
        ("R2MED/Biology/qrels.jsonl", {"q_id": "q", "score": 1}, "there is no id"),
    ],
)
def test_a_wrong_row_is_named(path: str, row: Mapping[str, object], why: str, tmp_path: Path) -> None:
    write_followir(tmp_path / "FollowIR", "core17-instructions")
    write_r2med(tmp_path / "R2MED", "Biology")
    lines(tmp_path / path, [row])
    tasks = {task.name.partition("_")[0]: task for task in resolve_tasks(data=tmp_path)}
    task = tasks[path.partition("/")[0]]
    with pytest.raises(UserError, match=why):
        task.source.load(task)


def test_the_facts_name_the_same_members() -> None:
    facts = shared("mmeb/v3.md").read_text()
    for family in ("BRIGHT", "InfoSearch", "LongEmbed"):
        listed = facts.partition(f"{family} ")[2].partition("(")[2].partition(")")[0]
        for name in GROUPS["text"]:
            if name.startswith(f"{family}_"):
                assert name.removeprefix(f"{family}_").removesuffix("-v1") in listed
    assert all(name in facts for name in AUDIO)
