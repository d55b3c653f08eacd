"""Checkpoints are whole or not there, and the right ones are kept."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from harness.errors import UserError
from trainers.engine import checkpoint as disk


def write(out: Path, step: int, error: BaseException | None = None) -> Path:
    with disk.writing(out, step) as folder:
        (folder / "model.safetensors").write_text(str(step))
        if error is not None:
            raise error
        (folder / disk.STATE).mkdir()
        (folder / disk.STATE / "state.safetensors").write_text("state")
    return disk.checkpoint_folder(out, step)


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


def test_a_folder_appears_when_it_is_whole(tmp_path: Path):
    with disk.writing(tmp_path, 5) as folder:
        (folder / "model.safetensors").write_text("half")
        assert disk.checkpoints(tmp_path) == []
    assert [each.name for each in disk.checkpoints(tmp_path)] == ["checkpoint-5"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_what_fails_leaves_the_last_checkpoint_and_nothing_else(tmp_path: Path, error: BaseException):
    write(tmp_path, 5)
    expected = UserError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write(tmp_path, 6, error)
    assert names(tmp_path) == ["checkpoint-5"]
    assert disk.resumable(tmp_path) == tmp_path / "checkpoint-5"


def test_what_a_kill_left_is_written_anew(tmp_path: Path):
    (tmp_path / ".checkpoint-5.partial").mkdir()
    (tmp_path / ".checkpoint-5.partial" / "old").touch()
    assert names(write(tmp_path, 5)) == [disk.STATE, "model.safetensors"]


def test_the_newest_and_the_best_are_kept_and_the_newest_alone_can_be_resumed(tmp_path: Path):
    for step, score in ((2, 0.5), (4, 0.9), (6, 0.9), (8, 0.1), (10, 0.2)):
        write(tmp_path, step)
        assert disk.note_score(tmp_path, step, score) == (step in (2, 4))
        disk.prune(tmp_path, 2)
    assert names(tmp_path) == ["best.json", "checkpoint-10", "checkpoint-4", "checkpoint-8"]
    assert [each.name for each in disk.checkpoints(tmp_path)] == ["checkpoint-4", "checkpoint-8", "checkpoint-10"]
    assert [(each / disk.STATE).exists() for each in disk.checkpoints(tmp_path)] == [False, False, True]
    assert disk.resumable(tmp_path) == tmp_path / "checkpoint-10"
