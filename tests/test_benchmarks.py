"""The benchmarks run to their end and write what they measured. How fast they are is not a test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
TINY = {
    "scoring": "--widths 8 --queries 12 --pool 16 --repeats 1 --datasets 4 --suite-width 8 --suite-pool 20",
    "engine": "--texts 40 --images 10 --side 64 --width 8 --repeats 1 --memory-texts 20 40 --memory-images 10 20",
    "board": "--models 4 --queries 20 --files 5 --page-models 3 --repeats 1",
    "video": "--clips 2 --repeats 1 --long-seconds 2 --memory-videos 10",
    "training": (
        "--shape demo --pairs 4 --micro-batch 2 --public-pairs 2 --images 2 --repeats 1 "
        "--memory-pairs 4 8 --memory-micro-batch 2"
    ),
    "throughput": "--loads texts --texts 4 --repeats 1",
    "loss": "--batch 64 --small 32 --width 8 --repeats 1",
}
PARTS = {
    "scoring": {"one dataset, width 8", "suite, width 8"},
    "engine": {"texts", "images", "memory, texts", "memory, images"},
    "board": {"board, 4 models", "reading, 5 results", "page, 3 models"},
    "video": {"short clips, once for each caption", "short clips, every frame", "a long clip, every frame", "memory"},
    "training": {"cached step, with gradient checkpointing", "cached step, without", "public way", "memory"},
    "throughput": {"matrix product, TFLOP/s", "texts"},
    "loss": {"batch 64"},
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


@pytest.mark.parametrize("name", [*TINY, "hardness", "hardness-long", "quickstart"])
def test_committed_figures_are_of_the_full_size_and_name_no_path(name: str) -> None:
    text = (BENCHMARKS / "results" / f"{name}.json").read_text()
    found = json.loads(text)
    assert found.keys() == {"date", "machine", "versions", "settings", "figures"}
    assert name == "quickstart" or found["settings"]["repeats"] >= 5
    assert "/home" not in text
    assert "/tmp" not in text


HARDNESS_TASKS = ("demo-object", "demo-object-ood", "demo-caption-t2i", "demo-caption-i2t", "demo-caption-t2i-ood")


def _finished(alpha: float, seed: int, score: float) -> str:
    tasks = {name: {"P@1": score, "overlap": 0.1} for name in HARDNESS_TASKS}
    case = {"batch": 8, "scale": 50.0, "alpha": alpha, "seed": seed, "steps": 2, "seconds": 1.0}
    return json.dumps(case | {"tasks": tasks})


def test_hardness_pairs_runs_by_seed(tmp_path: Path) -> None:
    """Of finished runs: the difference is within seeds, and a seed that lacks an alpha does not count."""
    report = tmp_path / "report.json"
    for alpha, seed, score in ((0, 1, 0.2), (9, 1, 0.3), (0, 2, 0.6), (9, 2, 0.7), (0, 3, 0.9)):
        name = f"batch-8-scale-50-alpha-{alpha}-steps-2-seed-{seed}.json"
        (tmp_path / name).write_text(_finished(alpha, seed, score))
    flags = "--finished --seeds 1 2 3 --alphas 0 9 --batch 8 --other-seeds 0 --pairs 16"
    places = ["--runs", str(tmp_path), "--out", str(report)]
    command = [sys.executable, str(BENCHMARKS / "hardness.py"), *flags.split(" "), *places]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    found = json.loads(report.read_text())["figures"]["batch 8, temperature 0.02"]
    assert found["seeds"] == [1, 2]
    assert found["P@1"]["means"]["alpha 9"]["retrieval"] == pytest.approx(0.5)
    gain = found["P@1"]["differences"]["alpha 9 less alpha 0"]["OOD"]
    assert [gain[name] for name in ("mean", "low", "high", "better")] == pytest.approx([0.1, 0.1, 0.1, 2])
    assert report.with_suffix(".png").stat().st_size > 1000
