"""The plan of a run, made before any model is loaded: finished results, and items that need a vector."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.data.cache import DatasetCache
from harness.data.dataset import Dataset
from harness.encoding.vectors import Work
from harness.errors import BadMedia, UserError
from harness.files.paths import safe_name
from harness.identity import item_key, model_fingerprint, result_fingerprint
from harness.media.images import MediaInfo
from harness.results.result import Result
from harness.results.verified import find_result
from harness.scoring.clustering import is_clustering, labels_of
from harness.scoring.metrics import Metric
from harness.scoring.score import DatasetKeys
from harness.types import MEDIA_TOKEN, EvalConfig, Item, Media, ModelSpec, Role, Task

SCORING = 3
"""The version of the scoring. Raise it when the same vectors give other scores, so that old results are not reused."""

_TOKEN = re.compile(re.escape(MEDIA_TOKEN) + r"[ \n]?")


@dataclass(frozen=True, slots=True, eq=False)
class TaskPlan:
    """A task that must be scored for a model."""

    dataset: Dataset
    identity: str
    """The identity of the result."""
    keys: DatasetKeys
    work: Mapping[bytes, Work]
    """Every distinct item of the task that has a key."""


def find_or_plan(
    task: Task,
    spec: ModelSpec,
    config: EvalConfig,
    folder: Path,
    cache: DatasetCache,
    note: Callable[[str], None],
) -> Result | TaskPlan:
    """The finished result of a task in a folder of results, or else what has to be done for it.

    Where a result of the task exists, its identity is worked out without reading a row if the data is known. `note`
    hears of each file of a result that cannot be used.

    Raises:
        UserError: if the data cannot be used, or a metric is unknown.
    """
    digest = cache.known_digest(task, config) if any(folder.glob(f"{safe_name(task.name)}.*json")) else None
    identity = identity_of(task, digest or cache.load(task, config).digest, spec, config)
    result = find_result(folder, task.name, identity, note)
    if result is not None:
        return result
    dataset = cache.load(task, config)
    if digest not in (None, dataset.digest):
        raise UserError(f"The data of {task.name} changed while it was read.", "Run the same command again.")
    return plan_task(dataset, identity, spec)


def identity_of(task: Task, data_digest: str, spec: ModelSpec, config: EvalConfig) -> str:
    """The identity of a model's result on a task. Raises UserError for an unknown metric."""
    return result_fingerprint(
        task={
            "name": task.name,
            "scope": task.scope,
            "metrics": [str(Metric.parse(name)) for name in task.metrics],
        },
        data=data_digest,
        model=model_fingerprint(spec),
        protocol=config.protocol,
        settings={
            "scoring": SCORING,
            "similarity": spec.similarity,
            "limit": config.limit,
            "skip_bad_media": config.skip_bad_media,
        },
    )


def plan_task(dataset: Dataset, identity: str, spec: ModelSpec) -> TaskPlan:
    """Keys for every item of a dataset, and the item behind each key. The labels of a clustering have none.

    Raises: UserError for a clustering whose queries have not one label each.
    """
    fingerprint = model_fingerprint(spec)
    work: dict[bytes, Work] = {}

    def keys(items: Iterable[Item], role: Role) -> tuple[bytes | None, ...]:
        seen = (seen_by(item, spec.modalities) for item in items)
        return tuple(None if dataset.why_bad(item) else key(item, role) for item in seen)

    def key(item: Item, role: Role) -> bytes:
        return add_work(work, item, role, fingerprint, [dataset.media[medium] for medium in item.media])

    task, data = dataset.task, dataset.data
    queries = keys((query.item for query in data.queries), task.query_role)
    if is_clustering(task):
        labels_of(dataset)
        targets: tuple[bytes | None, ...] = (None,) * len(data.targets)
    else:
        targets = keys(data.targets, task.target_role)
    return TaskPlan(dataset, identity, DatasetKeys(queries, targets), work)


def add_work(work: dict[bytes, Work], item: Item, role: Role, model: str, looks: Sequence[MediaInfo]) -> bytes:
    """The key of an item's vector. The item joins `work` under it, once, and its media know what they were.

    Args:
        model: the fingerprint of the model.
        looks: what is known of each of the item's media, in their order.
    """
    key = item_key(model, item, role, [look.identity for look in looks])
    if key not in work:
        media = tuple(replace(medium, seen=look.seen) for medium, look in zip(item.media, looks, strict=True))
        work[key] = Work(key, replace(item, media=media), role, sum(look.width * look.height for look in looks))
    return key


def without(plan: TaskPlan, bad: Mapping[bytes, BadMedia], spec: ModelSpec) -> TaskPlan:
    """The plan again, after some items turned out to have bad media when they were prepared."""
    broken = [(plan.work[key].item, error) for key, error in bad.items() if key in plan.work]
    media = {medium: error for item, error in broken for medium in _blamed(item.media, error)}
    if not media:
        return plan
    dataset = replace(plan.dataset, bad={**plan.dataset.bad, **media})
    return plan_task(dataset, plan.identity, spec)


def _blamed(media: Sequence[Media], error: BadMedia) -> Sequence[Media]:
    """Returns the medium of an item that an error is about; all of them where the error does not say."""
    return [medium for medium in media if medium == error.medium] or media


def seen_by(item: Item, modalities: Sequence[str]) -> Item:
    """The item as a model with these modalities sees it: without other media and without their tokens."""
    unseen = [medium.kind not in modalities for medium in item.media]
    if not any(unseen):
        return item
    media = tuple(medium for medium, hidden in zip(item.media, unseen, strict=True) if not hidden)
    turn = iter(unseen)

    def drop(match: re.Match[str]) -> str:
        return "" if next(turn, False) else match[0]

    instruction = _TOKEN.sub(drop, item.instruction)
    return Item(_TOKEN.sub(drop, item.text), media, instruction)
