"""LLaVE in several processes: the scores of one within rounding, and exactly those from the vectors they stored."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.results.rows import read_rows
from harness.results.verified import read_result
from tests.conftest import Place
from tests.helpers.llave_files import write_checkpoint

ROOT = Path(__file__).resolve().parents[4]
LAUNCHER = ("-m", "torch.distributed.run", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0")


def _rows(place: Place):
    paths = sorted(path for path in place.out.rglob("*.json"))
    assert paths
    return {path.stem: (read_result(path).result, read_rows(path, read_result(path).result)) for path in paths}


@pytest.mark.exhaustive
def test_two_processes_score_as_one_does(llave, tiny, tmp_path):
    folder = write_checkpoint(tmp_path / "tiny-llave")
    line = [
        "run",
        f"llave/{folder}",
        "--data",
        str(tiny.data),
        "--tasks",
        "Find,Match",
        "--device",
        "cpu",
        "--workers",
        "1",
    ]
    one, two, again = (Place(tmp_path / name) for name in ("one", "two", "again"))
    assert llave(*line, *one.flags).code == 0
    command = [sys.executable, *LAUNCHER, "--nproc-per-node", "2", "-m", "llave", *line, *two.flags]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert llave(*line, "--out", again.out, "--store", two.store).code == 0
    alone, shared, repeated = _rows(one), _rows(two), _rows(again)
    assert alone.keys() == shared.keys() == repeated.keys()
    for name, (result, rows) in shared.items():
        assert result.cost["processes"] == 2
        assert repeated[name][1] == rows
        assert repeated[name][0].metrics == result.metrics
        scores = [[[top["score"] for top in row["top"]] for row in each] for each in (rows, alone[name][1])]
        np.testing.assert_allclose(*map(np.array, scores), atol=5e-6)
