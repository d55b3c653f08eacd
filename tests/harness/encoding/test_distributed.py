"""Several processes under torchrun and accelerate: the same results as one, and no hang when one of them fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.data.cache import DatasetCache
from harness.encoding.distributed import World, join
from harness.evaluate import Run, RunSettings
from harness.media.digests import Digests
from harness.models import open_model
from harness.progress import NoProgress
from harness.results.verified import read_result
from harness.types import EvalConfig, ModelSettings
from tasks.mmeb.local import local_tasks
from tests.conftest import Folder, Place

ROOT = Path(__file__).resolve().parents[3]
HASHED = "tests.helpers.embedders:Hashed"
TORCHRUN = ("-m", "torch.distributed.run", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0")


def _launched(launcher: tuple[str, ...], model: tuple[str, ...], tiny: Folder, place: Place, **environment: str):
    line = [sys.executable, *launcher, "-m", "llave", "run", *model, "--data", str(tiny.data), *place.flags]
    started = time.monotonic()
    child = subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        start_new_session=True,
    )
    try:
        out, err = child.communicate(timeout=90)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
        pytest.fail(f"it hangs:\n{out}\n{err}")
    return child.returncode, out, err, time.monotonic() - started


def _answers(place: Place) -> dict[str, object]:
    return {
        str(path.relative_to(place.out)): (
            read_result(path).result.metrics,
            read_result(path).result.official,
            read_result(path).result.identity,
            path.with_suffix(".queries.jsonl").read_bytes(),
        )
        for path in sorted(place.out.rglob("*.json"))
    }


@pytest.fixture
def one(llave, tiny, tmp_path):
    """What one process by itself finds and prints."""
    place = Place(tmp_path / "one")
    done = llave("run", HASHED, "null/oracle", "--data", tiny.data, *place.flags)
    assert done.code == 0
    return done.out, _answers(place)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "size"),
    [
        pytest.param((*TORCHRUN, "--nproc-per-node", "1"), 1, marks=pytest.mark.exhaustive),
        pytest.param((*TORCHRUN, "--nproc-per-node", "3"), 3, marks=pytest.mark.exhaustive),
        (("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"), 2),
    ],
    ids=["torchrun-1", "torchrun-3", "accelerate-2"],
)
def test_any_number_of_processes_gives_the_results_of_one(tiny, place, one, tmp_path, launcher, size):
    log = tmp_path / "log.jsonl"
    code, out, err, _ = _launched(
        launcher, (HASHED, "null/oracle"), tiny, place, ACCELERATE_USE_CPU="true", EMBEDDER_LOG=str(log)
    )
    assert code == 0, err
    assert (out, _answers(place)) == one, "one process alone prints, and what it prints is the same"
    assert read_result(place.path("Find")).result.cost["processes"] == size
    embedded = [label for line in log.read_text().splitlines() for label in json.loads(line)]
    assert len(embedded) == len(set(embedded)), "the work is shared, not repeated"
    assert len(list(next(place.store.glob("hashed-*")).glob("*.db"))) == size


@pytest.mark.slow
def test_a_process_that_fails_ends_the_others_with_a_message(tiny, place):
    launcher = (*TORCHRUN, "--nproc-per-node", "2")
    code, out, err, seconds = _launched(launcher, ("tests.helpers.embedders:BrokenPeer",), tiny, place)
    assert code != 0
    assert out == ""
    assert "error (process 1): broken-peer, Colour (1 of 3): The model returned a vector that is not finite" in err
    assert seconds < 60
    assert not list(place.out.rglob("*.json"))


@pytest.mark.slow
def test_where_no_launcher_stops_it_a_process_notices_that_another_has_gone(tiny, place):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    line = [sys.executable, "-m", "llave", "run", "tests.helpers.embedders:BrokenPeer", "--data", str(tiny.data)]
    peers = [
        subprocess.Popen(
            [*line, *place.flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": "2",
                "OMP_NUM_THREADS": "1",
                "MASTER_ADDR": "localhost",
                "MASTER_PORT": port,
            },
        )
        for rank in "01"
    ]
    said = [peer.communicate(timeout=90)[1] for peer in peers]
    assert [peer.returncode for peer in peers] == [1, 1]
    assert "error (process 0): Another process of this run has ended." in said[0]
    assert "error (process 1): broken-peer, Colour (1 of 3): The model returned a vector that is not finite" in said[1]
    assert not any("Traceback" in each for each in said)


def test_a_process_waits_as_often_whatever_it_finds_to_do(tiny, place):
    """Two jobs may share store and results, so that one process finds done what its peer does not. Nobody may hang."""
    waits: list[int] = []

    class Counting(World):
        def wait(self) -> None:
            waits[-1] += 1

    for _ in range(3):
        waits.append(0)
        settings = RunSettings(place.out, place.store)
        run = Run(EvalConfig(), settings, DatasetCache(Digests(), NoProgress(), 1), Counting(0, 1), NoProgress())
        evaluation = run.evaluate(open_model("null/random", ModelSettings()), local_tasks(tiny.data))
        if evaluation.found:
            shutil.rmtree(place.out)  # the vectors alone are left
    assert evaluation.counts.stored == evaluation.counts.distinct > 0
    assert len(set(waits)) == 1


def test_a_process_by_itself_joins_nobody(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join() == World(0, 1)
    World(0, 1).wait()
    assert [World(rank, 3).is_main for rank in range(3)] == [True, False, False]
