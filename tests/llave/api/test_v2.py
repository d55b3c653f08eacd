"""MMEB-V2 from data to the board: all 42 new tasks run, their scores are exported, and published rows stand beside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import llave
from harness.results.files import Result
from leaderboards.board.scope import make_board
from leaderboards.exchange.files import imported_rows, write_imported
from leaderboards.exchange.reading import read_scores
from leaderboards.load import load
from leaderboards.submission.mmeb import score_file
from llave.cli.main import main
from tasks.mmeb_v2.parts import VIDEO, VISDOC, board_name, names
from tests.helpers.v2_files import write_v2, write_whole

MODELS = ["null/constant", "null/oracle", "classical"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Result]]:
    """The results of three models on all 42 tasks, by model and task."""
    place = tmp_path_factory.mktemp("v2")
    found = llave.evaluate(
        MODELS, data=write_v2(place / "data"), tasks="all", out=place / "out", store=place / "store", progress=False
    )
    by_model: dict[str, dict[str, Result]] = {model: {} for model in MODELS}
    for each in found.results:
        by_model[each.model][each.record.task] = each.record
    return by_model


def test_all_tasks_run_and_null_models_score_what_they_must(results: dict[str, dict[str, Result]]) -> None:
    assert set(results["classical"]) == {*names(VIDEO), *names(VISDOC)}
    for task, record in results["null/constant"].items():
        assert record.main.value == pytest.approx(record.chance[record.main_metric]), task
        assert record.num_queries > 0
    graded = {"ViDoSeek-doc", "MMLongBench-doc"}  # the oracle knows what is right, but not which grade it has
    assert {record.main.value for task, record in results["null/oracle"].items() if task not in graded} == {1.0}
    assert all(results["null/oracle"][task].metrics["recall@5"].value == 1.0 for task in graded)
    assert {record.main_metric for record in results["classical"].values()} == {"hit@1", "ndcg@5"}


def test_a_video_is_found_by_a_model_that_sees_its_frames(results: dict[str, dict[str, Result]]) -> None:
    """The clips of moments are videos on both sides, so a model of colours has something to go by."""
    record = results["classical"]["QVHighlight"]
    assert record.tied_queries == 0
    assert results["null/constant"]["QVHighlight"].tied_queries == record.num_queries


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of results of two sets that have the published number of rows."""
    place = tmp_path_factory.mktemp("whole")
    data = write_whole(place / "data")
    llave.evaluate("null/oracle", "mmeb-v2", data=data, out=place / "out", store=place / "store", progress=False)
    return place / "out"


def test_the_file_of_the_board_has_every_task_by_its_own_name(whole: Path, tmp_path: Path) -> None:
    file = tmp_path / "oracle.json"
    assert main(["export", str(whole), "--format", "mmeb-v2", "-o", str(file), "--meta", "model_size=2"]) == 0
    content = json.loads(file.read_text(encoding="utf-8"))
    metrics = content["metrics"]
    assert {part: len(metrics[part]) for part in metrics} == {"image": 36, "video": 18, "visdoc": 24}
    assert list(metrics["video"]) == [board_name(task) for task in names(VIDEO)]
    measured = {name: each for part in metrics.values() for name, each in part.items() if each != "FILE_N/A"}
    assert list(measured) == ["Breakfast", "VisRAG_ChartQA"]
    assert measured["Breakfast"]["hit@1"] == measured["VisRAG_ChartQA"]["ndcg_linear@5"] == 1.0
    assert (measured["Breakfast"]["num_pred"], measured["VisRAG_ChartQA"]["num_data"]) == (433, 63)
    images = score_file(load([whole]).records, "strict", [], "mmeb-v2")
    assert images["metrics"]["video"]["Breakfast"]["hit@1"] == 1.0  # type: ignore[index]


def test_scores_come_back_from_the_file_of_the_board(whole: Path, tmp_path: Path) -> None:
    file = tmp_path / "oracle.json"
    main(["export", str(whole), "--format", "mmeb-v2", "-o", str(file)])
    read = read_scores([file])
    assert not read.errors
    for imported in read.imported:
        write_imported(tmp_path / "imported", imported)
    (row,) = imported_rows([tmp_path / "imported"])
    assert row.scores == {"Breakfast": 1.0, "VisRAG_ChartQA": 1.0}
    assert row.metric_of("VisRAG_ChartQA") == "ndcg@5"


def test_an_export_of_images_alone_has_no_video(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(whole), "-o", str(tmp_path / "m.json")]) != 0
    assert "mmeb" in capsys.readouterr().err


def test_published_rows_stand_beside_ones_own_and_no_mean_looks_whole(whole: Path) -> None:
    board, _ = make_board([whole], published=True, suite="mmeb-v2", rank_by=None, mix=False)
    standings = {standing.entry.label: standing for standing in board.standings()}
    own = standings["null/oracle"]
    assert own.cells["overall"].mean.value is None
    assert (own.cells["overall"].mean.present, len(own.cells["overall"].mean.missing)) == (2, 76)
    there = [each for label, each in standings.items() if label.startswith("VLM2Vec-V2.0-Qwen2VL-2B")]
    complete = [each for each in there if each.cells["overall"].mean.value is not None]
    assert complete
    for each in complete:
        scores = each.entry.scores
        if set(board.suite.tasks) <= set(scores):
            mean = sum(scores[task] for task in board.suite.tasks) / 78
            assert each.cells["overall"].mean.value == pytest.approx(mean)
            assert each.entry.metric("ViDoRe_docvqa") == "ndcg@5"
