"""Figures and a plot of the runs of hardness.py: means over seeds, and differences between alphas by seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypedDict

from scipy import stats

import lib.common as common
from harness.types import Task
from tasks.suites import MEAN_OF_META_TASKS, aggregate, suite_of

Scores: TypeAlias = Mapping[str, float]
"""Scores by group (a meta-task, IND, OOD, overall) or task."""
HALF_WAY = "P@1 half-way"
"""P@1 after half of the steps, in the same runs."""
COUNTED = ("P@1", HALF_WAY, "overlap")
PRIMARY = "P@1 after the last step, overall: the last alpha less the first, at the first batch and temperature"
"""The primary figure, which was chosen before the runs. All others are exploratory."""


class Finished(TypedDict):
    """A finished run, as hardness.py writes it."""

    batch: int
    scale: float
    alpha: float
    seed: int
    steps: int
    seconds: float
    tasks: Mapping[str, Scores]
    """Figures by task."""


class Gain(NamedTuple):
    """A mean difference between two alphas, with its 95 % CI over seeds."""

    mean: float
    low: float | None
    high: float | None
    better: int
    """Number of seeds in which it is above zero."""
    seeds: int


def gain(differences: Sequence[float]) -> Gain:
    """A mean difference with its CI by Student's t.

    Both sides of a difference share initial weights and batches, so their effect cancels.
    """
    count, mean = len(differences), statistics.fmean(differences)
    better = sum(each > 0 for each in differences)
    if count == 1:
        return Gain(round(mean, 4), None, None, better, count)
    half = float(stats.t.ppf(0.975, count - 1)) * statistics.stdev(differences) / math.sqrt(count)
    return Gain(round(mean, 4), round(mean - half, 4), round(mean + half, 4), better, count)


def by_name(run: Finished, what: str, tasks: Sequence[Task]) -> Scores:
    """The scores of a run in one figure, by group and task."""
    scores = {name: numbers[what] for name, numbers in run["tasks"].items()}
    means = aggregate(suite_of("hardness", "", tasks), scores)
    groups = {mean.name: mean.value for mean in means if mean.name != MEAN_OF_META_TASKS and mean.value is not None}
    return groups | scores


def figures(runs: Sequence[Finished], tasks: Sequence[Task]) -> dict[str, object]:
    """The figures for each batch and temperature. A seed of an alpha counts if the first alpha is finished too."""
    found: dict[str, object] = {}
    for batch, scale in dict.fromkeys((run["batch"], run["scale"]) for run in runs):
        of = {(run["alpha"], run["seed"]): run for run in runs if (run["batch"], run["scale"]) == (batch, scale)}
        alphas = sorted({alpha for alpha, _ in of})
        seeds = [seed for seed in sorted({seed for a, seed in of if a != alphas[0]}) if (alphas[0], seed) in of]
        chosen = {alpha: {seed: of[alpha, seed] for seed in seeds if (alpha, seed) in of} for alpha in alphas}
        chosen = {alpha: runs for alpha, runs in chosen.items() if runs}
        if seeds:
            found[f"batch {batch}, temperature {1 / scale:g}"] = {
                "seeds": seeds,
                "steps": next(iter(of.values()))["steps"],
                "seconds of a run": round(statistics.median(run["seconds"] for run in of.values())),
                **{what: _compared(chosen, what, tasks) for what in COUNTED},
            }
    return found


def _compared(chosen: Mapping[float, Mapping[int, Finished]], what: str, tasks: Sequence[Task]) -> dict[str, object]:
    grouped = {alpha: {seed: by_name(run, what, tasks) for seed, run in runs.items()} for alpha, runs in chosen.items()}
    first, *others = grouped
    base = grouped[first]
    names = list(next(iter(base.values())))
    return {
        "overall by seed": {
            _label(alpha): {seed: round(each["overall"], 4) for seed, each in runs.items()}
            for alpha, runs in grouped.items()
        },
        "means": {
            _label(alpha): {name: round(statistics.fmean(each[name] for each in runs.values()), 4) for name in names}
            for alpha, runs in grouped.items()
        },
        "differences": {
            f"{_label(alpha)} less {_label(first)}": {
                name: gain([each[name] - base[seed][name] for seed, each in grouped[alpha].items()])._asdict()
                for name in names
            }
            for alpha in others
        },
    }


def _label(alpha: float) -> str:
    return f"alpha {alpha:g}"


def draw(found: Mapping[str, Mapping[str, object]], path: Path, tasks: Sequence[Task]) -> None:
    """Draws differences in P@1 and overlap by group, with their CIs. Each batch and temperature has a row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 3.2 * len(found) + 0.4), layout="constrained")
    axes = figure.subplots(len(found), len(COUNTED), squeeze=False)
    labels = list(dict.fromkeys(label for of in found.values() for label in of["P@1"]["differences"]))
    for row, (name, of) in zip(axes, found.items(), strict=True):
        for axis, what in zip(row, COUNTED, strict=True):
            differences = of[what]["differences"]
            for number, (label, every) in enumerate(differences.items()):
                gains = {name: each for name, each in every.items() if name not in {task.name for task in tasks}}
                places = [at + 0.2 * (number - (len(differences) - 1) / 2) for at in range(len(gains))]
                values = [100 * each["mean"] for each in gains.values()]
                highs = [100 * (each["mean"] if each["high"] is None else each["high"]) for each in gains.values()]
                halves = [high - value for high, value in zip(highs, values, strict=True)]
                axis.errorbar(
                    places, values, yerr=halves, fmt="o", capsize=3, label=label, color=f"C{labels.index(label)}"
                )
                axis.set_xticks(range(len(gains)), list(gains), rotation=20, ha="right")
            axis.axhline(0, color="black", linewidth=0.8)
            counts = dict.fromkeys(gains["overall"]["seeds"] for gains in differences.values())
            axis.set_title(f"{what}, {name}, {' and '.join(map(str, counts))} seeds", fontsize="medium")
            axis.set_ylabel("points, with 95 % interval")
    handles, shown = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, shown, loc="outside upper center", ncols=len(shown), frameon=False)
    figure.savefig(path, dpi=80)


def write(runs: Sequence[Finished], settings: Mapping[str, object], out: Path, tasks: Sequence[Task]) -> None:
    """Writes the report, and the plot if there is a difference to draw."""
    found = figures(runs, tasks)
    repeats = max((len(each["seeds"]) for each in found.values()), default=0)
    common.write_report(out, {**settings, "repeats": repeats, "tasks": [task.name for task in tasks]}, found)
    compared = {name: of for name, of in found.items() if of["P@1"]["differences"]}
    if compared:
        draw(compared, out.with_suffix(".png"), tasks)
