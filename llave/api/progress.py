"""The progress bar of the Python API: in a terminal, in a notebook, and as lines in a log."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Protocol

from harness.progress import NoProgress, Progress, WorkKind
from harness.results.numbers import grouped
from llave.api.run_clock import RunClock


class DisplayHandle(Protocol):
    """An output of IPython that can be changed."""

    def update(self, obj: object, *, raw: bool) -> None:
        """Shows something else in the same place."""


_SECONDS = 0.2
"""Time between two updates of a notebook's output."""


@contextmanager
def shown(show: bool) -> Iterator[Progress]:
    """Shows progress on stderr, or under the cell of a notebook; shows nothing if `show` is false."""
    if not show:
        yield NoProgress()
        return
    if in_notebook():
        notebook = NotebookProgress()
        try:
            yield notebook
        finally:
            notebook.close()
        return
    from rich.console import Console

    from llave.api.console_progress import ProgressBar

    with ProgressBar(Console(stderr=True, highlight=False)) as bar:
        yield bar


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and type(shell).__name__ in ("ZMQInteractiveShell", "Shell")


class NotebookProgress:
    """One output that is updated in place. It needs no widgets, so every kind of notebook shows it."""

    def __init__(self) -> None:
        self._handle: DisplayHandle | None = None
        self._name, self._state, self._total, self._done = "", "", 0, 0
        self._start = self._drawn = time.monotonic()
        self._clock = RunClock()

    def phase(self, name: str, total: int) -> None:
        """Begins a stretch of work of `total` steps; 0 if their number is not known."""
        self._clock.mark()
        self._name, self._total, self._done = name, total, 0
        self._start = time.monotonic()
        self._draw()

    def advance(self, steps: int = 1, state: str = "") -> None:
        """Counts steps that are done. `state` is shown in place of the rate."""
        self._done += steps
        self._state = state
        if time.monotonic() - self._drawn >= _SECONDS:
            self._draw()

    def expect(self, model: str, work: Mapping[WorkKind, int]) -> None:
        """Notes the work that a model has left in this run."""
        self._clock.expect(model, work)

    def finish(self, model: str, work: Mapping[WorkKind, int]) -> None:
        """Times work that is done."""
        self._clock.finish(model, work)

    def note(self, text: str) -> None:
        """Prints a line that stays."""
        print(text, file=sys.stderr)  # noqa: T201 -- a notebook shows it under the cell

    def close(self) -> None:
        """Takes the bar away."""
        if self._handle is not None:
            self._handle.update({"text/plain": "", "text/html": ""}, raw=True)

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        line, share = self._name, ""
        if self._total:
            rate = self._done / max(self._drawn - self._start, 1e-3)
            line += f": {self._done:,} of {self._total:,}, {self._state or f'{grouped(rate, 1)} items/s'}"
            share = f'<progress value="{self._done}" max="{self._total}"></progress> '
        if whole := self._clock.text():
            line += f"; whole run: {whole}"
        data = {"text/plain": line, "text/html": f"{share}{html.escape(line)}"}
        if self._handle is None:
            self._handle = import_module("IPython.display").display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)
