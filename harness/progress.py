"""The protocol by which the engine reports progress, and an estimate of when a whole run ends. Others draw both.

What the code of models prints is a message too.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class WorkKind(NamedTuple):
    """What work is alike in time: its name, such as `text` or `image`, and a class of its size."""

    name: str
    size: int = 0


LOADING, SCORING = WorkKind("loading"), WorkKind("scoring")
"""Work of a model and of a task; all other kinds are of an item."""
_STEPS = (LOADING, SCORING)


@contextmanager
def prints_are_messages() -> Iterator[None]:
    """Sends what models print meanwhile to standard error, so that standard output has results alone."""
    with redirect_stdout(sys.stderr):
        yield


class Progress(Protocol):
    """A receiver of phases, of steps within them, of notes, and of the work of the whole run."""

    def phase(self, name: str, total: int) -> None:
        """Begins a phase of `total` steps; 0 if the number is not known. It ends the phase before it."""

    def advance(self, steps: int = 1, state: str = "") -> None:
        """Adds finished steps to the current phase. `state` is a short text to show in place of their rate."""

    def note(self, text: str) -> None:
        """Shows one line that a person should read."""

    def expect(self, model: str, work: Mapping[WorkKind, int]) -> None:
        """Says how much work a model still has in this run, in place of what was said of it before."""

    def finish(self, model: str, work: Mapping[WorkKind, int]) -> None:
        """Takes work off that was done since the last call of any method."""


class NoProgress:
    """A receiver that ignores everything."""

    def phase(self, name: str, total: int) -> None:
        """Does nothing."""

    def advance(self, steps: int = 1, state: str = "") -> None:
        """Does nothing."""

    def note(self, text: str) -> None:
        """Does nothing."""

    def expect(self, model: str, work: Mapping[WorkKind, int]) -> None:
        """Does nothing."""

    def finish(self, model: str, work: Mapping[WorkKind, int]) -> None:
        """Does nothing."""


class RunEstimate:
    """Estimates the rest of a run, from the work that is left and the time that such work has taken.

    Work that was not timed yet counts as the most similar work that was. Of the model itself, that is work of the same
    name and the nearest size. Without it, it is that of other models, and at last the mean of all items.
    """

    def __init__(self) -> None:
        self._left: dict[str, Counter[WorkKind]] = {}
        self._timed: dict[tuple[str, WorkKind], _Timed] = defaultdict(_Timed)

    def expect(self, model: str, work: Mapping[WorkKind, int]) -> None:
        """Sets the work that a model has left."""
        self._left[model] = Counter(work)

    def finish(self, model: str, work: Mapping[WorkKind, int], seconds: float) -> None:
        """Takes off work that a model has done in these seconds, each piece in the same time."""
        pieces = sum(work.values())
        left = self._left.setdefault(model, Counter())
        for kind, count in work.items():
            self._timed[model, kind].add(seconds * count / pieces, count)
            left[kind] = max(0, left[kind] - count)

    def seconds_left(self) -> float | None:
        """The estimate: 0 if nothing is left, None if items are left and none has been timed yet."""
        left = [(model, kind, count) for model, work in self._left.items() for kind, count in work.items() if count]
        rates = [self._rate(model, kind) for model, kind, _ in left]
        if any(rate is None and kind not in _STEPS for rate, (_, kind, _) in zip(rates, left, strict=True)):
            return None
        return sum(count * (rate or 0.0) for rate, (_, _, count) in zip(rates, left, strict=True))

    def _rate(self, model: str, kind: WorkKind) -> float | None:
        """Seconds for one piece of work."""
        for own in (True, False):
            alike = {k: t for (m, k), t in self._timed.items() if k.name == kind.name and (m == model) == own}
            if alike:
                nearest = min(alike, key=lambda each: (abs(each.size - kind.size), -each.size))
                return self._mean(t for (m, k), t in self._timed.items() if k == nearest and (m == model) == own)
        if kind in _STEPS:
            return None
        items = {key: timed for key, timed in self._timed.items() if key[1] not in _STEPS}
        return self._mean(t for (m, _), t in items.items() if m == model) or self._mean(items.values())

    @staticmethod
    def _mean(timed: Iterable[_Timed]) -> float | None:
        every = list(timed)
        return sum(each.seconds for each in every) / sum(each.count for each in every) if every else None


@dataclass(slots=True)
class _Timed:
    """The time that some pieces of work have taken."""

    seconds: float = 0.0
    count: int = 0

    def add(self, seconds: float, count: int) -> None:
        self.seconds += seconds
        self.count += count
