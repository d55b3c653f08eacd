"""How many requests are under way at once, and how long to wait. Both follow from what comes back."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

_FIRST = 2
"""Number of requests that are under way at once in the beginning."""
_SHORTEST, _LONGEST = 0.5, 30.0
"""Seconds to wait after the first trouble, doubled with each further one up to the longest."""
_IN_WORDS = re.compile(r"retry (?:again )?(?:in|after) (\d+(?:\.\d+)?) ?s", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Clock:
    """The time in seconds, and how to let it pass."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    date: Callable[[], float] = time.time
    """Seconds since 1970, to which dates of a server are compared."""


class Pace:
    """The number of requests that may be under way: it grows while all goes well, and is halved by trouble.

    It doubles until the first trouble, and then grows by one for each round of answers (additive increase,
    multiplicative decrease: Chiu and Jain 1989). Requests that were sent before the last trouble add nothing to it.
    """

    def __init__(self, most: int, clock: Clock) -> None:
        self.limit = min(_FIRST, most)
        self._most = most
        self._clock = clock
        self._good = 0
        self._troubled: float | None = None
        self._until = 0.0
        self._lock = threading.Lock()

    def begin(self) -> float:
        """Waits while the server wants to be left alone. Returns the time of the start."""
        while (rest := self._until - self._clock.now()) > 0:
            self._clock.sleep(rest)
        return self._clock.now()

    def went_well(self) -> None:
        """Takes note of an answer."""
        with self._lock:
            self._good += 1
            if self._troubled is None or self._good >= self.limit:
                self.limit, self._good = min(self._most, self.limit + 1), 0

    def was_troubled(self, began: float, seconds: float) -> None:
        """Takes note of trouble with a request that began then. Nothing is sent for so many seconds."""
        with self._lock:
            now = self._clock.now()
            self._until = max(self._until, now + seconds)
            if self._troubled is None or began > self._troubled:
                self.limit, self._good, self._troubled = max(1, self.limit // 2), 0, now


def pause(tries: int) -> float:
    """Seconds to wait after so many troubles, if the server does not say: half of a doubling time or more."""
    longest: float = min(_LONGEST, _SHORTEST * 2 ** (tries - 1))
    return longest * random.uniform(0.5, 1)  # noqa: S311 - no secret


def asked_pause(headers: Mapping[str, str], text: str, clock: Clock) -> float | None:
    """Seconds that a server asks to wait: `retry-after-ms`, `retry-after` (seconds or a date), or in words; or None."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        return max(0.0, float(headers["retry-after"]))
    except KeyError:
        said = _IN_WORDS.search(text)
        return float(said[1]) if said else None
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - clock.date())
