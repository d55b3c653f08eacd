"""How long a run still takes, on a clock that the test turns."""

from __future__ import annotations

import io
import itertools
import time
from datetime import datetime

import pytest
from rich.console import Console

from harness.progress import WorkKind
from llave.api.console_progress import ProgressBar
from llave.api.run_clock import RunClock, duration

IMAGE = WorkKind("image", 8)


class _Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def turned() -> _Time:
    return _Time()


@pytest.fixture
def clock(turned: _Time) -> RunClock:
    return RunClock(turned, lambda: datetime(2026, 1, 5, 23, 30))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "1 s"),
        (59.4, "59 s"),
        (90, "2 min"),
        (4800, "1 h 20 min"),
        (7200, "2 h"),
        (86_400 * 2 + 3600 * 3, "2 d 3 h"),
        (86_400, "1 d"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds, said):
    assert duration(seconds) == said


def test_only_time_since_the_last_event_counts_as_work(turned, clock):
    clock.expect("m", {IMAGE: 110})
    turned.seconds += 1000  # such as checking files
    clock.mark()
    turned.seconds += 10
    clock.finish("m", {IMAGE: 10})
    assert clock.text() == "about 2 min left, until 23:32"
    assert clock.share == pytest.approx(1010 / 1110)
    clock.expect("m", {IMAGE: 3600})
    assert clock.text() == "about 1 h left, until Tue 00:30"
    clock.expect("m", {})
    assert clock.text() == ""


def _drawn(bar: ProgressBar, turned: _Time) -> None:
    bar.expect("m", {IMAGE: 1000})
    bar.phase("a-model-with-a-name, MSR-VTT_t2v (12 of 36)", 200)
    turned.seconds += 60
    bar.advance(100)
    bar.finish("m", {IMAGE: 100})


def test_a_terminal_of_80_columns_shows_the_task_and_the_run_on_a_line_each(turned, clock):
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    bar = ProgressBar(console, clock)
    _drawn(bar, turned)
    capture = Console(width=80, file=io.StringIO())
    for line in bar._bar.get_renderables():
        capture.print(line)
    assert isinstance(capture.file, io.StringIO)
    task, run = capture.file.getvalue().splitlines()
    assert "a-model-with-a-name, MSR-VTT_t2v (12 of 36)" in task
    assert "100/200" in task
    assert run.startswith("whole run")
    assert run.rstrip().endswith("10 % about 9 min left, until 23:39")


def test_a_log_gets_lines_with_the_whole_run_ever_less_often(turned, clock, monkeypatch):
    monkeypatch.setattr(time, "monotonic", turned)
    written = io.StringIO()
    bar = ProgressBar(Console(file=written, width=200), clock)
    bar.expect("m", {IMAGE: 100_000})
    bar.phase("m, Task (1 of 2)", 100_000)
    times: list[float] = []
    for _ in range(10_000):
        turned.seconds += 4
        before = len(written.getvalue())
        bar.advance(10)
        bar.finish("m", {IMAGE: 10})
        if len(written.getvalue()) > before:
            times.append(turned.seconds)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert min(pauses) >= 10
    assert max(pauses) <= 304
    assert pauses[-1] > 100 > pauses[0]
    lines = written.getvalue().splitlines()
    assert "m, Task (1 of 2): " in lines[-1]
    assert "; whole run: about " in lines[-1]


def test_a_real_run_says_when_all_of_it_ends(tiny, place, llave, monkeypatch):
    """Two models on three tasks: each step's work is known from the first, and at the end nothing is left."""
    from llave.api import console_progress

    said: list[tuple[float | None, float]] = []

    class Listening(RunClock):
        def finish(self, model, work):
            super().finish(model, work)
            pieces = sum(each.total() for each in self._estimate._left.values())
            said.append((self._estimate.seconds_left(), pieces))

    monkeypatch.setattr(console_progress, "RunClock", Listening)
    models = ("classical", "null/random")
    assert llave("run", *models, "--data", tiny.data, *place.flags).code == 0
    left = [count for _, count in said]
    assert left == sorted(left, reverse=True), "the second model's work was known before the first began"
    assert left[0] > left[len(left) // 2] > left[-1] == 0
    assert said[-1][0] == 0
    said.clear()
    assert llave("run", *models, "--data", tiny.data, *place.flags).code == 0
    assert said == [], "finished results are no work"
    assert llave("run", "classical", "--data", tiny.data, *place.flags, "--protocol", "official").code == 0
    assert len(said) == 3, "vectors in the store are no work; three tasks are scored"
