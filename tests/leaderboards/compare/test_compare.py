"""One model against another."""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.models import open_model
from harness.results.files import result_folder
from harness.types import ModelSettings
from leaderboards import stats
from leaderboards.board.board import Board
from leaderboards.board.entries import Entry, measured, printed
from leaderboards.compare.compare import COMMON, compare
from leaderboards.compare.config_diff import changes
from leaderboards.compare.flips import flips
from leaderboards.compare.tables import difference_table, page, verdict
from leaderboards.load import load
from leaderboards.published.rows import Citation, PublishedRow
from llave.cli import compare as command
from tasks.suites import Suite
from tests.helpers.llave_files import write_checkpoint
from tests.helpers.record_values import in_memory, write

SUITE = Suite("these", "2 tasks", ("A", "B"), (("OOD", ("B",)),))


def _entry(name: str, **hits: list[float]) -> Entry:
    return measured([in_memory(task, name, scores) for task, scores in hits.items()])[0]


def _paper(name: str, **fields: object) -> Entry:
    row = PublishedRow(name, "published", Citation("T", "t"), "these", "hit@1", "", **fields)
    return printed([row], [])[0]


def _by_name(comparison) -> dict[str, object]:
    return {each.name: each for each in (*comparison.means, *comparison.datasets)}


class TestPlanted:
    @settings(deadline=None, max_examples=20)
    @given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 10_000))
    def test_k_queries_lost_and_j_gained_are_reported_as_exactly_that(self, lost, gained, seed):
        before = [1.0] * 60 + [0.0] * 60
        after = [0.0] * lost + [1.0] * (60 - lost) + [1.0] * gained + [0.0] * (60 - gained)
        order = random.Random(seed).sample(range(120), 120)
        one, two = ([scores[index] for index in order] for scores in (before, after))
        found = _by_name(compare(_entry("a", A=one, B=[1, 0]), _entry("b", A=two, B=[1, 0]), SUITE, {}))
        assert (found["A"].wins, found["A"].ties, found["A"].losses) == (gained, 120 - lost - gained, lost)
        assert (found["overall"].wins, found["overall"].losses) == (gained, lost)
        assert found["A"].value == pytest.approx((gained - lost) / 120)
        assert found["overall"].value == pytest.approx((gained - lost) / 240)

    def test_their_content_is_shown(self, tmp_path):
        write(tmp_path / "x", "A", "m", [1, 1, 1, 0, 0])
        write(tmp_path / "y", "A", "n", [0, 1, 0, 0, 1])
        a, b = (measured(load([tmp_path / name]).records)[0] for name in "xy")
        found = flips(compare(a, b, Suite("one", "", ("A",), ()), {}), 10)
        assert [(flip.gained, flip.a["query"]) for flip in found] == [(True, "4"), (False, "0"), (False, "2")]
        assert all(flip.a["content"] == flip.b["content"] for flip in found)
        assert len(flips(compare(a, b, Suite("one", "", ("A",), ()), {}), 1)) == 2


