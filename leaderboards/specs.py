"""What differs in the specifications of two models' results: model, options, protocol, data, versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from harness.results import Result
from leaderboards.entries import Entry, clean

_NOT_A_CHOICE = {"fingerprint", "not_seen"}
_VARIES = "differs by dataset"


class Change(NamedTuple):
    """A field and its two values."""

    field: str
    a: str
    b: str


def changes(a: Entry, b: Entry) -> list[Change]:
    """Every field of the records that is not the same in both, over the tasks that both have."""
    if a.published or b.published:
        return [Change("measured by", _measured_by(a), _measured_by(b)), *_protocol(a, b)]
    tasks = [task for task in a.records if task in b.records]
    sides = [_flat([entry.records[task].result for task in tasks]) for entry in (a, b)]
    keys = dict.fromkeys((*sides[0], *sides[1]))
    found = [Change(key, sides[0].get(key, "–"), sides[1].get(key, "–")) for key in keys]
    data = [_data(a.records[task].result, b.records[task].result) for task in tasks]
    return [each for each in (*found, *data) if each.a != each.b]


def _measured_by(entry: Entry) -> str:
    row = entry.published
    return clean(f"{row.kind}: {row.source.name} {row.evaluator}".strip()) if row else "this harness"


def _protocol(a: Entry, b: Entry) -> list[Change]:
    sides = [", ".join(sorted(entry.protocols)) for entry in (a, b)]
    return [Change("protocol", *sides)] if sides[0] != sides[1] else []


def _flat(results: list[Result]) -> dict[str, str]:
    """Fields by dotted name. Those of models that change with the task say so."""
    flat: dict[str, str] = {}
    for result in results:
        parts = {
            "model": {key: value for key, value in result.model.items() if key not in _NOT_A_CHOICE},
            "protocol": result.protocol,
            "settings": dict(result.settings),
            "environment": dict(result.environment),
        }
        for key, value in _leaves("", parts):
            flat[key] = value if flat.get(key, value) == value else _VARIES
    return flat


def _leaves(name: str, value: object) -> list[tuple[str, str]]:
    if not isinstance(value, Mapping):
        return [(name, clean(str(value)))]
    return [leaf for key, each in value.items() for leaf in _leaves(f"{name}.{clean(str(key))}".lstrip("."), each)]


def _data(a: Result, b: Result) -> Change:
    def told(result: Result) -> str:
        return f"revision {result.dataset['revision']}, digest {str(result.dataset['digest'])[:12]}"

    return Change(f"data of {clean(a.task)}", clean(told(a)), clean(told(b)))
