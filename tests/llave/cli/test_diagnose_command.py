"""`llave diagnose`, as a person calls it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from harness.errors import UserError
from llave.cli import diagnose as command
from tests.helpers.training_files import write_pairs

MODEL = "tests.trainers.monitor.test_similarity:Spelled"


def call(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(each) for each in arguments]))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    monkeypatch.setenv("LLAVE_CACHE", str(tmp_path / "cache"))
    return ["--store", tmp_path / "store"]


def _write(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return _write(
        tmp_path / "mine.jsonl",
        {"target": "a", "text": "1 0 0"},
        {"target": "b", "text": "0.6 0.8 0"},
        {"target": "c", "text": "0 0 1"},
        {"query": "1", "text": "1 0 0", "positives": ["a"]},
        {"query": "2", "text": "0 1 0", "positives": ["c"]},
    )


def test_a_tasks_figures_are_those_of_its_vectors(task: Path, store, capsys) -> None:
    assert call(MODEL, "--data", task, "--json", *store) == 0
    found = json.loads(capsys.readouterr().out)["spelled"]["mine"]
    assert found["queries"] == 2
    assert found["positive"]["mean"] == pytest.approx(0.5, abs=0.001)
    assert found["negative"]["mean"] == pytest.approx((0.6 + 0 + 0.8 + 0) / 4, abs=0.001)
    assert found["margin"] == pytest.approx(((1 - 0.6) + (0 - 0.8)) / 2)
    (suspect,) = found["suspected"]
    said = {side: suspect[side]["text"] for side in ("query", "positive", "negative")}
    assert said == {"query": "0 1 0", "positive": "0 0 1", "negative": "0.6 0.8 0"}
    assert suspect["excess"] == pytest.approx(0.8)


def test_the_table_has_each_dataset_and_model_and_the_means(tmp_path: Path, store, capsys, monkeypatch) -> None:
    data = write_pairs(tmp_path / "data")
    plots = [tmp_path / "lie.png", tmp_path / "lie.svg"]
    models = ["tests.helpers.embedders:Hashed", "tests.helpers.embedders:Dashed"]
    flags = [flag for path in plots for flag in ("--plot", path)]
    assert call(*models, "--recipe", "demo", "--data", data, *flags, *store) == 0
    said = capsys.readouterr().out
    rows = [line for line in said.splitlines() if "│ hashed" in line or "│ a--b" in line]
    assert [name in row for name, row in zip(["ask", "ask", "find", "find", "mean", "mean"], rows, strict=True)] == [
        True
    ] * 6
    assert all(path.stat().st_size > 1000 for path in plots)
    assert call(*models, "--recipe", "demo", "--data", data, "--tasks", "find", *store) == 0
    said = capsys.readouterr().out
    assert "mean" not in said.replace("means", "")
    assert "ask" not in said


def test_models_are_named_as_results_name_them_and_told_apart(task: Path, store, capsys) -> None:
    """A folder, a path in front of a class, and two models of one name."""
    both = ("tests.helpers.embedders:Hashed", "tests.helpers.embedders:Double")
    assert call("classical", *both, "--data", task, "--json", *store) == 0
    names = list(json.loads(capsys.readouterr().out))
    assert [name.split("@")[0] for name in names] == ["classical", "hashed", "hashed"]
    assert len(set(names)) == 3


def test_a_narrow_terminal_leaves_out_figures_from_the_right_and_names_them(
    tmp_path: Path, store, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    pairs = ["--recipe", "demo", "--data", write_pairs(tmp_path / "data"), *store]
    models = ["tests.helpers.embedders:Hashed", "tests.helpers.embedders:Dashed"]
    for chosen, last, gone in ((models[:1], "hard", "entropy"), (models, "margin", "hard")):
        assert call(*chosen, *pairs) == 0
        said = capsys.readouterr().out
        title, _, head, *_ = said.splitlines()
        assert (title.endswith("of hashed"), "model" in head) == (len(chosen) == 1, len(chosen) == 2)
        assert (last in head, gone in head) == (True, False)
        assert f"No room for {gone}, " in said
        assert "suspects: --json has all figures." in " ".join(said.split())
        assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--plot", "lie.jpg"], "png"),
        (["--recipe", "dmo"], "demo"),
        (["--recipe", "demo", "--suite", "demo"], "one of the two"),
        (["--tasks", "nothing"], "mine"),
        (["--model-option", "x=1"], "x"),
    ],
)
def test_what_a_user_got_wrong_is_told(task: Path, store, wrong: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        call(MODEL, "--data", task, *wrong, *store)


@pytest.mark.parametrize(("queries", "said"), [(99, True), (100, False)])
def test_few_queries_are_said_to_give_a_rough_overlap(queries: int, said: bool, tmp_path: Path, store, capsys) -> None:
    targets = [{"target": str(at), "text": f"1 {at}"} for at in range(2)]
    asked = [{"query": f"q{at}", "text": f"{at} 1", "positives": ["0"]} for at in range(100)]
    data = _write(tmp_path / "mine.jsonl", *targets, *asked)
    assert call(MODEL, "--data", data, "--pairs", queries, *store) == 0
    assert ("rough" in capsys.readouterr().err) == said


def test_a_wrong_name_of_a_model_or_nothing_to_look_at_is_told(tmp_path: Path, store) -> None:
    with pytest.raises(UserError, match="There is no model"):
        call("classicl", "--suite", "demo", *store)
    with pytest.raises(UserError, match=r"No tasks and no training pairs are chosen\.\n.*--suite.*--recipe"):
        call(MODEL, *store)
    with pytest.raises(UserError, match="no pairs"):
        call(MODEL, "--recipe", "demo", "--data", _write(tmp_path / "none.jsonl"), *store)


@pytest.mark.parametrize("alpha", ["-1", "nan", "much"])
def test_a_weight_of_no_use_is_refused(alpha: str, capsys) -> None:
    with pytest.raises(SystemExit):
        call(MODEL, "--suite", "demo", "--alpha", alpha)
    assert "is not a number from 0" in capsys.readouterr().err
