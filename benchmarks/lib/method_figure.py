"""The figure of method.py, at the width of a paper's column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lib.method_report import BASE, HEAD, LAST, MAIN, SHOWN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS = {
    "alpha": ("#0072B2", "o"),
    "total only": ("#009E73", "s"),
    "margin 4.5": ("#E69F00", "^"),
    "relative only": ("#CC79A7", "D"),
    "not stopped": ("#555555", "v"),
}
"""Colours of Okabe and Ito, which the colour-blind can tell apart, and a marker for each."""
_BATCHES = {"batch 32": 32, "batch 64": 64, MAIN: 128, "batch 512": 512}


def draw(found: Mapping[str, Mapping[str, object]], out: Path) -> None:
    """Draws differences in P@1 from InfoNCE, with 95 % intervals, beside `out` as PNG and SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(
        {"font.size": 8, "svg.hashsalt": "method", "axes.spines.top": False, "axes.spines.right": False}
    ):
        parts = [each for each in (HEAD, LAST) if each in found]
        heights = [3.2 if each == HEAD else 1.5 for each in parts] + ([2.3] if HEAD in parts else [])
        figure = Figure(figsize=(3.5, sum(heights)), layout="constrained")
        axes = list(figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
        for axis, setting in zip(axes, parts, strict=False):
            title = "a  Head on frozen vectors, batch 128" if setting == HEAD else "b  Last layer, batch 32"
            _forest(axis, found[setting][MAIN]["differences"], title)
        if HEAD in parts:
            _by_batch(axes[-1], found[HEAD], f"{'c' if LAST in parts else 'b'}  Head, by batch size")
        for suffix, more in ((".png", {"dpi": 200}), (".svg", {"metadata": {"Date": None}})):
            figure.savefig(out.with_suffix(suffix), **more)


def _look(method: str) -> tuple[str, str]:
    return _LOOKS["alpha" if method.startswith("alpha") else method]


def _forest(axis: Axes, differences: Mapping[str, object], title: str) -> None:
    gains = {
        name.removesuffix(f" less {BASE}"): each["P@1"]
        for name, each in differences.items()
        if name.endswith(f" less {BASE}")
    }
    for place, (method, each) in enumerate(gains.items()):
        _interval(axis, [100 * each["mean"]], [place], [each], _look(method), sideways=True)
    axis.set_yticks(range(len(gains)), list(gains))
    axis.set_ylim(len(gains) - 0.5, -0.5)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_xlabel("P@1 less InfoNCE, points")
    axis.set_title(title, loc="left", fontsize=8, fontweight="bold")


def _by_batch(axis: Axes, of: Mapping[str, object], title: str) -> None:
    sizes = {name: size for name, size in _BATCHES.items() if name in of}
    for number, method in enumerate(SHOWN):
        label = f"{method} less {BASE}"
        gains = {
            place + 0.12 * (number - 1.5): of[name]["differences"][label]["P@1"]
            for place, name in enumerate(sizes)
            if label in of[name]["differences"]
        }
        means = [100 * each["mean"] for each in gains.values()]
        _interval(axis, list(gains), means, list(gains.values()), _look(method), label=method)
    axis.set_xticks(range(len(sizes)), list(map(str, sizes.values())))
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xlabel("batch size")
    axis.set_ylabel("P@1 less InfoNCE, points")
    axis.set_xlim(-0.5, len(sizes) - 0.5)
    axis.margins(y=0.25)
    axis.legend(frameon=False, fontsize=7, ncols=2, loc="upper center")
    axis.set_title(title, loc="left", fontsize=8, fontweight="bold")


def _interval(
    axis: Axes,
    x: Sequence[float],
    y: Sequence[float],
    gains: Sequence[Mapping[str, float]],
    look: tuple[str, str],
    *,
    sideways: bool = False,
    label: str | None = None,
) -> None:
    halves = [100 * (each["high"] - each["mean"]) for each in gains]
    bars = {"xerr" if sideways else "yerr": halves}
    axis.errorbar(x, y, **bars, color=look[0], marker=look[1], linestyle="none", markersize=4, capsize=2, label=label)
