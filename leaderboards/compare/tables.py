"""A comparison as tables, a sentence and a page. Differences are B minus A, in points of percent."""

from __future__ import annotations

import html
from collections.abc import Sequence

from harness.errors import counted
from harness.results.numbers import fixed, percent, points, signed, significant
from harness.scoring.intervals import Interval
from leaderboards.board.tables import clusters_note
from leaderboards.compare.compare import COMMON, Comparison, Difference
from leaderboards.compare.config_diff import changes
from leaderboards.compare.flips import Flip
from leaderboards.compare.training import cautions, training
from leaderboards.contents import content_of, places_of
from leaderboards.pictures import Pictures, embedded, webp
from leaderboards.stats import LEVEL, holm
from leaderboards.tables import Cell, Table, html_table

_TINY = 1e-9
"""Smaller p-values print as `< 1e-09`, since no test here is that exact."""
_NOT_PAIRED = "not paired: queries are unknown or differ, so intervals follow from the numbers of queries."
_NO_SETTINGS = "A record of an older version has no settings, so settings are not compared."
_MOST_CHANGES = 12
_SIDE, _QUALITY = 128, 60
"""Longest side in pixels of a picture, and its quality."""
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 1.5rem auto; max-width: 96rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: bold; padding: 1rem 0 .5rem; }
th, td { border-bottom: 1px solid #8886; padding: .25rem .6rem; text-align: left; vertical-align: top; }
th { vertical-align: bottom; }
img { max-height: 5rem; margin: .2rem .2rem 0 0; vertical-align: top; }
.number { text-align: right; white-space: nowrap; }
th.number { max-width: 12rem; white-space: normal; }
ul { padding-left: 1.2rem; }
"""


def verdict(comparison: Comparison) -> str:
    """The headline difference in a sentence, with its 95 % CI and p-value."""
    a, b, head = comparison.a.label, comparison.b.label, comparison.headline
    figures = f"{head.name} {points(head.value)}"
    if head.interval is None or head.p is None:
        return f"{b} against {a}: {figures}. No interval is known, since the number of queries is not."
    numbers = f"{figures} {_interval(head.interval)}, p {_p(head.p) if head.p < _TINY else f'= {_p(head.p)}'}"
    if not _significant(head):
        return f"The difference between {b} and {a} is not significant: {numbers}."
    return f"{b} is significantly {'better' if head.value > 0 else 'worse'} than {a}: {numbers}."


def difference_table(comparison: Comparison) -> Table:
    """The differences of means, then of datasets."""

    names = ("mean or dataset", "A", "B", "B − A", "95 % CI", "p", "Holm p", "won", "tied", "lost", "CI over datasets")
    return Table(
        _titled("B minus A, in points", comparison),
        names,
        tuple(map(_row, (*comparison.means, *comparison.datasets))),
        frozenset(names[:1]),
        tuple(_notes(comparison)),
        keep=names[:5],
        more="--format csv has all columns",
    )


def _titled(what: str, comparison: Comparison) -> str:
    """A title, and on lines of their own which models A and B are."""
    return f"{what}\nA: {comparison.a.label}\nB: {comparison.b.label}"


def _row(each: Difference) -> tuple[Cell, ...]:
    return (
        Cell(each.name + ("" if each.paired else " §")),
        Cell(percent(each.a)),
        Cell(percent(each.b)),
        Cell(points(each.value), style="best" if _significant(each) else ""),
        Cell(_interval(each.interval)),
        Cell("" if each.p is None else _p(each.p)),
        Cell("" if each.holm is None else _p(each.holm)),
        *(Cell("" if count is None else f"{count:,}") for count in (each.wins, each.ties, each.losses)),
        Cell(_interval(each.over_datasets)),
    )


def _significant(each: Difference) -> bool:
    p = each.p if each.holm is None else each.holm
    return p is not None and p < LEVEL


def _notes(comparison: Comparison) -> list[str]:
    apart, lines = [each.value > 0 for each in comparison.datasets if _significant(each)], []
    if comparison.datasets:
        better, of = sum(apart), counted(len(comparison.datasets), "dataset")
        lines.append(f"B is significantly better on {better} and worse on {len(apart) - better} of {of}.")
    lines += [
        "95 % CI and p: one test, for other queries of the same datasets.",
        "Holm p: corrected over datasets.",
        "Bold: significant, that is p (Holm p for a dataset) is below 0.05.",
    ]
    if any(each.over_datasets for each in comparison.means):
        lines.append("CI over datasets: for other datasets like these too.")
        lines.append("It is too narrow if a few datasets have a large effect and the others none.")
    lines += clusters_note([each.result for each in comparison.a.records.values()])
    if not all(each.paired for each in (*comparison.means, *comparison.datasets)):
        lines.append(f"§ {_NOT_PAIRED}")
    return [*lines, *comparison.caveats]


def config_table(comparison: Comparison) -> Table:
    """The differences between the settings of the two models."""
    rows = tuple((Cell(each.field), Cell(each.a), Cell(each.b)) for each in changes(comparison.a, comparison.b))
    names = ("field", comparison.a.label, comparison.b.label)
    title = "Differences in settings" if rows else "No difference in settings"
    return Table(title, names, rows, frozenset(names), models=names[1:])


def training_table(comparison: Comparison) -> Table | None:
    """The differences in training of two checkpoints. None unless both are checkpoints."""
    found = training(comparison.a, comparison.b)
    if found is None:
        return None
    rows = tuple(tuple(map(Cell, each)) for each in found.changes[:_MOST_CHANGES])
    names = ("trained with", comparison.a.label, comparison.b.label)
    left = len(found.changes) - len(rows)
    more = [f"And {left} more; --format json has all."] if left else []
    title = "Differences in training" if rows else "No difference in the records of training"
    return Table(title, names, rows, frozenset(names), (*more, *training_notes(comparison)), models=names[1:])


def training_notes(comparison: Comparison) -> list[str]:
    """Notes on how two checkpoints were trained."""
    found = training(comparison.a, comparison.b)
    older = found is not None and not found.has_settings
    return [*([_NO_SETTINGS] if older else []), *cautions([comparison])]


def flip_table(comparison: Comparison, flips: Sequence[Flip], pictures: Pictures | None = None) -> Table:
    """The queries gained and lost, with the candidate that each model ranks first. `pictures` adds those of media."""
    names = ("query", "change", "content", "positives", "first for A", "first for B")
    rows = tuple(
        (
            Cell(f"{flip.task} {flip.a['query']}"),
            Cell("gained" if flip.gained else "lost", "" if abs(flip.change) == 1 else signed(flip.change, 2)),
            *(
                _content_cell(comparison, flip.task, contents, pictures)
                for contents in (
                    [flip.a["content"]],
                    _list(flip.a["positives"])[:3],
                    *(_list(row["top"])[:1] for row in (flip.a, flip.b)),
                )
            ),
        )
        for flip in flips
    )
    gained, lost = comparison.headline.wins, comparison.headline.losses
    title = "Queries gained and lost"
    title += "" if gained is None else f": {gained:,} and {lost:,} in {comparison.headline.name}"
    return Table(_titled(title, comparison), names, rows, frozenset(names), lines=True)


def _content_cell(comparison: Comparison, task: str, given: Sequence[object], pictures: Pictures | None) -> Cell:
    places = [places_of(entry.records[task].result) for entry in (comparison.a, comparison.b)]
    contents = [content_of(each, places) for each in given]
    text = "; ".join(each.line for each in contents)
    if pictures is None:
        return Cell(text)
    images = [image for each in contents for medium in each.media for image in pictures.open(medium)]
    return Cell(text, pictures=tuple(embedded(webp(image, _SIDE, _QUALITY)) for image in images))


def matrix_table(comparisons: Sequence[Comparison], *, intervals: bool = True) -> Table:
    """The headline difference of every pair: the model of the row minus that of the column."""
    labels = list(dict.fromkeys(each.label for pair in comparisons for each in (pair.a, pair.b)))
    heads = [pair.headline for pair in comparisons]
    adjusted = holm([1.0 if head.p is None else head.p for head in heads]).tolist()
    cells: dict[tuple[str, str], Cell] = {}
    for pair, p in zip(comparisons, adjusted, strict=True):
        low, high = pair.headline.interval or (None, None)
        mirrored = Interval(-high, -low) if low is not None and high is not None else None
        sign = " †" if pair.headline.name == COMMON else ""
        for one, other, value, interval in (
            (pair.b.label, pair.a.label, pair.headline.value, pair.headline.interval),
            (pair.a.label, pair.b.label, -pair.headline.value, mirrored),
        ):
            cells[one, other] = Cell(
                points(value) + sign,
                _interval(interval) if intervals else "",
                "best" if p < LEVEL else "",
            )
    rows = tuple((Cell(one), *(cells.get((one, other), Cell("")) for other in labels)) for one in labels)
    names = sorted({head.name for head in heads}, key=lambda name: name == COMMON)
    notes = ["95 % CI: for other queries of the same datasets."] if intervals else []
    notes += ["Bold: significant at 5 % (Holm over all pairs)."]
    notes += ["† over only the datasets that both models have."] if COMMON in names else []
    notes += [] if all(head.paired for head in heads) else [_NOT_PAIRED.capitalize()]
    notes += cautions(comparisons)
    title = f"Row minus column, {names[0]}, in points"
    return Table(
        title,
        ("", *labels),
        rows,
        frozenset({""}),
        tuple(notes),
        keep=("",),
        more="--format csv has all pairs",
        models=tuple(labels),
        brief=matrix_table(comparisons, intervals=False) if intervals else None,
    )


def page(title: str, tables: Sequence[Table]) -> str:
    """An HTML page of tables, in one file that loads nothing else."""
    body = "\n".join(f'<div class="scroll">{html_table(table)}</div>' for table in tables)
    name = html.escape(title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{_STYLE}</style></head>\n<body><h1>{name}</h1>\n{body}\n</body></html>\n"
    )


def _interval(interval: Interval | None) -> str:
    return f"[{points(interval.low)}, {points(interval.high)}]" if interval else ""


def _p(value: float) -> str:
    if value < _TINY:
        return f"< {significant(_TINY)}"
    return fixed(value, 3) if value >= 0.001 else significant(value, 1)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
