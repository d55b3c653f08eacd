"""Progress on a console: moving bars in a terminal, in a log a line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import TracebackType

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from harness.errors import visible
from harness.progress import WorkKind
from harness.results.numbers import grouped
from llave.api.run_clock import RunClock, duration

_FIRST, _LONGEST, _SHARE = 10.0, 300.0, 0.05
"""Seconds between two lines of a log: the least, the most, and the share of the time that has passed."""
_WHOLE = "whole run"


class _Bars(Progress):
    """One bar for the task at hand and one for the whole run, each with columns of its own."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from (self.make_tasks_table([task]) for task in self.tasks)


class ProgressBar:
    """A `harness.progress.Progress` on a console. Use as a context manager."""

    def __init__(self, console: Console, clock: RunClock | None = None) -> None:
        self._console = console
        self._clock = clock or RunClock()
        self._moves = console.is_terminal
        self._bar = _Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=10),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[state]}"),
            console=console,
            transient=True,
            disable=not self._moves,
        )
        self._task: TaskID | None = None
        self._whole: TaskID | None = None
        self._name, self._total, self._done = "", 0, 0
        self._begin = self._start = self._last_line = time.monotonic()

    def phase(self, name: str, total: int) -> None:
        """Starts a phase of `total` steps; 0 if their number is unknown."""
        self._clock.mark()
        name = visible(name)
        for task in (self._task, self._whole):
            if task is not None:
                self._bar.remove_task(task)
        count = f"0/{total:,}" if total else ""
        self._task = self._bar.add_task(name, total=total or None, count=count, state="")
        self._whole = None
        self._name, self._total, self._done = name, total, 0
        self._start = time.monotonic()
        self._show_run()
        if not self._moves and name.startswith("loading "):
            self.note(name)

    def advance(self, steps: int = 1, state: str = "") -> None:
        """Counts steps as done. `state` is shown in place of the rate."""
        self._done += steps
        now = time.monotonic()
        rate = self._done / max(now - self._start, 1e-3)
        state = state or f"{grouped(rate, 1)} items/s"
        if self._total > self._done:
            state += f", {duration((self._total - self._done) / rate)} left"
        if self._task is not None:
            self._bar.update(self._task, advance=steps, state=state, count=f"{self._done:,}/{self._total:,}")
        if not self._moves and now - self._last_line >= self._pause(now):
            whole = self._clock.text()
            line = f"{self._name}: {self._done:,} of {self._total:,}, {state}"
            self.note(f"{line}; {_WHOLE}: {whole}" if whole else line)

    def expect(self, model: str, work: Mapping[WorkKind, int]) -> None:
        """Notes the work that a model has left in this run."""
        self._clock.expect(model, work)

    def finish(self, model: str, work: Mapping[WorkKind, int]) -> None:
        """Times work that is done."""
        self._clock.finish(model, work)
        self._show_run()

    def note(self, text: str) -> None:
        """Prints a line above the bars."""
        self._last_line = time.monotonic()
        self._console.print(visible(text), markup=False, highlight=False, soft_wrap=True)

    def _pause(self, now: float) -> float:
        """Seconds until the next line of a log: a long run gets fewer lines."""
        return min(_LONGEST, max(_FIRST, _SHARE * (now - self._begin)))

    def _show_run(self) -> None:
        text = self._clock.text() if self._moves else ""
        if not text:
            return
        if self._whole is None:
            self._whole = self._bar.add_task(_WHOLE, total=1.0, count="", state="")
        share = self._clock.share
        self._bar.update(self._whole, completed=share, count=f"{grouped(100 * share)} %", state=text)

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._bar.stop()
