"""The log of a run: what a crash left of it, and what a person did to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import UserError
from trainers.monitor.log import NAME, TrainingLog, scored

LINES = [{"step": 1, "loss": 0.5}, {"step": 2, "mean": 0.5, "scores": {"a": 0.5}}, {"step": 3, "loss": float("nan")}]


def write(out: Path, end: bytes = b"") -> Path:
    (out / NAME).write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in LINES) + end)
    return out / NAME


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("cut", range(len(json.dumps(LINES[2])) + 1))
def test_a_line_that_a_crash_cut_off_is_left_out_and_no_other(tmp_path: Path, after: int, cut: int) -> None:
    path = write(tmp_path, json.dumps({**LINES[2], "step": 4}).encode()[:cut])
    assert [scored(tmp_path, step) for step in (1, 2, 3)] == [False, True, False]
    TrainingLog(tmp_path, after)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3][:after]


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert not scored(tmp_path, 1)


@pytest.mark.parametrize("line", [b"{]", b"[1]", b'{"loss": 1}', b'{"step": "1"}', b"\xff"])
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = write(tmp_path, line + b"\n")
    with pytest.raises(UserError) as caught:
        scored(tmp_path, 1)
    assert f"{path}, line 4: " in caught.value.what
    assert ("move it away" in caught.value.hint) or line == b"\xff"
