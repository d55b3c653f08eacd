"""The benchmarks run to their end and write what they measured. How fast they are is not a test's business."""

from __future__ import annotations

import importlib
import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tasks.demo.scenes import Picture, Scene

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
TINY = {
    "scoring": "--widths 8 --queries 12 --pool 16 --repeats 1 --datasets 4 --suite-width 8 --suite-pool 20",
    "engine": "--texts 40 --images 10 --side 64 --width 8 --repeats 1 --memory-texts 20 40 --memory-images 10 20",
    "board": "--models 4 --queries 20 --files 5 --repeats 1",
    "page": "--models 4 --repeats 1",
    "video": "--clips 2 --repeats 1 --long-seconds 2 --memory-videos 10",
    "training": (
        "--shape demo --pairs 4 --micro-batch 2 --public-pairs 2 --images 2 --repeats 1 "
        "--memory-pairs 4 8 --memory-micro-batch 2"
    ),
    "throughput": "--loads texts --texts 4 --repeats 1",
    "loss": "--batch 64 --small 32 --width 8 --repeats 1",
    "error_rates": "--repeats 2",
    "pool": "--targets 500 --queries 8 --width 16 --repeats 1",
}
PARTS = {
    "scoring": {"one dataset, width 8", "suite, width 8"},
    "engine": {"texts", "images", "memory, texts", "memory, images"},
    "board": {"board, 4 models", "reading, 5 results"},
    "page": {"page, 4 models"},
    "video": {"short clips, once for each caption", "short clips, every frame", "a long clip, every frame", "memory"},
    "training": {"cached step, with gradient checkpointing", "cached step, without", "public way", "memory"},
    "throughput": {"matrix product, TFLOP/s", "texts"},
    "loss": {"batch 64"},
    "error_rates": {
        "coverage of a score",
        "coverage of other scores",
        "coverage of a mean over datasets",
        "coverage of a difference",
        "clusters",
        "equal models told apart",
        "equal published scores told apart",
        "different models told apart",
        "contradictions",
    },
    "pool": {"500 targets"},
}


@pytest.mark.parametrize("name", TINY)
def test_a_benchmark_runs_and_reports(name: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *TINY[name].split(), "--out", str(report)]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    found = json.loads(report.read_text())
    assert found["figures"].keys() == PARTS[name]
    assert found["machine"]["cores"] >= 1
    assert str(tmp_path) not in report.read_text()


COMMITTED = (*TINY, "hardness", "hardness-long", "hardness-sketch", "hardness-suite", "quickstart")


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_figures_are_of_the_full_size_and_name_no_path(name: str) -> None:
    text = (BENCHMARKS / "results" / f"{name}.json").read_text()
    found = json.loads(text)
    assert found.keys() == {"date", "machine", "versions", "settings", "figures"}
    assert name == "quickstart" or found["settings"]["repeats"] >= 5
    assert "/home" not in text
    assert "/tmp" not in text


def test_the_page_on_statistics_has_the_committed_tables() -> None:
    command = [
        sys.executable,
        str(BENCHMARKS / "error_rates.py"),
        "--markdown",
        str(BENCHMARKS / "results/error_rates.json"),
    ]
    tables = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert tables.strip()
    assert tables in (BENCHMARKS.parent / "docs" / "statistics.md").read_text(encoding="utf-8")


LOOKS = ("size", "color", "shape", "cell")
HARDNESS_TASKS = ("demo-object", "demo-object-ood", "demo-caption-t2i", "demo-caption-i2t", "demo-caption-t2i-ood")


def _finished(alpha: float, seed: int, score: float) -> str:
    tasks = {name: {"P@1": score, "P@1 half-way": score / 2, "overlap": 0.1} for name in HARDNESS_TASKS}
    case = {"batch": 8, "scale": 50.0, "alpha": alpha, "seed": seed, "steps": 2, "seconds": 1.0}
    return json.dumps(case | {"tasks": tasks})


