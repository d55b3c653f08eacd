"""A number is the same text in every form: on a terminal, in Markdown, LaTeX and HTML, and as the CSV's value says."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest

from harness.results.numbers import percent, points
from leaderboards.board.board import Board
from leaderboards.board.scope import every_published, rows_for
from leaderboards.board.tables import leaderboard_table, paper_table
from leaderboards.compare.compare import Comparison, compare
from leaderboards.compare.files import comparison_csv
from leaderboards.compare.tables import config_table, difference_table, matrix_table
from leaderboards.run_table import board_table
from leaderboards.tables import Table
from tasks.suites import find_suite
from tests.helpers import table_cells
from tests.helpers.record_values import in_memory

MMEB = find_suite("mmeb")
SIZES = (8, 13, 16, 80, 400, 998, 1000, 2000)
"""Numbers of queries at which many shares lie halfway between two tenths of a percent."""


@pytest.fixture(scope="module")
def board() -> Board:
    """Three measured models on MMEB, and all published rows."""
    random = np.random.default_rng(5)
    records = [
        in_memory(task, model, (random.random(SIZES[at % len(SIZES)]) < share).astype(float).tolist())
        for at, task in enumerate(MMEB.tasks)
        for model, share in (("llave/a_1", 0.5), ("b|2", 0.43), ("c$3", 0.06))
    ]
    return Board.of_records(records, MMEB, rows_for(MMEB, every_published()))


@pytest.fixture(scope="module")
def comparisons(board: Board) -> list[Comparison]:
    a, b, c, *_ = (entry for entry in board.entries if entry.records)
    return [compare(*pair, MMEB, {}) for pair in ((a, b), (a, c), (b, c))]


def _agree(table: Table) -> None:
    """Every form has the cells that the table has."""
    cells = table_cells.plain(table)
    assert table_cells.terminal_cells(table) == cells
    assert table_cells.markdown_cells(table) == cells
    assert table_cells.html_cells(table) == cells
    latex = table_cells.latex_cells(table)
    places = [cells[0].index(name) for name in latex[0]]
    assert latex == [[row[at] for at in places] for row in cells]
    assert len(places) > 3


def test_every_cell_of_a_board_is_the_same_in_every_form(board: Board) -> None:
    assert len(board.standings()) > 100
    for intervals in (True, False):
        _agree(leaderboard_table(board, datasets=True, intervals=intervals))
        _agree(paper_table(board, intervals=intervals))
    own = Board(tuple(entry for entry in board.entries if entry.records), MMEB)
    _agree(board_table(own, intervals=False))


def test_every_cell_of_a_comparison_is_the_same_in_every_form(comparisons: list[Comparison]) -> None:
    _agree(difference_table(comparisons[0]))
    for intervals in (True, False):
        _agree(matrix_table(comparisons, intervals=intervals))
    assert config_table(comparisons[0]).rows


def test_every_score_is_the_rounded_value_of_the_csv(board: Board) -> None:
    shown, exact = table_cells.board_cells(board), table_cells.csv_cells(board)
    figures = {key: text for key, text in shown.items() if text and " of " not in text}
    assert figures == exact
    assert len(figures) > 3000


def test_every_difference_is_the_rounded_value_of_the_csv(comparisons: list[Comparison]) -> None:
    rows = list(csv.DictReader(io.StringIO(comparison_csv(comparisons))))
    found = {(row["model_a"], row["model_b"], row["name"]): row for row in rows}
    assert len(found) == len(rows) == 3 * (36 + 8)
    for each in comparisons:
        for line in difference_table(each).rows:
            row = found[each.a.label, each.b.label, line[0].text]
            low, high, difference = (points(float(row[name])) for name in ("low", "high", "difference"))
            assert [cell.text for cell in line[1:4]] == [percent(float(row["a"])), percent(float(row["b"])), difference]
            assert line[4].text == f"[{low}, {high}]"
            assert [cell.text.replace(",", "") for cell in line[7:10]] == [row["wins"], row["ties"], row["losses"]]


def test_names_of_columns_in_files_are_one_word(board: Board, comparisons: list[Comparison]) -> None:
    heads = [*board.frame().columns, *board.results_frame().columns]
    heads += next(csv.reader(io.StringIO(comparison_csv(comparisons))))
    ours = [name for name in heads if not any(task in name for task in (*board.tasks, *MMEB.columns))]
    assert [name for name in ours if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []
    assert [name for name in heads if " " in name] == []
    assert {"overall_low", "ImageNet-1K_high", "official_effect", "items_per_second", "gpu_hours"} <= set(heads)
