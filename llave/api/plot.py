"""The figure of scores that `EvalResults.plot` returns."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.scoring.metrics import Metric

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_INCHES_PER_BAR = 0.28
_LEAST_HEIGHT = 2.0


def score_figure(frame: pd.DataFrame, heading: str) -> Figure:
    """Points with their 95 % CI, a row for each task and a colour for each model. Grey ticks are chance.

    Args:
        frame: rows with model, task, metric, value, low, high and chance, in the order to show.
        heading: the label of the axis.

    Raises:
        UserError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("Plots need matplotlib, which is not installed.", "pip install 'llave-bench[plot]'") from None

    models, tasks = list(dict.fromkeys(frame["model"])), list(dict.fromkeys(frame["task"]))
    height = _LEAST_HEIGHT + _INCHES_PER_BAR * len(tasks) * max(1.5, len(models))
    figure = Figure(figsize=(8.0, height), layout="constrained")
    axes = figure.subplots()
    for number, model in enumerate(models):
        rows = frame[frame["model"] == model]
        scale = [1 if Metric.parse(name).is_rank else 100 for name in rows["metric"]]
        offset = (number - (len(models) - 1) / 2) * 0.7 / len(models)
        places = [tasks.index(task) + offset for task in rows["task"]]
        value, low, high = (rows[name] * scale for name in ("value", "low", "high"))
        errors = [(value - low).clip(lower=0), (high - value).clip(lower=0)]
        axes.errorbar(value, places, xerr=errors, fmt="o", capsize=3, label=_plain(model))
        chance = "chance" if number == 0 else None
        axes.plot(rows["chance"] * scale, places, "|", color="grey", markersize=12, label=chance)
    axes.set_yticks(range(len(tasks)), [_plain(task) for task in tasks])
    axes.set_ylim(len(tasks) - 0.5, -0.5)  # the first task on top
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(f"{heading}; bars: 95 % CI")
    figure.legend(loc="outside upper center", ncols=3)
    # a notebook shows it, whether pyplot was imported or not
    figure._repr_png_ = partial(_png, figure)  # type: ignore[attr-defined]
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _plain(name: object) -> str:
    """A name of which matplotlib takes nothing for a formula."""
    return str(name).replace("$", r"\$")
