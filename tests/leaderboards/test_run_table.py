"""The tables of runs and results as a person reads them."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from harness.scoring.metrics import Score
from leaderboards.board.board import Board
from leaderboards.run_table import board_table, query_table, result_table
from tasks.suites import Suite
from tests.helpers.result_values import result

SUITE = Suite("these", "2 tasks", ("A", "B"), ())


def _shown(table: RenderableType, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _board(*results, suite=SUITE, **options) -> str:
    return _shown(board_table(Board.of(results, suite)), options.get("width", 200))


def _words(said: str) -> str:
    """What is said, wherever its lines break."""
    return " ".join(said.split())


class TestBoard:
    def test_a_cell_is_the_score_in_percent_with_its_interval(self):
        said = _board(result("A", value=0.5), result("B", value=0.25))
        assert "│ A │ 1,234 │ 25.0 │ 50.0 [25.0, 75.0] │" in _words(said)
        assert "37.5" in said.split("overall")[1]
        assert said.startswith("2 tasks: hit@1 in percent, protocol strict")

    def test_a_dagger_marks_what_depends_on_ties_under_either_protocol(self):
        lifted = {"value": 0.1, "public": 1.0}
        strict = _board(result("A", **lifted), result("B"))
        assert "10.0† [" in strict
        assert "† depends on ties. The official protocol gives more, such as 100.0 for m on A." in _words(strict)
        official = _board(result("A", protocol="official", **lifted), result("B", protocol="official"))
        assert "100.0† [" in official
        assert "† depends on ties, which count as won here. With neutral ties m has 10.0, not 100.0, on A." in _words(
            official
        )
        assert official.count("†") == 2
        assert "†" not in _board(result("A"), result("B"))

    def test_the_largest_lift_is_the_one_that_is_named(self):
        said = _board(result("A", value=0.5, public=0.6), result("B", "n", value=0.1, public=0.9))
        assert "such as 90.0 for n on B" in _words(said)

    def test_a_column_that_nobody_fills_is_not_there(self):
        assert "meta-task" not in _board(result("A"))
        said = _board(result("A", meta_task="vqa", split="OOD"), result("B"))
        assert "meta-task" in said
        assert "A (OOD)" in said

    def test_what_is_missing_is_named_once_for_all_that_lack_it(self):
        said = _board(result("A"), result("A", "n"), result("A", "o"), result("B", "o"))
        assert said.count("incomplete: 1 of 2") == 2
        assert "Missing for m, n: B." in said
        many = Suite("many", "many", tuple(f"T{number}" for number in range(36)), ())
        assert "T9, T10 and 25 more." in _words(_board(result("T0"), suite=many))

    def test_what_makes_scores_incomparable_is_said(self):
        blind = replace(result("A", "blind"), model={**result("A", "blind").model, "not_seen": ["image"]})
        said = _board(blind, result("B", settings={"limit": 3}, bad_media=[{"media": "x", "why": "y"}]))
        for line in ("blind does not support image", "--limit: only the first queries", "Bad media counted as wrong"):
            assert _words(said).count(line) == 1

    def test_ranks_are_not_percent_and_have_no_mean(self):
        ranks = {"mean_rank": Score(12.34, 10.0, 15.0)}
        changes = {"main_metric": "mean_rank", "metrics": ranks, "strict": ranks, "official": ranks}
        said = _board(result("A", chance={"mean_rank": 50.5}, **changes))
        assert "12.3 [10.0, 15.0]" in said
        assert "50.5" in said
        assert "percent" not in said
        assert "overall" not in said

    @pytest.mark.parametrize("name", ["[red]x[/nothing]", "[/]", "a[b]c", "naïve 猫"])
    def test_names_are_shown_as_they_are(self, name):
        assert name in _board(result("A", name))
        assert name in _board(result(name))
        assert name in _shown(result_table(result("A", name)))

    def test_intervals_go_before_cells_break(self):
        results = [result(task, f"model-{number}") for number in range(4) for task in "AB"]
        wide, narrow = (_board(*results, width=width) for width in (120, 80))
        assert "[25.0, 75.0]" in wide
        assert "[" not in narrow
        assert "Brackets" not in narrow
        assert all(f"model-{number}" in narrow for number in range(4))
        assert max(map(len, narrow.splitlines())) <= 80


class TestResult:
    def test_both_rules_and_where_it_comes_from(self):
        said = _shown(result_table(result("A", value=0.5, public=0.75, tied_queries=7)))
        for part in ("m on A", "50.0", "75.0", "25.0 to 75.0", "1,234 queries, 7 of them tied", "3 targets", "d" * 12):
            assert part in said

    def test_the_worst_queries_come_first_and_those_that_could_not_be_ranked_before_them(self):
        def row(query: str, best: list[int], worst: list[int], **more: object) -> dict[str, object]:
            content = {"text": f"asked {query}", "media": ["[a].png"]}
            top = [{"target": 1, "score": 0.5, "right": False, "text": "[/wrong]"}]
            fixed = {"candidates": 9, "content": content, "positives": [{"target": 0, "text": "yes"}], "top": top}
            return {"query": query, "best_rank": best, "worst_rank": worst, **fixed, **more}

        rows = [row("q1", [1], [1]), row("q2", [3], [8]), row("q3", [4, 2], [4, 2]), row("q4", [], [], top=[])]
        rows[3]["bad_media"] = "x.png is empty"
        said = _shown(query_table(rows, 3))
        assert [said.index(f"asked {name}") for name in ("q4", "q2", "q3")] == sorted(
            said.index(f"asked {name}") for name in ("q4", "q2", "q3")
        )
        assert "asked q1" not in said
        for part in ("3 to 8 of 9", "2 of 9", "x.png is empty", "[a].png", "[/wrong]", "The 3 worst queries"):
            assert part in said
