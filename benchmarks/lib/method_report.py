"""Tables and figures of the runs of method.py: means over seeds, and differences within seeds with their intervals."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import lib.common as common
from lib.hardness_report import gain

HEAD, LAST = "head", "last layer"
"""The settings."""
MAIN = "base"
"""The condition in which nothing is changed."""
BASE = "InfoNCE"
OUTCOMES = ("P@1", "hard P@1", "overlap", "AUC")
PAIRS = (("alpha 9", "total only"), ("alpha 9", "margin 4.5"), ("total only", "margin 4.5"))
"""Losses that are compared with each other too."""
SCALES = ("scale 20", "scale 59")
"""Conditions whose InfoNCE is compared with that of the base."""
AT_50 = f"{BASE} less {BASE} at scale 50"
SHOWN = ("alpha 9", "total only", "margin 4.5", "relative only")
"""Losses that are tried in several conditions."""

Arm: TypeAlias = tuple[str, str]
"""Condition and loss."""
Scores: TypeAlias = dict[int, Mapping[str, float]]
"""Outcomes by seed."""
Gains: TypeAlias = Mapping[str, Mapping[str, float]]
"""Differences by outcome."""


class Finished(NamedTuple):
    """A finished run."""

    setting: str
    condition: str
    method: str
    seed: int
    seconds: float
    scores: Mapping[str, float]


def figures(runs: Sequence[Finished]) -> dict[str, object]:
    """Means and differences, by setting and condition. Differences are within seeds."""
    return {setting: _of_setting([run for run in runs if run.setting == setting]) for setting in _names(runs, 0)}


def _names(runs: Sequence[Finished], place: int) -> list[str]:
    return list(dict.fromkeys(str(run[place]) for run in runs))


def _of_setting(runs: Sequence[Finished]) -> dict[str, object]:
    by_arm: dict[Arm, Scores] = defaultdict(dict)
    for run in runs:
        by_arm[run.condition, run.method][run.seed] = run.scores
    return {
        "runs": len(runs),
        "seconds of a run": round(statistics.median(run.seconds for run in runs), 1),
        **{condition: _of_condition(condition, by_arm) for condition in _names(runs, 1)},
    }


def _of_condition(condition: str, by_arm: Mapping[Arm, Scores]) -> dict[str, object]:
    of = {method: scores for (name, method), scores in by_arm.items() if name == condition}
    pairs = [(method, BASE) for method in of if method != BASE]
    pairs += [pair for pair in PAIRS if set(pair) <= set(of)]
    differences = {f"{one} less {other}": _gains(of[one], of[other]) for one, other in pairs}
    if condition in SCALES:
        differences[AT_50] = _gains(of[BASE], by_arm[MAIN, BASE])
    return {
        "means": {
            method: {what: round(statistics.fmean(each[what] for each in scores.values()), 4) for what in OUTCOMES}
            for method, scores in of.items()
        },
        "P@1 by seed": {
            method: [round(each["P@1"], 4) for _, each in sorted(scores.items())] for method, scores in of.items()
        },
        "differences": differences,
    }


def _gains(one: Scores, other: Scores) -> Gains:
    assert one.keys() == other.keys(), "runs are not paired"
    return {what: gain([one[seed][what] - other[seed][what] for seed in one])._asdict() for what in OUTCOMES}


def tables(found: Mapping[str, Mapping[str, object]]) -> str:
    """The figures as Markdown, as docs/method.md has them: differences in points, with 95 % intervals over seeds."""
    parts = []
    for setting, of in found.items():
        conditions = {name: each for name, each in of.items() if isinstance(each, Mapping)}
        main = conditions[MAIN]
        parts += [_table(f"{setting}, difference", main["differences"]), _means(f"{setting}, mean", main["means"])]
        if len(conditions) > 1:
            parts += [_by_condition(setting, what, conditions) for what in ("P@1", "hard P@1")]
            others = {
                f"{name}: {label}": gains
                for name, each in conditions.items()
                for label, gains in each["differences"].items()
                if name != MAIN and (label == AT_50 or not label.endswith(f" less {BASE}"))
            }
            parts.append(_table(f"{setting}, other differences", others))
    return "\n\n".join(parts) + "\n"


def _by_condition(setting: str, what: str, conditions: Mapping[str, Mapping[str, object]]) -> str:
    lines = [f"| {setting}, {what} | {BASE} | {' | '.join(SHOWN)} |", f"|---|---:|{'---:|' * len(SHOWN)}"]
    for name, each in conditions.items():
        gains = [each["differences"].get(f"{method} less {BASE}") for method in SHOWN]
        cells = " | ".join(_points(one[what]) if one else "" for one in gains)
        lines.append(f"| {name} | {100 * each['means'][BASE][what]:.2f} | {cells} |")
    return "\n".join(lines)


def _table(title: str, differences: Mapping[str, Gains]) -> str:
    lines = [f"| {title} | {' | '.join(OUTCOMES)} |", "|---|---:|---:|---:|---:|"]
    for name, gains in differences.items():
        lines.append(f"| {name} | {' | '.join(_points(gains[what]) for what in OUTCOMES)} |")
    return "\n".join(lines)


def _means(title: str, means: Mapping[str, Mapping[str, float]]) -> str:
    lines = [f"| {title} | {' | '.join(OUTCOMES)} |", "|---|---:|---:|---:|---:|"]
    for name, scores in means.items():
        lines.append(f"| {name} | {' | '.join(f'{100 * scores[what]:.2f}' for what in OUTCOMES)} |")
    return "\n".join(lines)


def _points(each: Mapping[str, float]) -> str:
    # adding zero turns minus zero into zero
    mean, low, high = (round(100 * each[name], 2) + 0.0 for name in ("mean", "low", "high"))
    return f"{mean:+.2f} [{low:.2f}, {high:.2f}]"


def write(runs: Sequence[Finished], settings: Mapping[str, object], out: Path) -> None:
    """Writes the report, and the figure as PNG and SVG."""
    from lib.method_figure import draw

    found = figures(runs)
    common.write_report(out, settings, found)
    draw(found, out)
