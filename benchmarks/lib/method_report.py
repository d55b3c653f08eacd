"""Tables and figures of the runs of method.py: means over seeds, and differences within seeds with their intervals."""

from __future__ import annotations

import statistics
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

Gains: TypeAlias = Mapping[str, Mapping[str, float]]


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
    of = {(run.condition, run.method, run.seed): run.scores for run in runs}
    seeds = sorted({run.seed for run in runs})

    def less(arm: tuple[str, str], other: tuple[str, str]) -> Gains:
        return {
            what: gain([of[*arm, seed][what] - of[*other, seed][what] for seed in seeds])._asdict() for what in OUTCOMES
        }

    found: dict[str, object] = {
        "runs": len(runs),
        "seconds of a run": round(statistics.median(run.seconds for run in runs), 1),
    }
    for condition in _names(runs, 1):
        methods = _names([run for run in runs if run.condition == condition], 2)
        found[condition] = {
            "means": {
                method: {
                    what: round(statistics.fmean(of[condition, method, seed][what] for seed in seeds), 4)
                    for what in OUTCOMES
                }
                for method in methods
            },
            "P@1 by seed": {
                method: [round(of[condition, method, seed]["P@1"], 4) for seed in seeds] for method in methods
            },
            "differences": {
                f"{method} less {BASE}": less((condition, method), (condition, BASE))
                for method in methods
                if method != BASE
            }
            | {
                f"{one} less {other}": less((condition, one), (condition, other))
                for one, other in PAIRS
                if {one, other} <= set(methods)
            }
            | (
                {f"{BASE} less {BASE} at scale 50": less((condition, BASE), (MAIN, BASE))}
                if condition in SCALES
                else {}
            ),
        }
    return found


def tables(found: Mapping[str, Mapping[str, object]]) -> str:
    """The figures as Markdown, as docs/method.md has them: differences in points, with 95 % intervals over seeds."""
    parts = []
    for setting, of in found.items():
        conditions = {name: each for name, each in of.items() if isinstance(each, Mapping)}
        main = conditions.pop(MAIN)
        parts.append(_table(f"{setting}, difference", main["differences"]))
        parts.append(_means(f"{setting}, mean", main["means"]))
        if conditions:
            lines = [
                "| P@1, less InfoNCE | InfoNCE | alpha 9 | total only | margin 4.5 | relative only |",
                "|---|---:|---:|---:|---:|---:|",
            ]
            shown = {MAIN: main, **conditions}
            for name, each in shown.items():
                gains = [
                    each["differences"].get(f"{method} less {BASE}")
                    for method in ("alpha 9", "total only", "margin 4.5", "relative only")
                ]
                cells = [_points(one["P@1"]) if one else "" for one in gains]
                lines.append(f"| {name} | {100 * each['means'][BASE]['P@1']:.1f} | {' | '.join(cells)} |")
            parts.append("\n".join(lines))
            between = {
                f"{name}: {label}": gains
                for name, each in conditions.items()
                for label, gains in each["differences"].items()
                if label in (f"{BASE} less {BASE} at scale 50", "alpha 9 less total only", "alpha 9 less margin 4.5")
            }
            parts.append(_table(f"{setting}, other differences", between))
    return "\n\n".join(parts) + "\n"


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
    return f"{100 * each['mean']:+.2f} [{100 * each['low']:.2f}, {100 * each['high']:.2f}]"


def write(runs: Sequence[Finished], settings: Mapping[str, object], out: Path) -> None:
    """Writes the report, and the figure as PNG and SVG."""
    from lib.method_figure import draw

    found = figures(runs)
    common.write_report(out, settings, found)
    draw(found, out)
