"""From a result back to its dataset, its model's spec and the keys of its vectors in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.data.cache import DatasetCache
from harness.data.dataset import Dataset
from harness.encoding.store import Store
from harness.errors import BadMedia, UserError, counted
from harness.identity import model_fingerprint
from harness.plan import TaskPlan, identity_of, plan_task
from harness.results.recount import rule_of, spec_of
from harness.results.result import Result
from harness.results.verified import Outcomes
from harness.scoring.clusters import clusters_of
from harness.scoring.metrics import Metric
from harness.scoring.reading import VectorReader
from harness.scoring.score import DatasetKeys, rank_dataset
from harness.types import EvalConfig, FloatArray, ModelSpec, ProtocolName, Task

_MOST_HELD = 1 << 31
"""Bytes of vectors that are kept in memory while one task is scored several times."""
_AGAIN = "Run the evaluation again, with the same store."


def checked_spec(result: Result) -> ModelSpec:
    """The spec of a result's model. Raises UserError if the record does not say all that decides its vectors."""
    try:
        spec = spec_of(result)
        if model_fingerprint(spec) == result.model["fingerprint"]:
            return spec
    except (KeyError, TypeError, ValueError):
        pass
    what = f"The record of {result.model['name']} on {result.task} does not say what made its vectors."
    raise UserError(what, _AGAIN)


def config_of(result: Result) -> EvalConfig:
    """The conditions under which a result was made."""
    limit = result.settings.get("limit")
    skip = result.settings.get("on_bad_media") == "count-as-wrong"
    return EvalConfig(rule_of(result), limit if isinstance(limit, int) else None, skip)


def stored_plan(result: Result, task: Task, spec: ModelSpec, cache: DatasetCache) -> TaskPlan:
    """The dataset of a result and the keys of its vectors.

    Raises: UserError if the data is not that of the result.
    """
    config = config_of(result)
    dataset = cache.load(task, config)
    identity = identity_of(task, dataset.digest, spec, config)
    if identity != result.identity:
        what = f"{result.task} is not what {spec.name} was evaluated on: its data, settings or scoring differ."
        raise UserError(what, "Name the same data with --data and --images, or run the evaluation again.")
    why = {str(each["media"]): str(each["why"]) for each in result.bad_media}
    bad = {medium: BadMedia(why[medium.name]) for medium in dataset.media if medium.name in why}
    return plan_task(replace(dataset, bad={**dataset.bad, **bad}) if bad else dataset, identity, spec)


def held(plan: TaskPlan, store: Store, spec: ModelSpec) -> VectorReader:
    """The vectors of a task, read once if memory allows.

    Raises: UserError if the store lacks some, and for a model that has a vector for every token of an item.
    """
    if spec.is_late:
        what = f"{spec.name} has a vector for every token of an item, not one."
        raise UserError(what, "Leave its results out.")
    missing = store.missing(list(plan.work))
    if missing:
        lacks = f"{store.folder} lacks {counted(len(missing), 'vector')} of {spec.name} on {plan.dataset.task.name}."
        raise UserError(lacks, _AGAIN)
    keys = list(plan.work)
    if len(keys) * (store.width() or 0) * 4 > _MOST_HELD:
        return store
    return _Held({key: place for place, key in enumerate(keys)}, store.get(keys))


def vectors_of(result: Result, task: Task, folder: Path, cache: DatasetCache) -> tuple[FloatArray, FloatArray]:
    """The vectors of a result's queries `(queries, d)` and targets `(targets, d)`, from the store in `folder`.

    An item without a vector has a row of NaN. Raises: UserError if the store lacks some, or the data is another.
    """
    spec = checked_spec(result)
    plan = stored_plan(result, task, spec, cache)
    with Store(folder, spec) as store:
        vectors, width = held(plan, store, spec), store.width() or 0
        queries, targets = (_matrix(keys, vectors, width) for keys in (plan.keys.queries, plan.keys.targets))
    return queries, targets


def _matrix(keys: Sequence[bytes | None], vectors: VectorReader, width: int) -> FloatArray:
    there = [place for place, key in enumerate(keys) if key is not None]
    found = np.full((len(keys), width), np.nan, np.float32)
    found[there] = vectors.get([key for key in keys if key is not None])
    return found


class _Held:
    """Vectors in memory, which are read as those of a store."""

    def __init__(self, places: Mapping[bytes, int], vectors: FloatArray) -> None:
        self._places = places
        self._vectors = vectors

    def get(self, keys: Sequence[bytes]) -> FloatArray:
        """Returns copies of the vectors `(n, d)`, in the order of `keys`."""
        found: FloatArray = self._vectors[[self._places[key] for key in keys]]
        return found


def outcomes_of(
    dataset: Dataset, keys: DatasetKeys, vectors: VectorReader, spec: ModelSpec, protocol: ProtocolName
) -> Outcomes:
    """The main metric of each query, from vectors. It is scored as a run scores it."""
    metric = Metric.parse(dataset.task.metrics[0])
    rankings = rank_dataset(dataset, keys, vectors, spec)
    strict = protocol != "official"
    score = metric.score if strict else metric.score_official
    clusters = clusters_of(dataset)
    alone = len(np.unique(clusters)) == len(clusters)
    return Outcomes(
        np.array([score(each) for each in rankings], np.float64),
        np.array([strict and each.best != each.worst for each in rankings]),
        None if alone else clusters,
    )
