"""Samples of tasks and of training pairs, which are embedded by the harness and diagnosed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.embed import EmbedSettings, OwnItem, embed_items
from harness.encoding.distributed import World
from harness.errors import BadMedia, UserError
from harness.media.digests import Digests
from harness.progress import Progress
from harness.types import Item, ModelHandle, Role, TaskData
from trainers.data.pairs import content_key
from trainers.monitor.diagnostics import Diagnosis, diagnose

if TYPE_CHECKING:
    from trainers.data.mmeb_train import Subset


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Queries of one dataset with targets: each query has one positive and some negatives among them."""

    queries: Sequence[Item]
    targets: Sequence[Item]
    right: NDArray[np.int64]
    """(n,) the index of each query's positive."""
    wrong: NDArray[np.bool_]
    """(n, m) which targets are negatives of each query."""


def sample_task(data: TaskData, pairs: int) -> Sample:
    """A sample of a task: its first queries, each with its first positive and its wrong candidates.

    `pairs` is the largest number of queries.
    """
    queries = [query for query in data.queries if len(query.positives)][:pairs]
    wrong = np.zeros((len(queries), len(data.targets)), np.bool_)
    for row, query in enumerate(queries):
        wrong[row, query.candidates if len(query.candidates) else slice(None)] = True
        wrong[row, query.positives] = False
    right = np.array([query.positives[0] for query in queries], np.int64)
    return _used(Sample([query.item for query in queries], data.targets, right, wrong))


def sample_pairs(subset: Subset, pairs: int, digests: Digests) -> Sample:
    """A sample of up to `pairs` training pairs at equal distances.

    The negatives of a query are the targets of other pairs and the pair's own hard negatives. Targets with the same
    text and the same bytes of media are one. Raises UserError for media that cannot be used.
    """
    rows = np.unique(np.linspace(0, len(subset) - 1, min(pairs, len(subset))).astype(int)).tolist()
    chosen = [subset.pair(row) for row in rows]
    numbers: dict[int, int] = {}
    targets: list[Item] = []

    def number(place: int, item: Item) -> int:
        try:
            found = numbers.setdefault(content_key(item, digests), len(targets))
        except BadMedia as error:
            raise UserError(f"{subset.where(rows[place])}: {error.what}", error.hint) from None
        if found == len(targets):
            targets.append(item)
        return found

    right = np.array([number(place, pair.target) for place, pair in enumerate(chosen)], np.int64)
    hard = [(place, number(place, item)) for place, pair in enumerate(chosen) for item in pair.negatives]
    wrong = np.zeros((len(chosen), len(targets)), np.bool_)
    wrong[:, right] = True
    for place, found in hard:
        wrong[place, found] = True
    wrong[np.arange(len(chosen)), right] = False
    return Sample([pair.query for pair in chosen], targets, right, wrong)


def diagnose_samples(
    samples: Mapping[str, Sample], handle: ModelHandle, settings: EmbedSettings, progress: Progress, alpha: float
) -> dict[str, Diagnosis]:
    """Embeds samples with a model, and returns the figures by dataset.

    Raises UserError for a sample without a negative, before anything is embedded, and what embedding raises.
    """
    for name, sample in samples.items():
        if not sample.wrong.any():
            raise UserError(f"{name} has no query with a positive and a negative.", "Use more pairs, or leave it out.")
    items = [
        OwnItem(f"{name} {role} {number}", item, role, f"{name}, {role} {number}")
        for name, sample in samples.items()
        for role, side in _sides(sample)
        for number, item in enumerate(side)
    ]
    embedded = embed_items(items, handle, settings, progress, World(0, 1))
    assert embedded is not None
    found, vectors = {}, embedded.vectors
    for name, sample in samples.items():
        query, targets, vectors = np.split(vectors, np.cumsum([len(sample.queries), len(sample.targets)]))
        found[name] = diagnose(query, targets[sample.right], alpha=alpha, pool=targets, wrong=sample.wrong)
    return found


def _sides(sample: Sample) -> tuple[tuple[Role, Sequence[Item]], ...]:
    return ("query", sample.queries), ("target", sample.targets)


def _used(sample: Sample) -> Sample:
    """The sample without targets that no query has."""
    used = np.union1d(sample.right, np.nonzero(sample.wrong)[1])
    targets = [sample.targets[at] for at in used]
    return Sample(sample.queries, targets, np.searchsorted(used, sample.right), sample.wrong[:, used])
