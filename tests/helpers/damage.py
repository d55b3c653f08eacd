"""Damaged copies of a result: of a good record and its rows, every field is deleted, or gets a value that is wrong."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEEP = 100_000
_RAW = {
    "@nan@": "NaN",
    "@infinity@": "-Infinity",
    "@integer@": "1" + "0" * 400,
    "@deep@": "[" * DEEP + "]" * DEEP,
    "@object@": '{"a":' * DEEP + "1" + "}" * DEEP,
}
"""Values that Python does not write, by what stands for them."""
WRONG = [
    *_RAW,
    *(None, True, -1, -0.5, 7, 2**62, 1.5, 1e308, "", "text", "\x1b[2J\x1b]0;PWN\x07", "a\nb", "é" * 5000),
    *([], [[]], [None], [-1, "x"], {}, {"text": 1}, {"value": 1, "low": 2, "high": {}}),
]
_LEFT_OUT = {"mrr", "ndcg@10", "hit@5", "hit@10", "median_rank", "libraries"}
"""Parts that are like another one."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One damaged result: what was done to it, and the texts of its files."""

    name: str
    record: str
    rows: str

    def write(self, path: Path) -> None:
        """Puts it in the place of the record at `path` and its rows."""
        path.write_text(self.record, encoding="utf-8")
        path.with_name(f"{path.stem}.queries.jsonl").write_text(self.rows, encoding="utf-8")


def damages(record: Mapping[str, Any], rows: list[Any]) -> Iterator[Damage]:
    """Every damage of every field of the record and of the second row. The digest of the rows fits them again."""
    for name, changed in _changes(record):
        yield _damage(f"record {name}", changed, rows)
    for name, changed in _changes({"row": rows[1]}):
        yield _damage(f"row {name}", record, [rows[0], *([changed["row"]] if "row" in changed else []), *rows[2:]])
    for metric in record["strict"]:
        for end in ("value", "low", "high"):
            changed = copy.deepcopy(dict(record))
            for part in ("metrics", record["protocol"]):
                changed[part][metric][end] += 0.01 if changed[part][metric][end] < 0.5 else -0.01
            yield _damage(f"record {metric} {end} shifted in both places", changed, rows)


def _damage(name: str, record: Mapping[str, Any], rows: list[Any]) -> Damage:
    lines = "".join(f"{_text(row)}\n" for row in rows)
    queries = record.get("queries")
    if isinstance(queries, dict) and len(str(queries.get("sha256"))) == 64:
        record = {**record, "queries": {**queries, "sha256": hashlib.sha256(lines.encode()).hexdigest()}}
    return Damage(name, _text(record), lines)


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    for name, raw in _RAW.items():
        text = text.replace(f'"{name}"', raw)
    return text


def _changes(whole: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in _paths(whole):
        name = ".".join(map(str, path))
        *way, last = path
        for wrong in (*WRONG, "delete", "shift"):
            changed = copy.deepcopy(dict(whole))
            place: Any = changed
            for key in way:
                place = place[key]
            old = place[last]
            if wrong == "shift":
                if not isinstance(old, int | float) or isinstance(old, bool):
                    continue
                place[last] = old + (0.01 if isinstance(old, float) else 1)
            elif wrong == "delete":
                del place[last]
            else:
                place[last] = wrong
            yield f"{name}: {str(wrong)[:20]!r}", changed


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, each in inner:
        if key not in _LEFT_OUT:
            yield (*path, key)
            yield from _paths(each, (*path, key))