def test_hardness_pairs_runs_by_seed(tmp_path: Path) -> None:
    """Of finished runs: the difference is within seeds, and a seed that lacks an alpha does not count for it."""
    report = tmp_path / "report.json"
    for alpha, seed, score in ((0, 1, 0.2), (3, 1, 0.9), (9, 1, 0.3), (0, 2, 0.6), (9, 2, 0.7), (0, 3, 0.9)):
        name = f"batch-8-scale-50-alpha-{alpha}-steps-2-seed-{seed}.json"
        (tmp_path / "demo").mkdir(exist_ok=True)
        (tmp_path / "demo" / name).write_text(_finished(alpha, seed, score))
    flags = "--finished --seeds 1 2 3 --alphas 0 3 9 --batch 8 --other-seeds 0 --pairs 16"
    places = ["--runs", str(tmp_path), "--out", str(report)]
    command = [sys.executable, str(BENCHMARKS / "hardness.py"), *flags.split(" "), *places]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    found = json.loads(report.read_text())["figures"]["batch 8, temperature 0.02"]
    assert found["seeds"] == [1, 2]
    assert found["P@1"]["means"]["alpha 9"]["retrieval"] == pytest.approx(0.5)
    assert found["P@1"]["differences"]["alpha 3 less alpha 0"]["demo-object"]["mean"] == pytest.approx(0.7)
    for what, more in (("P@1", 0.1), ("P@1 half-way", 0.05)):
        gain = found[what]["differences"]["alpha 9 less alpha 0"]["OOD"]
        assert [gain[name] for name in ("mean", "low", "high", "better", "seeds")] == pytest.approx(
            [more, more, more, 2, 2]
        )
    assert report.with_suffix(".png").stat().st_size > 1000


@pytest.fixture
def sketch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("lib.hardness_sketch")


def _differences(scene: Scene, other: Scene) -> int:
    """Attributes and places in which two scenes differ, their things paired as suits best."""
    return min(
        sum(getattr(a, name) != getattr(b, name) for a, b in zip(scene.things, things, strict=True) for name in LOOKS)
        for things in itertools.permutations(other.things)
    )


@pytest.mark.parametrize("held_out", [False, True])
def test_the_sketch_has_hard_candidates_and_captions_that_tell_all_apart(sketch: ModuleType, held_out: bool) -> None:
    for right, *wrong in sketch.questions(held_out):
        assert all(scene.held_out is held_out for scene in (right, *wrong))
        assert len({sketch.caption(scene) for scene in (right, *wrong)}) == 32
        assert sum(_differences(right, scene) == 1 for scene in wrong) >= 16


def test_the_sketch_trains_on_no_scene_that_a_question_shows(sketch: ModuleType) -> None:
    shown = {
        sketch.caption(scene) for held_out in (False, True) for asked in sketch.questions(held_out) for scene in asked
    }
    trained = sketch.trained()
    assert len(trained) > 5000
    assert not shown & {sketch.caption(scene) for scene in trained}
    assert not any(thing.held_out for scene in trained for thing in scene.things)


def test_the_sketch_asks_both_ways(sketch: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAVE_CACHE", str(tmp_path))
    monkeypatch.setattr(sketch, "_QUERIES", 20)
    monkeypatch.setattr(sketch, "trained", lambda: sketch.world(False)[:2])
    for task in sketch.tasks():
        data = task.source.load(task)
        assert [len(query.candidates) for query in data.queries] == [32] * 20
        for query in data.queries:
            sides = (query.item, data.targets[query.positives[0]])
            text, image = sides if "t2i" in task.name else sides[::-1]
            scene = next(scene for scene in sketch.world(task.split == "OOD") if sketch.caption(scene) == text.text)
            assert image.media[0].name == f"images/{Picture(scene).name}"
            assert (image.media[0].root / image.media[0].name).is_file()
