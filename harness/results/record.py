"""The record of a scored task, put together from all that led to it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

from harness.data.dataset import Dataset
from harness.encoding.encoder import EncodeReport
from harness.identity import model_fingerprint
from harness.results.environment import environment, peak_memory
from harness.results.result import FORMAT, Result
from harness.scoring.score import Scored
from harness.types import EvalConfig, ModelSpec, Similarity

_NAMED = 20


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a result came about: the model, and what the run took."""

    spec: ModelSpec
    width: int | None
    """Width of the vectors; None where nothing could be embedded."""
    report: EncodeReport
    needed: int
    """Number of distinct items of the task that need a vector."""
    seconds: float
    processes: int
    device: str


def make_record(dataset: Dataset, identity: str, scored: Scored, config: EvalConfig, made: Provenance) -> Result:
    """The record of a scored task. Only the name and digest of its file of rows are missing."""
    task = dataset.task
    left_out = {reason: list(ids[:_NAMED]) for reason, ids in dataset.data.left_out.items()}
    return Result(
        format=FORMAT,
        status="done",
        identity=identity,
        task=task.name,
        meta_task=task.meta_task,
        split=task.split,
        scope=task.scope,
        main_metric=task.metrics[0],
        model=_model(made, kinds={medium.kind for medium in dataset.media}),
        protocol=config.protocol,
        metrics=scored.metrics,
        strict=scored.strict,
        official=scored.official,
        chance=scored.chance,
        tied_queries=scored.tied_queries,
        num_queries=len(dataset.data.queries),
        num_targets=len(dataset.data.targets),
        dataset={
            "source": dataset.info.source,
            "revision": dataset.info.revision,
            "digest": dataset.digest,
            "clusters": scored.clusters,
            "notes": dict(dataset.data.notes),
            **({"left_out": left_out} if left_out else {}),
            "places": [{"kind": kind, "folder": os.path.abspath(root)} for kind, root in dataset.places],
        },
        settings={
            "limit": config.limit,
            "on_bad_media": "count-as-wrong" if config.skip_bad_media else "stop",
        },
        bad_media=[
            {"media": medium.name, "why": error.what}
            for medium, error in sorted(dataset.bad.items(), key=lambda pair: pair[0].name)
        ],
        environment=environment(made.device),
        cost=_cost(made),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def recorded_similarity(model: Mapping[str, object]) -> Similarity:
    """How the vectors of a record's model are compared; `cosine` where an old record does not say."""
    found = model.get("similarity")
    return next((each for each in get_args(Similarity) if each == found), "cosine")


def _model(made: Provenance, kinds: set[str]) -> dict[str, object]:
    spec = made.spec
    return {
        **spec.about,
        "name": spec.name,
        "revision": spec.revision,
        "adapter": spec.adapter,
        "dtype": spec.dtype,
        "options": dict(spec.options),
        "modalities": list(spec.modalities),
        "several_media": spec.several_media,
        "not_seen": sorted(kinds - set(spec.modalities)),
        "similarity": spec.similarity,
        "width": made.width,
        "fingerprint": model_fingerprint(spec),
    }


def _cost(made: Provenance) -> dict[str, object]:
    """The cost of a task. Items and batches are those of the main process. Seconds are wall-clock time."""
    report = made.report
    return {
        "seconds": round(made.seconds, 3),
        "processes": made.processes,
        "items_embedded": report.items,
        "items_needed": made.needed,
        "items_per_second": round(report.items / report.seconds, 2) if report.items else None,
        "batches": report.batches,
        "padding_waste": round(report.padding_waste, 4),
        "waiting_share": round(report.waiting / report.seconds, 4) if report.items else None,
        "memory_backoffs": report.backoffs,
        "items_truncated": report.truncated,
        **peak_memory(),
    }
