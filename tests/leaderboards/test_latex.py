"""Tables in LaTeX: they compile, fit into the text width, and no name does harm."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboards.board.board import Board
from leaderboards.board.scope import every_published, rows_for
from leaderboards.board.tables import leaderboard_table, paper_table
from leaderboards.board.training_curve import training_curve
from leaderboards.compare.compare import compare
from leaderboards.compare.tables import config_table, difference_table, matrix_table
from leaderboards.latex import _KNOWN, latex, latex_text
from leaderboards.tables import Cell, Table
from tasks.suites import Suite, find_suite
from tests.helpers.record_values import in_memory

MMEB = find_suite("mmeb")
HOSTILE = (
    r"&_$%#{}~^\end{table}\input{x}<>|[-- ``'' ,, ?` !` \\ \1",
    "[a]",
    "*b",
    "naïve-β-Ω_≤",
    "x_" * 30,
    r"runs/llave-2b-mmeb-alpha9-lr1e-5-seed1/checkpoint-001000/merged@0123abcd",
)
DOCUMENT = r"""\documentclass{article}
%s
\begin{document}
%s
\end{document}
"""


def _board(*models: str) -> Board:
    records = [
        in_memory(task, model, [1.0] * (at + 3) + [0.0] * 40) for task in MMEB.tasks for at, model in enumerate(models)
    ]
    return Board.of_records(records, MMEB)


def _published() -> Board:
    return Board.of_records([], MMEB, rows_for(MMEB, every_published()))


def _compared(*models: str) -> list[Table]:
    entries = _board(*models).entries
    pairs = [compare(a, b, MMEB, {}) for at, a in enumerate(entries) for b in entries[at + 1 :]]
    return [difference_table(pairs[0]), config_table(pairs[0]), matrix_table(pairs)]


def _tables() -> list[Table]:
    return [
        paper_table(_published()),
        paper_table(_published(), top=7),
        paper_table(_published(), ["overall", "size", "IND", "source"], intervals=True, top=3),
        paper_table(_board(*HOSTILE), datasets=True),
        leaderboard_table(_board(*HOSTILE)),
        training_curve(_board("run/checkpoint-1", "run/checkpoint-2"), drawn=False),
        *_compared(*HOSTILE),
        *_compared("a", "b"),
    ]


def _compiled(text: str, folder: Path) -> str:
    """The log of pdflatex. The preamble is the one that the comment asks for."""
    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        pytest.skip("pdflatex is not installed")
    needed = {line.removeprefix("% needs ").replace(" and ", "\n") for line in text.splitlines() if "% needs" in line}
    (folder / "table.tex").write_text(DOCUMENT % ("\n".join(sorted(needed)), text), encoding="utf-8")
    line = [pdflatex, "-interaction=nonstopmode", "-no-shell-escape", "table.tex"]
    for _ in range(2):  # a longtable learns its widths in the first
        done = subprocess.run(line, cwd=folder, capture_output=True, check=False, timeout=120)
    log = (folder / "table.log").read_text(encoding="utf-8", errors="replace")
    missing = re.search(r"File `(.*?)' not found", log)
    if missing:
        pytest.skip(f"LaTeX's {missing[1]} is not installed")
    assert done.returncode == 0, log[-2000:]
    return log


def test_tables_compile_within_the_text_width(tmp_path: Path) -> None:
    log = _compiled("\n".join(map(latex, _tables())), tmp_path)
    assert not re.findall(r"^(?:!|Overfull|LaTeX Warning: Float too large).*", log, re.MULTILINE)
    assert not re.findall(r"Missing character.*", log)


def test_every_character_that_is_said_to_be_known_compiles(tmp_path: Path) -> None:
    text = " ".join(sorted(_KNOWN))
    rows = tuple((Cell(text[at : at + 40]),) for at in range(0, len(text), 40))
    made = latex(Table("characters", ("name",), rows, frozenset({"name"})))
    assert "xelatex" not in made
    assert "Missing character" not in _compiled(made, tmp_path)


def test_other_characters_are_named_with_the_engine_they_need() -> None:
    first, second, *_ = latex(paper_table(_board("模型"))).splitlines()
    assert first == "% compile with xelatex or lualatex, and a font that has 型 模"
    assert "fontspec" in second


@given(st.lists(st.text(st.sampled_from(r"ab1\{}&%$#_^~<>|[]*-',`\" /@β−°"), max_size=12), min_size=1, max_size=4))
def test_escaped_text_has_nothing_that_latex_interprets(names: list[str]) -> None:
    for name in names:
        text = latex_text(name)
        bare = re.sub(r"\\(text\w+|allowbreak|ensuremath|[a-z]+|[&%$#_{}])|\$-\$", "", text)
        assert not set(bare) & set("\\&%$#_^~<>|")
        assert not text.startswith(("[", "*"))
        opened = re.sub(r"\\[{}]", "", text)
        assert opened.count("{") == opened.count("}")
        assert not re.search(r"--|''|,,|``", text)


def test_minus_signs_are_those_of_formulas() -> None:
    assert latex_text("-6.9") == "$-$6.9"
    assert latex_text("[-8.6, -5.4]") == "{[}$-$8.6, $-$5.4]"
    assert latex_text("gpt-4") == "gpt-4"


def test_a_paper_has_rank_model_size_and_means_without_intervals() -> None:
    table = paper_table(_published())
    assert table.columns == ("rank", "model", "size", *MMEB.columns)
    assert not any(cell.extra for row in table.rows for cell in row)
    assert latex(table).count(r"\begin{longtable}") == 1
    assert any(cell.extra for row in paper_table(_published(), intervals=True).rows for cell in row)
    short = latex(paper_table(_published(), top=5))
    assert r"\begin{table}" in short
    assert "The first 5 of 140 rows" in short.partition(r"\end{tabular}")[2]
    chosen = paper_table(_published(), ["OOD", "source"])
    assert chosen.columns == ("rank", "model", "OOD", "source")


def test_what_has_no_room_is_named_below_the_table() -> None:
    suite = Suite("wide", "wide", tuple(f"dataset-{at}" for at in range(60)), ())
    board = Board.of_records([in_memory(task, "m", [1.0, 0.0]) for task in suite.tasks], suite)
    text = latex(paper_table(board, datasets=True))
    shown = re.findall(r"rotatebox\{90\}\{dataset-(\d+)\}", text)
    named = re.findall(r"dataset-(\d+)", text.partition("No room for")[2])
    assert sorted(map(int, [*shown, *named])) == list(range(60))
    assert len(shown) > 10
