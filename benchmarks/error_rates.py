"""Simulates coverage, error rates and power of every interval and test, against those of version 0.1. See README.md."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import lib.common as common
import lib.former_statistics as former
import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from harness.scoring.intervals import SampleMean, median_interval, pooled, share_intervals
from leaderboards import stats
from leaderboards.stats import Contrast, Moments

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator], Floats]
Table = dict[str, dict[str, float]]

QUERIES = (10, 50, 200, 1000)
RATES = (0.0, 0.02, 0.5, 0.98, 1.0)
CHANCES = (0.001, 0.02, 0.5, 0.98, 0.999)


def _random(*names: object) -> np.random.Generator:
    return np.random.default_rng(list(" ".join(map(str, names)).encode()))


def _percent(share: float) -> float:
    return round(100 * float(share), 1)


def score_coverage() -> Table:
    """Of the interval of a share of hits, from the binomial distribution, without a simulation."""
    table: Table = {}
    for queries in QUERIES:
        count = np.arange(queries + 1.0)
        methods = {
            "before": former.bootstrap_of_share(count / queries, queries),
            "now": share_intervals(count / queries, np.full(queries + 1, float(queries))),
        }
        for rate in RATES:
            weight = scipy_stats.binom.pmf(count, queries, rate)
            table[f"{queries} queries, rate {rate:g}"] = {
                name: _percent(weight[(low <= rate + 1e-9) & (rate <= high + 1e-9)].sum())
                for name, (low, high) in methods.items()
            }
    return table


_GRADED: Mapping[str, tuple[Callable[[np.random.Generator, int], Floats], float]] = {
    "uniform-like": (lambda random, n: random.beta(2, 2, n), 0.5),
    "mostly 0": (lambda random, n: random.beta(0.2, 0.8, n), 0.2),
    "rarely above 0": (lambda random, n: random.choice([0, 0.5, 1], n, p=[0.95, 0.03, 0.02]), 0.035),
}


def graded_coverage(runs: int) -> Table:
    """Of the interval of a graded mean, such as nDCG, and of a median rank."""
    table: Table = {}
    for queries in QUERIES:
        for name, (draw, truth) in _GRADED.items():
            random = _random("graded", queries, name)
            found = [draw(random, queries) for _ in range(runs)]
            table[f"{queries} queries, {name}"] = {
                "before": _covered([former.bootstrap(each, random) for each in found], truth),
                "now": _covered([SampleMean.of(each).interval for each in found], truth),
            }
        random = _random("median", queries)
        ranks = np.ceil(random.lognormal(2, 1, (runs, queries)) * 10)
        covered = _covered([median_interval(each) for each in ranks], float(np.ceil(10 * np.exp(2))))
        table[f"{queries} queries, a median rank"] = {"now": covered}
    return table


def _covered(intervals: Sequence[tuple[float, float]], truth: float) -> float:
    return _percent(np.mean([low - 1e-9 <= truth <= high + 1e-9 for low, high in intervals]))


def mean_coverage(runs: int) -> Table:
    """Of the interval of a mean over datasets, each of which has the same number of queries."""
    table: Table = {}
    for datasets in (4, 36):
        for queries in QUERIES:
            for name, rates in {"0": (0, 0), "0.02": (0.02, 0.02), "0.5": (0.5, 0.5), "0 to 1": (0, 1)}.items():
                random, chance = _random("mean", datasets, queries, name), np.linspace(*rates, datasets)
                found = []
                for means in random.binomial(queries, chance, (runs, datasets)) / queries:
                    samples = [SampleMean.of_count(mean, queries) for mean in means.tolist()]
                    found.append(pooled(samples, [1 / datasets] * datasets).interval)
                covered = _covered(found, float(chance.mean()))
                table[f"{datasets} datasets of {queries} queries, rate {name}"] = {"now": covered}
    return table


def clusters(runs: int) -> Table:
    """100 questions in 20 wordings that are answered alike, or half alike: coverage, and equal models told apart."""
    table: Table = {}
    number = np.repeat(np.arange(100, dtype=np.int32), 20)
    for name, alike in {"answered alike": 1.0, "half alike": 0.5}.items():
        random, held, told = _random("clusters", name), [], []
        for _ in range(runs):
            shared, own = random.random((100, 2)) < 0.55, random.random((2000, 2)) < 0.55
            values = np.where(random.random((2000, 2)) < alike, shared[number], own).astype(float)
            held.append([former.bootstrap(values[:, 0], random), SampleMean.of(values[:, 0], None, number).interval])
            away = values[:, 1] - values[:, 0]
            p = float(Moments.of_pair(away, np.zeros(2000), number).contrast().p)
            told.append([former.flips_p(away, random) < stats.LEVEL, p < stats.LEVEL])
        for at, side in enumerate(("before", "now")):
            table.setdefault(f"20 wordings, {name}: coverage", {})[side] = _covered([each[at] for each in held], 0.55)
            rate = _percent(np.mean([each[at] for each in told]))
            table.setdefault(f"20 wordings, {name}: told apart", {})[side] = rate
    return table


def _exactly_told_apart(queries: int, chance: float) -> dict[str, float]:
    """How often the test tells two models of one chance apart, from the binomial distribution, by kind."""
    binom, count = scipy_stats.binom, np.arange(queries + 1)
    apart, won = count[:, None], count[None, :]
    weight = binom.pmf(apart, queries, 2 * chance * (1 - chance)) * binom.pmf(won, apart, 0.5)
    squares = np.broadcast_to(apart, weight.shape).astype(float)
    outcomes = Moments((2.0 * won - apart), squares, squares, queries, queries).contrast().p
    open_, hits = queries * chance * (1 - chance), count.astype(float)
    second, fourth = (hits * (1 - chance) ** n + (queries - hits) * chance**n + open_ for n in (2, 4))
    expected = Moments(hits - queries * chance, second, fourth, queries, queries).contrast().p
    return {
        "outcomes": _percent(weight[outcomes < stats.LEVEL].sum()),
        "expectation against outcomes": _percent(binom.pmf(count, queries, chance)[expected < stats.LEVEL].sum()),
    }


def _p_values(values: Floats, tied: NDArray[np.bool_], random: np.random.Generator) -> list[float]:
    """The p-values of `llave compare` and of the board before, and of both now."""
    away = values[:, 1] - values[:, 0]
    open_ = np.where(tied, values * (1 - values), 0.0).sum(axis=1)
    now = Moments.of_pair(away, open_, None).contrast().p
    return [former.flips_p(away, random), former.t_test_p(away), float(now)]


def told_apart(runs: int) -> Table:
    """Two models with the same chance on every query: how often a test at 5 % tells them apart. Now: no simulation."""
    table: Table = {}
    for queries in QUERIES:
        for chance in CHANCES:
            for kind in ("outcomes", "expectation against outcomes"):
                random, found = _random("size", queries, chance, kind), []
                for _ in range(runs):
                    values = (random.random((queries, 2)) < chance).astype(float)
                    tied = np.zeros(values.shape, dtype=bool)
                    if kind != "outcomes":
                        values[:, 0], tied[:, 0] = chance, True
                    found.append([p < stats.LEVEL for p in _p_values(values, tied, random)])
                exact = {"now": _exactly_told_apart(queries, chance)[kind]}
                table[f"{queries} queries, chance {chance:g}, {kind}"] = _three(found) | exact
    return table


def _three(found: Sequence[Sequence[bool]]) -> dict[str, float]:
    names = ("compare before", "board before", "now")
    return {name: _percent(share) for name, share in zip(names, np.mean(found, axis=0), strict=True)}


def unpaired_told_apart() -> Table:
    """The same for two published scores, of which only the numbers of queries are known. Not a simulation."""
    table: Table = {}
    for queries in QUERIES:
        for chance in CHANCES:
            rate = np.arange(queries + 1) / queries
            centre, variance = stats.unpaired(rate, np.full(queries + 1, float(queries)))
            p = Contrast(centre[None, :] - centre[:, None], variance[:, None] + variance).p
            weight = scipy_stats.binom.pmf(np.arange(queries + 1), queries, chance)
            told = (weight[:, None] * weight)[p < stats.LEVEL].sum()
            table[f"{queries} queries, chance {chance:g}"] = {"now": _percent(told)}
    return table


def _correlated(queries: int, first: float, second: float, alike: float) -> Draw:
    """Hits of two models; on a share of the queries the same number decides both."""

    def draw(random: np.random.Generator) -> Floats:
        shared, own = random.random((queries, 1)), random.random((queries, 2))
        numbers = np.where(random.random((queries, 1)) < alike, shared, own)
        return (numbers < np.array([first, second])).astype(float)

    return draw


def _graded(queries: int, shift: float) -> Draw:
    """Graded scores of two models, of which the second is better by `shift` on average."""

    def draw(random: np.random.Generator) -> Floats:
        first = random.beta(2, 2, queries)
        return np.stack([first, np.clip(first + random.normal(shift, 0.15, queries), 0, 1)], axis=1)

    return draw


_POWER: Mapping[str, Draw] = {
    "10 queries, 0.3 and 0.7": _correlated(10, 0.3, 0.7, 0.7),
    "50 queries, 0.4 and 0.6": _correlated(50, 0.4, 0.6, 0.7),
    "50 queries, 0.9 and 0.98": _correlated(50, 0.9, 0.98, 0.7),
    "200 queries, 0.5 and 0.6": _correlated(200, 0.5, 0.6, 0.7),
    "200 queries, 0.02 and 0.06": _correlated(200, 0.02, 0.06, 0.7),
    "1000 queries, 0.5 and 0.54": _correlated(1000, 0.5, 0.54, 0.7),
    "1000 queries, 0.95 and 0.97": _correlated(1000, 0.95, 0.97, 0.7),
    "10 queries, graded, +0.15": _graded(10, 0.15),
    "50 queries, graded, +0.06": _graded(50, 0.06),
    "200 queries, graded, +0.03": _graded(200, 0.03),
    "1000 queries, graded, +0.014": _graded(1000, 0.014),
}


def power(runs: int) -> Table:
    """Two models that differ: how often a test at 5 % tells them apart."""
    table: Table = {}
    for name, draw in _POWER.items():
        random, found = _random("power", name), []
        for _ in range(runs):
            values = draw(random)
            found.append([p < stats.LEVEL for p in _p_values(values, np.zeros(values.shape, dtype=bool), random)])
        table[name] = _three(found)
    return table


def contradictions(runs: int) -> Table:
    """How often an interval and the p-value beside it contradict each other on whether there is a difference."""
    table: Table = {}
    for name, draw in _POWER.items():
        random, before, now = _random("contradictions", name), [], []
        for _ in range(runs):
            values = draw(random)
            away = values[:, 1] - values[:, 0]
            low, high = former.paired_interval(away)
            before.append((former.flips_p(away, random) < stats.LEVEL) == (low <= 0 <= high))
            found = Moments.of_pair(away, np.zeros(len(away)), None).contrast()
            now.append((float(found.p) < stats.LEVEL) == (found.interval.low <= 0 <= found.interval.high))
        table[name] = {"before": _percent(np.mean(before)), "now": _percent(np.mean(now))}
    return table


def difference_coverage(runs: int) -> Table:
    """Of the interval of a mean difference over the same datasets, and over other datasets like these."""
    table: Table = {}
    for datasets in (4, 12, 36):
        for name, spread, sparse in (("alike", 0.0, 0.0), ("normal", 0.05, 0.0), ("one in ten, large", 0.0, 0.2)):
            random, same, other, old = _random("datasets", datasets, name), [], [], []
            for _ in range(runs):
                effects = spread * random.standard_normal(datasets) + sparse * (random.random(datasets) < 0.1)
                draw = random.random((datasets, 200))
                away = (draw < (0.3 + effects[:, None]) / 2) * 1.0 - (draw > 1 - (0.3 - effects[:, None]) / 2)
                parts = [Moments.of_pair(each, np.zeros(200), None).contrast(1 / datasets) for each in away]
                whole = sum((each.weighted(1 / datasets) for each in parts[1:]), parts[0].weighted(1 / datasets))
                means = away.mean(axis=1)
                same.append(whole.interval.low <= effects.mean() <= whole.interval.high)
                wide, truth = stats.over_datasets(means.tolist(), whole.interval), 0.1 * sparse
                other.append(wide is not None and wide.low <= truth <= wide.high)
                again = means[:, None] + away.std(axis=1)[:, None] / 200**0.5 * random.standard_normal((datasets, 200))
                low, high = former.over_datasets(means, again, random)
                old.append(low <= truth <= high)
            table[f"{datasets} datasets, effects {name}"] = {
                "these datasets, now": _percent(np.mean(same)),
                "other datasets, before": _percent(np.mean(old)),
                "other datasets, now": _percent(np.mean(other)),
            }
    return table


def tables(figures: Mapping[str, Table]) -> str:
    """The figures as Markdown, a table for each, as docs/statistics.md has them."""
    parts = []
    for title, table in figures.items():
        columns = list(dict.fromkeys(name for row in table.values() for name in row))
        lines = [f"| {title} | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
        for name, row in table.items():
            lines.append(f"| {name} | {' | '.join(str(row.get(column, '')) for column in columns)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Runs the simulations and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--repeats", type=int, default=2000, help="runs of each simulation (2000)")
    add("--markdown", type=Path, metavar="REPORT", help="print the tables of a report instead of running")
    add("--out", type=Path, default=common.RESULTS / "error_rates.json", help="file for the results")
    options = parser.parse_args()
    if options.markdown:
        print(tables(json.loads(options.markdown.read_text(encoding="utf-8"))["figures"]), end="")
        return
    runs = options.repeats
    figures: dict[str, Table] = {
        "coverage of a score": score_coverage(),
        "coverage of other scores": graded_coverage(runs),
        "coverage of a mean over datasets": mean_coverage(max(runs // 2, 1)),
        "coverage of a difference": difference_coverage(max(runs // 2, 1)),
        "clusters": clusters(max(runs // 4, 1)),
        "equal models told apart": told_apart(max(runs // 2, 1)),
        "equal published scores told apart": unpaired_told_apart(),
        "different models told apart": power(runs),
        "contradictions": contradictions(max(runs // 2, 1)),
    }
    common.write_report(options.out, {"repeats": runs}, figures)


if __name__ == "__main__":
    main()