class TestStatistics:
    def test_a_model_against_itself(self):
        scores = [1.0, 0.0] * 50
        found = compare(_entry("a", A=scores, B=scores), _entry("b", A=scores, B=scores), SUITE, {})
        for each in (*found.means, *found.datasets):
            assert (each.value, each.p, each.wins, each.losses) == (0, 1, 0, 0)
            assert each.interval.low <= 0 <= each.interval.high
        assert "is not significant" in verdict(found)

    def test_the_other_way_round_everything_is_mirrored(self):
        draw = np.random.default_rng(0)
        a, b = (_entry(name, **{t: list(map(float, draw.random(90) < 0.5)) for t in "AB"}) for name in "ab")
        one, two = compare(a, b, SUITE, {}), compare(b, a, SUITE, {})
        for x, y in zip((*one.means, *one.datasets), (*two.means, *two.datasets), strict=True):
            assert x.value == -y.value
            assert (x.wins, x.losses) == (y.losses, y.wins)
            assert x.p == y.p
            assert x.interval == (-y.interval.high, -y.interval.low)
            assert (x.over_datasets, y.over_datasets) == (None, None)

    def test_the_interval_over_other_datasets_is_wider_where_datasets_disagree(self):
        up, down = [0.0] * 20 + [1.0] * 80, [1.0] * 20 + [0.0] * 80
        a, b = _entry("a", A=up, B=down, C=up), _entry("b", A=down, B=up, C=down)
        found = compare(a, b, Suite("three", "", ("A", "B", "C"), ()), {}).headline
        assert found.over_datasets.high - found.over_datasets.low > 3 * (found.interval.high - found.interval.low)

    def test_datasets_that_one_lacks_are_named_and_the_mean_is_of_the_common_ones(self):
        found = compare(_entry("a", A=[1, 0], B=[1, 0]), _entry("b", A=[1, 1]), SUITE, {})
        assert [each.name for each in found.means] == [COMMON]
        assert found.caveats == ("Only a has B.",)
        with pytest.raises(UserError, match="share no dataset"):
            compare(_entry("a", B=[1, 0]), _entry("b", A=[1, 1]), SUITE, {})

    def test_an_expectation_is_no_outcome(self):
        """A collapsed model has chance on every query, in expectation. It is neither better nor worse than failing."""
        a, b = _entry("a", A=[0.01] * 100, B=[0.01] * 100), _entry("b", A=[0] * 100, B=[0] * 100)
        for found in compare(a, b, SUITE, {}).datasets:
            assert found.p > 0.3
            assert (found.wins, found.ties, found.losses) == (0, 100, 0)

    def test_the_headline_and_the_board_say_the_same_of_two_models(self):
        draw = np.random.default_rng(5)
        for run in range(40):
            hits = {
                name: {t: (draw.random(60) < chance) * 1.0 for t in "AB"} for name, chance in (("a", 0.5), ("b", 0.6))
            }
            found = compare(*(_entry(name, **own) for name, own in hits.items()), SUITE, {}).headline
            records = [in_memory(task, name, scores) for name, own in hits.items() for task, scores in own.items()]
            places = [standing.place for standing in Board.of_records(records, SUITE).standings()]
            apart = found.p < stats.LEVEL
            assert ([place.group for place in places] == [1, 2]) == apart, run
            assert (not found.interval.low <= 0 <= found.interval.high) == apart

    def test_wordings_of_one_question_are_one_observation(self):
        """Hits that are repeated in clusters have the intervals and p-values of the hits themselves."""
        draw = np.random.default_rng(3)
        once = [(draw.random(50) < 0.5) * 1.0 for _ in range(4)]
        records = []
        for times in (1, 20):
            clusters = np.repeat(np.arange(50, dtype=np.int32), times)
            for name, tasks in zip("ab", (once[:2], once[2:]), strict=True):
                for task, hits in zip("AB", tasks, strict=True):
                    record = in_memory(task, name, np.repeat(hits, times).tolist())
                    records.append(replace(record, outcomes=replace(record.outcomes, clusters=clusters)))
        one, many = (compare(*measured(part), SUITE, {}) for part in (records[:4], records[4:]))
        for single, repeated in zip((*one.means, *one.datasets), (*many.means, *many.datasets), strict=True):
            assert repeated.interval == pytest.approx(single.interval)
            assert repeated.p == pytest.approx(single.p)
        assert (many.datasets[0].queries, many.datasets[0].clusters) == (1000, 50)

    def test_other_data_is_not_paired(self):
        a, b = in_memory("A", "a", [1, 0] * 9), in_memory("A", "b", [1, 1] * 9)
        b.result.dataset["digest"] = "e" * 64
        found = compare(measured([a])[0], measured([b])[0], SUITE, {}).datasets[0]
        assert not found.paired
        assert found.interval.low < found.value < found.interval.high


class TestPublished:
    def test_of_only_scores_the_interval_is_from_counts_and_says_so(self):
        a, b = _paper("a", scores={"A": 0.5, "B": 0.4}), _paper("b", scores={"A": 0.6, "B": 0.6})
        found = compare(a, b, SUITE, {"A": 1000, "B": 1000})
        assert not any(each.paired for each in (*found.means, *found.datasets))
        dataset = found.datasets[0]
        assert dataset.interval.high - dataset.interval.low == pytest.approx(2 * 1.96 * (0.49 / 1000) ** 0.5, rel=0.02)
        assert "not paired" in " ".join(difference_table(found).notes)

    def test_of_only_means_too(self):
        a, b = _paper("a", means={"overall": 0.5}), _paper("b", means={"overall": 0.56})
        found = compare(a, b, SUITE, {"A": 1000, "B": 1000})
        assert [each.name for each in found.means] == ["overall"]
        assert found.headline.interval.low > 0.02
        unknown = compare(a, b, SUITE, {})
        assert (unknown.headline.interval, unknown.headline.p) == (None, None)
        assert "No interval is known" in verdict(unknown)


def test_a_printed_score_of_other_queries_is_said_to_be_one():
    """Somebody's own MSCOCO of 50 queries is not the benchmark's."""
    mine, paper = _entry("a", A=[1, 0] * 25, B=[1, 0]), _paper("b", scores={"A": 0.6, "B": 0.5})
    assert compare(mine, paper, SUITE, {"A": 1000, "B": 2}).caveats == (
        "The protocols differ: strict; official.",
        "The numbers of queries differ, so these are hardly comparable: A.",
    )


def test_data_that_differs_is_named_once():
    a, b = (measured([in_memory(task, "m", [1, 0]) for task in "AB"])[0] for _ in range(2))
    for task, record in b.records.items():
        record.result.dataset["digest"] = task.lower() * 64
    assert changes(a, b) == [
        (
            "data of A, B",
            "revision local, digest dddddddddddd and others",
            "revision local, digest aaaaaaaaaaaa and others",
        )
    ]


