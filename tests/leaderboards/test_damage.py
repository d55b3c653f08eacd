"""Whatever happens to a record and its rows, no command ends in a traceback or shows what the rows contradict."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.results.result import Result
from harness.results.rows import read_rows
from harness.results.verified import read_result
from llave.cli.main import main
from tests.helpers.damage import Damage, damages
from tests.helpers.record_values import counted_from

STEP = int(os.environ.get("DAMAGE_STEP", "23"))
"""The test takes every 23rd damage. A step of one takes minutes."""
CLAIMS = ("metrics", "strict", "official", "chance", "tied_queries", "num_queries")


@pytest.fixture
def good(llave, tiny, place) -> Path:
    """A result of two models, of which the first is damaged. Some of its queries are tied."""
    for model in ("null/random", "classical"):
        assert llave("run", model, "--data", tiny.data, "--tasks", "Colour", *place.flags).code == 0
    return place.path("Colour", "null/random")


@pytest.fixture
def commands(good, tiny, place, tmp_path) -> Mapping[str, tuple[str, ...]]:
    """The commands that read results, by name."""
    out, page = str(place.out), str(tmp_path / "page.html")
    return {
        "show": ("show", str(good)),
        "list": ("show", out),
        "board": ("board", out, "--columns", "size,seconds,width"),
        "csv": ("board", out, "--format", "csv"),
        "latex": ("board", out, "--format", "latex", "--datasets"),
        "page": ("board", out, "--html", page, "--html-queries", "3"),
        "steps": ("board", out, "--by", "step"),
        "validate": ("validate", out),
        "compare": ("compare", str(good), str(place.out / "classical"), "--queries", "3"),
        "export": ("export", out, "--format", "model-card", "-o", str(tmp_path / "card.md"), "--model", "null/random"),
        "mmeb": ("export", out, "-o", str(tmp_path / "scores")),
        "run": ("run", "null/random", "--data", str(tiny.data), "--tasks", "Colour", *place.flags),
    }


@pytest.fixture
def every(good) -> list[Damage]:
    record = json.loads(good.read_text(encoding="utf-8"))
    lines = good.with_name(record["queries"]["file"]).read_text(encoding="utf-8").splitlines()
    return list(damages(record, [json.loads(line) for line in lines]))


def test_no_damage_ends_in_a_traceback(good, every, commands, capsys):
    """Each damage meets one command after the other in turn: exit status 0, or 2, or 1 where `validate` finds it."""
    assert len(every) > 2000
    turns, wrong = itertools.cycle(commands), []
    for damage in every[::STEP]:
        damage.write(good)
        name = next(turns)
        status = main(commands[name])
        said = capsys.readouterr()
        if status not in ((0, 1) if name == "validate" else (0, 2)) or "made a mistake" in said.err:
            wrong.append((name, damage.name, said.err[-300:]))
    assert wrong == []


def test_what_is_read_is_what_the_rows_give(good, every):
    """The one reader refuses a damaged result, or no figure of it is touched."""
    refused = 0
    for damage in every[:: max(STEP // 4, 1)]:
        damage.write(good)
        try:
            found = read_result(good).result
        except UserError:
            refused += 1
            continue
        rows = read_rows(good, found)
        honest = counted_from(found, rows)
        assert _claims(found) == pytest.approx(_claims(honest), abs=1e-6), damage.name
    assert refused > len(every) // STEP


def _claims(result: Result) -> dict[str, float]:
    scores = {
        f"{rule} {name} {end}": getattr(score, end)
        for rule in ("metrics", "strict", "official")
        for name, score in getattr(result, rule).items()
        for end in ("value", "low", "high")
    }
    chance = {f"chance {name}": value for name, value in result.chance.items()}
    return scores | chance | {"tied": result.tied_queries, "queries": result.num_queries}
