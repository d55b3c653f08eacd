"""How text and columns are laid out in a given width. Numbers and ids stay whole; long names are folded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TypeAlias

Measure: TypeAlias = Callable[[str], int]
"""The width of a text, in characters of a terminal or in points of a page."""
COMFORT = "n" * 24
"""A name on one line that is easy to read. A part of a name that is no longer is never cut."""
_HEAD_LINES = 2
"""Most lines of a name that heads a column. A longer one is replaced by a key."""
_SPACES = re.compile(r"(?<=\s)(?=\S)")
_PLACES = re.compile(
    rf"{_SPACES.pattern}|(?<=\w[/_])(?=\w)|(?<=\w@)(?=\w{{4}})|(?<=[^\W\d]-)(?<!\de-)(?=\w)|(?<=\d-)(?=[^\W\d])"
)
"""Where a line may end: after a space, and inside a name after `/`, `@`, `_` or `-`. Never inside a number."""


def length(text: str) -> int:
    """Characters that a terminal needs for a text. Chinese characters need two."""
    from rich.cells import cell_len

    return cell_len(text)


@dataclass(frozen=True)
class Column:
    """What decides the width of a column: its head, and the lines of its cells."""

    head: str
    lines: tuple[str, ...]
    words: bool = False
    """Whether its cells are names and text, which may be folded. Numbers never are."""
    longest: int | None = None
    """Most characters on a line of text. None: no limit."""
    name: bool = False
    """Whether the head is the name of a model, which takes two lines at most."""
    measure: Measure = length

    @cached_property
    def natural(self) -> int:
        """The width if nothing is folded, or as much as `longest` allows."""
        widest = max(map(self.measure, (self.head, *self.lines)))
        return widest if self.longest is None or not self.words else min(widest, self.measure("n" * self.longest))

    @cached_property
    def least(self) -> int:
        """The width below which a number, an id or a part of a name would be cut."""
        cells = max((self._widest_part(line) if self.words else self.measure(line) for line in self.lines), default=0)
        head = self._in_two_lines() if self.name else self._widest_part(self.head)
        return min(self.natural, max(head, min(cells, self.measure(COMFORT)) if self.words else cells))

    @cached_property
    def comfortable(self) -> int:
        """The width at which names are easy to read."""
        return max(self.least, min(self.natural, self.measure(COMFORT))) if self.words else self.least

    def _widest_part(self, text: str) -> int:
        return max((self.measure(part.rstrip()) for part in parts(text)), default=0)

    def _in_two_lines(self) -> int:
        """The smallest width at which the head has two lines."""
        widths = range(self._widest_part(self.head), self.measure(self.head) + 1)
        return next(width for width in widths if len(fold(self.head, width, self.measure)) < _HEAD_LINES)


def fold(text: str, most: int, measure: Measure = length) -> list[int]:
    """The positions at which a text of one line ends a line, so that no line is wider than `most`.

    Lines end at spaces, and inside a word that is wider than a line at sensible places. Only a part of a word that is
    wider than a line is cut.
    """
    ends, start = [], 0
    for part_start, part_end in _pieces(text, most, measure):
        if measure(text[start:part_end].rstrip()) <= most:
            continue
        if part_start > start:
            ends.append(part_start)
        start = part_start
        while measure(text[start:part_end].rstrip()) > most:
            widths = accumulate(map(measure, text[start:part_end]))
            start += max(1, sum(width <= most for width in widths))
            ends.append(start)
    return ends


def folded(text: str, most: int, measure: Measure = length) -> list[str]:
    """The lines of a text, none wider than `most`."""
    lines = []
    for line in text.split("\n"):
        ends = fold(line, most, measure)
        lines += [line[start:end].rstrip() for start, end in zip([0, *ends], [*ends, len(line)], strict=True)]
    return lines


def widths_within(columns: Sequence[Column], room: int, *, tight: bool = False) -> list[int] | None:
    """The widths of columns that share a room. None if they do not fit.

    With `tight`, text may have less than a comfortable width.
    """
    widths = [column.least if tight else column.comfortable for column in columns]
    natural = [column.natural for column in columns]
    left = room - sum(widths)
    if left < 0:
        return None
    words = [at for at, column in enumerate(columns) if column.words]
    while left and (growing := [at for at in words if widths[at] < natural[at]]):
        widths[min(growing, key=widths.__getitem__)] += 1
        left -= 1
    for at, wanted in enumerate(natural):
        if wanted - widths[at] <= left:
            left -= wanted - widths[at]
            widths[at] = wanted
    return widths


def left_out(names: Sequence[str], keep: Sequence[str], first: Sequence[str]) -> list[str]:
    """The columns that may be left out, in their order: those of `first`, then from the right."""
    chosen = [name for name in first if name in names and name not in keep]
    return [*chosen, *(name for name in reversed(names) if name not in chosen and name not in keep)]


def parts(text: str) -> list[str]:
    """The parts of a text between which a line may end."""
    return [text[start:end] for start, end in _spans(text)]


def _spans(text: str, places: re.Pattern[str] = _PLACES) -> list[tuple[int, int]]:
    at = [found.start() for found in places.finditer(text)]
    return list(zip([0, *at], [*at, len(text)], strict=True))


def _pieces(text: str, most: int, measure: Measure) -> Iterator[tuple[int, int]]:
    """The words of a text, and the parts of those that are wider than `most`."""
    for start, end in _spans(text, _SPACES):
        word = text[start:end]
        whole = measure(word.rstrip()) <= most
        yield from [(start, end)] if whole else [(start + first, start + last) for first, last in _spans(word)]
