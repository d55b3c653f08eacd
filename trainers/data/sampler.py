"""Plans which pairs a step sees.

This depends on the seed and the step only, so a resumed run sees exactly the pairs that were left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError, counted, unknown_name


class PairIndex(NamedTuple):
    """A pair: the number of its dataset, and its index in it."""

    subset: int
    row: int


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """All batches of a run. An epoch sees each pair once, or as often as the weight of its dataset says."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    weights: tuple[float, ...]
    batch: int
    parts: int
    """Number of parts of a batch. Pairs are only contrasted within a part."""
    single: bool
    """Whether each part comes from a single dataset."""
    seed: int
    groups: tuple[tuple[int, ...], ...] = ()
    """The group of each pair by dataset, if similar pairs are kept together. A group has one number in a dataset."""

    @staticmethod
    def over(
        sizes: Mapping[str, int],
        weights: Mapping[str, float],
        *,
        batch: int,
        parts: int,
        mode: Literal["mixed", "single", "similar"],
        seed: int,
        groups: Sequence[Sequence[int]] = (),
    ) -> BatchPlan:
        """A plan over datasets with these numbers of pairs.

        Raises UserError for weights of unknown datasets, and for fewer pairs than a batch needs.
        """
        for name in weights:
            if name not in sizes:
                raise unknown_name("dataset", name, sizes, "Correct the setting weights.")
        names, size = tuple(sizes), batch // parts
        plan = BatchPlan(
            names,
            tuple(sizes.values()),
            tuple(weights.get(name, 1.0) for name in names),
            batch,
            parts,
            mode == "single",
            seed,
            tuple(map(tuple, groups)),
        )
        small = [name for name, draws in zip(names, plan.draws, strict=True) if mode == "single" and draws < size]
        if small:
            raise UserError(
                f"{', '.join(small)}: fewer than the {counted(size, 'pair')} that a batch of a single dataset needs.",
                "Lower batch, raise weights, mix datasets (--set batches=mixed), or leave it out with --set datasets=.",
            )
        if sum(plan.draws) < batch:
            most = sum(plan.draws) // parts * parts
            lower = f", or lower the batch: --set batch={most}" if most >= 2 * parts else ""
            what = f"The data has {counted(sum(plan.draws), 'pair')}, which is fewer than a batch of {batch:,}."
            raise UserError(what, f"Add pairs{lower}.")
        return plan

    @property
    def draws(self) -> tuple[int, ...]:
        """Number of pairs of each dataset in an epoch."""
        return tuple(max(1, round(size * weight)) for size, weight in zip(self.sizes, self.weights, strict=True))

    @property
    def steps_per_epoch(self) -> int:
        """Number of whole batches. Pairs that do not fill a batch are left out: different ones in every epoch."""
        size = self.batch // self.parts
        chunks = sum(draws // size for draws in self.draws) if self.single else sum(self.draws) // size
        return chunks // self.parts

    def steps(self, epochs: float) -> int:
        """Number of steps in a number of epochs, at least 1."""
        return max(1, math.floor(epochs * self.steps_per_epoch))

    def at(self, step: int) -> list[list[PairIndex]]:
        """The parts of a step's batch. The first step is 0."""
        epoch, turn = divmod(step, self.steps_per_epoch)
        order = _order(self, epoch)
        size = self.batch // self.parts
        rows = order[turn * self.batch : (turn + 1) * self.batch]
        return [[PairIndex(int(a), int(b)) for a, b in rows[at : at + size]] for at in range(0, self.batch, size)]


@lru_cache(maxsize=2)
def _order(plan: BatchPlan, epoch: int) -> NDArray[np.int64]:
    """(N, 2) the datasets and indexes of an epoch's pairs, in the order in which they are seen."""
    drawn = [_drawn(plan, number, epoch) for number in range(len(plan.sizes))]
    rng = np.random.default_rng([plan.seed, epoch])
    if not plan.single:
        every = np.concatenate(drawn)
        every = every[rng.permutation(len(every))]
        return _together(every, plan, rng) if plan.groups else every
    size = plan.batch // plan.parts
    chunks = [each[at : at + size] for each in drawn for at in range(0, len(each) - size + 1, size)]
    return np.concatenate([chunks[at] for at in rng.permutation(len(chunks))])


def _together(pairs: NDArray[np.int64], plan: BatchPlan, rng: np.random.Generator) -> NDArray[np.int64]:
    """The pairs with those of a group behind each other, and the groups in a random order.

    A batch so has whole groups, but for one at each of its ends.
    """
    keys = [(int(number), plan.groups[number][row]) for number, row in pairs]
    names = list(dict.fromkeys(keys))
    turn = dict(zip(names, rng.permutation(len(names)).tolist(), strict=True))
    return pairs[np.argsort([turn[key] for key in keys], kind="stable")]


def _drawn(plan: BatchPlan, number: int, epoch: int) -> NDArray[np.int64]:
    """(draws, 2) the pairs of a dataset, shuffled. No pair comes a second time before each has come once."""
    size, draws = plan.sizes[number], plan.draws[number]
    rounds = [
        np.random.default_rng([plan.seed, epoch, number, turn]).permutation(size)
        for turn in range(math.ceil(draws / size))
    ]
    indexes = np.concatenate(rounds)[:draws]
    return np.stack([np.full(draws, number), indexes], axis=1)


def by_length(lengths: Sequence[int], groups: int) -> list[list[int]]:
    """Indexes of items in `groups` groups of about equal size, by length with the longest first. Ties: by index."""
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    bounds = [round(number * len(order) / groups) for number in range(groups + 1)]
    return [order[start:end] for start, end in pairwise(bounds) if end > start]
