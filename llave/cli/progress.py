"""Listeners that show a run to a person: a moving bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_QUIET_SECONDS = 10.0


class Bar:
    """One moving line: the task at hand, how far, how fast, how long still. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._bar: TaskID | None = None
        self._start = 0.0
        self._done = 0

    def phase(self, name: str, total: int) -> None:
        if self._bar is not None:
            self._progress.remove_task(self._bar)
        self._bar = self._progress.add_task(name, total=total or None, rate="")
        self._start, self._done = time.monotonic(), 0

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        if self._bar is not None:
            rate = self._done / max(time.monotonic() - self._start, 1e-3)
            self._progress.update(self._bar, advance=steps, rate=f"{rate:,.1f} items/s")

    def note(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._progress.stop()


class Lines:
    """A line when a model is loaded, then one every ten seconds: for logs. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._name, self._total, self._done = "", 0, 0
        self._start = self._spoke = time.monotonic()

    def phase(self, name: str, total: int) -> None:
        self._name, self._total, self._done = name, total, 0
        self._start = time.monotonic()
        if name.startswith("loading "):
            self._say(name)

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        now = time.monotonic()
        if now - self._spoke >= _QUIET_SECONDS:
            rate = self._done / max(now - self._start, 1e-3)
            left = (self._total - self._done) / rate
            self._say(f"{self._name}: {self._done:,} of {self._total:,}, {rate:,.1f} items/s, {left:,.0f} s left")

    def note(self, text: str) -> None:
        self._say(text)

    def _say(self, text: str) -> None:
        self._spoke = time.monotonic()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        return None