def test_what_differs_is_named_and_what_does_not_is_not():
    a, b = (in_memory("A", "m", [1, 0], settings={"limit": None, "seed": seed}) for seed in (0, 1))
    b.result.model["options"] = {"pixels": 9}
    found = {each.field: (each.a, each.b) for each in changes(measured([a])[0], measured([b])[0])}
    assert found == {"settings.seed": ("0", "1"), "model.options.pixels": ("–", "9")}


class TestCommand:
    def _run(self, *arguments: object) -> int:
        parser = argparse.ArgumentParser(allow_abbrev=False)
        command.add_arguments(parser)
        return command.run(parser.parse_args([str(each) for each in arguments]))

    @pytest.fixture
    def places(self, tmp_path):
        for model, right in (("m", 300), ("n", 200), ("o", 299)):
            for task in "AB":
                write(tmp_path / model, task, f"<b>{model}", [1.0] * right + [0.0] * (400 - right))
        return [tmp_path / model for model in "mno"]

    def test_a_regression_fails_by_the_interval_and_not_by_the_figure(self, places, capsys):
        m, n, o = places
        assert self._run(m, n, "--fail-on-regression", "5") == 1
        assert "more than 5 points worse" in capsys.readouterr().err
        assert self._run(m, n, "--fail-on-regression", "24.5") == 0  # by 25.0 points, but not for certain
        assert self._run(m, o, "--fail-on-regression", "0") == 0
        assert self._run(n, m, "--fail-on-regression", "0") == 0

    def test_every_format_tells_the_same(self, places, capsys):
        m, n, _ = places
        for form in ("terminal", "markdown", "html", "json"):
            assert self._run(m, n, "--queries", "2", "--format", form) == 0
            said = capsys.readouterr().out
            assert "25.0" in said or form == "json"
            assert "asked" in said
        record = json.loads(said)["comparisons"][0]
        assert record["means"][0]["difference"] == pytest.approx(-0.25)
        assert record["means"][0]["losses"] == 200
        assert len(record["queries"]) == 2

    def test_figures_for_papers_and_for_programs(self, places, capsys):
        m, n, _ = places
        assert self._run(m, n, "--format", "latex") == 0
        assert r"\textbf{$-$25.0}" in capsys.readouterr().out
        assert self._run(*places, "--format", "csv") == 0
        rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert len({(row["model_a"], row["model_b"]) for row in rows}) == 3
        assert [(row["losses"], float(row["difference"])) for row in rows[:1]] == [("200", pytest.approx(-0.25))]
        with pytest.raises(UserError, match="not queries"):
            self._run(m, n, "--format", "csv", "--queries", "2")

    def test_more_than_two_are_a_matrix(self, places, capsys):
        assert self._run(*places, "--format", "json") == 0
        assert len(json.loads(capsys.readouterr().out)["comparisons"]) == 3
        assert self._run(*places, "--format", "markdown") == 0
        assert "Row minus column" in capsys.readouterr().out

    def test_a_mean_over_other_datasets_is_not_compared(self, places):
        """The overall of MMEB and that of these two datasets share a name alone."""
        with pytest.raises(UserError, match="share no dataset and no mean"):
            self._run(places[0], "LLaVE-2B")

    def test_models_by_name_and_checkpoints_by_folder(self, tmp_path, capsys):
        results, checkpoint = tmp_path / "results", write_checkpoint(tmp_path / "run" / "checkpoint-2")
        with pytest.raises(UserError, match=r"checkpoint-2 has no results"):
            self._run(checkpoint, "org/n", "--results", results)
        spec = open_model(str(checkpoint), ModelSettings()).spec
        write(result_folder(results, spec), "A", spec.name, [1.0] * 300 + [0.0] * 100)
        write(result_folder(results, replace(spec, revision="older")), "A", spec.name, [1.0] * 100 + [0.0] * 300)
        write(results / "org--n" / "main", "A", "org/n", [1.0] * 200 + [0.0] * 200)
        assert self._run("org/n", checkpoint, "--results", results, "--format", "json") == 0
        (comparison,) = json.loads(capsys.readouterr().out)["comparisons"]
        assert comparison["means"][0]["difference"] == pytest.approx(0.25)

    def test_a_path_without_results_that_is_no_model_either(self, places, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(UserError, match="empty holds no results, and no model can be opened"):
            self._run(places[0], tmp_path / "empty")
        with pytest.raises(UserError, match="The model classical has no results in"):
            self._run(places[0], "classical", "--results", tmp_path / "none")

    def test_what_cannot_be_compared(self, places):
        with pytest.raises(UserError, match="only one model"):
            self._run(places[0])
        with pytest.raises(UserError, match="Did you mean"):
            self._run(places[0], "LLaVE-7")


def test_the_page_is_one_file_and_escapes_names():
    found = compare(_entry("<script>alert(1)</script>", A=[1, 0]), _entry('"b', A=[1, 1]), SUITE, {})
    text = page("<i>", [difference_table(found)])
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert not any(word in text for word in ("http:", "https:", "src=", "@import", "url("))
