"""Results side by side."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.results.verified import Record
from leaderboards.board.board import Board
from leaderboards.board.entries import TrainingPoint
from leaderboards.board.scope import rows_for
from leaderboards.board.standings import mean_weights
from leaderboards.published.rows import Citation, MeanMismatch, PublishedRow
from tasks.suites import Suite, aggregate, find_suite, suites
from tests.helpers.record_values import in_memory
from tests.helpers.result_values import result

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


def test_the_results_frame_holds_every_result_as_fractions():
    board = Board.of([result("A", value=0.1, public=0.9), result("B"), result("A", "n")], SUITE)
    frame = board.results_frame()
    assert list(zip(frame["model"], frame["task"], strict=True)) == [("m", "A"), ("m", "B"), ("n", "A")]
    first = frame.iloc[0]
    assert (first["value"], first["strict"], first["official"], first["chance"]) == (0.1, 0.1, 0.9, 0.25)


def _hits(right: int, of: int = 100) -> list[float]:
    return [1.0] * right + [0.0] * (of - right)


def _printed(model: str, **changes: object) -> PublishedRow:
    fields: dict[str, object] = {"kind": "published", "source": Citation("Table 1", "a paper"), "suite": "these"}
    return PublishedRow(model=model, metric="hit@1", evaluator="", **(fields | changes))


def _places(board: Board) -> dict[str, tuple[int, int, int, int] | None]:
    return {
        each.entry.label: each.place and (each.place.rank, each.place.best, each.place.worst, each.place.group)
        for each in board.standings()
    }


class TestStandings:
    def test_models_are_ranked_and_those_alike_share_a_group(self):
        scores = {"best": (90, 90), "good": (50, 52), "alike": (51, 50), "bad": (10, 9)}
        records = [
            in_memory(task, m, _hits(n)) for m, both in scores.items() for task, n in zip("AB", both, strict=True)
        ]
        assert _places(Board.of_records(records, SUITE)) == {
            "best": (1, 1, 1, 1),
            "good": (2, 2, 3, 2),
            "alike": (3, 2, 3, 2),
            "bad": (4, 4, 4, 3),
        }

    def test_pairing_finds_differences_that_numbers_of_queries_do_not(self):
        """One model is right wherever the other is, and on a few queries more."""
        one, two = [in_memory("A", "m", _hits(500, 1000))], [in_memory("A", "n", _hits(515, 1000))]
        suite = Suite("one", "1 task", ("A",), ())
        assert _places(Board.of_records(one + two, suite))["m"] == (2, 2, 2, 2)
        elsewhere = in_memory("A", "n", _hits(515, 1000), dataset={**one[0].result.dataset, "digest": "e" * 64})
        assert _places(Board.of_records([*one, elsewhere], suite, mix=True))["m"] == (2, 1, 2, 1)

    def test_an_incomplete_row_is_not_ranked_and_says_what_it_lacks(self):
        records = [in_memory("A", "m", _hits(99)), in_memory("A", "n", _hits(5)), in_memory("B", "n", _hits(5))]
        board = Board.of_records(records, SUITE)
        assert list(_places(board).items()) == [("n", (1, 1, 1, 1)), ("m", None)]
        frame = board.frame().set_index("model")
        assert (frame.loc["m", "missing"], frame.loc["m", "tasks"]) == ("B", 1)
        assert np.isnan(frame.loc["m", "overall"])
        assert frame.loc["m", "A"] == pytest.approx(0.99)

    def test_an_interval_holds_its_mean_and_narrows_with_queries(self):
        def width(count: int) -> float:
            board = Board.of_records([in_memory(task, "m", _hits(count // 2, count)) for task in "AB"], SUITE)
            cell = board.standings()[0].cells["overall"]
            assert cell.interval is not None
            assert cell.interval.low < cell.mean.value < cell.interval.high
            return cell.interval.high - cell.interval.low

        assert width(400) == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 800), rel=0.1)
        assert width(100) / width(400) == pytest.approx(2, rel=0.15)

    @settings(deadline=None, max_examples=15)
    @given(st.randoms())
    def test_the_order_of_results_changes_nothing(self, shuffle):
        records = [in_memory(t, f"m{n}", _hits(20 * n + 10)) for n in range(4) for t in "AB"]
        straight = Board.of_records(records, SUITE).frame()
        shuffle.shuffle(records)
        mixed = Board.of_records(records, SUITE).frame()
        assert straight.equals(mixed[straight.columns])

    def test_weights_are_the_suite_s_means(self):
        scores = {task: (7 * index % 36) / 36 for index, task in enumerate(find_suite("mmeb").tasks)}
        for name in ("mmeb", "mmeb-ood", "demo"):
            suite = suites()[name]
            values = {task: scores.get(task, 0.5) for task in suite.tasks}
            for mean in aggregate(suite, values):
                weights = mean_weights(suite)[mean.name]
                assert sum(weight * values[task] for task, weight in weights.items()) == pytest.approx(mean.value)

    def test_a_dataset_can_be_ranked_by(self):
        records = [in_memory("A", "m", _hits(90)), in_memory("A", "n", _hits(10)), in_memory("B", "n", _hits(10))]
        assert list(_places(Board.of_records(records, SUITE, rank_by="A"))) == ["m", "n"]


class TestMixing:
    def test_results_under_another_rule_or_on_other_data_stay_out_unless_asked_and_are_then_marked(self):
        records = [in_memory(task, model, _hits(50)) for model in "mn" for task in "AB"]
        other = {**records[0].result.dataset, "digest": "e" * 64}
        records += [in_memory("A", "o", _hits(9), protocol="official"), in_memory("A", "p", _hits(9), dataset=other)]
        apart = Board.of_records(records, SUITE)
        assert {entry.label for entry in apart.entries} == {"m", "n"}
        assert ["official" in str(apart.notes), "protocol" in apart.notes[0], "other data" in apart.notes[1]] == [
            False,
            True,
            True,
        ]
        mixed = Board.of_records(records, SUITE, mix=True)
        assert {entry.label for entry in mixed.entries} == {"m", "n", "o", "p"}
        assert mixed.mixed == {record.result.identity for record in records[-2:]}

    def test_what_stays_out_does_not_decide_which_data_stays(self):
        """Two results under another rule, on newer data, leave the one under ours."""
        records = [in_memory("A", "m", _hits(50))]
        other = {**records[0].result.dataset, "digest": "e" * 64}
        records += [in_memory("A", model, _hits(9), protocol="official", dataset=other) for model in "no"]
        records += [in_memory("B", model, _hits(9)) for model in "pqr"]
        board = Board.of_records(records, SUITE)
        assert {entry.label for entry in board.entries} == {"m", "p", "q", "r"}

    def test_of_two_results_of_one_model_the_newest_counts(self):
        old, new = (
            in_memory("A", "m", _hits(n), identity=str(n), created=f"2026-01-0{n}T00:00:00+00:00") for n in (1, 2)
        )
        for order in ([old, new], [new, old]):
            assert [each.main.value for each in Board.of_records(order, SUITE).results] == [pytest.approx(0.02)]


class TestPublished:
    def test_a_published_row_is_beside_ours_and_is_named_as_such(self):
        row = _printed("paper", means={"overall": 0.55}, size=7_000_000_000)
        records = [in_memory(task, "m", _hits(50)) for task in "AB"]
        board = Board.of_records(records, SUITE, [row])
        frame = board.frame().set_index("model")
        assert (frame.loc["paper", "kind"], frame.loc["m", "kind"]) == ("published", "measured")
        assert (frame.loc["paper", "source"], frame.loc["paper", "size"]) == ("Table 1", 7e9)
        assert _places(board) == {"paper": (1, 1, 2, 1), "m": (2, 1, 2, 1)}

    def test_a_mean_is_given_by_printed_scores_where_it_is_not_printed(self):
        cell = Board.of_records([], SUITE, [_printed("p", scores={"A": 0.2, "B": 0.4})]).standings()[0].cells["overall"]
        assert (cell.mean.value, cell.summed) == (pytest.approx(0.3), True)

    def test_a_contradicted_mean_is_shown_as_printed_and_ranked_by_its_parts(self):
        mark = MeanMismatch("overall", 0.9, 0.3, "a mean of means")
        rows = [_printed("high", means={"overall": 0.9}, marks=(mark,)), _printed("low", means={"overall": 0.5})]
        board = Board.of_records([], SUITE, rows, sizes={"A": 1000, "B": 1000})
        assert list(_places(board)) == ["low", "high"]
        assert board.standings()[1].cells["overall"].mean.value == 0.9

    def test_a_row_stands_for_the_whole_dataset_whatever_part_of_it_we_ran(self):
        def width(*records: Record) -> float:
            rows = [_printed("p", scores={"A": 0.5, "B": 0.5})]
            board = Board.of_records(records, SUITE, rows, sizes={"A": 1000, "B": 1000})
            cell = next(each for each in board.standings() if each.entry.label == "p").cells["overall"]
            return cell.interval.high - cell.interval.low

        assert width(in_memory("A", "m", [1, 0])) == width()

    def test_means_of_another_suite_are_not_shown_as_this_one_s(self):
        scores = dict.fromkeys(find_suite("mmeb-ood").tasks, 0.5)
        mark = MeanMismatch("OOD", 0.6, 0.5, "a slip")
        rows = [
            _printed("p", suite="mmeb", scores=scores, means={"overall": 0.7, "OOD": 0.6, "vqa": 0.3}, marks=(mark,)),
            _printed("means alone", suite="mmeb", means={"overall": 0.7}),
        ]
        (row,) = rows_for(find_suite("mmeb-ood"), rows)
        assert (row.means, row.marks) == ({"overall": 0.6}, (replace(mark, cell="overall"),))
        (row,) = rows_for(Suite("mine", "", ("GQA", "CIRR"), ()), rows)
        assert (row.means, row.marks, row.scores) == ({}, (), scores)
        assert rows_for(find_suite("mmeb"), rows) == rows

    def test_rows_of_one_name_are_distinguished_by_source(self):
        rows = [_printed("m", means={"overall": 0.5}), _printed("m", means={"overall": 0.6})]
        board = Board.of_records([in_memory("A", "m", _hits(5))], SUITE, rows)
        assert {entry.label for entry in board.entries} == {"m", "m (Table 1)", "m (Table 1, 2)"}


class TestIncompleteRows:
    """They have no rank among whole rows, but each pair is compared over the datasets that both have."""

    def _board(self, **models: dict[str, float]) -> Board:
        def hits(rate: float) -> list[float]:
            return [1.0] * round(200 * rate) + [0.0] * (200 - round(200 * rate))

        records = [in_memory(task, name, hits(rate)) for name, own in models.items() for task, rate in own.items()]
        return Board.of_records(records, SUITE)

    def test_a_row_without_a_dataset_is_placed_by_those_that_it_has(self):
        board = self._board(best={"A": 0.9, "B": 0.9}, part={"A": 0.8}, low={"A": 0.3, "B": 0.9})
        standings = {each.entry.label: each for each in board.standings()}
        assert [each.entry.label for each in board.standings()] == ["best", "low", "part"]
        assert standings["part"].place is None
        shared = standings["part"].shared
        assert (shared.rank, shared.best, shared.worst) == (2, 2, 2)
        assert standings["best"].shared is None

    def test_two_rows_that_share_nothing_do_not_count_for_each_other(self):
        board = self._board(one={"A": 0.9}, other={"B": 0.2}, whole={"A": 0.5, "B": 0.5})
        standings = {each.entry.label: each for each in board.standings()}
        assert standings["one"].shared.rank == 1
        assert standings["other"].shared.rank == 2

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.floats(0, 1), min_size=2, max_size=5))
    def test_with_one_dataset_it_is_the_rank_on_that_dataset(self, rates):
        """Rows that all lack the same dataset are ranked by the others as if it did not exist."""
        board = self._board(**{f"m{number}": {"A": rate} for number, rate in enumerate(rates)})
        alone = {each.entry.label: each.place.rank for each in replace(board, rank_by="A").standings()}
        assert {each.entry.label: each.shared.rank for each in board.standings()} == alone


class TestBest:
    def test_what_is_not_significantly_worse_than_the_best_is_best_too(self):
        records = [
            in_memory(task, name, [1.0] * hits + [0.0] * (400 - hits))
            for name, hits in {"a": 300, "b": 299, "c": 200}.items()
            for task in "AB"
        ]
        best = {each.entry.label: each.best for each in Board.of_records(records, SUITE).standings()}
        assert best["a"] == best["b"] == {"overall", "OOD", "A", "B"}
        assert best["c"] == frozenset()

    def test_a_collapsed_model_is_not_told_apart_from_a_random_one(self):
        """Its hits are expectations: each query has chance, in every one of 40 runs."""
        draw = np.random.default_rng(11)
        told = 0
        for _ in range(40):
            records = [
                in_memory(task, name, scores)
                for task in "AB"
                for name, scores in (("constant", [1 / 280] * 280), ("random", ((draw.random(280) < 1 / 280) * 1.0)))
            ]
            told += len({each.place.group for each in Board.of_records(records, SUITE).standings()}) > 1
        assert told <= 2

    def test_a_dataset_that_is_solved_has_an_interval_with_a_width_measured_or_imported(self):
        paper = PublishedRow("p", "imported", Citation("T", "t"), "these", "hit@1", "", scores={"A": 1.0, "B": 0.0})
        records = [in_memory("A", "m", [1.0] * 50), in_memory("B", "m", [0.0] * 50)]
        board = Board.of_records(records, SUITE, [paper], sizes={"A": 50, "B": 50})
        ours, theirs = (each.intervals for each in board.standings())
        assert ours == theirs
        assert ours["A"].low == pytest.approx(1 - 0.0582, abs=1e-3)
        assert ours["B"].low == 0
        assert ours["B"].high == pytest.approx(0.0582, abs=1e-3)


def test_checkpoints_are_known_by_name_or_by_step():
    def found(model: str, **fields: object) -> TrainingPoint | None:
        made = result("A", model)
        return Board.of([replace(made, model={**made.model, **fields})], SUITE).entries[0].checkpoint

    assert found("runs/x/checkpoint-200") == ("runs/x", 200)
    assert found("checkpoint-7") == ("checkpoints", 7)
    assert found("mine", step=30) == ("mine", 30)
    assert found("checkpointed-3") is None


def test_many_models_on_36_datasets_have_intervals():
    suite, random = find_suite("mmeb"), np.random.default_rng(0)
    records = [
        in_memory(task, f"m{model}", random.random(50) < 0.3 + model / 50)
        for model in range(20)
        for task in suite.tasks
    ]
    frame = Board.of_records(records, suite).frame()
    assert len(frame) == 20
    assert frame["overall_low"].notna().all()
