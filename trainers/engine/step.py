"""The gradient of one optimizer step. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from harness.errors import UserError
from harness.models.llave.prompt import LlaveInput
from harness.types import FloatArray
from trainers.config import TrainingConfig
from trainers.data.loader import SubBatch
from trainers.engine.backend import Backend
from trainers.engine.temperature import Temperature
from trainers.loss.gather import PairLoss, gather, global_loss, mean_over_processes
from trainers.loss.gradcache import cached_step
from trainers.loss.hardness import hardness_weighted_infonce
from trainers.monitor.diagnostics import diagnose

_FEWEST = 8
"""Smallest number of a dataset's pairs in a batch for which figures are logged."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchVectors:
    """Vectors of the pairs of all processes, ids that equal targets share, and the number of each pair's dataset."""

    query: Tensor
    target: Tensor
    target_ids: Tensor
    subsets: Tensor

    def numbers(self, alpha: float) -> dict[str, float]:
        """Figures about the similarities of positives and negatives. Empty if there is no negative."""
        try:
            found = diagnose(
                _array(self.query), _array(self.target), alpha=alpha, target_ids=self.target_ids.cpu().numpy()
            )
        except UserError:
            return {}
        return found.numbers()

    def by_dataset(self, names: Sequence[str], alpha: float) -> dict[str, dict[str, float]]:
        """The same figures within each dataset that has at least eight pairs here."""
        found = {}
        for number, name in enumerate(names):
            mine = self.subsets == number
            if int(mine.sum()) >= _FEWEST:
                own = BatchVectors(self.query[mine], self.target[mine], self.target_ids[mine], self.subsets[mine])
                found[name] = own.numbers(alpha)
        return {name: numbers for name, numbers in found.items() if numbers}


@dataclass(slots=True, eq=False)
class Stepper:
    """Computes the gradient of a batch. The losses that it returns are the same on every process."""

    config: TrainingConfig
    backend: Backend
    temperature: Temperature | None
    """None: the temperature is fixed."""
    last_pairs: BatchVectors | None = None
    """The pairs that were contrasted last."""

    def gradient(self, parts: Sequence[SubBatch]) -> list[float]:
        """Adds the gradient of the mean over the parts of a batch, and returns the loss of each part."""
        return [float(self._part(part, last=number == len(parts))) for number, part in enumerate(parts, start=1)]

    def _part(self, part: SubBatch, *, last: bool) -> Tensor:
        loss = self._loss(part)
        step = self._plain if self.config.micro_batch is None else partial(self._cached, size=self.config.micro_batch)
        with nullcontext() if last else self.backend.no_sync():
            return step(part, loss) * self.config.gradient_accumulation_steps

    def _plain(self, part: SubBatch, loss: PairLoss) -> Tensor:
        vectors = self.backend.embed([*part.queries, *part.targets, *part.negatives])
        pairs = len(part.queries)
        query, target, negatives = vectors[:pairs], vectors[pairs : 2 * pairs], vectors[2 * pairs :]
        share = global_loss(loss, query, target, negatives if part.all_negatives else None)
        self.backend.backward(share)
        return mean_over_processes(share)

    def _cached(self, part: SubBatch, loss: PairLoss, size: int) -> Tensor:
        return cached_step(
            self.backend.embed,
            _cut(part.queries, size),
            _cut(part.targets, size),
            loss,
            negative_chunks=_cut(part.negatives, size) if part.all_negatives else None,
            parameters=[] if self.temperature is None else [self.temperature.log_scale],
            backward=self.backend.backward,
            no_sync=self.backend.no_sync,
        )

    def _loss(self, part: SubBatch) -> PairLoss:
        config, device = self.config, self.backend.device
        query_ids = gather(torch.tensor(part.query_ids, device=device))
        target_ids = gather(torch.tensor(part.target_ids, device=device))
        subsets = gather(torch.tensor(part.subsets, device=device))
        negative_ids = None
        if part.all_negatives and config.mask_duplicates:
            negative_ids = gather(torch.tensor(part.negative_ids, device=device))[: part.all_negatives]

        def loss(
            query: Tensor, target: Tensor, *, rows: range | None = None, negatives: Tensor | None = None
        ) -> Tensor:
            self.last_pairs = BatchVectors(query.detach(), target.detach(), target_ids, subsets)
            value = hardness_weighted_infonce(
                query,
                target,
                scale=config.logit_scale if self.temperature is None else self.temperature(),
                alpha=config.alpha,
                hardness=config.hardness,
                margin=config.margin,
                direction=config.direction,
                matryoshka_dims=config.matryoshka_dims,
                matryoshka_weights=config.matryoshka_weights,
                rows=rows,
                false_negative_margin=config.false_negative_margin,
                negatives=None if negatives is None else negatives[: part.all_negatives],
                query_ids=query_ids if config.mask_duplicates else None,
                target_ids=target_ids if config.mask_duplicates else None,
                negative_ids=negative_ids,
            )
            return value / config.gradient_accumulation_steps

        return loss


def _array(vectors: Tensor) -> FloatArray:
    return vectors.float().cpu().numpy()


def _cut(prompts: Sequence[LlaveInput], size: int) -> list[list[LlaveInput]]:
    return [list(prompts[at : at + size]) for at in range(0, len(prompts), size)]
