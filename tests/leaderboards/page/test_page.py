"""What is written into the page, before a browser sees it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.errors import visible
from leaderboards.board.board import Board
from leaderboards.compare.compare import compare
from leaderboards.compare.flips import flips
from leaderboards.page.data import page_data
from leaderboards.page.models import links_of, models_of
from leaderboards.page.page import page, write_page
from leaderboards.page.thumbnails import Album
from leaderboards.page.viewer import interesting, viewer
from leaderboards.published.rows import Citation, Kind, PublishedRow
from tasks.suites import find_suite
from tests.helpers.page_values import EVIL, HITS, PLAIN, RIVAL, SUITE, page_board, picture
from tests.helpers.record_values import in_memory


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
    assert visible(EVIL) in {row["label"] for row in read["rows"]}
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
    data, frame = page_data(board), board.frame()
    assert [row["label"] for row in data["rows"]] == list(frame["model"])
    columns = {(each["name"], each["kind"]): each for each in data["columns"]}
    assert {"overall", "retrieval"} <= {name for name, kind in columns if kind == "mean"}
    assert {name for name, kind in columns if kind == "dataset"} == {"Words", "Scenes"}
    for (name, kind), column in columns.items():
        if kind != "fact":
            values = [np.nan if each is None else each for each in column["values"]]
            assert values == pytest.approx(list(frame[name].astype(float)), nan_ok=True, abs=1e-12)


def test_pairs_say_what_compare_says(board):
    standings = board.standings()
    pairs = page_data(board)["pairs"]["paired"]
    assert len(pairs) == 3
    for pair in pairs:
        found = compare(standings[pair["a"]].entry, standings[pair["b"]].entry, board.suite, board.sizes)
        wanted = {each.name: each for each in (*found.means, *found.datasets)}
        assert [change["name"] for change in pair["changes"]] == list(wanted)
        for change in pair["changes"]:
            each = wanted[change["name"]]
            assert change["b"] - change["a"] == pytest.approx(each.value, abs=1e-12)
            assert change["interval"] == pytest.approx(list(each.interval), abs=1e-12)
            assert change["counts"] == ([each.wins, each.ties, each.losses] if each.paired else None)


def _printed(model: str, kind: Kind, where: str, date: str | None = None, **more: object) -> PublishedRow:
    source = Citation(where, where, date=date)
    return PublishedRow(model, kind, source, "these", "hit@1", "", **{"means": {"overall": 0.5}, **more})


def test_the_best_documented_row_of_a_model_comes_first():
    whole = {"scores": {"Words": 0.5, "Scenes": 0.4}, "means": {}}
    rows = [
        _printed("X-2B", "self-reported", "a card", "2026-01"),
        _printed("X-2B", "published", "a table", "2025-01"),
        _printed("x 2b", "published", "arXiv 2501.00001 Table 2", "2025-01"),
        _printed("X-2B (reproduced by others)", "published", "elsewhere", **whole),
        _printed("X-2B", "self-reported", "part", means={}, scores={"Words": 0.9}),
        _printed("X-2B (large)", "published", "a table"),
        _printed("own", "published", "a table"),
    ]
    records = [in_memory("Words", "own", [1, 0]), in_memory("Words", "own!", [1, 1])]
    standings = Board.of_records(records, SUITE, rows).standings()
    found = [[standings[index].entry for index in model] for model in models_of(standings)]
    wheres = [[entry.published.source.where if entry.published else "here" for entry in model] for model in found]
    names = {model[0].label: where for model, where in zip(found, wheres, strict=True)}
    assert ["elsewhere", "arXiv 2501.00001 Table 2", "a table", "a card", "part"] in wheres
    assert sorted([names["own"], names["own!"]]) == [["here"], ["here", "a table"]]
    assert names["X-2B (large)"] == ["a table"]
    assert sorted(index for model in models_of(standings) for index in model) == list(range(len(standings)))


@pytest.mark.parametrize(
    ("where", "links"),
    [
        ("LLaVE arXiv 2503.04812v2 Table 2", ["https://arxiv.org/abs/2503.04812"]),
        ("ORG/Name-2B model card; leaderboard", ["https://huggingface.co/ORG/Name-2B"]),
        ("HF space O/B results.csv (commit a24f205)", ["https://huggingface.co/spaces/O/B"]),
        ("O/R main @6e1e1d42 a/b.json", ["https://github.com/O/R/blob/6e1e1d42/a/b.json"]),
        ("O/R docs/x.md @7b19a620; PR #213", ["https://github.com/O/R/blob/7b19a620/docs/x.md"]),
        ("O/R @8ce3aab1 README", ["https://github.com/O/R/tree/8ce3aab1"]),
        ("O/R PR #5057", ["https://github.com/O/R/pull/5057"]),
        ("see https://example.org/a?b=1, below", ["https://example.org/a?b=1"]),
        ("javascript:alert(1) a table", []),
    ],
)
def test_links_follow_from_the_reference(where, links):
    [standing] = Board.of_records([], SUITE, [_printed("m", "published", where)]).standings()
    assert [link["address"] for link in links_of(standing.entry)] == links


def test_a_model_from_the_hub_is_linked_at_its_commit():
    commit = "0123456789abcdef0123456789abcdef01234567"
    for name, repository in (("llave/zhibinlan/LLaVE-2B", "zhibinlan/LLaVE-2B"), ("vlm/x=O/R", "O/R")):
        [standing] = Board.of_records([in_memory("Words", name, [1], revision=commit)], SUITE).standings()
        assert [each["address"] for each in links_of(standing.entry) if each["what"] == "hub"] == [
            f"https://huggingface.co/{repository}/tree/{commit}"
        ]
    [standing] = Board.of_records([in_memory("Words", "runs/demo", [1])], SUITE).standings()
    assert links_of(standing.entry) == []


def test_no_function_of_the_page_is_declared_twice():
    names = [
        name
        for file in (files("leaderboards.page") / "web").iterdir()
        if file.name.endswith(".js")
        for name in re.findall(
            r"^(?:async )?(?:function|const|let) (\w+)", file.read_text(encoding="utf-8"), re.MULTILINE
        )
    ]
    assert len(names) > 80
    assert [name for name, count in Counter(names).items() if count > 1] == []


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
        hits = {visible(model): own for model, own in HITS.items()}
        for view in viewer(board, 10, Album())["tasks"]:
            for place, model in enumerate(view["models"]):
                scores = [query["answers"][place]["score"] for query in view["queries"]]
                assert scores == hits[entries[model].label][view["name"]]
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
    assert {row["label"] for row in read["rows"]} == set(map(visible, HITS))
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


def test_scores_and_details_say_what_a_model_was_trained_on():
    records = [in_memory(task, "llave-2b", [1, 0]) for task in ("CIRR", "FashionIQ")]
    data = page_data(Board.of_records(records, find_suite("mmeb")))
    notes = {column["name"]: column["notes"][0] for column in data["columns"] if column["kind"] == "dataset"}
    assert (notes["CIRR"], notes["FashionIQ"]) == ("trained on its training split, in MMEB-train", "")
    (fact,) = [column for column in data["columns"] if column["name"] == "trained on"]
    assert fact["texts"] == ["MMEB-train: 20 of 36"]
    assert [each["address"] for each in data["rows"][0]["links"]] == ["https://huggingface.co/zhibinlan/LLaVE-0.5B"]
