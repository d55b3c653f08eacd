"""The rows of a board before they are ranked: which results are comparable, and the label of each model."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from harness.errors import counted
from harness.results.result import Result
from harness.results.verified import Record
from harness.scoring.intervals import SampleMean
from harness.scoring.metrics import Metric
from leaderboards.load import is_separate
from leaderboards.published.rows import PublishedRow
from leaderboards.published.training import DeclaredTraining, declared_training
from leaderboards.tables import clean, some

MEASURED = "measured"
PRINTED = frozenset({"published", "self-reported"})
"""Kinds of rows whose means were printed by their source, if at all."""
_CHECKPOINT = re.compile(r"(.*?)/?\bcheckpoint-(\d+)\b(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One model with the results of this harness, or with a published row."""

    label: str
    records: Mapping[str, Record] = field(default_factory=lambda: MappingProxyType({}))
    """Results by task; empty for a published row."""
    published: PublishedRow | None = None
    scores: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Main scores by task, as fractions. Mean and median ranks are left out: they have no mean over tasks."""

    @property
    def kind(self) -> str:
        """`measured`, or the kind of the published row."""
        return self.published.kind if self.published else MEASURED

    @property
    def results(self) -> dict[str, Result]:
        """The results by task."""
        return {task: record.result for task, record in self.records.items()}

    @property
    def protocols(self) -> set[str]:
        """The protocols of the scores."""
        return {self.published.protocol} if self.published else {each.protocol for each in self.results.values()}

    @property
    def trained_on(self) -> DeclaredTraining | None:
        """The training data that the model declares; None if it is not known."""
        first = next(iter(self.records.values()), None)
        name = self.published.model if self.published else str(first.result.model["name"]) if first else ""
        return declared_training(name)

    def metric(self, task: str) -> str:
        """The main metric of a task that has a score."""
        return self.published.metric_of(task) if self.published else self.records[task].result.main_metric

    def others(self, task: str) -> Mapping[str, float]:
        """All metrics of a task, by name; empty if it has no score."""
        if self.published:
            more = {metric: scores[task] for metric, scores in self.published.more.items() if task in scores}
            return {self.metric(task): self.published.scores[task], **more} if task in self.scores else more
        record = self.records.get(task)
        return {name: score.value for name, score in record.result.metrics.items()} if record else {}

    def queries(self, task: str, sizes: Mapping[str, int]) -> int | None:
        """The number of queries of a task: as result or file state it, else of the dataset. None if it is not known."""
        if task in self.records:
            return self.records[task].result.num_queries
        stated = self.published.counts.get(task) if self.published else None
        return stated or sizes.get(task)

    def sample(self, task: str, sizes: Mapping[str, int]) -> SampleMean | None:
        """The main score of a task with its variance. None without a score, or if the number of queries is unknown."""
        if task not in self.scores:
            return None
        if task in self.records:
            return self.records[task].sample
        count = self.queries(task, sizes)
        return SampleMean.of_count(self.scores[task], count) if count else None

    @property
    def checkpoint(self) -> TrainingPoint | None:
        """The training run and step, from `step` of the record or `checkpoint-STEP` in the label. None for others."""
        model = next((result.model for result in self.results.values()), {})
        match = _CHECKPOINT.fullmatch(self.label)
        step = model.get("step")
        if isinstance(step, int):
            return TrainingPoint(match[1] + match[3] if match else str(model.get("name")), step)
        return TrainingPoint(match[1] + match[3] or "checkpoints", int(match[2])) if match else None


class TrainingPoint(NamedTuple):
    """A checkpoint: its training run and step."""

    run: str
    step: int


class Selection(NamedTuple):
    """The results that a board shows, and notes about the others."""

    records: tuple[Record, ...]
    mixed: frozenset[str]
    """Identities of the results that are not comparable with the rest."""
    notes: tuple[str, ...]


def comparable(records: Sequence[Record], *, mix: bool) -> Selection:
    """Selects the results under the most common protocol, on the most common data of each task.

    Of several results of a model on a task, the newest is selected. With `mix`, a model without a comparable result of
    a task keeps the one that it has, marked.
    """
    main = [record for record in records if not is_separate(record.result)] or records
    protocol = _most_common((record.result.protocol for record in main), "strict")
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
    """A note for each reason why results are not comparable."""
    other_rule = [each for each in mixed if each.result.protocol != protocol]
    other_data = [each for each in mixed if each.result.protocol == protocol]
    part = [each for each in other_data if each.result.settings.get("limit") is not None]
    other_data = [each for each in other_data if each not in part]
    what = "marked ‡" if mix else "left out (--mix shows them, marked)"
    lines = []
    if other_rule:
        lines.append(f"{_named(other_rule)} with another protocol than {protocol}: {what}.")
    if part:
        lines.append(f"{_named(part)} of only the first queries (--limit): {what}.")
    if other_data:
        lines.append(f"{_named(other_data)} on other data than the rest of its dataset: {what}.")
    return lines


def _named(records: Sequence[Record]) -> str:
    models = dict.fromkeys(clean(str(record.result.model["name"])) for record in records)
    tasks = dict.fromkeys(clean(record.result.task) for record in records)
    return f"{counted(len(records), 'result')} ({some(list(models), 3)}; {some(list(tasks), 3)})"


def _by_task(records: Iterable[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.result.task].append(record)
    return groups


def _data(record: Record) -> tuple[str, str]:
    """The digest and metric that two results must share to be compared query by query."""
    return str(record.result.dataset["digest"]), record.result.main_metric


def _data_of(records: Sequence[Record]) -> tuple[str, str]:
    """The most common data of a task's results, of whole datasets if any result is of one.

    Ties: the data with more queries, then the newest.
    """
    counts = Counter(map(_data, records))

    def weight(each: Record) -> tuple[bool, int, int, str]:
        return not is_separate(each.result), counts[_data(each)], each.result.num_queries, each.result.created

    return _data(max(records, key=weight))


def _most_common(values: Iterable[str], preferred: str) -> str:
    counts = Counter(values)
    return max(sorted(counts), key=lambda each: (counts[each], each == preferred), default=preferred)


def measured(records: Sequence[Record]) -> list[Entry]:
    """One entry per model, labelled by name. Models that share a name and a task get revision and fingerprint too."""
    columns: dict[str, dict[str, Record]] = defaultdict(dict)
    for record, label in zip(records, _labels([record.result for record in records]), strict=True):
        columns[label][record.result.task] = record
    return [Entry(clean(label), column, scores=_mains(column)) for label, column in columns.items()]


def _mains(records: Mapping[str, Record]) -> dict[str, float]:
    results = {task: record.result for task, record in records.items()}
    return {task: each.main.value for task, each in results.items() if not Metric.parse(each.main_metric).is_rank}


def printed(rows: Sequence[PublishedRow], taken: Iterable[str]) -> list[Entry]:
    """One entry per published row, labelled by name. Where the name is in `taken` or repeated, its source is added."""
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


def total(entry: Entry, key: str) -> float | None:
    """The sum of a cost over the results of an entry, or None if no result has it.

    `key` is a name of `Result.cost`, `gpu_hours` or `embedding_seconds`.
    """
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
    """The number of label parts (name, revision, fingerprint) that make results of one name distinct on every task."""
    return next((n for n in (1, 2) if len({(_label(each, n), each.task) for each in group}) == len(group)), 3)


def _label(result: Result, parts: int) -> str:
    fields = (result.model["name"], str(result.model["revision"])[:8], str(result.model["fingerprint"])[:8])
    return "@".join(map(str, fields[:parts]))
