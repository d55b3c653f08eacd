"""Counts in messages: `1 query`, `2 queries`. One helper knows singular and plural."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from harness.errors import counted

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("harness", "tasks", "leaderboards", "trainers", "llave")
NOUNS = (
    "queries|results|problems|tasks|datasets|models|items|files|rows|videos|pairs|captions|candidates|targets|encodings"
    "|repeats|warnings|media files|more problems|more warnings|runs|suites|suspects|checkpoints"
)
_COUNT = re.compile(rf"^ ({NOUNS})\\b")
NEVER_ONE = {
    "harness/doctor/content.py": "a fixed number of probes",
    "harness/encoding/encoder.py": "a single item is an error of its own",
    "harness/models/common.py": "it is the name of a model that runs",
    "harness/models/libraries/mteb_list.py": "it is the name of a model that runs",
    "tasks/video/captions.py": "it is the ending of files",
    "leaderboards/published/audit.py": "it is the name of a meta-task",
    "trainers/monitor/plots.py": "it is the kind of pairs",
    "trainers/monitor/diagnostics.py": "they are not equal",
    "trainers/train.py": "a rate, and a dictionary",
    "llave/api/progress.py": "a rate",
    "llave/api/console_progress.py": "a rate",
}
"""Files in which such a place is right, and why."""


def test_a_count_has_the_noun_that_it_needs():
    assert [counted(n, "query") for n in (0, 1, 2, 1200)] == ["0 queries", "1 query", "2 queries", "1,200 queries"]
    assert (counted(2, "process"), counted(2, "key"), counted(2, "medium", "media")) == (
        "2 processes",
        "2 keys",
        "2 media",
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_every_count_goes_through_the_helper(package: str):
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.JoinedStr):
                continue
            for value, text in zip(node.values, node.values[1:], strict=False):
                follows = isinstance(text, ast.Constant) and _COUNT.match(str(text.value))
                if isinstance(value, ast.FormattedValue) and follows and name not in NEVER_ONE:
                    found.append(f"{name}:{node.lineno}: {ast.unparse(node)[:90]}")
                plural = isinstance(value, ast.FormattedValue) and "'s' if" in ast.unparse(value)
                if plural:
                    found.append(f"{name}:{node.lineno}: a plural of its own")
    assert found == []
