"""The change of a score when one thing changes, with its paired interval: over queries, and over datasets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import UserError
from harness.results.verified import Outcomes
from harness.scoring.intervals import Interval
from harness.scoring.metrics import Metric
from leaderboards.board.entries import Entry
from leaderboards.stats import LEVEL, Contrast, Moments, unpaired_contrast


@dataclass(frozen=True, slots=True)
class Change:
    """A difference of two scores of the same queries. Fractions, after minus before."""

    value: float
    interval: Interval
    """The 95 % CI for other queries of these datasets."""
    p: float
    """The two-sided p-value of the test that gives `interval`."""

    @property
    def is_loss(self) -> bool:
        """Whether the score is significantly lower."""
        return self.value < 0 and self.p < LEVEL


def mean_score(outcomes: Sequence[Outcomes]) -> float:
    """The mean over datasets of the mean over queries, summed as the scores of results are."""
    means = [Metric("hit", 1).aggregate(each.scores.tolist()) for each in outcomes]
    return math.fsum(means) / len(means)


def change(before: Sequence[Outcomes], after: Sequence[Outcomes]) -> Change:
    """The change of the mean over datasets. Both have the same queries of each dataset, in one order."""
    weight = 1 / len(before)
    parts = [_contrast(*pair, weight).weighted(weight) for pair in zip(before, after, strict=True)]
    whole = sum(parts[1:], parts[0])
    return Change(mean_score(after) - mean_score(before), whole.interval, float(whole.p))


def without_queries(parts: Sequence[tuple[Outcomes, Outcomes]]) -> Change:
    """The change of the mean over datasets when some queries are left out.

    Each pair has the outcomes of the queries that are left out, perhaps none, and of those that stay. The mean of those
    that stay, less that of all, is their distance times the share left out. So the two means of one sample are never
    taken for independent.
    """
    weight = 1 / len(parts)
    whole, values = Contrast(np.zeros(()), np.zeros(())), []
    for out, stay in parts:
        if not len(out.scores):
            continue
        share = len(out.scores) / (len(out.scores) + len(stay.scores))
        whole += unpaired_contrast(out.sample, stay.sample, weight).weighted(weight * share)
        values.append(weight * share * (float(stay.scores.mean()) - float(out.scores.mean())))
    return Change(math.fsum(values), whole.interval, float(whole.p))


def is_shared(task: str, entries: Sequence[Entry]) -> bool:
    """Whether all entries have results of a task, on the same data."""
    found = [entry.records.get(task) for entry in entries]
    digests = {str(each.result.dataset["digest"]) if each else "" for each in found}
    return len(digests) == 1 and "" not in digests


def check_fraction(metrics: Mapping[str, str]) -> None:
    """Raises UserError for a main metric that is a rank, by task: ranks have no mean over datasets."""
    for task, name in metrics.items():
        if Metric.parse(name).is_rank:
            raise UserError(f"The main metric of {task} is {name}, which is a rank.", "Leave that task out.")


def _contrast(before: Outcomes, after: Outcomes, share: float) -> Contrast:
    clusters = before.clusters if before.clusters is not None else after.clusters
    return Moments.of_pair(after.scores - before.scores, before.open + after.open, clusters).contrast(share)
