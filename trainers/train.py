"""train(): trains a model by a recipe and writes checkpoints. Imports torch."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType

from harness.encoding.distributed import World
from harness.errors import UserError, counted
from harness.files.tensors import write_tensors
from harness.files.writing import write_atomic
from harness.media.digests import Digests
from harness.models import custom
from harness.models.checkpoints import TRAINING
from harness.progress import Progress
from harness.results.environment import own_version
from harness.results.numbers import percent
from trainers.config import TrainingConfig, to_json
from trainers.data.loader import BatchLoader, PreparedItems, SubBatch
from trainers.data.training_data import (
    TrainingData,
    check_shares,
    load_training_data,
    pinned,
    remarks,
)
from trainers.engine import checkpoint as disk
from trainers.engine.backend import AccelerateBackend, Backend
from trainers.engine.failures import failed, not_finite
from trainers.engine.launch import explain_lost_peers, join
from trainers.engine.network import ready, write_weights
from trainers.engine.run_folder import RECIPE, claim, left_out, locked, weight_settings, write_recipe
from trainers.engine.schedule import learning_rate
from trainers.engine.start import Start, open_start
from trainers.engine.step import Stepper
from trainers.engine.temperature import Temperature
from trainers.engine.zero import ZeroBackend
from trainers.monitor.evaluation import CheckpointEvaluator
from trainers.monitor.log import StepReport, TrainingLog, scored
from trainers.monitor.tally import Tally
from trainers.monitor.trackers import Tracker, open_trackers

_TEMPLATE = "start"
"""Folder of a run with the files that every checkpoint is copied from."""


def train(
    config: TrainingConfig, out: Path, progress: Progress, *, resume: bool = False, patience: float | None = None
) -> Path:
    """Trains to the last step and returns the folder of the last checkpoint.

    Every process of the run must call it with the same arguments.

    Args:
        config: the settings of the run.
        out: the folder of the run.
        progress: has a phase "training" with a step for each optimizer step, and gets notes.
        resume: continue from the newest checkpoint in `out`, if there is one.
        patience: how long one of several processes may stand still. None: as LLAVE_PATIENCE says, or 30.

    Raises:
        UserError: before the first step, for settings, data or a folder that cannot be used; later, for a full disk.
        RunFailed: if a loss or gradient is not finite, or another process ends.
    """
    config = claim(config, out, resume=resume)
    accelerator = join(config, patience)
    world = World(accelerator.process_index, accelerator.num_processes)
    check_shares(config, world.size)
    evaluator = CheckpointEvaluator.of(config, out, world) if config.eval_steps else None
    with explain_lost_peers(), locked(out) if world.is_main else nullcontext():
        with accelerator.main_process_first():
            config = pinned(config)
            data = load_training_data(config)
            if world.is_main and not disk.checkpoints(out):
                # an earlier run that wrote no checkpoint may have left random weights of another seed
                shutil.rmtree(out / _TEMPLATE, ignore_errors=True)
            start = open_start(config, out / _TEMPLATE)
            if world.is_main:
                write_recipe(config, data, out)
        for note in (left_out(data, out), *remarks(config, data)):
            if note:
                progress.note(note)
        run = _Run(config, out, progress, accelerator, world, data, start, evaluator)
        return run.go(disk.resumable(out) if resume else None)


class _Run:
    """A run in progress."""

    def __init__(
        self,
        config: TrainingConfig,
        out: Path,
        progress: Progress,
        accelerator: Accelerator,
        world: World,
        data: TrainingData,
        start: Start,
        evaluator: CheckpointEvaluator | None,
    ) -> None:
        self._config, self._out, self._progress = config, out, progress
        self._world, self._evaluator = world, evaluator
        self._data, self._opening = data, start.opening
        self._digest = data.digest()
        self._since_log, self._total = Tally(), Tally()
        self._embedder = start.load()
        encoder = ready(self._embedder, config, peers=world.size > 1)
        digests = Digests() if config.mask_duplicates else None
        prepared = PreparedItems(self._embedder, config.cache_mb * 2**20, digests)
        self._loader = BatchLoader(
            data.plan, data.subsets, prepared, world.rank, world.size, config.hard_negatives, config.workers
        )
        backend = ZeroBackend if accelerator.distributed_type == DistributedType.DEEPSPEED else AccelerateBackend
        self._backend: Backend = backend(accelerator, encoder, config)
        self._temperature = Temperature(config, accelerator.device) if config.learn_temperature else None
        self._stepper = Stepper(config, self._backend, self._temperature)

    def go(self, resumed: Path | None) -> Path:
        """Trains from a checkpoint of this run, or from the first step, and returns the last checkpoint."""
        first = self._restore(resumed) if resumed else 0
        steps = self._data.steps
        self._progress.note(
            f"{f'Resuming from {resumed}' if resumed else f'Starting from {self._config.model}'}: {steps - first:,} "
            f"steps of {counted(self._config.batch, 'pair')}. Checkpoints are written to {self._out}."
        )
        log = TrainingLog(self._out, first, self._trackers(first)) if self._world.is_main else None
        self._progress.phase(f"training after step {first:,}" if first else "training", steps - first)
        if self._config.eval_on_start and not resumed:
            resumed = self._save(first)
        if self._evaluator and resumed and self._is_due(first) and not scored(self._out, first):
            self._evaluate(self._evaluator, resumed, log)
        start = last = time.perf_counter()
        for step, parts in enumerate(self._loader.steps(first, steps), start=first + 1):
            loss, norm = self._step(step, parts)
            now = time.perf_counter()
            self._count(step, loss, norm, now - last)
            last = now
            speed = self._since_log.steps * self._config.batch / self._since_log.seconds
            self._progress.advance(1, f"loss {loss:.3f}, {speed:,.0f} pairs/s")
            if step % self._config.logging_steps == 0 or step == steps:
                if log is not None:
                    log.add(self._report(step, self._since_log, now - start))
                self._since_log = Tally()
            if step % self._config.save_steps == 0 or step == steps:
                folder = self._save(step)
                if self._evaluator and self._is_due(step):
                    self._evaluate(self._evaluator, folder, log)
                if self._world.is_main:
                    disk.prune(self._out, self._config.save_total_limit)
                last = time.perf_counter()
        if log is not None:
            log.finish()
        if lost := self._total.summary():
            self._progress.note(lost)
        return disk.checkpoint_folder(self._out, steps)

    def _count(self, step: int, loss: float, norm: float, seconds: float) -> None:
        for tally in (self._since_log, self._total):
            tally.add(loss, norm, self._stepper.counts, seconds)
        if norm == 0 and self._total.steps_without_gradient == 1:
            self._progress.note(
                f"The gradient of step {step} is exactly 0, so nothing is learned in it. Its items may all be cut to "
                "the same text, or none of its pairs has a negative. The log counts such steps."
            )

    def _trackers(self, first: int) -> list[Tracker]:
        return open_trackers(self._config.report_to, self._out, first, weight_settings(self._config))

    def _is_due(self, step: int) -> bool:
        """Whether the checkpoint of a step is evaluated."""
        return step % self._config.eval_steps == 0 or step == self._data.steps

    def _step(self, step: int, parts: Sequence[SubBatch]) -> tuple[float, float]:
        """Takes a step, and returns its loss and the norm of its gradient.

        All random numbers follow from the seed, the step and the process.
        """
        torch.manual_seed(_seed(self._config.seed, step, self._world.rank))
        lr = learning_rate(self._config, step, self._data.steps)
        losses = self._stepper.gradient(parts)
        norm = self._backend.step(lr)
        if not all(map(math.isfinite, (*losses, norm))):
            raise not_finite(self._out, step, parts, losses, norm, self._loader, main=self._world.is_main)
        if self._temperature:
            self._temperature.step(lr)
        return sum(losses) / len(losses), norm

    def _report(self, step: int, sums: Tally, seconds: float) -> StepReport:
        pairs, alpha = self._stepper.last_pairs, self._config.alpha
        learned = None if self._temperature is None else 1 / float(self._temperature().detach())
        return StepReport(
            step=step,
            loss=sums.loss / sums.steps,
            grad_norm=sums.grad_norm / sums.steps,
            learning_rate=learning_rate(self._config, step, self._data.steps),
            temperature=self._config.temperature if learned is None else learned,
            pairs_per_second=sums.steps * self._config.batch / sums.seconds,
            tokens_per_second=sums.tokens / sums.seconds,
            lost=sums.lost,
            seconds=seconds,
            numbers=pairs.numbers(alpha) if pairs else {},
            datasets=pairs.by_dataset([each.name for each in self._data.subsets], alpha) if pairs else {},
        )

    def _save(self, step: int) -> Path:
        """Writes a checkpoint. Every process must call it; the main one writes."""
        tensors = self._backend.state()
        if self._temperature:
            tensors |= self._temperature.state()
        weights = {name.removeprefix("network."): each for name, each in self._backend.weights().items()}
        if self._world.is_main:
            if not all(bool(each.isfinite().all()) for each in tensors.values()):
                raise failed(self._out, step, "the weights are no longer finite")
            with disk.writing(self._out, step) as folder:
                write_weights(folder, self._embedder, self._config, weights, tensors)
                write_tensors(folder / disk.STATE_FILE, tensors)
                write_atomic(folder / RECIPE, to_json(self._config))
                tallies = {"since_log": self._since_log.record(), "total": self._total.record()}
                disk.write_record(folder / disk.TALLY_FILE, tallies)
                disk.write_record(folder / TRAINING, self._record(step))
        self._world.wait()
        return disk.checkpoint_folder(self._out, step)

    def _record(self, step: int) -> dict[str, object]:
        """The record of training that every result of the checkpoint gets.

        It does not say how a user's own class is opened, because that would be code named by a checkpoint.
        """
        own_class = custom.NAME.fullmatch(self._opening.model)
        return {
            "llave-bench": own_version(),
            "recipe": self._config.recipe,
            "step": step,
            "steps": self._data.steps,
            "pairs_seen": step * self._config.batch,
            "data": self._config.data,
            "pairs": {subset.name: len(subset) for subset in self._data.subsets},
            "pairs_digest": self._digest,
            "pairs_left_out": {name: len(lost) for name, lost in self._data.skipped.items()},
            "lost": self._total.lost,
            "negatives_per_query": self._config.contrasted - 1,
            "processes": self._world.size,
            "settings": weight_settings(self._config),
            **({} if own_class else {"opens": self._opening.record()}),
        }

    def _restore(self, folder: Path) -> int:
        self._check_pairs(folder)
        restores = [self._backend.restore, *([self._temperature.restore] if self._temperature else [])]
        disk.restore_state(folder, restores)
        if (folder / disk.TALLY_FILE).exists():
            tallies = disk.read_record(folder / disk.TALLY_FILE, ("since_log", "total"))
            self._since_log, self._total = (Tally.of(tallies[name]) for name in ("since_log", "total"))
        return disk.step_of(folder)

    def _check_pairs(self, folder: Path) -> None:
        """Raises UserError unless the data has the same pairs as at the start of the run."""
        record = disk.read_record(folder / TRAINING, ("pairs", "pairs_digest"))
        now = self._record(disk.step_of(folder))
        if record["pairs"] != now["pairs"]:
            what = f"it had {record['pairs']} pairs, and has {now['pairs']}"
        elif record["pairs_digest"] != now["pairs_digest"]:
            what = "the number of pairs is the same, but the pairs differ"
        else:
            return
        raise UserError(
            f"The data has changed since {folder}: {what}.", "Resume with the same data, or choose another --out."
        )

    def _evaluate(self, evaluator: CheckpointEvaluator, folder: Path, log: TrainingLog | None) -> None:
        scores = evaluator.scores(self._opening.open(folder, self._config.device))
        if log is not None:
            mean = sum(scores.values()) / len(scores)
            best = disk.note_score(self._out, disk.step_of(folder), mean)
            log.add_scores(disk.step_of(folder), scores, mean)
            self._progress.note(
                f"{folder.name}: {percent(mean)} % over {counted(len(scores), 'task')}"
                + (", the best so far" if best else "")
            )
        self._world.wait()


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
