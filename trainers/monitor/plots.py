"""Plots the similarities of positive and negative pairs: a row for each dataset, a column for each model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import UserError
from harness.files.writing import explain_os_errors
from trainers.monitor.diagnostics import Diagnosis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".pdf", ".png", ".svg")
_WIDTH, _HEIGHT, _HEAD = 3.6, 1.9, 0.5
"""Width and height of a cell, and height of the legend, in inches."""
_ROWS = 6
"""Datasets on a page."""
_LONGEST_MODEL, _LONGEST_DATASET = 40, 26
"""Most characters of a name beside a panel."""
_RANGE = 0.02
"""The smallest range of cosines on an axis."""
_MARGIN = 0.04
"""The share of an axis that is empty on either side."""
_VISIBLE = 0.01
"""The smallest share of an axis that a distribution fills."""
_COLOURS = {"positive": "#0072b2", "negative": "#d55e00"}
"""These colours also differ in lightness, and can be told apart with red-green colour blindness."""


def check_plot(path: Path) -> None:
    """Raises UserError for a file that no plot can be written to, and if matplotlib is missing."""
    if path.suffix not in SUFFIXES or path.is_dir():
        raise UserError(f"--plot {path} is not a .pdf, .png or .svg file.", "For example: --plot similarities.pdf.")
    if not path.parent.is_dir():
        raise UserError(f"--plot {path}: there is no folder {path.parent}.", "Make it first, or choose another.")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UserError(
            "matplotlib is not installed.", "pip install 'llave-bench[plot]', or leave out --plot."
        ) from None


def plot(found: Mapping[str, Mapping[str, Diagnosis]], path: Path, caption: Callable[[Diagnosis], str]) -> list[Path]:
    """Draws diagnoses by model and dataset, as PDF, PNG or SVG by the suffix of the path.

    All models have the same datasets, and share the axis of a dataset, which has the range of all cosines. Both
    distributions of a panel have the same area. Datasets that one page does not hold are on further pages of a PDF, or
    in further files, which are numbered. Equal figures give identical files.

    Args:
        found: the diagnoses.
        path: the file to write.
        caption: the line above each panel.

    Returns:
        The files that were written.

    Raises:
        UserError: for a path that `check_plot` refuses, and if a file cannot be written.
    """
    check_plot(path)
    import matplotlib as mpl
    from matplotlib.backends.backend_pdf import PdfPages

    datasets = list(next(iter(found.values())))
    pages = [datasets[start : start + _ROWS] for start in range(0, len(datasets), _ROWS)]
    figures = (_page(found, names, caption) for names in pages)
    with explain_os_errors(path), mpl.rc_context({"svg.hashsalt": "llave", "pdf.fonttype": 42}):
        if path.suffix == ".pdf":
            with PdfPages(path, metadata={"CreationDate": None}) as file:
                for figure in figures:
                    file.savefig(figure)
            return [path]
        files = [path] if len(pages) == 1 else _numbered(path, len(pages))
        for each, figure in zip(files, figures, strict=True):
            figure.savefig(each, metadata={"Date": None} if path.suffix == ".svg" else None)
    return files


def _numbered(path: Path, count: int) -> list[Path]:
    digits = len(str(count))
    return [path.with_stem(f"{path.stem}-{number:0{digits}}") for number in range(1, count + 1)]


def _page(
    found: Mapping[str, Mapping[str, Diagnosis]], datasets: Sequence[str], caption: Callable[[Diagnosis], str]
) -> Figure:
    """A row for each of the datasets, and a column for each model."""
    from matplotlib.figure import Figure

    models = list(found)
    size = (max(2, len(models)) * _WIDTH, len(datasets) * _HEIGHT + _HEAD)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(datasets), len(models), squeeze=False, sharex="row")
    for row, dataset in zip(axes, datasets, strict=True):
        start, end = _range([found[model][dataset] for model in models])
        length = end - start
        row[0].set_xlim(start - _MARGIN * length, end + _MARGIN * length)
        for axis, model in zip(row, models, strict=True):
            _draw(axis, found[model][dataset], _VISIBLE * length)
            axis.set_title(caption(found[model][dataset]), fontsize="small")
        row[0].set_ylabel(f"{_short(dataset, _LONGEST_DATASET)}\ndensity", fontsize="small")
    for axis, model in zip(axes[0], models, strict=True):
        axis.set_title(f"{_short(model, _LONGEST_MODEL)}\n{axis.get_title()}", fontsize="small")
    for axis in axes[-1]:
        axis.set_xlabel("cosine", fontsize="small")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure


def _range(found: Sequence[Diagnosis]) -> tuple[float, float]:
    """The range of all cosines, which is widened to `_RANGE` where they are nearly equal."""
    both = [each for one in found for each in (one.positive, one.negative)]
    low, high = min(each.lowest for each in both), max(each.highest for each in both)
    if high - low >= _RANGE:
        return low, high
    start = min(max((low + high - _RANGE) / 2, -1), 1 - _RANGE)
    return start, start + _RANGE


def _draw(axis: Axes, found: Diagnosis, least: float) -> None:
    """Draws two densities of the same area, each with a width of at least `least` in cosines."""
    for name, cosines in (("positive", found.positive), ("negative", found.negative)):
        shares, edges = np.array(cosines.shares), np.linspace(cosines.lowest, cosines.highest, len(cosines.shares) + 1)
        if edges[-1] - edges[0] < least:
            shares, edges = np.ones(1), cosines.mean + least * np.array([-0.5, 0.5])
        density = shares / np.diff(edges)
        axis.stairs(density, edges, fill=True, alpha=0.45, color=_COLOURS[name], label=f"{name} pairs")
        axis.axvline(cosines.mean, color=_COLOURS[name], linewidth=1, linestyle="--")
    axis.locator_params("x", nbins=6)
    axis.locator_params("y", nbins=4)
    axis.tick_params(labelsize="small")
    axis.spines[["right", "top"]].set_visible(False)


def _short(name: str, most: int) -> str:
    """The end of a long name, which tells checkpoints apart. Matplotlib takes nothing in it for a formula."""
    shown = name if len(name) <= most else f"...{name[3 - most :]}"
    return shown.replace("$", r"\$")
