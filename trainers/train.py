"""train(): a recipe and its data become checkpoints. Imports torch."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor

from harness.distributed import World
from harness.errors import RunFailed, UserError
from harness.media.digests import Digests
from harness.models.checkpoints import TRAINING
from harness.paths import write_atomic
from harness.results.environment import own_version
from trainers.config import TrainingConfig, to_json
from trainers.data.loader import BatchLoader, PreparedItems, SubBatch
from trainers.data.training_data import TrainingData, check_shares, check_widths, find_material, pinned, remarks
from trainers.engine import checkpoint as disk
from trainers.engine import state
from trainers.engine.backend import AccelerateBackend, Backend
from trainers.engine.initial_checkpoint import InitialCheckpoint, open_start
from trainers.engine.launch import explain_lost_peers, join
from trainers.engine.network import (
    PromptEncoder,
    adapter_weights,
    make_trainable,
    released_weights,
    write_adapter_config,
)
from trainers.engine.run_folder import RECIPE, claim, deciding, left_out, write_plan
from trainers.engine.step import Stepper
from trainers.engine.temperature import Temperature
from trainers.engine.zero import ZeroBackend
from trainers.monitor.evaluation import CheckpointEvaluator
from trainers.monitor.log import StepReport, TrainingLog, TrainingProgress, scored

NOT_FINITE = "not-finite.jsonl"
REST = "non_lora_trainables.safetensors"
_SHOWN = 4


def train(config: TrainingConfig, out: Path, watcher: TrainingProgress, *, resume: bool = False) -> Path:
    """Trains to the last step and returns the last checkpoint. Raises UserError before it begins; later RunFailed."""
    config = claim(config, out, resume=resume)
    accelerator = join(config)
    world = World(accelerator.process_index, accelerator.num_processes)
    check_shares(config, world.size)
    examiner = CheckpointEvaluator.of(config, out, world, watcher.evaluating()) if config.eval_every else None
    with explain_lost_peers():
        with accelerator.main_process_first():
            config = pinned(config)
            material = find_material(config)
            if world.is_main and not disk.checkpoints(out):
                shutil.rmtree(out / "start", ignore_errors=True)  # of a run that came to nothing, with another seed
            start = open_start(config, out / "start")
            if world.is_main:
                write_plan(config, material, out)
        check_widths(config, start.config.language["hidden_size"])
        for note in (left_out(material, out), *remarks(config, material)):
            if note:
                watcher.note(note)
        run = _Run(config, out, watcher, accelerator, world, material, start, examiner)
        return run.go(disk.resumable(out) if resume else None)


@dataclass(slots=True)
class _Since:
    """Sums since the last report."""

    steps: int = 0
    loss: float = 0.0
    grad_norm: float = 0.0
    began: float = 0.0


class _Run:
    """All that a run holds while it goes."""

    def __init__(
        self,
        config: TrainingConfig,
        out: Path,
        watcher: TrainingProgress,
        accelerator: Accelerator,
        world: World,
        material: TrainingData,
        start: InitialCheckpoint,
        examiner: CheckpointEvaluator | None,
    ) -> None:
        self._config, self._out, self._watcher = config, out, watcher
        self._accelerator, self._world = accelerator, world
        self._material, self._start = material, start
        self._digest = material.digest()
        self._examiner = examiner
        network = start.network()
        make_trainable(network, config)
        reader = start.reader(network)
        digests = Digests() if config.mask_duplicates else None
        prepared = PreparedItems(reader.prepare, config.cache_mb * 2**20, digests)
        self._feed = BatchLoader(
            material.plan, material.subsets, prepared, world.rank, world.size, config.hard_negatives, config.workers
        )
        made = ZeroBackend if accelerator.distributed_type == DistributedType.DEEPSPEED else AccelerateBackend
        self._learner: Backend = made(accelerator, PromptEncoder(network, peers=world.size > 1), config)
        self._temperature = Temperature(config, accelerator.device) if config.learn_scale else None
        self._stepper = Stepper(config, self._learner, self._temperature)

    def go(self, resumed: Path | None) -> Path:
        first = self._restore(resumed) if resumed else 0
        steps = self._material.steps
        self._watcher.note(
            f"{f'Going on from {resumed}' if resumed else f'Beginning with {self._config.start}'}: "
            f"{steps - first:,} steps of {self._config.batch:,} pairs, checkpoints in {self._out}."
        )
        log = TrainingLog(self._out, first, tensorboard=self._config.tensorboard) if self._world.is_main else None
        self._watcher.begin(first, steps)
        if self._examiner and resumed and self._is_due(first) and not scored(self._out, first):
            self._examine(self._examiner, resumed, log)
        began = time.perf_counter()
        since = _Since(began=began)
        for step, parts in enumerate(self._feed.steps(first, steps), start=first + 1):
            loss, norm = self._step(step, parts)
            since.steps, since.loss, since.grad_norm = since.steps + 1, since.loss + loss, since.grad_norm + norm
            now = time.perf_counter()
            speed = since.steps * self._config.batch / (now - since.began)
            self._watcher.step(loss, speed)
            if step % self._config.log_every == 0 or step == steps:
                if log is not None:
                    log.add(self._report(step, since, speed, now - began))
                since = _Since(began=now)
            if step % self._config.save_every == 0 or step == steps:
                folder = self._save(step)
                if self._examiner and self._is_due(step):
                    self._examine(self._examiner, folder, log)
                if self._world.is_main:
                    disk.prune(self._out, self._config.keep)
                since.began += time.perf_counter() - now
        return disk.checkpoint_folder(self._out, steps)

    def _is_due(self, step: int) -> bool:
        """Whether the checkpoint of a step is evaluated."""
        return step % self._config.eval_every == 0 or step == self._material.steps

    def _step(self, step: int, parts: Sequence[SubBatch]) -> tuple[float, float]:
        """Loss and norm of the gradient. All randomness follows from the seed, the step and the process."""
        torch.manual_seed(_number(self._config.seed, step, self._world.rank))
        lr = learning_rate(self._config, step, self._material.steps)
        losses = self._stepper.gradient(parts)
        norm = self._learner.step(lr)
        if not all(map(math.isfinite, (*losses, norm))):
            raise self._not_finite(step, parts, losses, norm)
        if self._temperature:
            self._temperature.step(lr)
        return sum(losses) / len(losses), norm

    def _not_finite(self, step: int, parts: Sequence[SubBatch], losses: Sequence[float], norm: float) -> RunFailed:
        lost = [number for number, loss in enumerate(losses) if not math.isfinite(loss)]
        what = f"the loss is {losses[lost[0]]}" if lost else f"the gradient's norm is {norm}"
        # a gradient is the sum over all parts
        places = [place for number in lost[:1] or range(len(parts)) for place in parts[number].places]
        rows = [(self._material.subsets[place.subset].name, self._feed.where(place)) for place in places]
        if self._world.is_main:
            lines = [{"step": step, "dataset": name, "row": row} for name, row in rows]
            write_atomic(self._out / NOT_FINITE, "".join(f"{json.dumps(line)}\n" for line in lines))
        named = ", ".join(sorted({name for name, _ in rows}))
        shown = "; ".join(row for _, row in rows[:_SHOWN])
        return self._spoilt(step, f"{what}. The batch is of {named}: {shown}; {self._out / NOT_FINITE} has all rows")

    def _spoilt(self, step: int, what: str) -> RunFailed:
        last = disk.resumable(self._out)
        return RunFailed(
            f"Step {step}: {what}.",
            (f"The last good checkpoint is {last}. " if last else "There is no checkpoint yet. ")
            + "Lower lr, scale or alpha, or look at those rows.",
        )

    def _report(self, step: int, since: _Since, speed: float, seconds: float) -> StepReport:
        seen, alpha = self._stepper.seen, self._config.alpha
        scale = self._config.scale if self._temperature is None else float(self._temperature().detach())
        return StepReport(
            step=step,
            loss=since.loss / since.steps,
            grad_norm=since.grad_norm / since.steps,
            lr=learning_rate(self._config, step, self._material.steps),
            scale=scale,
            pairs_per_second=speed,
            seconds=seconds,
            numbers=seen.numbers(alpha) if seen else {},
            datasets=seen.by_dataset([each.name for each in self._material.subsets], alpha) if seen else {},
        )

    def _save(self, step: int) -> Path:
        """Writes a checkpoint. Every process must come here; the main one writes."""
        tensors = self._learner.state()
        if self._temperature:
            tensors |= self._temperature.state()
        weights = {name.removeprefix("network."): each for name, each in self._learner.weights().items()}
        if self._world.is_main:
            if not all(bool(each.isfinite().all()) for each in tensors.values()):
                raise self._spoilt(step, "weights are no longer finite")
            with disk.writing(self._out, step) as folder:
                disk.copy_template(self._start.template, folder)
                if self._config.lora_rank:
                    self._write_adapter(folder / "adapter", weights, tensors)
                if not self._config.lora_rank or self._config.lora_merge:
                    disk.write_tensors(folder / "model.safetensors", released_weights(weights, self._config))
                disk.write_tensors(folder / disk.STATE_FILE, tensors)
                write_atomic(folder / RECIPE, to_json(self._config))
                disk.write_record(folder / TRAINING, self._record(step))
        self._world.wait()
        return disk.checkpoint_folder(self._out, step)

    def _write_adapter(self, folder: Path, weights: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
        """For peft, and beside it what else has learned, such as the projector."""
        disk.write_tensors(folder / "adapter_model.safetensors", adapter_weights(weights))
        write_adapter_config(folder, self._config)
        learned, _ = state.split(tensors)
        rest = {name: weights[name] for name in (each.removeprefix("network.") for each in learned) if name in weights}
        if released := released_weights(rest, self._config):
            disk.write_tensors(folder / REST, released)

    def _record(self, step: int) -> dict[str, object]:
        """What a result from the checkpoint is to carry."""
        return {
            "llave-bench": own_version(),
            "recipe": self._config.recipe,
            "step": step,
            "steps": self._material.steps,
            "pairs_seen": step * self._config.batch,
            "data": self._config.data,
            "pairs": {subset.name: len(subset) for subset in self._material.subsets},
            "pairs_digest": self._digest,
            "pairs_left_out": {name: len(lost) for name, lost in self._material.skipped.items()},
            "negatives_per_query": self._config.contrasted - 1,
            "processes": self._world.size,
            "settings": deciding(self._config),
        }

    def _restore(self, folder: Path) -> int:
        self._check_pairs(folder)
        tensors = disk.read_tensors(folder / disk.STATE_FILE)
        self._learner.restore(tensors)
        if self._temperature:
            self._temperature.restore(tensors)
        return disk.step_of(folder)

    def _check_pairs(self, folder: Path) -> None:
        """Raises UserError unless the data has the pairs that the run has seen."""
        record, now = disk.read_record(folder / TRAINING), self._record(disk.step_of(folder))
        if record["pairs"] != now["pairs"]:
            what = f"its pairs were {record['pairs']}, and are {now['pairs']}"
        elif record["pairs_digest"] != now["pairs_digest"]:
            what = "there are as many pairs, but other ones"
        else:
            return
        raise UserError(
            f"The data has changed since {folder}: {what}.", "Resume with the same data, or choose another --out."
        )

    def _examine(self, examiner: CheckpointEvaluator, folder: Path, log: TrainingLog | None) -> None:
        scores = examiner.scores(folder)
        if log is not None:
            mean = sum(scores.values()) / len(scores)
            best = disk.note_score(self._out, disk.step_of(folder), mean)
            log.add_scores(disk.step_of(folder), scores, mean)
            self._watcher.note(
                f"{folder.name}: {mean:.1%} over {len(scores)} tasks{', the best so far' if best else ''}"
            )
        self._world.wait()


def learning_rate(config: TrainingConfig, step: int, steps: int) -> float:
    """Of a step, from 1: rises in a line, then falls as half a cosine to zero after the last step."""
    warm = math.ceil(config.warmup * steps)
    if step <= warm:
        return config.lr * step / warm
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - 1 - warm) / max(1, steps - warm)))


def _number(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
