"""The differences between the records of two models: model, options, protocol, data and versions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from harness.results.result import Result
from leaderboards.board.entries import Entry
from leaderboards.tables import clean, some

_NOT_A_CHOICE = {"fingerprint", "not_seen", "step", "training"}
_VARIES = "differs by dataset"
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b")
"""A commit or a SHA-256, which is shortened to its first 12 digits."""


class ConfigChange(NamedTuple):
    """A field with the values of both models."""

    field: str
    a: str
    b: str


def changes(a: Entry, b: Entry) -> list[ConfigChange]:
    """The fields that differ between the records of the tasks that both models have. Digests are shortened."""
    if a.published or b.published:
        return [ConfigChange("measured by", _measured_by(a), _measured_by(b)), *_protocol(a, b)]
    tasks = [task for task in a.records if task in b.records]
    found = differing(*([_parts(entry.records[task].result) for task in tasks] for entry in (a, b)))
    data = _data([(a.records[task].result, b.records[task].result) for task in tasks])
    return [ConfigChange(each.field, *map(_short, each[1:])) for each in (*found, *data)]


def differing(a: Sequence[Mapping[str, object]], b: Sequence[Mapping[str, object]]) -> list[ConfigChange]:
    """The fields that differ between two models, by dotted name; `a` and `b` are records by task.

    A missing field is shown as a dash. A field that varies between the tasks of a model is shown as such.
    """
    first, second = _flat(a), _flat(b)
    found = [ConfigChange(key, first.get(key, "–"), second.get(key, "–")) for key in {**first, **second}]
    return [each for each in found if each.a != each.b]


def _short(value: str) -> str:
    return _DIGEST.sub(r"\1", value)


def _measured_by(entry: Entry) -> str:
    row = entry.published
    return clean(f"{row.kind}: {row.source.name} {row.evaluator}".strip()) if row else "this harness"


def _protocol(a: Entry, b: Entry) -> list[ConfigChange]:
    first, second = (", ".join(sorted(entry.protocols)) for entry in (a, b))
    return [ConfigChange("protocol", first, second)] if first != second else []


def _parts(result: Result) -> dict[str, object]:
    """The settings of a record. Training settings are compared in `leaderboards.compare.training`."""
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
    """Datasets whose content differs, in one line for each pair of revisions."""
    alike: dict[tuple[str, str], list[tuple[Result, Result]]] = defaultdict(list)
    for a, b in pairs:
        if a.dataset["digest"] != b.dataset["digest"]:
            alike[str(a.dataset["revision"]), str(b.dataset["revision"])].append((a, b))
    return [
        ConfigChange(
            f"data of {clean(some([a.task for a, _ in group], 3))}", *(_data_text(group, side) for side in (0, 1))
        )
        for group in alike.values()
    ]


def _data_text(group: list[tuple[Result, Result]], side: Literal[0, 1]) -> str:
    dataset = group[0][side].dataset
    more = " and others" if len(group) > 1 else ""
    return clean(f"revision {dataset['revision']}, digest {dataset['digest']}{more}")
