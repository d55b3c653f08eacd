"""Laws of the analyses: curves, sensitivity, agreement and power."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UserError
from harness.results.verified import Outcomes, read_result
from harness.types import Item, Media
from leaderboards.analysis.curves import FORMS, VectorSetting, reduced, widths_of
from leaderboards.analysis.paired import change, mean_score, without_queries
from leaderboards.analysis.power import plan_power
from leaderboards.analysis.rewording import reworded
from leaderboards.stats import Moments
from llave.cli.main import main

TASKS = ("demo-color", "demo-similar")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two models on two tasks, and their store."""
    folder = tmp_path_factory.mktemp("analysis")
    for scope in ("", "@global"):
        tasks = [f"{task}{scope}" for task in TASKS]
        flags = ["--out", str(folder / f"r{scope}"), "--store", str(folder / "s"), "--limit", "40"]
        assert main(["run", "classical", "null/random", "--tasks", *tasks, *flags, "-q"]) == 0
    whole = ["--tasks", "demo-color", "demo-color@global", "--out", str(folder / "w"), "--store", str(folder / "s")]
    assert main(["run", "classical", *whole, "-q"]) == 0
    return folder


def _figures(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    capsys.readouterr()
    assert main([*words, "--format", "json", "-q"]) == 0
    return json.loads(capsys.readouterr().out)["figures"]


class TestCurves:
    def test_full_width_in_fp32_is_the_main_score_exactly_in_both_scopes(self, place, capsys):
        paths = {task: next((place / "w").rglob(f"{task}.json")) for task in ("demo-color", "demo-color@global")}
        local = str(paths["demo-color"])
        found = _figures(capsys, "curves", local, "--store", str(place / "s"), "--widths", "512")["models"][0]
        full = {each["scope"]: each for each in found["points"] if (each["width"], each["format"]) == (2048, "fp32")}
        for scope, task in (("local", "demo-color"), ("global", "demo-color@global")):
            assert full[scope]["score"] == read_result(paths[task]).result.main.value
            assert full[scope]["change"] == 0
        assert len(found["points"]) == 2 * len(FORMS) * 2
        small = found["smallest"]["local"]
        assert not (small["change"] < 0 and small["high"] < 0)
        sizes = [each["bytes"] for each in found["points"] if each["scope"] == "local" and not each["high"] < 0]
        assert small["bytes"] == min(sizes)

    def test_a_plot_is_written(self, place, capsys, tmp_path):
        pytest.importorskip("matplotlib")
        result, plot = next((place / "w").rglob("demo-color.json")), tmp_path / "c.svg"
        words = ["curves", str(result), "--store", str(place / "s"), "--widths", "64", "--plot", str(plot)]
        assert main(words) == 0
        assert plot.read_text().startswith("<?xml")
        assert main([*words[:-1], str(tmp_path / "c.doc")]) == 2

    def test_an_empty_store_and_other_data_are_refused(self, place, capsys, tmp_path):
        result = next((place / "w").rglob("demo-color.json"))
        assert main(["curves", str(result), "--store", str(tmp_path)]) == 2
        assert "lacks" in capsys.readouterr().err
        assert main(["curves", str(result), "--store", str(place / "s"), "--widths", "9999"]) == 2
        assert "too many" in capsys.readouterr().err

    @pytest.mark.parametrize("form", FORMS)
    def test_reducing_keeps_direction_as_far_as_the_format_can(self, form):
        rng = np.random.default_rng(0)
        vectors = rng.standard_normal((50, 256)).astype(np.float32) * rng.uniform(0.1, 1e4, (50, 1)).astype(np.float32)
        vectors[3] = 0
        found = reduced(vectors, 128, form, unit=True)
        assert found.shape == (50, 128)
        assert not found[3].any()
        kept = np.delete(vectors, 3, axis=0)[:, :128].astype(np.float64)
        kept /= np.linalg.norm(kept, axis=1, keepdims=True)
        cosines = (np.delete(found, 3, axis=0) * kept).sum(axis=1)
        assert cosines.min() > {"fp32": 1 - 1e-6, "fp16": 1 - 1e-6, "int8": 0.999, "binary": 0.7}[form]
        if form == "binary":
            assert len(np.unique(np.abs(np.delete(found, 3, axis=0)))) == 1
        again = reduced(found, 128, form, unit=True)
        assert np.allclose(again, found, atol=1e-3)

    def test_widths_halve_and_bytes_round_up(self):
        assert widths_of(1536) == (1536, 768, 384, 192, 96, 48)
        assert widths_of(12) == (12,)
        assert widths_of(100, [7, 50]) == (100, 50, 7)
        assert VectorSetting(100, "binary", "local").bytes == 13
        with pytest.raises(UserError):
            widths_of(100, [101])


class TestSensitivity:
    def test_scope_and_rule_take_no_encoding_and_give_the_scores_of_a_run(self, place, capsys, tmp_path):
        flags = ["--store", str(place / "s"), "--out", str(tmp_path / "out"), "-t", "demo-color"]
        switches = [word for each in ("scope", "rule") for word in ("--switch", each)]
        found = _figures(capsys, "sensitivity", "classical", *flags, *switches)
        assert found["encodings"] == 0
        effects = {(each["switch"], each["value"]): each for each in found["effects"]}
        assert all(each["encodings"] == 0 for each in effects.values())
        run = read_result(next((place / "w").rglob("demo-color@global.json"))).result
        assert effects["scope", "global"]["score"] == run.main.value
        own = read_result(next((place / "w").rglob("demo-color.json"))).result
        assert effects["rule", "official"]["score"] == own.official[own.main_metric].value

    def test_only_queries_with_another_instruction_are_encoded(self, place, capsys, tmp_path):
        flags = ["--store", str(place / "s"), "--out", str(tmp_path), "-t", "demo-similar", "--limit", "40"]
        found = _figures(capsys, "sensitivity", "null/random", *flags, "--switch", "instruction", "--switch", "dtype")
        assert [(each["value"], each["encodings"] <= 40) for each in found["effects"]] == [
            ("off", True),
            ("paraphrased", True),
        ]
        assert any(note.startswith("dtype bfloat16: ") for note in found["notes"])

    def test_rewording_keeps_media_and_text(self):
        media = (Media("image", "a.png", Path()),)
        item = Item("What?", media, "<|media|>\nIdentify the image: ")
        assert reworded(item, "off") == replace(item, instruction="<|media|>\n")
        assert reworded(item, "paraphrased").instruction == "<|media|>\nDetermine the picture: "
        plain = replace(item, instruction="<|media|>\nSay so: ")
        assert reworded(plain, "paraphrased").instruction == "<|media|>\nYour task is this. Say so: "
        alone = Item("", (), "Find a dog")
        assert reworded(alone, "off") == alone
        assert reworded(Item("text"), "paraphrased") == Item("text")


class TestAgreement:
    def test_a_model_agrees_with_itself_and_shares_all_misses(self, place, capsys):
        models = sorted(str(each) for each in (place / "r").iterdir() if each.is_dir())
        found = _figures(capsys, "agree", models[0], models[0])
        head = found["pairs"][0]
        assert (head["dataset"], head["same"], head["b_wrong_too"]) == ("all queries", 1.0, 1.0)

    def test_the_list_has_exactly_the_queries_that_all_get_wrong(self, place, capsys):
        found = _figures(capsys, "agree", str(place / "r"))
        wrong = []
        for task in TASKS:
            rows = [read_result(path).outcomes.scores for path in sorted((place / "r").rglob(f"{task}.json"))]
            assert len(rows) == 2
            wrong += [(task, at) for at, pair in enumerate(zip(*rows, strict=True)) if max(pair) < 1]
        listed = [(each["dataset"], each["query"]) for each in found["wrong_for_all"]]
        assert len(listed) == len(set(listed)) <= len(wrong)
        assert {name for name, _ in listed} <= {name for name, _ in wrong}
        votes = [each["models"] for each in found["wrong_for_all"]]
        assert votes == sorted(votes, reverse=True)
        assert main(["agree", str(place / "r"), "--queries", "2"]) == 0

    def test_one_model_is_refused(self, place, capsys):
        assert main(["agree", str(next((place / "w").rglob("demo-color.json")))]) == 2


def _outcomes(scores: np.ndarray) -> Outcomes:
    return Outcomes(scores.astype(np.float64), np.zeros(len(scores), np.bool_), None)


class TestPower:
    def test_a_difference_is_seen_as_often_as_planned(self):
        """Simulated: with the number of queries that the plan names, the test finds the difference in about 80 %."""
        rng = np.random.default_rng(1)
        rates = [0.62, 0.16, 0.12, 0.10]  # both right, only B, only A, both wrong: 4 points apart

        def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
            kind = rng.choice(4, count, p=rates)
            return np.isin(kind, (0, 2)).astype(float), np.isin(kind, (0, 1)).astype(float)

        a, b = draw(20_000)
        needed = plan_power([_outcomes(a)], [_outcomes(b)], (), 0.04, 0.8).cases[0].queries
        seen = 0
        for _ in range(500):
            a, b = draw(needed)
            seen += Moments.of_pair(b - a, np.zeros(needed), None).contrast().p < 0.05
        assert 0.74 < seen / 500 < 0.86

    def test_more_correlation_power_and_difference_move_the_number_as_they_must(self):
        baseline = [_outcomes(np.arange(200) % 2), _outcomes(np.arange(100) % 2)]
        plan = plan_power(baseline, None, (), 0.02, 0.8)
        numbers = [each.queries for each in plan.cases]
        assert numbers == sorted(numbers, reverse=True)
        double = plan_power(baseline, None, (), 0.04, 0.8).cases[0].queries
        assert abs(numbers[0] / double - 4) < 0.01
        assert plan_power(baseline, None, (), 0.02, 0.9).cases[0].queries > numbers[0]

    def test_seeds_follow_the_spread_of_runs(self):
        baseline = [_outcomes(np.arange(200) % 2)]
        few = plan_power(baseline, None, (0.50, 0.51, 0.52), 0.02, 0.8).seeds
        many = plan_power(baseline, None, (0.50, 0.52, 0.54), 0.02, 0.8).seeds
        assert few == 6  # d = 2 standard deviations: 6 in each group, Cohen 1988, table 2.4.1
        assert many > few

    def test_the_command(self, place, capsys):
        model = str(next(each for each in (place / "r").iterdir() if each.is_dir()))
        found = _figures(capsys, "power", "--baseline", model, "--difference", "5", "--runs", model, model)
        assert found["queries"] == 80
        assert found["seeds"] == 2
        assert main(["power", "--baseline", model, "--difference", "0"]) == 2
        assert main(["power", "--baseline", str(place / "r")]) == 2


class TestSave:
    def test_the_file_is_what_json_prints_beside_the_table(self, place, capsys, tmp_path):
        words = ["agree", str(place / "r"), "--save", str(tmp_path / "agree.json"), "-q"]
        assert main(words) == 0
        assert "kappa" in capsys.readouterr().out
        assert main([*words, "--format", "json"]) == 0
        assert (tmp_path / "agree.json").read_text() == capsys.readouterr().out

    def test_an_ending_that_the_page_would_not_find_is_refused(self, place, capsys, tmp_path):
        with pytest.raises(SystemExit):
            main(["agree", str(place / "r"), "--save", str(tmp_path / "agree.txt")])
        assert "does not end with .json" in capsys.readouterr().err


class TestPaired:
    def test_the_change_is_zero_against_itself_and_covers_its_value(self):
        rng = np.random.default_rng(2)
        one, other = (_outcomes((rng.random(60) < rate).astype(float)) for rate in (0.5, 0.6))
        same = change([one], [one])
        assert same.value == 0
        assert same.p == 1
        moved = change([one, other], [other, one])
        assert moved.interval.low <= moved.value <= moved.interval.high
        assert change([one], [other]).value == mean_score([other]) - mean_score([one])

    def test_queries_left_out_move_the_mean_exactly(self):
        rng = np.random.default_rng(3)
        scores = (rng.random(100) < 0.5).astype(float)
        hit = np.arange(100) < 10
        found = without_queries([(_outcomes(scores[hit]), _outcomes(scores[~hit]))])
        assert found.value == pytest.approx(scores[~hit].mean() - scores.mean())
        nothing = without_queries([(_outcomes(scores[:0]), _outcomes(scores))])
        assert (nothing.value, nothing.interval.low, nothing.interval.high) == (0, 0, 0)
