"""`llave train --seeds` and `llave seeds`: runs that differ only in the seed, and two ways of training compared."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from scipy.stats import ttest_rel

from harness.errors import UserError
from leaderboards.analysis.seeds import SeedRuns, compare_seeds, seed_report
from leaderboards.stats import over_seeds
from llave.cli.main import main
from tests.helpers import llave_files, training_files
from tests.helpers.families import write_family
from tests.helpers.training_files import COLOURS

forget_precision = pytest.fixture(autouse=True)(training_files.forget_precision)
one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
SEEDS = (4, 5)
SETTINGS = ("batch=4", "max_steps=2", "save_steps=2", "eval_steps=2", "eval_on_start=true", "learning_rate=0.05")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model trained with two values of alpha, each with two seeds, and evaluated on a file of its own."""
    folder = write_family(tmp_path_factory.mktemp("seeds"), "sentence text")
    asked = [{"query": f"{at}", "text": f"a {each} cube", "positives": [each]} for at, each in enumerate(COLOURS)]
    lines = [*({"target": each, "text": f"{each} {at}"} for at, each in enumerate(COLOURS)), *asked]
    (folder / "asked.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for alpha in (0, 9):
        call(folder, "--seeds", "2", "--out", folder / f"alpha-{alpha}", "--set", f"alpha={alpha}")
    return folder


def call(folder: Path, *words: object, status: int = 0) -> None:
    """Trains in this process."""
    model, asked = (f"{name}={folder / path}" for name, path in (("model", "begin"), ("eval_data", "asked.jsonl")))
    settings = (*SETTINGS, model, asked, "eval_suite=none", "seed=4", "hard_negatives=false", "device=cpu")
    flags = [word for each in settings for word in ("--set", each)]
    assert main(["train", "demo", "--data", str(folder / "data.jsonl"), *flags, *map(str, words)]) == status


def scores(run: Path) -> dict[int, float]:
    """The logged mean scores by step."""
    rows = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return {row["step"]: row["mean"] for row in rows if "mean" in row}


def test_each_seed_is_a_run_of_its_own_from_the_same_start(place: Path):
    for alpha in (0, 9):
        runs = [place / f"alpha-{alpha}" / f"seed-{seed}" for seed in SEEDS]
        assert [json.loads((run / "recipe.json").read_text())["seed"] for run in runs] == [*SEEDS]
        assert all(list(scores(run)) == [0, 2] for run in runs)
        trained = [(run / "checkpoint-2" / "model.safetensors").read_bytes() for run in runs]
        assert trained[0] != trained[1]


def test_a_run_among_several_seeds_is_the_run_of_that_seed_alone(place: Path):
    call(place, "--out", place / "alone", "--set", "alpha=9")
    for file in ("model.safetensors", "2_Dense/model.safetensors"):
        alone, among = (place / run / "checkpoint-2" / file for run in ("alone", "alpha-9/seed-4"))
        assert alone.read_bytes() == among.read_bytes()


def test_the_score_of_the_start_is_that_of_the_model_itself(place: Path, tmp_path: Path, llave):
    where = ("--out", tmp_path / "o", "--store", tmp_path / "s", "--device", "cpu", "--dtype", "float32")
    (found,) = json.loads(llave("run", place / "begin", "--data", place / "asked.jsonl", *where, "--json").out)[
        "results"
    ]
    assert found["metrics"][found["main_metric"]]["value"] == scores(place / "alpha-0" / "seed-4")[0]


def test_the_command_that_is_printed_after_ctrl_c_ends_as_if_nothing_had_been(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """It stops in the evaluation of the start, before the first step of the first seed."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    stopped = place / "stopped here"
    with monkeypatch.context() as patch:
        patch.setattr("trainers.monitor.evaluation.CheckpointEvaluator.scores", stop)
        call(place, "--seeds", "2", "--out", stopped, "--set", "alpha=9", status=130)
    assert [each.name for each in stopped.glob("*/checkpoint-*")] == ["checkpoint-0"]
    advised = shlex.split(capsys.readouterr().err.splitlines()[-1])
    assert (advised[0], advised[-1]) == ("llave", "--resume")
    assert main(advised[1:]) == 0
    for seed in SEEDS:
        whole, again = (run / f"seed-{seed}" for run in (place / "alpha-9", stopped))
        assert scores(again) == scores(whole)
        file = "checkpoint-2/model.safetensors"
        assert (again / file).read_bytes() == (whole / file).read_bytes()


def test_differences_are_those_of_the_logs_with_the_interval_of_a_paired_t_test(place: Path, capsys):
    capsys.readouterr()
    assert main(["seeds", str(place / "alpha-0"), str(place / "alpha-9"), "--format", "json", "-q"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    before, after = ([scores(place / run / f"seed-{seed}")[2] for seed in SEEDS] for run in ("alpha-0", "alpha-9"))
    assert figures["mean"]["by_seed"] == pytest.approx([b - a for a, b in zip(before, after, strict=True)])
    assert (figures["step"], figures["seeds"]) == (2, [*SEEDS])
    assert figures["settings"] == {"alpha": [0.0, 9.0]}
    assert figures["tasks"] == {"asked": figures["mean"]}


def test_a_plot_has_a_line_for_each_way(place: Path, tmp_path: Path, capsys):
    pytest.importorskip("matplotlib")
    ways = [str(place / name) for name in ("alpha-0", "alpha-9")]
    assert main(["seeds", *ways, "--plot", str(tmp_path / "learning.svg")]) == 0
    drawn = (tmp_path / "learning.svg").read_text()
    assert all(f"<!-- {way} -->" in drawn for way in ways)
    assert "The 95 % CI" in (said := capsys.readouterr().out) or "do not say" in said


def made(label: str, by_seed: Mapping[int, float], steps: tuple[int, ...] = (3,), **settings: object) -> SeedRuns:
    runs = {seed: {step: {"one": score, "two": score / 2} for step in steps} for seed, score in by_seed.items()}
    return SeedRuns(label, settings, runs, {"one": ("d", "hit@1"), "two": ("d", "hit@1")})


def test_the_interval_is_that_of_a_paired_t_test():
    a, b = {1: 0.5, 2: 0.4, 3: 0.6, 9: 0.1}, {3: 0.65, 2: 0.5, 1: 0.52, 8: 1.0}
    found = compare_seeds(made("a", a), made("b", b))
    assert found.seeds == (1, 2, 3)
    interval = ttest_rel([b[seed] for seed in (1, 2, 3)], [a[seed] for seed in (1, 2, 3)]).confidence_interval()
    each = found.difference(["one"])
    assert each.interval == pytest.approx((interval.low, interval.high))
    assert found.difference(["one", "two"]).mean == pytest.approx(0.75 * each.mean)
    turned = compare_seeds(made("b", b), made("a", a)).difference(["one"])
    assert turned.interval == pytest.approx((-interval.high, -interval.low))


def test_no_interval_is_without_a_width():
    assert over_seeds([0.1]) is None
    assert over_seeds([0.1, 0.1, 0.1]) is None
    report = seed_report(compare_seeds(made("a", {1: 0.5, 2: 0.5}), made("b", {1: 0.75, 2: 0.75})))
    assert "with every seed" in report.sentences[0]
    assert report.figures["mean"]["low"] is None


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: made("b", {1: 0.5, 7: 0.5}), "fewer than two seeds: a has 1, 2; b has 1, 7"),
        (lambda: made("b", {1: 0.5, 2: 0.5}, (4,)), "do not share a step"),
        (lambda: SeedRuns("b", {}, {1: {3: {"x": 1.0}}, 2: {3: {"x": 1.0}}}, {"x": ("d", "hit@1")}), "share a task"),
        (
            lambda: SeedRuns(
                "b", {}, made("b", {1: 0.5, 2: 0.5}).scores, {"one": ("e", "hit@1"), "two": ("d", "hit@1")}
            ),
            "other data of one",
        ),
    ],
)
def test_what_cannot_be_paired_is_refused(other: Callable[[], SeedRuns], said: str):
    with pytest.raises(UserError, match=said):
        compare_seeds(made("a", {1: 0.5, 2: 0.5}), other())


def test_runs_of_several_ways_are_not_taken_for_seeds(place: Path, tmp_path: Path, capsys):
    for alpha, seed in ((0, 4), (9, 5)):
        shutil.copytree(place / f"alpha-{alpha}" / f"seed-{seed}", tmp_path / "mixed" / f"seed-{seed}")
    assert main(["seeds", str(tmp_path / "mixed"), str(place / "alpha-9")]) == 2
    assert "runs that differ in alpha" in capsys.readouterr().err
    assert (
        main(["run", "null/random", "--data", str(place / "asked.jsonl"), "--out", str(tmp_path / "null"), "-q"]) == 0
    )
    capsys.readouterr()
    assert main(["seeds", str(tmp_path / "null"), str(place / "alpha-9")]) == 2
    assert "no results of checkpoints" in capsys.readouterr().err
