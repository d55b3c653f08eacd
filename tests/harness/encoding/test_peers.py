"""A process that stands still is named, and not waited for without end. One that works is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.encoding.distributed import World, launched
from harness.encoding.peers import Sign, Watch, patience
from harness.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
LAUNCHED = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@st.composite
def _runs(draw: st.DrawFn) -> tuple[int, int, set[int], float]:
    size = draw(st.integers(2, 6))
    rank = draw(st.integers(0, size - 1))
    others = sorted({*range(size)} - {rank})
    return size, rank, draw(st.sets(st.sampled_from(others))), draw(st.floats(10, 1_000))


def _lived(size: int, rank: int, stopped: set[int], limit: float, seconds: float) -> tuple[Watch, list[str], float]:
    """A watch after some seconds in which some processes gave no sign, and what it said."""
    watch, said, now = Watch(rank, size, limit), [], 0.0
    step = seconds / 50  # a living process gives several signs before a wait is said
    while now <= seconds:
        signs = {each: Sign(0 if each in stopped else int(now / step), 0) for each in range(size)}
        said += watch.look(signs, now)
        now += step
    return watch, said, now - step


@given(_runs())
def test_exactly_those_that_stand_still_are_lost_and_the_first_of_the_rest_says_so_once(run):
    size, rank, stopped, limit = run
    watch, said, now = _lived(size, rank, stopped, limit, 1.1 * limit)
    assert set(watch.still(now, limit)) == stopped
    speaks = rank == min(set(range(size)) - stopped)
    assert len(said) == bool(stopped and speaks)
    for line in said:
        words = line.partition("waits for ")[2].partition(":")[0]
        assert {int(each) for each in words.split(" ", 1)[1].split(", ")} == stopped


@given(_runs())
def test_nobody_is_lost_before_the_limit_or_after_its_end(run):
    size, rank, stopped, limit = run
    watch, _, now = _lived(size, rank, stopped, limit, 0.9 * limit)
    assert watch.still(now, limit) == []
    watch.look(dict.fromkeys(range(size), Sign(-1)), now)
    assert watch.still(now + 10 * limit, limit) == []


@given(_runs())
def test_a_process_that_works_is_named_at_a_meeting_but_never_lost(run):
    size, rank, late, limit = run
    watch, said = Watch(rank, size, limit), []
    watch.own, watch.waits_since = Sign(0, 1), 0.0
    for now in range(0, int(3 * limit), max(1, int(limit / 20))):
        said += watch.look({each: Sign(now, 0 if each in late else 1) for each in range(size)}, float(now))
        assert watch.still(float(now), limit) == []
    speaks = rank == min(set(range(size)) - late)
    assert [line.endswith("at work, and not yet here.") for line in said] == [True] * bool(late and speaks)


def test_a_single_process_needs_no_variable_and_a_launcher_sets_all(monkeypatch):
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    assert launched() == World(0, 1)
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    assert launched() == World(1, 2)


WRONG = [
    *(
        (name, value)
        for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT")
        for value in ("x", "-1", "1.5", "\u0663")
    ),
    *((name, "") for name in LAUNCHED if name != "WORLD_SIZE"),
    ("RANK", "2"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_variables_that_no_launcher_sets_so_are_named(monkeypatch, llave, name, value):
    for each, usual in LAUNCHED.items():
        monkeypatch.setenv(each, usual)
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=name):
        launched()
    done = llave("tasks")
    assert (done.code, name in done.err) == (2, True)


@pytest.mark.parametrize("text", ["x", "0", "-3", "nan", "inf", "1e9"])
def test_a_limit_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv("LLAVE_PATIENCE", text)
    with pytest.raises(UserError, match="LLAVE_PATIENCE"):
        patience()
    assert patience(2) == timedelta(minutes=2)


def test_the_limit_is_half_an_hour_or_what_the_variable_says(monkeypatch):
    monkeypatch.delenv("LLAVE_PATIENCE", raising=False)
    assert patience() == timedelta(minutes=30)
    monkeypatch.setenv("LLAVE_PATIENCE", "0.5")
    assert patience() == timedelta(seconds=30)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stopped", "at_work"),
    [
        (1, False),
        *(pytest.param(*case, marks=pytest.mark.exhaustive) for case in ((0, True), (1, True), (0, False))),
    ],
)
def test_a_run_whose_process_was_stopped_says_which_and_ends(tmp_path, stopped, at_work):
    command = ("-m", "llave", "train", "demo", "--set", "steps=100000", "--set", "batch=32", "--patience", "0.2")
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    log = tmp_path / "log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with log.open("wb") as file:
        run = subprocess.Popen([*launcher, *command], cwd=tmp_path, env=environment, stdout=file, stderr=file)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    rank_of: dict[str, int] = {}

    def started() -> bool:
        """Whether both processes are there. A child that has not become Python yet has no rank."""
        rank_of.update({_rank(child): int(child) for child in children.read_text().split()})
        return {"0", "1"} <= rank_of.keys() and (not at_work or "training" in log.read_text())

    try:
        _until(started, 120)
        os.kill(rank_of[str(stopped)], signal.SIGSTOP)
        error = f"error (process {1 - stopped}): process {stopped} gave no sign of life for 0.2 minutes."
        _until(lambda: error in log.read_text(), 60)
        assert f"Process {1 - stopped} waits for process {stopped}: no sign of life" in log.read_text()
        os.kill(rank_of[str(stopped)], signal.SIGKILL)
        assert run.wait(60) == 1
    finally:
        for process in (*rank_of.values(), run.pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        run.wait()


def _rank(process: str) -> str:
    with suppress(OSError):
        for each in Path(f"/proc/{process}/environ").read_bytes().split(b"\0"):
            if each.startswith(b"RANK="):
                return each.decode().partition("=")[2]
    return ""


def _until(happened: object, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.3)
