"""How many queries, datasets or seeds a difference needs to be seen, by the tests that `llave compare` makes.

The test is two-sided at 5 %. A mean over K datasets of n_k queries has the variance `sum(v_k / n_k) / K**2`. Here v_k
is the variance of a query's difference times the design effect of its clusters. Source of the sample sizes: Cohen,
"Statistical Power Analysis for the Behavioral Sciences", 1988, chapter 2. For paired proportions: Connor, "Sample size
for testing differences in proportions for the paired-sample design", 1987.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np

from harness.errors import UserError
from harness.results.numbers import percent
from harness.results.verified import Outcomes
from leaderboards.analysis.report import Report
from leaderboards.tables import Cell, Table

_Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""
CORRELATIONS = (0.0, 0.5, 0.8)
"""Correlations of two models' scores of a query that are assumed where only one model is known."""
_MOST = 1000
"""More seeds than this are not counted."""


@dataclass(frozen=True, slots=True)
class PowerCase:
    """What is assumed of the differences of queries, and what follows."""

    name: str
    error: float
    """The standard error of the mean difference with the queries at hand."""
    queries: int
    """Number of queries needed over all datasets, in the proportions at hand."""
    detectable: float
    """The smallest difference that the queries at hand show with the power asked for."""
    datasets: int | None = None
    """Number of datasets like these needed, so that the mean over other datasets too is seen. None: not known."""


@dataclass(frozen=True, slots=True)
class PowerPlan:
    """The cases, and the number of seeds of each of two models."""

    difference: float
    power: float
    queries: int
    datasets: int
    cases: tuple[PowerCase, ...]
    seeds: int | None = None
    """Number of training runs of each model. None: the spread of runs is not known."""
    spread: float | None = None
    """The standard deviation of runs' scores."""


def plan_power(
    baseline: Sequence[Outcomes],
    against: Sequence[Outcomes] | None,
    runs: Sequence[float],
    difference: float,
    power: float,
) -> PowerPlan:
    """What is needed to see a difference from a baseline.

    Args:
        baseline: the outcomes of the model on each dataset.
        against: those of another model on the same queries, from which the variance of differences is measured. None:
            it follows from assumed correlations, and for no correlation it is largest.
        runs: mean scores of two or more runs of one training with different seeds; empty if there are none.
        difference: the difference of means to see, a fraction above 0.
        power: the probability of seeing it, a fraction.
    """
    needed = (_Z + _quantile(power)) ** 2
    counts = [len(each.scores) for each in baseline]
    effects = [max(each.sample.effect, 1.0) for each in baseline]
    spreads = [each.scores.mean() * (1 - each.scores.mean()) for each in baseline]
    if against is None:
        # two models with variances v and a correlation r: the variance of the difference is 2 * v * (1 - r)
        rates = [(f"correlation {r:g}", [2 * v * (1 - r) for v in spreads]) for r in CORRELATIONS]
    else:
        pairs = list(zip(baseline, against, strict=True))
        effects = [1.0] * len(pairs)  # clusters are in the measured variance
        rates = [("as measured", [_variance(*pair) for pair in pairs])]
    cases = [_case(name, rate, effects, counts, difference, needed) for name, rate in rates]
    if against is not None:
        cases = [replace(each, datasets=_datasets(pairs, each.error, difference, needed)) for each in cases]
    spread = float(np.std(runs, ddof=1)) if len(runs) > 1 else None
    seeds = None if spread is None else _seeds(spread, difference, power)
    return PowerPlan(difference, power, sum(counts), len(counts), tuple(cases), seeds, spread)


def _case(
    name: str,
    rates: Sequence[float],
    effects: Sequence[float],
    counts: Sequence[int],
    difference: float,
    needed: float,
) -> PowerCase:
    parts = (rate * effect / count for rate, effect, count in zip(rates, effects, counts, strict=True))
    error = math.sqrt(max(math.fsum(parts), 0.0)) / len(counts)
    factor = needed * (error / difference) ** 2
    return PowerCase(name, error, max(len(counts), math.ceil(factor * sum(counts))), math.sqrt(needed) * error)


