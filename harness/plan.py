"""The plan of a run, made before any model is loaded: finished results, and items that need a vector."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from harness.data.cache import DatasetCache
from harness.data.dataset import Dataset
from harness.encoding.pairs import pair_work
from harness.encoding.store import Store
from harness.encoding.vectors import Load, Work
from harness.errors import BadMedia, UserError
from harness.files.paths import safe_name
from harness.identity import fingerprint, item_key, model_fingerprint, result_fingerprint
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


@dataclass(frozen=True, slots=True)
class EncodeCounts:
    """Counts of items that need a vector: all uses, distinct items, and items that the store already had."""

    uses: int = 0
    distinct: int = 0
    stored: int = 0

    def __add__(self, other: EncodeCounts) -> EncodeCounts:
        return EncodeCounts(self.uses + other.uses, self.distinct + other.distinct, self.stored + other.stored)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would do for a model."""

    tasks: int
    found: int
    """Number of tasks that have a finished result."""
    counts: EncodeCounts
    load: Load
    """The items that would be embedded. An item of several tasks counts once."""

    def __add__(self, other: Forecast) -> Forecast:
        return Forecast(
            self.tasks + other.tasks, self.found + other.found, self.counts + other.counts, self.load + other.load
        )


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

    Raises: UserError for a clustering whose queries have not one label each, or whose model has no single vectors.
    """
    model = model_fingerprint(spec)
    work: dict[bytes, Work] = {}

    def keys(items: Iterable[Item], role: Role) -> tuple[bytes | None, ...]:
        seen = (seen_by(item, spec.modalities) for item in items)
        return tuple(None if dataset.why_bad(item) else key(item, role) for item in seen)

    def key(item: Item, role: Role) -> bytes:
        return add_work(work, item, role, model, [dataset.media[medium] for medium in item.media])

    task, data = dataset.task, dataset.data
    queries = keys((query.item for query in data.queries), task.query_role)
    if is_clustering(task):
        labels_of(dataset)
        if spec.is_late:
            what = f"{task.name} is a clustering of vectors, and {spec.name} has one for every token of an item."
            raise UserError(what, "Leave it out with --tasks, or choose a model that has one vector for an item.")
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


def reranked_spec(first: ModelSpec, second: ModelSpec, top: int) -> ModelSpec:
    """The model of two stages: the first ranks all candidates, the second orders the best `top` of them anew."""
    return replace(
        first,
        name=f"{first.name}+{second.name}",
        revision=fingerprint({"first": first.revision, "second": second.revision})[:16],
        adapter="rerank/1",
        options={
            "first stage": f"{first.name}, {model_fingerprint(first)}",
            "second stage": f"{second.name}, {model_fingerprint(second)}",
            "top": top,
        },
        about={},
    )


def check_texts(dataset: Dataset, second: ModelSpec) -> None:
    """Raises UserError for clusterings, and for items of media alone, of which it would see just an instruction."""
    if is_clustering(dataset.task):
        raise UserError(f"{dataset.task.name} is a clustering, so there is nothing to rerank.", "Leave it out.")
    for item in (*(query.item for query in dataset.data.queries), *dataset.data.targets):
        seen = seen_by(item, second.modalities)
        if not seen.media and not (seen.text if item.media else seen.full_text).strip():
            raise UserError(
                f"{second.name} scores pairs of texts, and {dataset.task.name} has items without a text of their own.",
                "Choose tasks of texts with --tasks, or leave --rerank out.",
            )


def without_missing(plan: TaskPlan, bad_names: Mapping[str, str], store: Store) -> TaskPlan:
    """The plan without keys of items that have no vector, whose media were `bad_names` in the first stage."""
    missing = set(store.missing(list(plan.work)))
    if not missing:
        return plan
    media = [medium for key in missing for medium in plan.work[key].item.media if medium.name in bad_names]
    errors = {medium: BadMedia(bad_names[medium.name], medium=medium) for medium in media}
    queries, targets = (
        tuple(None if key in missing else key for key in keys) for keys in (plan.keys.queries, plan.keys.targets)
    )
    dataset = replace(plan.dataset, bad={**plan.dataset.bad, **errors})
    return replace(plan, dataset=dataset, keys=DatasetKeys(queries, targets))


def plan_pairs(plan: TaskPlan, listed: Sequence[Sequence[int]], second: ModelSpec) -> list[list[Work]]:
    """The pairs of each query and the targets of its shortlist, as the second stage sees them."""
    model, data = model_fingerprint(second), plan.dataset.data

    @cache
    def work(index: int, *, is_query: bool) -> Work:
        role: Role = "query" if is_query else "target"
        item = seen_by(data.queries[index].item if is_query else data.targets[index], second.modalities)
        return Work(item_key(model, item, role, []), item, role)

    return [
        [pair_work(work(query, is_query=True), work(target, is_query=False)) for target in targets]
        for query, targets in enumerate(listed)
    ]


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
