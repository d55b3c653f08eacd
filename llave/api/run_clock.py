"""How long the whole run still takes, as text, from the work that the engine reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from harness.progress import RunEstimate, WorkKind

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


class RunClock:
    """Times the work of a run. `mark` is called at the start of everything that is not such work."""

    def __init__(
        self, seconds: Callable[[], float] = time.monotonic, now: Callable[[], datetime] = datetime.now
    ) -> None:
        self._seconds, self._now = seconds, now
        self._start = self._last = seconds()
        self._estimate = RunEstimate()

    def mark(self) -> None:
        """Starts to time the work that is finished next."""
        self._last = self._seconds()

    def expect(self, model: str, work: Mapping[WorkKind, int]) -> None:
        """Sets the work that a model has left."""
        self._estimate.expect(model, work)
        self.mark()

    def finish(self, model: str, work: Mapping[WorkKind, int]) -> None:
        """Takes off work that was done since the last call of any method."""
        now = self._seconds()
        self._estimate.finish(model, work, now - self._last)
        self._last = now

    @property
    def share(self) -> float:
        """The share of the whole run's time that has passed, from 0 to 1."""
        left, passed = self._estimate.seconds_left(), self._seconds() - self._start
        return passed / (passed + left) if left and passed else 0.0

    def text(self) -> str:
        """Such as `about 1 h 20 min left, until 14:32`; empty if it is not known, or if nothing is left."""
        left = self._estimate.seconds_left()
        if not left:
            return ""
        now = self._now()
        end = now + timedelta(seconds=left + _MINUTE / 2)  # the nearest minute
        day = "" if end.date() == now.date() else f"{end:%a} "
        return f"about {duration(left)} left, until {day}{end:%H:%M}"


def duration(seconds: float) -> str:
    """Seconds as a person says them, in at most two units: `40 s`, `12 min`, `1 h 20 min`, `2 d 3 h`."""
    if seconds < _MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < _HOUR:
        return f"{round(seconds / _MINUTE)} min"
    if seconds < _DAY:
        hours, minutes = divmod(round(seconds / _MINUTE), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / _HOUR), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
