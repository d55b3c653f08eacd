"""`llave.board` and `llave.compare` say what the commands say."""

from __future__ import annotations

import json

import pytest

import llave as front

MODELS = ["tests.helpers.embedders:Hashed", "null/constant", "null/oracle"]


@pytest.fixture
def run(tiny, place):
    return front.evaluate(MODELS, tiny.data, out=place.out, store=place.store, progress=False)


class TestBoard:
    def test_it_is_the_board_of_the_command(self, llave, run, place):
        rows = json.loads(llave("board", place.out, "--format", "json").out)["rows"]
        board = front.board(place.out)
        assert board.frame()["model"].tolist() == [row["model"] for row in rows]
        assert board.frame()["overall"].tolist() == [row["overall"] for row in rows]
        assert front.board(run).frame()["model"].tolist() == [row["model"] for row in rows]
        assert front.board([place.out / "hashed", run]).frame()["model"].tolist() == [row["model"] for row in rows]

    def test_its_forms(self, run, place, tmp_path):
        board = front.board(run, rank_by="Find")
        assert repr(board) == "Leaderboard(3 models on these, first null/oracle)"
        assert "null/oracle" in board._repr_html_()
        page = board.html(tmp_path / "board.html", queries=1)
        assert page.read_text().startswith("<!DOCTYPE html>")

    def test_published_rows(self, run):
        alone, beside = front.board(published=True, suite="mmeb-vqa"), front.board(run, published=True)
        assert len(alone.frame()) > 10
        assert len(beside.frame()) == 3

    def test_what_cannot_be_used_is_a_warning(self, run, place):
        (place.out / "broken.json").write_text('{"format": 1')
        with pytest.warns(UserWarning, match=r"broken\.json is not valid JSON"):
            assert len(front.board(place.out).frame()) == 3

    def test_wrong_names(self, run, tmp_path):
        with pytest.raises(front.UserError, match="is data, not results"):
            front.board(tmp_path / "tiny")
        with pytest.raises(front.UserError, match="no suite named 'mmebb'"):
            front.board(run, suite="mmebb")
        with pytest.raises(front.UserError, match="no mean or dataset named 'over'"):
            front.board(run, rank_by="over")


class TestCompare:
    def test_it_is_the_comparison_of_the_command(self, llave, run, place):
        said = json.loads(llave("compare", "null/constant", "hashed", "--results", place.out, "--format", "json").out)
        (record,) = said["comparisons"]
        found = front.compare("null/constant", "hashed", results=place.out)
        assert repr(found) == found.verdict == record["verdict"]
        frame = found.frame()
        plain = [*record["means"], *record["datasets"]]
        assert frame["name"].tolist() == [each["name"] for each in plain]
        assert frame["difference"].tolist() == [each["difference"] for each in plain]
        assert frame["wins"].tolist() == [each["wins"] for each in plain]
        assert frame["low"].tolist() == [each["interval"][0] for each in plain]

    def test_results_can_be_given_as_they_are(self, tiny, place):
        one, other = (
            front.evaluate(each, tiny.data, out=place.out, store=place.store, progress=False) for each in MODELS[:2]
        )
        found = front.compare(one, other)
        assert found.verdict == front.compare("hashed", "null/constant", results=place.out).verdict
        assert front.compare(one, "null/constant", results=place.out).verdict == found.verdict
        assert front.compare(place.out / "hashed", other).verdict == found.verdict
        same = front.compare(one, one)
        assert same.comparison.a.label != same.comparison.b.label
        assert same.frame()["difference"].eq(0).all()

    def test_only_the_results_given_count(self, tiny, place):
        def limited(model: str, limit: int) -> front.EvalResults:
            return front.evaluate(model, tiny.data, limit=limit, out=place.out, store=place.store, progress=False)

        small = [limited(each, 4) for each in MODELS[:2]]
        for each in MODELS[:2]:
            limited(each, 8)
        frame = front.compare(*small).frame()
        assert (frame[["wins", "ties", "losses"]].sum(axis=1)).tolist() == [12, 4, 4, 4]

    def test_names_are_escaped(self, tiny, place):
        models = ["tests.helpers.embedders:Marked", "tests.helpers.embedders:Hashed"]
        one, other = (
            front.evaluate(each, tiny.data, out=place.out, store=place.store, progress=False) for each in models
        )
        assert "[red]x[/nothing]" in repr(front.compare(one, other))
        assert "<td" in front.compare(one, other)._repr_html_()

    def test_results_of_several_models_are_refused(self, run, place):
        with pytest.raises(front.UserError, match="results of 4 models"):
            front.compare(run, "hashed", results=place.out)
        with pytest.raises(front.UserError, match="named 'nobody'"):
            front.compare("hashed", "nobody", results=place.out)
