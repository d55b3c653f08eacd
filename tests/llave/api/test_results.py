"""What `llave.evaluate` returns: short in a terminal, a table in a notebook, tidy in pandas."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import llave as front
from llave.api.results import EvalResults, TaskResult
from tasks.suites import suite_of
from tests.helpers.result_values import result as record

LONG = "a-name-" * 30
NASTY = "<script>alert(1)</script>\x1b[31m"


def _results(*records, found=0):
    tasks = {each.task: each for each in records}
    return EvalResults(
        tuple(TaskResult(each, Path("nowhere")) for each in records), suite_of("these", "tasks", _members(tasks)), found
    )


def _members(tasks):
    return [front.Task(name, None, None, None, None, None) for name in tasks]


@pytest.fixture
def run(tiny, place):
    models = ["tests.helpers.embedders:Hashed", "null/constant"]
    return front.evaluate(models, tiny.data, out=place.out, store=place.store, progress=False)


class TestText:
    @pytest.mark.parametrize(
        "shown",
        [
            _results(record()),
            _results(record(), record(task="Other")),
            _results(record(), record(model="other")),
            _results(record(task=LONG, model=LONG)),
            _results(record(task=LONG, model=LONG), record(task="b" + LONG, model=LONG)),
            _results(record(task=NASTY, model=NASTY)),
            _results(),
        ],
        ids=["one", "two tasks", "two models", "long names", "long names twice", "control characters", "none"],
    )
    def test_it_is_one_short_printable_line(self, shown):
        for text in [repr(shown), *map(repr, shown)]:
            assert len(text) <= 140
            assert text.isprintable()
        if "a-name" not in repr(shown) and NASTY[:5] not in repr(shown):
            assert len(repr(shown)) < 80

    def test_it_says_the_score(self):
        one = _results(record())
        assert repr(one) == "EvalResults(m on Task: hit@1 50.0 [25.0, 75.0])"
        assert repr(one["Task"]) == "TaskResult(m on Task: hit@1 50.0 [25.0, 75.0])"
        assert repr(_results(record(), record(task="B", value=0.3))) == "EvalResults(m on 2 tasks: overall 40.0 %)"
        assert repr(_results(record(), record(model="n"))) == "EvalResults(2 models on 1 task)"

    def test_what_is_no_key(self):
        for key in (0, ("m", "Task", "hit@1")):
            with pytest.raises(front.UserError, match="is no task"):
                _results(record())[key]

    def test_an_incomplete_mean_says_so(self):
        part = replace(_results(record(), record(task="B")), suite=suite_of("s", "s", _members("ABC")))
        assert repr(part) == "EvalResults(m on 2 tasks: overall incomplete, 1 of 3)"
        assert part.means["m"]["overall"] is None


class TestHtml:
    def test_names_are_escaped(self):
        shown = _results(record(task=NASTY, model=NASTY), record(task="b", model=NASTY))
        for text in (shown._repr_html_(), shown[NASTY]._repr_html_()):
            assert "<script" not in text
            assert "&lt;script&gt;" in text

    def test_it_has_every_score_and_mean(self, run):
        text = run._repr_html_()
        for each in run:
            assert f"{100 * each.score.value:.1f}" in text
            assert each.task in text
        assert "overall" in text
        assert "95 % CI" in text


class TestFrames:
    def test_a_row_for_each_model_and_task(self, run):
        frame = run.frame()
        assert len(frame) == 6
        assert {"model", "task", "meta_task", "split", "metric", "value", "low", "high", "chance", "num_queries"} <= {
            *frame
        }
        for row in frame.to_dict("records"):
            assert run[row["model"], row["task"]].score.value == row["value"]

    def test_a_row_for_each_metric(self, run):
        each = run["hashed", "Find"]
        frame = each.frame()
        assert frame["metric"].tolist() == [*each.metrics]
        assert frame["value"].tolist() == [score.value for score in each.metrics.values()]

    def test_a_row_for_each_query(self, run, place):
        frame = run["hashed", "Find"].queries()
        rows = place.rows("Find")
        assert frame["query"].tolist() == [row["query"] for row in rows]
        assert frame["text"].tolist() == [row["content"]["text"] for row in rows]
        assert frame["hit@1"].mean() == pytest.approx(run["hashed", "Find"].score.value)
        assert run["hashed", "Colour"].queries()["media"][0] == ["shapes/00.png"]

    def test_rows_are_found_after_another_result_took_their_place(self, run, tiny, place):
        before = run["hashed", "Find"].queries()
        models = ["tests.helpers.embedders:Hashed", "null/constant"]
        less = front.evaluate(models, tiny.data, limit=2, out=place.out, store=place.store, progress=False)
        assert len(less["hashed", "Find"].queries()) == 2
        pd.testing.assert_frame_equal(run["hashed", "Find"].queries(), before)

    def test_lost_and_changed_files_are_named(self, run, place):
        rows = place.path("Find").with_name("Find.queries.jsonl")
        rows.write_text(rows.read_text() + "\n")
        with pytest.raises(front.UserError, match="does not hold the rows"):
            run["hashed", "Find"].queries()
        place.path("Find").unlink()
        with pytest.raises(front.UserError, match="no longer holds this result of Find"):
            run["hashed", "Find"].queries()

    def test_means_are_those_of_the_scores(self, run):
        scores = [each.score.value for each in run if each.model == "hashed"]
        assert run.means["hashed"]["overall"] == pytest.approx(sum(scores) / 3)


class TestPlot:
    def test_every_task_and_model_is_in_it(self, run):
        figure = run.plot()
        (axes,) = figure.axes
        assert [each.get_text() for each in axes.get_yticklabels()] == ["Colour", "Find", "Match"]
        assert {"hashed", "null/constant", "chance"} == {each.get_text() for each in figure.legends[0].get_texts()}
        points = [line.get_xdata() for line in axes.lines if line.get_marker() == "o"]
        assert [*points[0]] == [100 * run["hashed", task].score.value for task in run.tasks]
        assert figure._repr_png_().startswith(b"\x89PNG")

    def test_names_are_not_taken_for_formulas(self, tmp_path):
        _results(record(task="$x^{$", model="$y_{$")).plot().savefig(tmp_path / "plot.png")

    def test_without_matplotlib_it_says_what_to_install(self, run, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(front.UserError, match="need matplotlib") as error:
            run.plot()
        assert "pip install" in error.value.hint
