"""What a run will do, worked out before any model is loaded: which results stand, which vectors are missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.data.dataset import Dataset, known_digest, load_dataset
from harness.encoding.vectors import Work
from harness.errors import BadMedia
from harness.identity import item_key, model_fingerprint, result_fingerprint
from harness.media.digests import Digests
from harness.paths import safe_name
from harness.progress import Progress
from harness.results.files import Result, find_result
from harness.scoring.metrics import Metric
from harness.scoring.score import DatasetKeys
from harness.types import MEDIA_TOKEN, DataInfo, Item, Media, ModelSpec, ProtocolName, Role, Task

SCORING = 1
"""Raise when the same vectors give other scores than before, so that old results are not taken for new ones."""

_TOKEN = re.compile(re.escape(MEDIA_TOKEN) + r"[ \n]?")


@dataclass(frozen=True, slots=True)
class EvalConfig:
    """What a result answers, besides task, data and model."""

    protocol: ProtocolName = "strict"
    limit: int | None = None
    seed: int = 0
    skip_bad_media: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class TaskPlan:
    """A task that still has to be scored for a model."""

    dataset: Dataset
    identity: str
    keys: DatasetKeys
    work: Mapping[bytes, Work]
    """Every item of the task that has a key, once."""


class DatasetCache:
    """Datasets loaded so far, so that several models share them."""

    def __init__(self, digests: Digests, listener: Progress, workers: int) -> None:
        self.digests = digests
        self._listener = listener
        self._workers = workers
        self._loaded: dict[str, Dataset] = {}
        self._infos: dict[str, DataInfo] = {}
        self._known: dict[str, str | None] = {}

    def info(self, task: Task) -> DataInfo:
        if task.name not in self._infos:
            self._infos[task.name] = task.source.info(task)
        return self._infos[task.name]

    def known_digest(self, task: Task, limit: int | None) -> str | None:
        """The digest of a task's data, if that can be told without reading a row; found out once in a run."""
        if task.name in self._loaded:
            return self._loaded[task.name].digest
        if task.name not in self._known:
            self._known[task.name] = known_digest(task, self.info(task), limit, self.digests)
        return self._known[task.name]

    def load(self, task: Task, question: EvalConfig) -> Dataset:
        if task.name not in self._loaded:
            self._loaded[task.name] = load_dataset(
                task,
                self.info(task),
                self.digests,
                self._listener,
                limit=question.limit,
                workers=self._workers,
                skip_bad=question.skip_bad_media,
            )
        return self._loaded[task.name]


def identity_of(task: Task, data_digest: str, spec: ModelSpec, question: EvalConfig) -> str:
    """Identity of the result that answers `question` about `task` and a model. Raises UserError for unknown metrics."""
    return result_fingerprint(
        task={
            "name": task.name,
            "scope": task.scope,
            "metrics": [str(Metric.parse(name)) for name in task.metrics],
        },
        data=data_digest,
        model=model_fingerprint(spec),
        protocol=question.protocol,
        settings={
            "scoring": SCORING,
            "similarity": spec.similarity,
            "limit": question.limit,
            "seed": question.seed,
            "skip_bad_media": question.skip_bad_media,
        },
    )


def finished(task: Task, folder: Path, spec: ModelSpec, question: EvalConfig, shelf: DatasetCache) -> Result | None:
    """The result that already answers the question, found without reading a row; else None."""
    if not any(folder.glob(f"{safe_name(task.name)}.*json")):
        return None  # where no record stands there is nothing to look at media for
    digest = shelf.known_digest(task, question.limit)
    return find_result(folder, task.name, identity_of(task, digest, spec, question)) if digest else None


def assign(dataset: Dataset, spec: ModelSpec, question: EvalConfig) -> TaskPlan:
    """Keys for every item of a dataset, and the work behind each key."""
    fingerprint = model_fingerprint(spec)
    work: dict[bytes, Work] = {}

    def keys(items: Iterable[Item], role: Role) -> tuple[bytes | None, ...]:
        return tuple(_key(seen_by(item, spec.modalities), role, fingerprint, dataset, work) for item in items)

    task, data = dataset.task, dataset.data
    found = DatasetKeys(
        keys((query.item for query in data.queries), task.query_role), keys(data.targets, task.target_role)
    )
    return TaskPlan(dataset, identity_of(dataset.task, dataset.digest, spec, question), found, work)


def without(assignment: TaskPlan, bad: Mapping[bytes, BadMedia], spec: ModelSpec, question: EvalConfig) -> TaskPlan:
    """The assignment again, after some items turned out to have bad media when they were prepared."""
    broken = [(assignment.work[key].item, error) for key, error in bad.items() if key in assignment.work]
    media = {medium: error for item, error in broken for medium in _blamed(item.media, error)}
    if not media:
        return assignment
    dataset = replace(assignment.dataset, bad={**assignment.dataset.bad, **media})
    return assign(dataset, spec, question)


def _blamed(media: Sequence[Media], error: BadMedia) -> Sequence[Media]:
    """The one of an item's media that an error names; all if it names none."""
    named = [medium for medium in media if medium.name in error.what]
    return [max(named, key=lambda medium: len(medium.name))] if named else media


def seen_by(item: Item, modalities: Sequence[str]) -> Item:
    """The item as a model with these modalities sees it: other media are left out, and so are their tokens."""
    unseen = [medium.kind not in modalities for medium in item.media]
    if not any(unseen):
        return item
    media = tuple(medium for medium, hidden in zip(item.media, unseen, strict=True) if not hidden)
    turn = iter(unseen)

    def drop(match: re.Match[str]) -> str:
        return "" if next(turn, False) else match[0]

    instruction = _TOKEN.sub(drop, item.instruction)
    return Item(_TOKEN.sub(drop, item.text), media, instruction)


def _key(item: Item, role: Role, model: str, dataset: Dataset, work: dict[bytes, Work]) -> bytes | None:
    if dataset.why_bad(item):
        return None
    looks = [dataset.media[medium] for medium in item.media]
    key = item_key(model, item, role, [look.digest for look in looks])
    if key not in work:
        work[key] = Work(key, item, role, sum(look.width * look.height for look in looks))
    return key
