"""The rows of a board before they are ranked: which results stand side by side, and what each model is called."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from harness.results.files import Result
from harness.scoring.metrics import Metric
from leaderboards.load import Record
from leaderboards.published.rows import PublishedRow

MEASURED = "measured"
PRINTED = frozenset({"published", "self-reported"})
"""Kinds of rows whose means somebody has printed, or has not."""
_CHECKPOINT = re.compile(r"(.*?)/?\bcheckpoint-(\d+)\b(.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One model: what we measured, or what somebody printed."""

    label: str
    records: Mapping[str, Record] = field(default_factory=lambda: MappingProxyType({}))
    """By task; none for a published row."""
    published: PublishedRow | None = None
    scores: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Main scores by task, as fractions. Ranks are not among them: they have no mean over tasks."""

    @property
    def kind(self) -> str:
        return self.published.kind if self.published else MEASURED

    @property
    def results(self) -> dict[str, Result]:
        return {task: record.result for task, record in self.records.items()}

    @property
    def protocols(self) -> set[str]:
        return {self.published.protocol} if self.published else {each.protocol for each in self.results.values()}

    def metric(self, task: str) -> str:
        return self.published.metric if self.published else self.records[task].result.main_metric

    def others(self, task: str) -> Mapping[str, float]:
        """Every metric that is known of a task."""
        if self.published:
            more = {metric: scores[task] for metric, scores in self.published.more.items() if task in scores}
            return {self.published.metric: self.published.scores[task], **more} if task in self.scores else more
        record = self.records.get(task)
        return {name: score.value for name, score in record.result.metrics.items()} if record else {}

    def queries(self, task: str, sizes: Mapping[str, int]) -> int | None:
        """How many queries its score of a task is of: counted by us, else those of the whole dataset, if known."""
        return self.records[task].result.num_queries if task in self.records else sizes.get(task)

    @property
    def checkpoint(self) -> TrainingPoint | None:
        """The training run and step, from the record's `step` or from a name that holds `checkpoint-STEP`."""
        model = next((result.model for result in self.results.values()), {})
        match = _CHECKPOINT.fullmatch(self.label)
        step = model.get("step")
        if isinstance(step, int):
            return TrainingPoint(match[1] + match[3] if match else str(model.get("name")), step)
        return TrainingPoint(match[1] + match[3] or "checkpoints", int(match[2])) if match else None


class TrainingPoint(NamedTuple):
    """A point of a training run."""

    run: str
    step: int


class Selection(NamedTuple):
    """The results that a board shows, and what it has to say about the others."""

    records: tuple[Record, ...]
    mixed: frozenset[str]
    """Identities of those that are not comparable with the rest."""
    notes: tuple[str, ...]


def comparable(records: Sequence[Record], *, mix: bool) -> Selection:
    """The results under the most common protocol, on the most common data of each task; of several the newest.

    With `mix` a model that has no such result of a task keeps the one it has, marked.
    """
    protocol = _most_common((record.result.protocol for record in records), "strict")
    under = [record for record in records if record.result.protocol == protocol]
    data = {task: _data_of(group) for task, group in _by_task(under).items()}

    def fits(record: Record) -> bool:
        return record.result.protocol == protocol and _data(record) == data.get(record.result.task)

    slots: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        model = record.result.model
        slots[(*(str(model[key]) for key in ("name", "revision", "fingerprint")), record.result.task)].append(record)
    best = [max(group, key=lambda each: (fits(each), each.result.created)) for group in slots.values()]
    mixed = [record for record in best if not fits(record)]
    kept = best if mix else [record for record in best if fits(record)]
    return Selection(
        tuple(kept), frozenset(each.result.identity for each in mixed), tuple(_notes(mixed, protocol, mix))
    )


def _notes(mixed: Sequence[Record], protocol: str, mix: bool) -> list[str]:
    """What is not comparable, by reason."""
    other_rule = [each for each in mixed if each.result.protocol != protocol]
    other_data = [each for each in mixed if each.result.protocol == protocol]
    what = "marked ‡" if mix else "left out; --mix shows them, marked"
    lines = []
    if other_rule:
        lines.append(f"{_named(other_rule)} under another protocol than {protocol}: {what}.")
    if other_data:
        lines.append(f"{_named(other_data)} on other data than the rest of its dataset: {what}.")
    return lines


