"""train(): trains a model by a recipe and writes checkpoints. Imports torch."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType

from harness.encoding.distributed import World
from harness.errors import RunFailed, UserError, counted
from harness.files.writing import write_atomic
from harness.media.digests import Digests
from harness.models.checkpoints import TRAINING
from harness.progress import Progress
from harness.results.environment import own_version
from harness.results.numbers import percent
from trainers.config import TrainingConfig, to_json
from trainers.data.loader import BatchLoader, PreparedItems, SubBatch
from trainers.data.training_data import (
    TrainingData,
    check_matryoshka,
    check_shares,
    load_training_data,
    pinned,
    remarks,
)
from trainers.engine import checkpoint as disk
from trainers.engine.backend import AccelerateBackend, Backend
from trainers.engine.initial_checkpoint import InitialCheckpoint, open_initial_checkpoint
from trainers.engine.launch import explain_lost_peers, join
from trainers.engine.network import PromptEncoder, make_trainable, write_weights
from trainers.engine.run_folder import RECIPE, claim, left_out, weight_settings, write_recipe
from trainers.engine.schedule import learning_rate
from trainers.engine.step import Stepper
from trainers.engine.temperature import Temperature
from trainers.engine.zero import ZeroBackend
from trainers.monitor.evaluation import CheckpointEvaluator
from trainers.monitor.log import StepReport, TrainingLog, scored

NOT_FINITE = "not-finite.jsonl"
_TEMPLATE = "start"
"""Folder of a run with the files that every checkpoint is copied from."""
_SHOWN = 4


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
    with explain_lost_peers():
        with accelerator.main_process_first():
            config = pinned(config)
            data = load_training_data(config)
            if world.is_main and not disk.checkpoints(out):
                # an earlier run that wrote no checkpoint may have left random weights of another seed
                shutil.rmtree(out / _TEMPLATE, ignore_errors=True)
            initial = open_initial_checkpoint(config, out / _TEMPLATE)
            if world.is_main:
                write_recipe(config, data, out)
        check_matryoshka(config, initial.config.language["hidden_size"])
        for note in (left_out(data, out), *remarks(config, data)):
            if note:
                progress.note(note)
        run = _Run(config, out, progress, accelerator, world, data, initial, evaluator)
        return run.go(disk.resumable(out) if resume else None)


@dataclass(slots=True)
class _Sums:
    """Sums over the steps since the last report."""

    steps: int = 0
    loss: float = 0.0
    grad_norm: float = 0.0
    start: float = 0.0
    """Time of `perf_counter` at the first of these steps."""


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
        initial: InitialCheckpoint,
        evaluator: CheckpointEvaluator | None,
    ) -> None:
        self._config, self._out, self._progress = config, out, progress
        self._world, self._evaluator = world, evaluator
        self._data, self._initial = data, initial
        self._digest = data.digest()
        network = initial.network()
        make_trainable(network, config)
        digests = Digests() if config.mask_duplicates else None
        prepared = PreparedItems(initial.embedder(network).prepare, config.cache_mb * 2**20, digests)
        self._loader = BatchLoader(
            data.plan, data.subsets, prepared, world.rank, world.size, config.hard_negatives, config.workers
        )
        backend = ZeroBackend if accelerator.distributed_type == DistributedType.DEEPSPEED else AccelerateBackend
        self._backend: Backend = backend(accelerator, PromptEncoder(network, peers=world.size > 1), config)
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
        log = TrainingLog(self._out, first, tensorboard=self._config.tensorboard) if self._world.is_main else None
        self._progress.phase(f"training after step {first:,}" if first else "training", steps - first)
        if self._evaluator and resumed and self._is_due(first) and not scored(self._out, first):
            self._evaluate(self._evaluator, resumed, log)
        start = time.perf_counter()
        sums = _Sums(start=start)
        for step, parts in enumerate(self._loader.steps(first, steps), start=first + 1):
            loss, norm = self._step(step, parts)
            sums.steps, sums.loss, sums.grad_norm = sums.steps + 1, sums.loss + loss, sums.grad_norm + norm
            now = time.perf_counter()
            speed = sums.steps * self._config.batch / (now - sums.start)
            self._progress.advance(1, f"loss {loss:.3f}, {speed:,.0f} pairs/s")
            if step % self._config.logging_steps == 0 or step == steps:
                if log is not None:
                    log.add(self._report(step, sums, speed, now - start))
                sums = _Sums(start=now)
            if step % self._config.save_steps == 0 or step == steps:
                folder = self._save(step)
                if self._evaluator and self._is_due(step):
                    self._evaluate(self._evaluator, folder, log)
                if self._world.is_main:
                    disk.prune(self._out, self._config.save_total_limit)
                sums.start += time.perf_counter() - now
        return disk.checkpoint_folder(self._out, steps)

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
            raise self._not_finite(step, parts, losses, norm)
        if self._temperature:
            self._temperature.step(lr)
        return sum(losses) / len(losses), norm

    def _not_finite(self, step: int, parts: Sequence[SubBatch], losses: Sequence[float], norm: float) -> RunFailed:
        bad = [number for number, loss in enumerate(losses) if not math.isfinite(loss)]
        what = f"the loss is {losses[bad[0]]}" if bad else f"the gradient's norm is {norm}"
        # the gradient is a sum over all parts, so any of them may be the cause
        places = [place for number in bad[:1] or range(len(parts)) for place in parts[number].places]
        rows = [(self._data.subsets[place.subset].name, self._loader.where(place)) for place in places]
        if self._world.is_main:
            lines = [{"step": step, "dataset": name, "row": row} for name, row in rows]
            write_atomic(self._out / NOT_FINITE, "".join(f"{json.dumps(line)}\n" for line in lines))
        named = ", ".join(sorted({name for name, _ in rows}))
        shown = "; ".join(row for _, row in rows[:_SHOWN])
        return self._failed(step, f"{what}. The batch has rows of {named}: {shown}. {self._out / NOT_FINITE} lists all")

    def _failed(self, step: int, what: str) -> RunFailed:
        last = disk.resumable(self._out)
        return RunFailed(
            f"Step {step}: {what}.",
            (f"The last good checkpoint is {last}. " if last else "There is no checkpoint yet. ")
            + "Lower learning_rate or alpha, raise temperature, or check those rows.",
        )

    def _report(self, step: int, sums: _Sums, speed: float, seconds: float) -> StepReport:
        pairs, alpha = self._stepper.last_pairs, self._config.alpha
        learned = None if self._temperature is None else 1 / float(self._temperature().detach())
        return StepReport(
            step=step,
            loss=sums.loss / sums.steps,
            grad_norm=sums.grad_norm / sums.steps,
            learning_rate=learning_rate(self._config, step, self._data.steps),
            temperature=self._config.temperature if learned is None else learned,
            pairs_per_second=speed,
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
                raise self._failed(step, "the weights are no longer finite")
            with disk.writing(self._out, step) as folder:
                disk.copy_template(self._initial.template, folder)
                write_weights(folder, self._config, weights, tensors)
                disk.write_tensors(folder / disk.STATE_FILE, tensors)
                write_atomic(folder / RECIPE, to_json(self._config))
                disk.write_record(folder / TRAINING, self._record(step))
        self._world.wait()
        return disk.checkpoint_folder(self._out, step)

    def _record(self, step: int) -> dict[str, object]:
        """The record of training that every result of the checkpoint gets."""
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
            "negatives_per_query": self._config.contrasted - 1,
            "processes": self._world.size,
            "settings": weight_settings(self._config),
        }

    def _restore(self, folder: Path) -> int:
        self._check_pairs(folder)
        restores = [self._backend.restore, *([self._temperature.restore] if self._temperature else [])]
        disk.restore_state(folder, restores)
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
        scores = evaluator.scores(folder)
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
