"""What is written into the page, before a browser sees it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from leaderboards.compare.compare import compare
from leaderboards.compare.flips import flips
from leaderboards.page.data import page_data
from leaderboards.page.page import page, write_page
from leaderboards.page.thumbnails import Album
from leaderboards.page.viewer import interesting, viewer
from tests.helpers.page_values import EVIL, HITS, PLAIN, RIVAL, page_board, picture


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    return page_board(tmp_path_factory.mktemp("results"))


def _data(text: str) -> dict:
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert len(found) == 1
    return json.loads(found[0])


def test_what_data_says_comes_back_and_ends_nothing(board, tmp_path):
    path = tmp_path / "new" / "board.html"
    write_page(path, board, queries=10)
    text = path.read_text(encoding="utf-8")
    read = _data(text)
    assert EVIL in {row["label"] for row in read["rows"]}
    assert "pwned" not in re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.DOTALL)
    assert re.findall(r"</script", text) == ["</script"] * 3


def test_the_policy_lets_in_what_the_page_holds_and_nothing_else(board):
    text = page(board)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert (rules["default-src"], rules["img-src"]) == ("'none'", "data:")
    for rule, pattern in (("script-src", r"<script>(.*?)</script>"), ("style-src", r"<style>(.*?)</style>")):
        digests = [hashlib.sha256(each.encode()).digest() for each in re.findall(pattern, text, re.DOTALL)]
        assert rules[rule].split() == [f"'sha256-{base64.b64encode(each).decode()}'" for each in digests]
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!#)", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))


def test_figures_are_those_of_the_board(board):
    rows, frame = page_data(board)["rows"], board.frame()
    assert [row["label"] for row in rows] == list(frame["model"])
    for row, (_, wanted) in zip(rows, frame.iterrows(), strict=True):
        for name, cell in row["means"].items():
            figure = [np.nan if each is None else each for each in cell["figure"]]
            assert figure[0] == pytest.approx(wanted[name], nan_ok=True, abs=1e-5)
        for task, figure in row["scores"].items():
            assert figure[0] == pytest.approx(wanted[task], abs=1e-5)
        assert row["rank"] is None or row["rank"][0] == wanted["rank"]


def test_pairs_say_what_compare_says(board):
    standings = board.standings()
    pairs = page_data(board)["pairs"]
    assert len(pairs) == 10
    for pair in pairs:
        found = compare(standings[pair["a"]].entry, standings[pair["b"]].entry, board.suite, board.sizes)
        wanted = {each.name: each for each in (*found.means, *found.datasets)}
        assert [change["name"] for change in pair["changes"]] == list(wanted)
        for change in pair["changes"]:
            each = wanted[change["name"]]
            assert change["b"] - change["a"] == pytest.approx(each.value, abs=1e-4)
            assert change["interval"] == pytest.approx(list(each.interval), abs=1e-5)
            assert change["counts"] == ([each.wins, each.ties, each.losses] if each.paired else None)


class TestViewer:
    def test_queries_gained_and_lost_are_those_of_compare(self, board):
        """With room for all of them."""
        entries = {each.entry.label: each.entry for each in board.standings()}
        shown = viewer(board, 10, Album())["tasks"]
        places = {label: place for place, label in enumerate(entries)}
        found = flips(compare(entries[PLAIN], entries[RIVAL], board.suite, board.sizes), 99)
        wanted = {(flip.task, flip.a["query"], flip.gained) for flip in found}
        got = set()
        for view in shown:
            a, b = (view["models"].index(places[label]) for label in (PLAIN, RIVAL))
            for query in view["queries"]:
                change = query["answers"][b]["score"] - query["answers"][a]["score"]
                got |= {(view["name"], query["id"], change > 0)} if change else set()
        assert got == wanted

    def test_answers_are_those_of_the_rows(self, board):
        entries = [each.entry for each in board.standings()]
        for view in viewer(board, 10, Album())["tasks"]:
            for place, model in enumerate(view["models"]):
                scores = [query["answers"][place]["score"] for query in view["queries"]]
                assert scores == HITS[entries[model].label][view["name"]]
                first = [query["answers"][place]["top"][0] for query in view["queries"]]
                assert [found["right"] for found in first] == scores

    def test_every_query_is_in_the_histogram(self, board):
        for view in viewer(board, 1, Album())["tasks"]:
            for spread in view["similarity"]:
                assert sum(spread["right"]) + spread["unseen"] == sum(spread["wrong"]) == view["of"] == 10

    @settings(max_examples=60, deadline=None)
    @given(
        arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.sampled_from([0, 0.5, 1])),
        st.integers(1, 12),
    )
    def test_each_model_chooses_as_many_as_there_is_room_for(self, scores_QM, most):
        chosen = interesting(scores_QM, most)
        queries, models = scores_QM.shape
        assert chosen == sorted(set(chosen))
        assert min(most, queries) <= len(chosen) <= min(most * models, queries)
        alike = (scores_QM == scores_QM[:, :1]).all(axis=1) & (scores_QM[:, 0] == 1)
        if alike[chosen].any():  # a query that all get right only where nothing else is left
            assert set(np.flatnonzero(~alike)) <= set(chosen)


def test_the_library_is_the_one_that_is_named():
    folder = files("leaderboards.page") / "vendor"
    named = re.findall(r"`(\S+)`, SHA-256\s+`([0-9a-f]{64})`", (folder / "README.md").read_text(encoding="utf-8"))
    assert named
    for name, digest in named:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_the_command_writes_the_page_and_prints_nothing(llave, board, tmp_path):
    folder = board.entries[0].records["Words"].path.parents[1]
    path = tmp_path / "board.html"
    done = llave("board", folder, "--html", path, "--html-queries", 3, "--images", picture(tmp_path / "images"))
    assert (done.code, done.out) == (0, "")
    assert str(path) in done.err
    read = _data(path.read_text(encoding="utf-8"))
    assert {row["label"] for row in read["rows"]} == set(HITS)
    assert [each["name"] for each in read["viewer"]["media"] if each["src"]] == ["pictures/a.png"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--html-queries", 3], "--html"),
        (["--html", "new.html", "--html-queries", 3], "no result"),
        (["--html", "new.html", "--html-queries", 3, "--images", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_shown_is_said(llave, flags, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = llave("board", "--published", "--suite", "mmeb", *flags)
    assert done.code == 2
    assert says in done.err.lower()
    assert not (tmp_path / "new.html").exists()