def _named(records: Sequence[Record]) -> str:
    models = dict.fromkeys(clean(str(record.result.model["name"])) for record in records)
    tasks = dict.fromkeys(clean(record.result.task) for record in records)
    return f"{len(records)} result{'s' if len(records) != 1 else ''} ({some(list(models), 3)}; {some(list(tasks), 3)})"


def some(names: Sequence[str], most: int = 8) -> str:
    """A list that does not get long."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _by_task(records: Iterable[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.result.task].append(record)
    return groups


def _data(record: Record) -> tuple[str, str]:
    """What two results must share to be compared query by query."""
    return str(record.result.dataset["digest"]), record.result.main_metric


def _data_of(records: Sequence[Record]) -> tuple[str, str]:
    """The data of most of a task's results; of equally many that with more queries, then the newest."""
    counts = Counter(map(_data, records))
    return _data(max(records, key=lambda each: (counts[_data(each)], each.result.num_queries, each.result.created)))


def _most_common(values: Iterable[str], preferred: str) -> str:
    counts = Counter(values)
    return max(sorted(counts), key=lambda each: (counts[each], each == preferred), default=preferred)


def measured(records: Sequence[Record]) -> list[Entry]:
    """One entry a model, called by name; by revision and fingerprint too where two of a name meet on a task."""
    columns: dict[str, dict[str, Record]] = defaultdict(dict)
    for record, label in zip(records, _labels([record.result for record in records]), strict=True):
        columns[label][record.result.task] = record
    return [Entry(clean(label), column, scores=_mains(column)) for label, column in columns.items()]


def _mains(records: Mapping[str, Record]) -> dict[str, float]:
    results = {task: record.result for task, record in records.items()}
    return {task: each.main.value for task, each in results.items() if not Metric.parse(each.main_metric).is_rank}


def printed(rows: Sequence[PublishedRow], taken: Iterable[str]) -> list[Entry]:
    """One entry a published row. It is called by name, and by source too where the name is taken."""
    counts = Counter([*taken, *(row.model for row in rows)])
    entries, used = [], set(taken)
    for row in rows:
        label = row.model if counts[row.model] == 1 else f"{row.model} ({row.source.name})"
        number = 1
        while label in used:
            number += 1
            label = f"{row.model} ({row.source.name}, {number})"
        used.add(label)
        entries.append(Entry(clean(label), published=row, scores=row.scores))
    return entries


def clean(name: str) -> str:
    """Text that cannot steer a terminal or turn what stands beside it around."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", name)


def total(entry: Entry, key: str) -> float | None:
    """A cost over the results of an entry, where it was measured: `seconds`, `items_embedded`, `gpu_seconds`..."""
    found = [value for result in entry.results.values() if (value := _cost(result, key)) is not None]
    return math.fsum(found) if found else None


def _cost(result: Result, key: str) -> float | None:
    cost = result.cost

    def number(name: str) -> float | None:
        value = cost.get(name)
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None

    if key == "gpu_hours":
        seconds = number("seconds") if result.environment.get("device") == "cuda" else None
        return None if seconds is None else seconds * (number("processes") or 1) / 3600
    if key == "embedding_seconds":
        items, rate = number("items_embedded"), number("items_per_second")
        return items / rate if items and rate else None
    return number(key)


def _labels(results: Sequence[Result]) -> list[str]:
    by_name: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_name[str(result.model["name"])].append(result)
    parts = {name: _parts_needed(group) for name, group in by_name.items()}
    return [_label(result, parts[str(result.model["name"])]) for result in results]


def _parts_needed(group: Sequence[Result]) -> int:
    """How much of a label it takes to tell results of one name apart on every task."""
    return next((n for n in (1, 2) if len({(_label(each, n), each.task) for each in group}) == len(group)), 3)


def _label(result: Result, parts: int) -> str:
    fields = (result.model["name"], str(result.model["revision"])[:8], str(result.model["fingerprint"])[:8])
    return "@".join(map(str, fields[:parts]))
