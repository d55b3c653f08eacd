"""Every JSON file of a checkpoint with one value replaced by each of several that may be wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MISSING = "missing"
_DEEP: object = []
for _ in range(100):
    _DEEP = [_DEEP]
VALUES: Mapping[str, object] = {
    MISSING: ...,
    "null": None,
    "text": "x",
    "negative": -1,
    "zero": 0,
    "1e30": 1e30,
    "10**30": 10**30,
    "infinite": float("inf"),
    "true": True,
    "list": [],
    "object": {},
    "deep": _DEEP,
}
_MOST_KEYS = 40
"""Objects with more keys are vocabularies."""
_LEVELS = 3


@dataclass(frozen=True, slots=True)
class Fault:
    """A value that is replaced: its file, the keys that lead to it, and the name of the new value."""

    file: str
    keys: tuple[str, ...]
    value: str

    def __str__(self) -> str:
        return f"{self.file} {'.'.join(self.keys)} {self.value}"

    def write(self, folder: Path) -> None:
        """Replaces the value in the file of a folder."""
        path = folder / self.file
        fields = inner = json.loads(path.read_text())
        for key in self.keys[:-1]:
            inner = inner[key]
        inner[self.keys[-1]] = VALUES[self.value]
        if self.value == MISSING:
            del inner[self.keys[-1]]
        path.write_text(json.dumps(fields))


def faults(folder: Path) -> list[Fault]:
    """All faults of the JSON files below a folder, in one order."""
    return [
        Fault(path.relative_to(folder).as_posix(), keys, value)
        for path in sorted(folder.rglob("*.json"))
        for keys in _keys(json.loads(path.read_text()))
        for value in VALUES
    ]


def _keys(value: object) -> Iterator[tuple[str, ...]]:
    if not isinstance(value, dict) or len(value) > _MOST_KEYS:
        return
    for key, inner in value.items():
        yield (key,)
        yield from ((key, *rest) for rest in _keys(inner) if len(rest) < _LEVELS)
