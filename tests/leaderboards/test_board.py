"""Results side by side."""

from __future__ import annotations

import itertools

import pytest

from leaderboards.board import Board
from tasks.suites import Suite, find_suite
from tests.result_values import result

SUITE = Suite("these", "2 tasks", ("A", "B"), (("OOD", ("B",)),))


def test_every_result_has_a_place_of_its_own():
    """Whatever two models share, no result hides another, and only what is needed is added to a name."""
    names, revisions, fingerprints = ("m", "n"), ("1", "2"), ("e" * 64, "f" * 64)
    every = list(itertools.product(names, revisions, fingerprints))
    for size in range(1, 5):
        for models in itertools.combinations(every, size):
            results = [
                result(task, name, revision=revision, fingerprint=fingerprint)
                for name, revision, fingerprint in models
                for task in "AB"
            ]
            board = Board.of(results, SUITE)
            assert sorted(map(id, board.results)) == sorted(map(id, results))
            assert len(board.columns) == size
            if len({name for name, _, _ in models}) == size:
                assert tuple(board.columns) == tuple(name for name, _, _ in models)


def test_a_model_whose_fingerprint_follows_the_task_is_one_column():
    board = Board.of([result("A", fingerprint="e" * 64), result("B", fingerprint="f" * 64)], SUITE)
    assert list(board.columns) == ["m"]


def test_the_same_result_twice_is_shown_once():
    board = Board.of([result("A"), result("A")], SUITE)
    assert len(board.results) == 1


def test_a_mean_is_of_unrounded_scores_and_is_none_with_a_task_missing():
    board = Board.of([result("A", value=0.1), result("B", value=0.2), result("A", "n"), result("C", "n")], SUITE)
    overall, ood = board.means("m")
    assert (overall.value, ood.value) == (pytest.approx(0.15), 0.2)
    overall, ood = board.means("n")
    assert (overall.value, overall.missing, ood.missing) == (None, ("B",), ("B",))


def test_a_mean_of_35_of_36_is_no_mean():
    suite = find_suite("mmeb")
    board = Board.of([result(task) for task in suite.tasks if task != "GQA"], suite)
    incomplete = {mean.name for mean in board.means("m") if mean.value is None}
    assert incomplete == {"overall", "vqa", "OOD", "mean-of-meta-tasks"}
    assert all("GQA" in mean.missing for mean in board.means("m") if mean.value is None)


def test_a_frame_holds_every_result_as_fractions():
    board = Board.of([result("A", value=0.1, public=0.9), result("B"), result("A", "n")], SUITE)
    frame = board.frame()
    assert list(zip(frame["model"], frame["task"], strict=True)) == [("m", "A"), ("m", "B"), ("n", "A")]
    first = frame.iloc[0]
    assert (first["value"], first["strict"], first["official"], first["chance"]) == (0.1, 0.1, 0.9, 0.25)
