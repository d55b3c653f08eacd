"""The evaluation of several models on several tasks: what `llave.evaluate` and `llave run` have in common."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import UserError

if TYPE_CHECKING:
    from harness.encoding.distributed import World
    from harness.evaluate import Evaluation, RunSettings
    from harness.plan import Forecast
    from harness.progress import Progress
    from harness.types import EvalConfig, ModelHandle, Task

_MOST_WORKERS = 8


@dataclass(frozen=True, slots=True, eq=False)
class SecondStage:
    """A model that scores pairs, and how many of the first stage's best candidates it orders anew."""

    handle: ModelHandle
    top: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The evaluations, and the errors of the models that failed."""

    done: tuple[tuple[ModelHandle, Evaluation], ...]
    """Models in the order given. One that failed part-way has the results of the tasks before."""
    failures: tuple[UserError, ...]


def evaluate_models(
    handles: Sequence[ModelHandle],
    tasks: Sequence[Task],
    config: EvalConfig,
    settings: RunSettings,
    world: World,
    progress: Progress,
    second: SecondStage | None = None,
) -> Outcome:
    """Evaluates every model on every task. Datasets are read once for all models.

    A model that fails after another one was evaluated does not stop the rest. With a second stage, each model is
    followed by the model of both stages.

    Raises:
        UserError: if the first model cannot be evaluated, so that nothing is lost. With several processes, each
            one raises, so that the launcher stops the others.
    """
    from harness.data.cache import DatasetCache
    from harness.evaluate import Run
    from harness.media.digests import Digests

    run = Run(config, settings, DatasetCache(Digests(), progress, settings.workers), world, progress)
    if second is not None:
        for handle in handles:
            if handle.needs_answers:
                raise UserError(f"{handle.spec.name} knows the answers.", "Rerank a model that does not.")
        run.check_pairs(second.handle, tasks)
    run.foresee(handles[1:], tasks)
    done: list[tuple[ModelHandle, Evaluation]] = []
    failures: list[UserError] = []
    for handle in handles:
        try:
            evaluation = run.evaluate(handle, tasks)
        except UserError as error:
            if world.size > 1 or not done:
                raise
            failures.append(error)
        else:
            done.append((handle, evaluation))
            if second is not None and not evaluation.failure:
                done.append(run.rerank(handle, evaluation, second.handle, second.top, tasks))
            failures += [last.failure] if (last := done[-1][1]).failure else []
    return Outcome(tuple(done), tuple(failures))


def forecast_models(
    handles: Sequence[ModelHandle],
    tasks: Sequence[Task],
    config: EvalConfig,
    settings: RunSettings,
    world: World,
    progress: Progress,
) -> list[Forecast]:
    """What `evaluate_models` would do for each model. Raises UserError for data that cannot be used."""
    from harness.data.cache import DatasetCache
    from harness.evaluate import Run
    from harness.media.digests import Digests

    run = Run(config, settings, DatasetCache(Digests(), progress, settings.workers), world, progress)
    return [run.forecast(handle, tasks) for handle in handles]


def worker_count(workers: int | None) -> int:
    """Number of threads that prepare items: as asked for, else one for each processor, up to 8."""
    if workers is not None:
        return workers
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_WORKERS, available)
