"""Evaluates checkpoints during training, with the harness and in the same way as `llave run`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.data.cache import DatasetCache
from harness.encoding.distributed import World
from harness.evaluate import Run, RunSettings
from harness.media.digests import Digests
from harness.progress import NoProgress
from harness.types import EvalConfig, ModelHandle, Task
from tasks.catalog import resolve_tasks
from trainers.config import TrainingConfig


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointEvaluator:
    """Evaluates checkpoints on a fixed choice of tasks. Results are written as by `llave run --out OUT/results`."""

    tasks: tuple[Task, ...]
    config: TrainingConfig
    out: Path
    world: World
    cache: DatasetCache

    @staticmethod
    def of(config: TrainingConfig, out: Path, world: World) -> CheckpointEvaluator:
        """The evaluator that a config asks for. Raises UserError for unknown tasks."""
        data = Path(config.eval_data) if config.eval_data else None
        names = ",".join(config.eval_tasks) or None
        tasks = resolve_tasks(
            names, None if names else config.eval_suite, data, roots=tuple(map(Path, config.allow_roots))
        )
        cache = DatasetCache(Digests(), NoProgress(), config.workers)
        return CheckpointEvaluator(tasks, config, out, world, cache)

    def scores(self, handle: ModelHandle) -> Mapping[str, float]:
        """The main metric of each task on the main process; empty on others. Every process must call it.

        Raises UserError or RunFailed if the evaluation fails.
        """
        store = self.out / ".store"
        device = self.config.device
        run = Run(
            EvalConfig(limit=self.config.eval_limit),
            RunSettings(self.out / "results", store, workers=self.config.workers, device=device),
            self.cache,
            self.world,
            NoProgress(),
        )
        done = run.evaluate(handle, self.tasks)
        if done.failure:
            raise done.failure
        self.world.wait()
        if self.world.is_main:
            shutil.rmtree(store, ignore_errors=True)  # vectors of this checkpoint are of no use for others
        return {result.task: result.metrics[result.main_metric].value for result in done.results}
