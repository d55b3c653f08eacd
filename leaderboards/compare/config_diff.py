"""What differs in the specifications of two models' results: model, options, protocol, data, versions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from harness.results.files import Result
from leaderboards.board.entries import Entry, clean, some

_NOT_A_CHOICE = {"fingerprint", "not_seen", "step", "training"}
_VARIES = "differs by dataset"
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b")
"""A commit or a SHA-256, of which the beginning is enough."""


class ConfigChange(NamedTuple):
    """A field and its two values."""

    field: str
    a: str
    b: str


def changes(a: Entry, b: Entry) -> list[ConfigChange]:
    """Every field of the records that is not the same in both, over the tasks that both have."""
    if a.published or b.published:
        return [ConfigChange("measured by", _measured_by(a), _measured_by(b)), *_protocol(a, b)]
    tasks = [task for task in a.records if task in b.records]
    found = differing(*([_parts(entry.records[task].result) for task in tasks] for entry in (a, b)))
    data = _data([(a.records[task].result, b.records[task].result) for task in tasks])
    return [ConfigChange(each.field, *map(_short, each[1:])) for each in (*found, *data)]


def differing(a: Sequence[Mapping[str, object]], b: Sequence[Mapping[str, object]]) -> list[ConfigChange]:
    """Fields by dotted name that differ between two sides. What changes within a side, by task, says so."""
    sides = _flat(a), _flat(b)
    keys = dict.fromkeys((*sides[0], *sides[1]))
    found = [ConfigChange(key, sides[0].get(key, "–"), sides[1].get(key, "–")) for key in keys]
    return [each for each in found if each.a != each.b]


def _short(value: str) -> str:
    return _DIGEST.sub(r"\1", value)


def _measured_by(entry: Entry) -> str:
    row = entry.published
    return clean(f"{row.kind}: {row.source.name} {row.evaluator}".strip()) if row else "this harness"


def _protocol(a: Entry, b: Entry) -> list[ConfigChange]:
    sides = [", ".join(sorted(entry.protocols)) for entry in (a, b)]
    return [ConfigChange("protocol", *sides)] if sides[0] != sides[1] else []


def _parts(result: Result) -> dict[str, object]:
    """What a record says of how it was measured. Training is in `leaderboards.compare.training`."""
    model = {key: value for key, value in result.model.items() if key not in _NOT_A_CHOICE}
    training = result.model.get("training")
    if isinstance(training, Mapping):
        model["training"] = f"{training.get('recipe')}, step {training.get('step')}"
    return {
        "model": model,
        "protocol": result.protocol,
        "settings": dict(result.settings),
        "environment": dict(result.environment),
    }


def _flat(parts: Sequence[Mapping[str, object]]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for each in parts:
        for key, value in _leaves("", each):
            flat[key] = value if flat.get(key, value) == value else _VARIES
    return flat


def _leaves(name: str, value: object) -> list[tuple[str, str]]:
    if not isinstance(value, Mapping):
        return [(name, clean(str(value)))]
    return [leaf for key, each in value.items() for leaf in _leaves(f"{name}.{clean(str(key))}".lstrip("."), each)]


def _data(pairs: list[tuple[Result, Result]]) -> list[ConfigChange]:
    """Datasets whose content is not the same, those of like revisions together."""
    alike: dict[tuple[str, str], list[tuple[Result, Result]]] = defaultdict(list)
    for a, b in pairs:
        if a.dataset["digest"] != b.dataset["digest"]:
            alike[str(a.dataset["revision"]), str(b.dataset["revision"])].append((a, b))
    return [
        ConfigChange(f"data of {clean(some([a.task for a, _ in group], 3))}", *(_told(group, side) for side in (0, 1)))
        for group in alike.values()
    ]


def _told(group: list[tuple[Result, Result]], side: Literal[0, 1]) -> str:
    dataset = group[0][side].dataset
    more = " and others" if len(group) > 1 else ""
    return clean(f"revision {dataset['revision']}, digest {dataset['digest']}{more}")
