"""The gradient of one optimizer step. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from harness.errors import UserError
from harness.types import FloatArray
from trainers.config import TrainingConfig
from trainers.data.loader import PreparedItem, SubBatch
from trainers.engine.backend import Backend
from trainers.engine.temperature import Temperature
from trainers.loss.gather import PairLoss, gather, global_loss, mean_over_processes, rank
from trainers.loss.gradcache import cached_step
from trainers.loss.hardness import hardness_weighted_infonce
from trainers.loss.tiles import TILE
from trainers.monitor.diagnostics import diagnose
from trainers.monitor.tally import Counts

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

    counts: Counts = field(default_factory=Counts)
    """What was counted in the batch whose gradient was computed last."""

    def gradient(self, parts: Sequence[SubBatch]) -> list[float]:
        """Adds the gradient of the mean over the parts of a batch, and returns the loss of each part."""
        self.counts = Counts()
        return [float(self._part(part, last=number == len(parts))) for number, part in enumerate(parts, start=1)]

    def _part(self, part: SubBatch, *, last: bool) -> Tensor:
        loss = self._loss(part)
        step = self._plain if self.config.micro_batch is None else partial(self._cached, size=self.config.micro_batch)
        with nullcontext() if last else self.backend.no_sync():
            return step(part, loss) * self.config.gradient_accumulation_steps

    def _plain(self, part: SubBatch, loss: PairLoss) -> Tensor:
        vectors = self.backend.embed(part.items)
        pairs = len(part.queries)
        query, target, negatives = vectors[:pairs], vectors[pairs : 2 * pairs], vectors[2 * pairs :]
        share = global_loss(loss, query, target, negatives if part.all_negatives else None)
        self.backend.backward(share)
        return mean_over_processes(share)

    def _cached(self, part: SubBatch, loss: PairLoss, size: int) -> Tensor:
        """Items of like length share a chunk, so that little is padded. The loss sees vectors in their first order."""
        targets, negatives = _by_cost(part.targets), _by_cost(part.negatives)
        target_rows, negative_rows = self._rows_before(targets), self._rows_before(negatives)

        def in_order(
            query: Tensor, target: Tensor, *, rows: range | None = None, negatives: Tensor | None = None
        ) -> Tensor:
            wrong = None if negatives is None else negatives[negative_rows]
            return loss(query, target[target_rows], rows=rows, negatives=wrong)

        return cached_step(
            self.backend.embed,
            _cut(part.queries, size),  # sorted by the loader
            _cut([part.targets[at] for at in targets], size),
            in_order,
            negative_chunks=_cut([part.negatives[at] for at in negatives], size) if part.all_negatives else None,
            parameters=[] if self.temperature is None else [self.temperature.log_scale],
            backward=self.backend.backward,
            no_sync=self.backend.no_sync,
        )

    def _rows_before(self, order: Sequence[int]) -> Tensor:
        """The rows of sorted items of all processes, in the order that the items had before."""
        rows = torch.tensor(order, dtype=torch.int64).argsort().to(self.backend.device)
        return gather(rows + len(order) * rank())

    def _loss(self, part: SubBatch) -> PairLoss:
        config, device = self.config, self.backend.device
        query_ids, target_ids, negative_ids = (
            gather(torch.tensor([each.id for each in side], dtype=torch.int64, device=device))
            for side in (part.queries, part.targets, part.negatives if part.all_negatives else part.queries[:1])
        )
        subsets = gather(torch.tensor(part.subsets, device=device))
        own = torch.tensor(
            [sum(each.features.truncated for each in part.items), sum(each.features.cost for each in part.items)]
        )
        cut, tokens = (int(each) for each in gather(own[None].to(device)).sum(0))
        negative_ids = negative_ids[: part.all_negatives]
        counted = torch.arange(part.all_negatives, device=device)
        masked = torch.zeros_like(target_ids)
        if config.mask_duplicates:
            counted = first_of_each(negative_ids, target_ids)
            masked = equal_pairs(query_ids, target_ids)
        alone = int((masked == len(masked) - 1).sum()) if not len(counted) else 0
        self.counts += Counts(cut, int(masked.sum()), alone, tokens)

        def loss(
            query: Tensor, target: Tensor, *, rows: range | None = None, negatives: Tensor | None = None
        ) -> Tensor:
            self.last_pairs = BatchVectors(query.detach(), target.detach(), target_ids, subsets)
            if config.false_negative_margin is not None:
                self.counts += Counts(masked_pairs=suspected(query, target, config.false_negative_margin))
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
                negatives=None if negatives is None else negatives[counted],
                query_ids=query_ids if config.mask_duplicates else None,
                target_ids=target_ids if config.mask_duplicates else None,
            )
            return value / config.gradient_accumulation_steps

        return loss


def equal_pairs(query_ids: Tensor, target_ids: Tensor) -> Tensor:
    """(n,) the number of other pairs with the query or the target of each pair."""

    def repeats(ids: Tensor) -> Tensor:
        _, group, sizes = torch.unique(ids, dim=0, return_inverse=True, return_counts=True)
        return sizes[group] - 1  # type: ignore[no-any-return]

    return repeats(query_ids) + repeats(target_ids) - repeats(torch.stack([query_ids, target_ids], dim=1))


def first_of_each(ids: Tensor, target_ids: Tensor) -> Tensor:
    """Indexes of the negatives that are equal to no target and to no negative before them."""
    seen = set(target_ids.tolist())
    kept = [at for at, each in enumerate(ids.tolist()) if not (each in seen or seen.add(each))]  # type: ignore[func-returns-value]
    return torch.tensor(kept, dtype=torch.int64, device=ids.device)


@torch.no_grad()
def suspected(query: Tensor, target: Tensor, margin: float) -> int:
    """The number of targets that exceed the similarity of a query's own by more than the margin."""
    limit = (query * target).sum(1) + margin
    return sum(
        int((query[at : at + TILE] @ target.T > limit[at : at + TILE, None]).sum()) for at in range(0, len(query), TILE)
    )


def _array(vectors: Tensor) -> FloatArray:
    return vectors.float().cpu().numpy()


def _by_cost(items: Sequence[PreparedItem]) -> list[int]:
    return sorted(range(len(items)), key=lambda at: -items[at].features.cost)


def _cut(items: Sequence[PreparedItem], size: int) -> list[list[PreparedItem]]:
    return [list(items[at : at + size]) for at in range(0, len(items), size)]
