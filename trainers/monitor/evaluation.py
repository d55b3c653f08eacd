"""A checkpoint measured in the midst of training, by the harness and in the way `llave run` would measure it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.data.cache import DatasetCache
from harness.distributed import World
from harness.evaluate import Run, RunSettings
from harness.media.digests import Digests
from harness.models.llave.embedder import PREFIX, open_llave
from harness.progress import Progress
from harness.types import EvalConfig, ModelSettings, Task
from tasks.catalog import resolve_tasks
from trainers.config import TrainingConfig


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointEvaluator:
    """Evaluates checkpoints on one choice of tasks. Results go where `llave run --out OUT/results` would put them."""

    tasks: tuple[Task, ...]
    config: TrainingConfig
    out: Path
    world: World
    shelf: DatasetCache
    listener: Progress

    @staticmethod
    def of(config: TrainingConfig, out: Path, world: World, listener: Progress) -> CheckpointEvaluator:
        """Raises UserError for tasks that there are not."""
        data = Path(config.eval_data) if config.eval_data else None
        names = ",".join(config.eval_tasks) or None
        tasks = resolve_tasks(names, None if names else config.eval_suite, data)
        return CheckpointEvaluator(
            tasks, config, out, world, DatasetCache(Digests(), listener, config.workers), listener
        )

    def scores(self, checkpoint: Path) -> Mapping[str, float]:
        """The main metric of each task, in the main process; in the others nothing. Every process must call it."""
        store = self.out / ".store"
        device = self.config.device
        handle = open_llave(f"{PREFIX}{checkpoint}", ModelSettings(device))
        run = Run(
            EvalConfig(limit=self.config.eval_limit),
            RunSettings(self.out / "results", store, workers=self.config.workers, device=device),
            self.shelf,
            self.world,
            self.listener,
        )
        done = run.evaluate(handle, self.tasks)
        if done.failure:
            raise done.failure
        self.world.wait()
        if self.world.is_main:
            shutil.rmtree(store, ignore_errors=True)  # no other checkpoint has these vectors
        return {result.task: result.metrics[result.main_metric].value for result in done.results}
