"""Curves as tables, sentences, lines of a plot, and a file with the plot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.errors import UserError, counted
from harness.files.writing import explain_os_errors
from harness.results.numbers import percent, points
from harness.scoring.intervals import Interval
from harness.types import Scope
from leaderboards.analysis.curves import FORMS, Curve, CurvePoint, VectorSetting
from leaderboards.analysis.paired import Change
from leaderboards.analysis.report import PlotSeries, Report
from leaderboards.tables import Cell, Table

SUFFIXES = (".pdf", ".png", ".svg")
_NOTES = (
    "Change: against full width in fp32 of the same scope, in points, with its paired 95 % CI.",
    "Bold: the smallest setting that is not significantly worse. That is no proof of equality: see the lower end.",
)


def ends(interval: Interval) -> str:
    """An interval of a difference, in points."""
    return f"[{points(interval.low)}, {points(interval.high)}]"


def change_cell(found: Change) -> Cell:
    """A change in points with its interval."""
    return Cell(points(found.value), ends(found.interval))


def change_figures(found: Change) -> dict[str, float]:
    """A change for programs, in fractions."""
    return {"change": found.value, "low": found.interval.low, "high": found.interval.high, "p": found.p}


def curve_report(curves: Sequence[Curve], notes: Sequence[str] = ()) -> Report:
    """The report of the curves of several models."""
    return Report(
        "curves",
        tuple(_table(each, notes) for each in curves),
        tuple(_sentence(each, scope) for each in curves for scope in each.scopes),
        {"models": [_figures(each) for each in curves]},
        tuple(line for each in curves for line in _lines(each)),
    )


def _table(found: Curve, notes: Sequence[str]) -> Table:
    by_setting = {each.setting: each for each in found.points}
    small = {scope: found.smallest(scope).setting for scope in found.scopes}
    kinds = sorted({(each.setting.width, each.setting.form) for each in found.points}, key=_order)
    rows = []
    for width, form in kinds:
        settings = [VectorSetting(width, form, scope) for scope in found.scopes]
        row = [Cell(f"{width:,}"), Cell(form), Cell(f"{settings[0].bytes:,}")]
        for setting in settings:
            point = by_setting[setting]
            row += [
                Cell(percent(point.score), style="best" if small[setting.scope] == setting else ""),
                change_cell(point.change),
            ]
        rows.append(tuple(row))
    columns = [name for scope in found.scopes for name in (scope, f"{scope} change")]
    over = found.tasks[0] if len(found.tasks) == 1 else f"mean of {counted(len(found.tasks), 'dataset')}"
    return Table(
        f"{found.model}: {over}", ("width", "format", "bytes", *columns), tuple(rows), frozenset(("format",)),
        (*_NOTES, *notes),
    )  # fmt: skip


def _order(kind: tuple[int, str]) -> tuple[int, int]:
    return -kind[0], [*FORMS].index(kind[1])  # type: ignore[arg-type]


def _sentence(found: Curve, scope: Scope) -> str:
    small = found.smallest(scope)
    setting, moved = small.setting, small.change
    full = VectorSetting(found.width, "fp32", scope)
    if setting == full:
        return f"{found.model}, {scope}: every smaller setting is significantly worse than {_named(full)}."
    return (
        f"{found.model}, {scope}: the smallest setting that is not significantly worse is {_named(setting)}, "
        f"against {_named(full)}: {points(moved.value)} {ends(moved.interval)}."
    )


def _named(setting: VectorSetting) -> str:
    return f"{setting.width:,} x {setting.form} ({counted(setting.bytes, 'byte')})"


def _figures(found: Curve) -> dict[str, object]:
    return {
        "model": found.model,
        "tasks": list(found.tasks),
        "smallest": {scope: _point(found.smallest(scope)) for scope in found.scopes},
        "points": [_point(each) for each in found.points],
    }


def _point(each: CurvePoint) -> dict[str, object]:
    setting = each.setting
    return {
        "width": setting.width,
        "format": setting.form,
        "scope": setting.scope,
        "bytes": setting.bytes,
        "score": each.score,
        **change_figures(each.change),
        "tasks": dict(each.by_task),
    }


def _lines(found: Curve) -> Iterable[PlotSeries]:
    """A line for each scope and format. The interval is that of the change, around the score of full width."""
    for scope in found.scopes:
        for form in FORMS:
            chosen = [each for each in found.points if (each.setting.scope, each.setting.form) == (scope, form)]
            at = [
                [
                    float(each.setting.bytes),
                    each.score,
                    *(each.score - each.change.value + end for end in each.change.interval),
                ]
                for each in chosen
            ]
            yield {"name": f"{found.model}, {scope}, {form}", "points": sorted(at)}


def check_plot(path: Path) -> None:
    """Raises UserError for a file that no plot can be written to, and if matplotlib is missing."""
    if path.suffix not in SUFFIXES or not path.parent.is_dir():
        raise UserError(f"--plot {path} is no .pdf, .png or .svg file in a folder.", "For example: --plot curves.png.")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UserError("matplotlib is not installed.", "pip install 'llave-bench[plot]'") from None


def plot(report: Report, path: Path) -> None:
    """Draws a line for each series of a report, with the range around it.

    Raises: UserError for a path that `check_plot` refuses, and if the file cannot be written.
    """
    check_plot(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.5), layout="constrained")
    axes = figure.subplots()
    for line in report.plot:
        at, score, low, high = (
            [100 * value if turn else value for value in column]
            for turn, column in enumerate(zip(*line["points"], strict=True))
        )
        drawn = axes.plot(at, score, marker="o", markersize=3, label=line["name"].replace("$", r"\$"))
        axes.fill_between(at, low, high, alpha=0.12, color=drawn[0].get_color())
    if report.axes["doubles"]:
        axes.set_xscale("log", base=2)
    axes.set_xlabel(report.axes["across"])
    axes.set_ylabel(report.axes["up"])
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small", frameon=False)
    with explain_os_errors(path), mpl.rc_context({"svg.hashsalt": "llave", "pdf.fonttype": 42}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
