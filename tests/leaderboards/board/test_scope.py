"""The scope of a board: which results decide its suite, and which mean decides its ranks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.results.verified import Record
from leaderboards.board.board import Board
from leaderboards.board.scope import make_board, suite_for
from leaderboards.board.tables import leaderboard_table
from tasks.suites import find_suite
from tests.helpers.record_values import in_memory, write

DEMO = find_suite("demo")


def _hits(right: int, of: int = 20) -> list[float]:
    return [1.0] * right + [0.0] * (of - right)


def _whole(model: str) -> list[Record]:
    return [in_memory(task, model, _hits(10)) for task in DEMO.tasks]


def _limited(task: str, model: str, limit: int = 3) -> Record:
    changes = {"settings": {"limit": limit}, "identity": f"{task}/{model}/limited", "created": "2026-02-01T00:00:00"}
    data = {"source": "folder", "revision": "local", "digest": "e" * 64, "notes": {}}
    return in_memory(task, model, _hits(1, limit), dataset=data, **changes)


def _apart(task: str, model: str) -> Record:
    return in_memory(f"{task}@global", model, _hits(1), scope="global", identity=f"{task}/{model}/global")


@settings(deadline=None, max_examples=10)
@given(st.lists(st.tuples(st.sampled_from(DEMO.tasks), st.sampled_from("abcde"), st.booleans()), max_size=12))
def test_limited_results_and_other_scopes_change_no_row_that_is_whole(extras):
    """However many there are, and of whichever models: rows that are complete keep their score and their rank."""
    records = [*_whole("a"), *_whole("b")]
    more = {(task, model, part): (_limited if part else _apart)(task, model) for task, model, part in extras}
    every = [*more.values(), *records]
    assert suite_for(None, every).name == "demo"
    before, after = (Board.of_records(each, DEMO).frame().set_index("model") for each in (records, every))
    for column in ("rank", "overall", "tasks", *DEMO.tasks):
        assert list(after.loc[["a", "b"], column]) == list(before.loc[["a", "b"], column])


def test_results_of_parts_alone_have_their_suite_too():
    assert suite_for(None, [_limited(task, "a") for task in DEMO.tasks]).name == "demo"


def test_what_is_left_out_is_said():
    board = Board.of_records([*_whole("a"), _limited("demo-object", "b")], DEMO)
    assert any("only the first queries (--limit): left out (--mix" in note for note in board.notes)


def test_published_rows_are_ranked_by_the_widest_mean_that_a_row_has():
    board, _ = make_board(None, published=True, suite="text-video", rank_by=None, mix=False)
    assert board.rank_by == "t2v"
    assert board.notes[0] == "No row has all datasets of overall. t2v is the widest mean that a row has."
    first = board.standings()[0]
    assert first.place is not None
    assert first.place.rank == 1
    asked, _ = make_board(None, published=True, suite="text-video", rank_by="overall", mix=False)
    assert asked.rank_by == "overall", "what was asked for is not changed"


def test_nothing_published_is_said(tmp_path: Path):
    with pytest.raises(UserError, match="Nothing is published for the suite demo") as caught:
        make_board(None, published=True, suite="demo", rank_by=None, mix=False)
    assert "mmeb (" in caught.value.hint
    write(tmp_path, "demo-object", "m", _hits(3))
    _, warnings = make_board([tmp_path], published=True, suite="demo", rank_by=None, mix=False)
    assert any("Nothing is published" in each for each in warnings)


def test_a_column_is_found_by_its_name_whatever_the_suite(tmp_path: Path):
    for columns in (["MSR-VTT_t2v"], ["MSR-VTT_t2v R@5", "MSVD_t2v"]):
        board, _ = make_board(None, published=True, suite=None, rank_by=None, mix=False, columns=columns)
        table = leaderboard_table(board, columns)
        assert board.suite.name == "text-video"
        assert {str(row[table.columns.index(columns[0])]) for row in table.rows} - {""}
    write(tmp_path, "demo-object", "m", _hits(3))
    board, _ = make_board([tmp_path], published=False, suite="demo", rank_by=None, mix=False, columns=["GQA"])
    assert [str(cell) for cell in leaderboard_table(board, ["demo-object", "GQA"]).rows[0][-1:]] == [""]
    with pytest.raises(UserError, match="no column named 'GQAA'"):
        leaderboard_table(board, ["GQAA"])
