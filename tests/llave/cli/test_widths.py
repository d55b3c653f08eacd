"""The tables of every command at 80, 100 and 120 columns: numbers are whole, and nothing is lost in silence."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.cells import cell_len

from harness.doctor.finding import Finding
from harness.models import ROWS
from leaderboards.board.board import Board
from leaderboards.board.scope import every_published, rows_for
from leaderboards.board.tables import leaderboard_table
from leaderboards.board.training_curve import training_curve
from leaderboards.compare.compare import compare
from leaderboards.compare.flips import Flip
from leaderboards.compare.tables import config_table, difference_table, flip_table, matrix_table
from leaderboards.layout import COMFORT, parts
from leaderboards.run_table import board_table, query_table, result_table
from leaderboards.tables import Cell, Table, clean
from llave.cli import diagnose, doctor, main, train
from llave.cli.lists.models import model_list
from llave.cli.lists.tasks import task_list, task_sheet
from tasks.mmeb.datasets import mmeb_tasks
from tasks.mmeb.folder import FolderSource
from tasks.suites import find_suite
from tests.helpers.record_values import in_memory, row, write
from tests.helpers.table_cells import on_terminal
from trainers.monitor.diagnostics import diagnose as diagnose_vectors

WIDTHS = (80, 100, 120)
MMEB = find_suite("mmeb")
LONG = "runs/llave-2b-mmeb-alpha9-lr1e-5-seed{}/checkpoint-00{}000/merged"
IDS = ("0123456789abcdef" * 4, "q_2026-11-29T12:00:00@train/0001")


@cache
def _board(models: int, *, published: bool = False) -> Board:
    random = np.random.default_rng(0)
    records = [
        in_memory(task, LONG.format(model, model), (random.random(400) < 0.3 + model / 10).astype(float).tolist())
        for task in MMEB.tasks
        for model in range(models)
    ]
    meta = {task: meta for meta, tasks in MMEB.groups for task in tasks if meta not in ("IND", "OOD")}
    records = [replace(each, result=replace(each.result, meta_task=meta[each.result.task])) for each in records]
    return Board.of_records(records, MMEB, rows_for(MMEB, every_published()) if published else ())


def _compared(make: Callable[..., Table], *more: object) -> Table:
    a, b = _board(2).entries
    changed = {task: replace(each, result=replace(each.result, model=each.result.model | {"dtype": "bfloat16"}))
               for task, each in b.records.items()}  # fmt: skip
    return make(compare(a, replace(b, records=changed), MMEB, {}), *more)


def _pairs() -> Table:
    entries = _board(6).entries
    return matrix_table([compare(a, b, MMEB, {}) for at, a in enumerate(entries) for b in entries[at + 1 :]])


def _queries() -> list[dict[str, object]]:
    return [row(name, at % 2) | {"content": {"text": "word " * 40, "media": [f"{name}.png"]}}
            for at, name in enumerate((*IDS, "7"))]  # fmt: skip


def _findings() -> Table:
    found = [Finding("known answers", "fail", f"The vector of {LONG} is another one. " * 3, "Pool it.", 12345.6, 1e-5)]
    return doctor._table(found)


def _figures(models: int) -> Table:
    vectors = np.random.default_rng(1).standard_normal((30, 6))
    found = diagnose_vectors(vectors, vectors + 0.5)
    return diagnose._table({LONG.format(at, at): dict.fromkeys(MMEB.tasks, found) for at in range(models)})


def _models() -> Table:
    long = replace(ROWS[0], name=LONG, summary=f"the checkpoint {LONG}, which is long")
    return model_list([*ROWS, long])


TABLES: Mapping[str, Callable[[], Table]] = {
    "run 2": lambda: board_table(_board(2)),
    "run 6": lambda: board_table(_board(6)),
    "board 2": lambda: leaderboard_table(_board(2), datasets=True),
    "board 6": lambda: leaderboard_table(_board(6)),
    "board, published": lambda: leaderboard_table(_board(2, published=True)),
    "board by step": lambda: training_curve(_board(6)),
    "compare": partial(_compared, difference_table),
    "compare settings": partial(_compared, config_table),
    "compare queries": lambda: _compared(flip_table, [Flip(MMEB.tasks[0], 0.5, each, each) for each in _queries()]),
    "compare 6": _pairs,
    "models": _models,
    "tasks": lambda: task_list([replace(task, num_queries=1000) for task in mmeb_tasks(FolderSource(Path("x")))]),
    "task": lambda: task_sheet(mmeb_tasks(FolderSource(Path("a/" * 50)))[0]),
    "show": lambda: result_table(next(iter(_board(2).columns.values()))["GQA"]),
    "show queries": lambda: query_table(_queries(), 3),
    "doctor": _findings,
    "diagnose 1": partial(_figures, 1),
    "diagnose 2": partial(_figures, 2),
    "diagnose 6": partial(_figures, 6),
    "train": lambda: train._pairs_table(SimpleNamespace(pairs={LONG: 123456789, "x": 5}, rounded=(LONG,))),
}


def _left_out(said: str, table: Table) -> list[str]:
    """The columns that the note names."""
    found = re.search(r"No room for (.*?): ", " ".join(said.split()))
    keys = {chr(ord("A") + at): name for at, name in enumerate(table.models)}
    return [keys.get(name, name) for name in found[1].split(", ")] if found else []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", TABLES)
def test_every_number_is_whole_and_nothing_is_lost_in_silence(name: str, width: int) -> None:
    table = TABLES[name]()
    said = on_terminal(table, width)
    lines = said.splitlines()
    assert max(map(cell_len, lines)) <= width
    gone = _left_out(said, table)
    assert set(gone) <= set(table.columns) - set(table.keep or ())
    cells = [re.split("[│┃]", line) for line in lines]
    whole = {" ".join(each.split()) for line in cells for each in line}
    short = table.brief or table
    together = "".join("".join(part.strip() for part in column) for column in _columns(cells)) + "".join(said.split())
    for full, brief in zip((*table.rows, *table.foot), (*short.rows, *short.foot), strict=True):
        for column, cell, less in zip(table.columns, full, brief, strict=True):
            if column in gone:
                continue
            if column not in table.words:
                listed = {f"{column}: {cell}", str(cell), str(less)}
                assert listed & whole, (column, str(cell))
            elif cell.text not in table.models:
                for part in parts(clean(cell.text.replace("\n", " "))):
                    assert len(part) > len(COMFORT) or "".join(part.split()) in together, (column, part)


def _columns(cells: list[list[str]]) -> list[tuple[str, ...]]:
    """The texts of each column, from top to bottom."""
    wide = [line for line in cells if len(line) > 2]
    return list(zip(*wide, strict=True)) if wide else []


@pytest.mark.parametrize("width", WIDTHS)
def test_two_long_models_get_keys_and_short_ones_do_not(width: int) -> None:
    said = on_terminal(board_table(_board(2)), width)
    assert f"A: {LONG.format(0, 0)}\nB: {LONG.format(1, 1)}\n" in said
    assert re.search(r"┃ +A ┃ +B ┃", said)
    short = Board.of([in_memory("A", name, [1.0, 0.0]).result for name in ("m", "n")], find_suite("mmeb"))
    assert re.search(r"┃ +m ┃ +n ┃", on_terminal(board_table(short), width))


@pytest.mark.parametrize("width", WIDTHS)
def test_commands_at_work(width: int, tmp_path: Path, capsys, monkeypatch) -> None:
    """What each command prints at a width, in tables and sentences. Only a path that is longer may be wider."""
    monkeypatch.setenv("COLUMNS", str(width))
    for at in range(2):
        for task in MMEB.tasks[:3]:
            path = write(tmp_path / "r", task, LONG.format(at, at), [1.0] * 30 + [0.0] * (20 + 20 * at))
    store = ["--store", str(tmp_path / "s")]
    results = str(tmp_path / "r")
    scores = {"metadata": {"model_name": LONG}, "metrics": {"image": {"GQA": {"hit@1": 0.5}}}}
    (tmp_path / "scores.json").write_text(str(scores).replace("'", '"'))
    for line in (
        ["run", "null/random", "null/constant", "--tasks", "demo-object", "--out", str(tmp_path / "o"), *store],
        ["board", results, "--published"],
        ["compare", *(str(each) for each in sorted((tmp_path / "r").iterdir())), "--queries", "1"],
        ["show", str(path), "--worst", "2"],
        ["tasks"],
        ["models"],
        ["doctor", "null/random"],
        ["diagnose", "null/random", "--tasks", "demo-object", *store],
        ["validate", results],
        ["import", str(tmp_path / "scores.json"), "--out", str(tmp_path / "i")],
    ):
        main.main(line)
        for text in capsys.readouterr().out.splitlines():
            longest = max(map(len, text.split()), default=0)
            assert cell_len(text) <= max(width, longest), line


def test_a_list_takes_the_place_of_a_table_without_room() -> None:
    table = Table("title", ("id", "text"), ((Cell("x" * 50), Cell("word " * 9)),), frozenset({"text"}))
    said = on_terminal(table, 60)
    assert f"id: {'x' * 50}\n" in said
    assert "text: word word" in said
