"""Kill a run at any moment and run it again: the same scores to the last bit, at most one batch embedded twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from harness.results.verified import read_result
from tests.conftest import Folder, Place

ROOT = Path(__file__).resolve().parents[2]
BATCH = 4
LINE = ("run", "tests.helpers.embedders:Hashed", "--budget", str(64 * BATCH))


def _start(tiny: Folder, place: Place, log: Path, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "llave", *LINE, "--data", str(tiny.data), *place.flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "EMBEDDER_LOG": str(log), "EMBEDDER_SECONDS": str(seconds)},
    )


def _batches(log: Path) -> list[list[str]]:
    """Whole lines of a log; a kill may cut the last."""
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    return [json.loads(line) for line in lines]


def _answers(place: Place) -> dict[str, object]:
    """What must be the same: scores and rows, byte for byte."""
    return {
        path.name: (
            read_result(path).result.metrics,
            read_result(path).result.identity,
            path.with_suffix(".queries.jsonl").read_bytes(),
        )
        for path in sorted(place.out.rglob("*.json"))
    }


@pytest.fixture
def undisturbed(llave, tiny, tmp_path, log):
    """The answers of a run that nobody killed, and what it embedded."""
    place = Place(tmp_path / "undisturbed")
    assert llave(*LINE, "--data", tiny.data, *place.flags).code == 0
    return _answers(place), Counter(label for batch in log() for label in batch)


def test_kill_9_at_random_moments(tiny, place, undisturbed, tmp_path):
    moments = random.Random(0)
    answers, expected = undisturbed
    log, kills = tmp_path / "killed.jsonl", 0
    for _ in range(8):
        before = len(_batches(log))
        child = _start(tiny, place, log, seconds=0.03)
        wanted = before + moments.randrange(1, 7)
        while child.poll() is None and len(_batches(log)) < wanted:
            time.sleep(0.005)
        time.sleep(moments.random() * 0.04)  # anywhere in a batch: preparing, embedding, storing, scoring, writing
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
            kills += 1
        elif child.returncode == 0:
            break
        child.wait()
    else:
        assert _start(tiny, place, log, seconds=0).wait(timeout=60) == 0
    assert kills >= 3
    assert _answers(place) == answers
    embedded = Counter(label for batch in _batches(log) for label in batch)
    assert embedded.keys() == expected.keys()
    assert sum((embedded - expected).values()) <= kills * BATCH
    assert not list(place.folder.rglob("*.tmp")) or kills, "only a kill leaves a temporary file"


def test_a_kill_between_rows_and_record_costs_no_encoding(llave, tiny, place, undisturbed, monkeypatch):
    """The rows are there and the record is not: the result is scored again from the store."""

    class Killed(BaseException):
        pass

    real = os.replace

    def fail_on_record(source, target):
        if str(target).endswith("Find.json"):
            raise Killed
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail_on_record)
        with pytest.raises(Killed):
            llave(*LINE, "--data", tiny.data, *place.flags)
    assert (place.path("Find").with_suffix(".queries.jsonl")).exists()
    assert not place.path("Find").exists()
    with monkeypatch.context() as patch:
        patch.setenv("EMBEDDER_FORBIDDEN", "1")
        done = llave(*LINE, "--data", tiny.data, "--tasks", "Colour,Find", *place.flags)
    assert (done.code, "1 result skipped because finished" in done.err) == (0, True)
    assert llave(*LINE, "--data", tiny.data, *place.flags).code == 0
    assert _answers(place) == undisturbed[0]


def test_two_runs_at_once_on_the_same_store_and_results(tiny, place, undisturbed, tmp_path):
    logs = [tmp_path / f"{number}.jsonl" for number in range(2)]
    children = [_start(tiny, place, log, seconds=0.02) for log in logs]
    assert [child.wait(timeout=120) for child in children] == [0, 0]
    assert _answers(place) == undisturbed[0]
    seen = {label for log in logs for batch in _batches(log) for label in batch}
    assert seen == undisturbed[1].keys()
    assert len(list(place.store.rglob("*.db"))) >= 1
    last = tmp_path / "last.jsonl"
    assert _start(tiny, place, last, seconds=0).wait(timeout=60) == 0
    assert not last.exists(), "nothing is left to embed"