def _variance(before: Outcomes, after: Outcomes) -> float:
    """The variance of a query's difference, with ties open and clusters counted as one observation."""
    differences = after.scores - before.scores
    clusters = before.clusters if before.clusters is not None else after.clusters
    sums = differences - differences.mean()
    if clusters is not None:
        sums = np.bincount(clusters, sums)
    return float(sums @ sums + before.open.sum() + after.open.sum()) / len(differences)


def _datasets(pairs: Sequence[tuple[Outcomes, Outcomes]], error: float, difference: float, needed: float) -> int | None:
    """Number of datasets of as many queries, so that the mean over datasets drawn like these is seen."""
    if len(pairs) < 3:
        return None
    means = [float(after.scores.mean() - before.scores.mean()) for before, after in pairs]
    apart = max(float(np.var(means, ddof=1)), error**2 * len(pairs))
    return max(2, math.ceil(needed * apart / difference**2))


def _seeds(spread: float, difference: float, power: float) -> int | None:
    """Number of runs of each of two models for Welch's test of their means. None for more than a thousand."""
    from scipy import stats

    for count in range(2, _MOST):
        freedom = 2 * (count - 1)
        shift = difference / (spread * math.sqrt(2 / count)) if spread else math.inf
        if shift == math.inf or 1 - stats.nct.cdf(stats.t.ppf(0.975, freedom), freedom, shift) >= power:
            return count
    return None


def _quantile(power: float) -> float:
    from scipy import special

    return float(special.ndtri(power))


def check_power(difference: float, power: float) -> None:
    """Raises UserError for a difference or a power that no plan can be made for."""
    if difference <= 0:
        raise UserError("--difference 0 needs endless queries.", "Give points above 0, such as 1.")
    if not 0.05 < power < 1:
        raise UserError(f"--power {100 * power:g} is not between 5 and 100.", "80 is usual.")


def power_report(plan: PowerPlan, baseline: str) -> Report:
    """The plan as a table and sentences."""
    columns = (
        "differences of queries",
        "standard error",
        "queries needed",
        "seen with these queries",
        "datasets needed",
    )
    rows = tuple(
        (
            Cell(each.name),
            Cell(percent(each.error, 2)),
            Cell(f"{each.queries:,}"),
            Cell(percent(each.detectable)),
            Cell("" if each.datasets is None else f"{each.datasets:,}"),
        )
        for each in plan.cases
    )
    notes = [
        f"{baseline} has {plan.queries:,} queries in {plan.datasets:,} datasets. Queries needed are over all of them.",
        "Differences and errors are in points.",
    ]
    if plan.cases[0].name.startswith("corr"):
        notes.append("--against RESULT measures the differences of queries; correlations are assumptions.")
    else:
        notes.append("Datasets needed: so that the mean over other datasets like these is seen too.")
    title = f"To see {percent(plan.difference)} points with a probability of {percent(plan.power, 0)} %"
    return Report(
        "power",
        (Table(title, columns, rows, frozenset(columns[:1]), tuple(notes)),),
        (_seed_sentence(plan),),
        {
            "difference": plan.difference,
            "power": plan.power,
            "queries": plan.queries,
            "datasets": plan.datasets,
            "seeds": plan.seeds,
            "spread_of_runs": plan.spread,
            "cases": [
                dict(zip(("case", "standard_error", "queries", "detectable", "datasets"), astuple(each), strict=True))
                for each in plan.cases
            ],
        },
    )


def _seed_sentence(plan: PowerPlan) -> str:
    if plan.spread is None:
        return "Seeds: --runs with results of two or more runs of one training tells how many runs are needed."
    few = "more than a thousand" if plan.seeds is None else str(plan.seeds)
    return (
        f"Seeds: runs differ by {percent(plan.spread, 2)} points (standard deviation), so each model needs {few} runs."
    )
