"""Published rows: what they hold is what is printed, and no more."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from leaderboards.published import PublishedRow, printed_rows, published_rows
from leaderboards.published.headline import SEVEN_BILLION, headline, headline_note
from tasks.mmeb_v2.parts import VIDEO, VISDOC, board_name, names
from tasks.suites import MEAN_OF_META_TASKS, aggregate, find_suite

MEANS = {mean.name for mean in aggregate(find_suite("mmeb"), {})} - {MEAN_OF_META_TASKS}
PARTS = {"mmeb-v2", "video", "visdoc", *VIDEO, *VISDOC}
OLDER = {"MomentSeeker_1k8"}
"""Datasets that score files have and the benchmark no longer does."""


@pytest.fixture(scope="module")
def gathered() -> dict:
    path = Path(__file__).resolve().parents[3] / "../shared/mmeb/published_scores.json"
    if not path.exists():
        pytest.skip("the gathered scores are not beside the repository")
    return json.loads(path.read_text(encoding="utf-8"))


def _rows(source: str) -> list[PublishedRow]:
    return [row for row in printed_rows() if row.source.where == source]


def _percent(fractions) -> dict[str, float]:
    return {name: pytest.approx(100 * value) for name, value in fractions.items()}


def test_every_row_is_whole():
    known = {*find_suite("mmeb").tasks, *names(VIDEO), *names(VISDOC), *OLDER}
    text_to_video = {board_name(task) for task in names(VIDEO)}
    assert len(published_rows()) > 100
    for row in published_rows():
        assert row.model
        assert row.source.name
        assert row.source.where
        assert row.scores or row.means
        assert row.kind in ("published", "self-reported")
        assert row.scores.keys() <= (text_to_video if row.suite == "text-to-video" else known)
        assert row.means.keys() <= MEANS | PARTS
        assert all(0 <= value <= 1 for value in (*row.scores.values(), *row.means.values()))
        assert row.size is None or 1e8 < row.size < 1e11


def test_a_model_is_there_once_in_a_source():
    keys = [(row.model, row.source.name) for row in published_rows()]
    assert len(set(keys)) == len(keys)


def test_what_llave_does_not_publish_stays_empty():
    small = [row for row in published_rows() if row.model == "LLaVE-0.5B"]
    middle = [row for row in published_rows() if row.model == "LLaVE-2B"]
    assert {row.source.name for row in middle} > {"LLaVE Table 1", "LLaVE Table 2"}
    assert all(not row.scores for row in small)
    assert [len(row.scores) for row in middle if row.scores] == [8]
    assert not any(row.suite == "text-to-video" for row in (*small, *middle))


def test_the_headline_follows_from_the_rows():
    """LLaVE-7B has 70.3, 6.2 points above the best earlier 7B row; LLaVE-2B is above it too, and 0.5B is not."""
    large, middle, small = (
        headline(published_rows(), f"LLaVE-{size}", "LLaVE Table 2", SEVEN_BILLION) for size in ("7B", "2B", "0.5B")
    )
    assert round(100 * large.row.means["overall"], 1) == 70.3
    assert round(100 * large.margin, 1) == 6.2
    assert large.best_before.model == "MMRet"
    assert middle.margin > 0 > small.margin
    better = [row.model for row in published_rows() if row.source.name == "LLaVE Table 2" and row.group != "ours"]
    assert "VLM2Vec(LLaVA-OV-7B)" in better, "which is better than MMRet, but was run by LLaVE's authors themselves"


def test_other_rows_give_another_headline():
    """It is worked out, not typed in."""
    rows = [replace(row, means={**row.means, "overall": 0.601}) for row in published_rows() if row.model == "MMRet"]
    rest = [row for row in published_rows() if row.model != "MMRet"]
    (note,) = headline_note([*rest, *rows])
    assert "MMRet" not in note
    best = headline([*rest, *rows], "LLaVE-7B", "LLaVE Table 2", SEVEN_BILLION)
    assert f"LLaVE-7B has 70.3, {100 * best.margin:.1f} points above the best earlier 7B row" in note
    assert headline_note([row for row in rest if row.model != "LLaVE-2B"]) == []


def test_means_are_those_that_were_gathered(gathered):
    for row in gathered["llave_main_table_and_other_aggregates"]:
        mine = [each for each in _rows(row["source"]) if each.model == row["model"]]
        stated = {name.lower() if name == "VQA" else name: row[name] for name in ROW_MEANS if row[name] is not None}
        assert [_percent(each.means) for each in mine] == [stated]
        assert mine[0].group == row["group"]


ROW_MEANS = ("classification", "VQA", "retrieval", "visual_grounding", "IND", "OOD", "overall")


def test_datasets_are_those_that_were_gathered(gathered):
    for name, row in gathered["per_dataset_v1"].items():
        (mine,) = (each for each in _rows(row["source"]) if each.model == name)
        stated = {task: value for task, value in row["per_dataset"].items() if value is not None}
        assert _percent({task: value for task, value in mine.scores.items() if task in MMEB}) == stated
        assert mine.notes or row["confidence"] == "high"
    files = [row for row in printed_rows() if row.source.name.startswith("MMEB score files")]
    for version, models in gathered["per_dataset_v2_json"]["versions"].items():
        for name, stated in models.items():
            (mine,) = (row for row in files if (row.model, row.evaluator) == (name, f"MMEB {version}"))
            found = {board_name(task): value for task, value in mine.scores.items() if task not in names(VISDOC)}
            assert _percent(found) == {**stated["image_hit1"], **stated["all_video_hit1"]}
            tens = {board_name(task): value for task, value in mine.more["hit@10"].items()}
            assert _percent(tens) == stated["video_hit10"]


MMEB = set(find_suite("mmeb").tasks)


def test_the_video_table_is_that_which_was_gathered(gathered):
    table = gathered["zero_shot_video_LLaVE_Table4"]
    mine = {row.model: row for row in _rows(table["source"])}
    assert list(mine) == [row["model"] for row in table["rows"]]
    for row in table["rows"]:
        own = mine[row["model"]]
        columns = {"R@1": own.scores, "R@5": own.more.get("recall@5", {}), "R@10": own.more.get("recall@10", {})}
        for rank, column in columns.items():
            stated = {"MSR-VTT": row["MSR_VTT"][rank], "MSVD": row["MSVD"][rank]}
            assert _percent(column) == {task: value for task, value in stated.items() if value is not None}
    best = max((row for row in mine.values() if "text-image" in row.group), key=lambda row: row.scores["MSR-VTT"])
    assert best.model == "LLaVE-7B"
