"""Progress on a console: a moving bar in a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from leaderboards.numbers import grouped

_SECONDS_BETWEEN_LINES = 10.0


class ProgressBar:
    """A `harness.progress.Progress` on a console. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._moves = console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not self._moves,
        )
        self._task: TaskID | None = None
        self._name, self._total, self._done = "", 0, 0
        self._start = self._last_line = time.monotonic()

    def phase(self, name: str, total: int) -> None:
        """Starts a phase of `total` steps; 0 if their number is unknown."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=total or None, state="")
        self._name, self._total, self._done = name, total, 0
        self._start = time.monotonic()
        if not self._moves and name.startswith("loading "):
            self.note(name)

    def advance(self, steps: int = 1, state: str = "") -> None:
        """Counts steps as done. `state` is shown in place of the rate."""
        self._done += steps
        now = time.monotonic()
        rate = self._done / max(now - self._start, 1e-3)
        state = state or f"{grouped(rate, 1)} items/s"
        if self._task is not None:
            self._bar.update(self._task, advance=steps, state=state)
        if not self._moves and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            left = (self._total - self._done) / rate
            self.note(f"{self._name}: {self._done:,} of {self._total:,}, {state}, {grouped(left)} s left")

    def note(self, text: str) -> None:
        """Prints a line above the bar."""
        self._last_line = time.monotonic()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._bar.stop()
