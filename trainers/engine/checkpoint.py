"""Checkpoints: folders that `llave run` opens, with the state for resuming, and which of them are kept.

OUT/checkpoint-N/                  a LLaVE checkpoint in the released format
OUT/checkpoint-N/.training_state/  state for resuming; hidden from the identity
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.files.reading import read_object
from harness.files.tensors import read_tensors
from harness.files.writing import explain_os_errors, write_atomic

if TYPE_CHECKING:
    from torch import Tensor

STATE = ".training_state"
STATE_FILE = f"{STATE}/state.safetensors"
TALLY_FILE = f"{STATE}/tally.json"
BEST = "best.json"
_DAMAGED = "Restore it from a copy, or start another run from the weights of that folder: --set model={}."
_NAME = re.compile(r"checkpoint-(\d+)")


def checkpoint_folder(out: Path, step: int) -> Path:
    """The folder of the checkpoint after a step."""
    return out / f"checkpoint-{step}"


def step_of(folder: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(folder.name.rpartition("-")[2])


def checkpoints(out: Path) -> list[Path]:
    """Finished checkpoints of a run, the oldest first."""
    if not out.is_dir():
        return []
    return sorted((path for path in out.iterdir() if path.is_dir() and _NAME.fullmatch(path.name)), key=step_of)


def resumable(out: Path) -> Path | None:
    """The newest checkpoint that has its training state, or None."""
    return next((each for each in reversed(checkpoints(out)) if (each / STATE_FILE).exists()), None)


@contextmanager
def writing(out: Path, step: int) -> Iterator[Path]:
    """Yields a folder to fill. It becomes the checkpoint of a step once all of it is on the disk. Raises UserError."""
    folder = checkpoint_folder(out, step)
    partial = out / f".{folder.name}.partial"
    with explain_os_errors(folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            for path in sorted(partial.rglob("*")):
                _sync(path)
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
            _sync(out)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


class WrongTensors(Exception):
    """Tensors of a training state that are not those of the network. The message names the first."""


def restore_state(folder: Path, parts: Iterable[Callable[[Mapping[str, Tensor]], None]]) -> None:
    """Passes the training state of a checkpoint to each part, which takes its own tensors out of it.

    Raises UserError if it is damaged, or of another network.
    """
    path, remedy = folder / STATE_FILE, _DAMAGED.format(folder)
    tensors = read_tensors(path, remedy)
    try:
        for restore in parts:
            restore(tensors)
    except WrongTensors as error:
        raise UserError(f"{path} is not the state of this run: {error}.", remedy) from None


def write_record(path: Path, fields: Mapping[str, object]) -> None:
    """Writes a JSON object. Raises UserError."""
    write_atomic(path, json.dumps(fields, indent=1) + "\n")


def read_record(path: Path, needed: Sequence[str]) -> Mapping[str, object]:
    """Reads a JSON object that a run wrote. Raises UserError if it is damaged, or lacks a key of `needed`."""
    remedy = _DAMAGED.format(path.parent)
    fields = read_object(path, remedy)
    missing = [key for key in needed if key not in fields]
    if missing:
        raise UserError(f"{path} lacks {' and '.join(missing)}.", remedy)
    return fields


def prune(out: Path, keep: int) -> None:
    """Removes all but the newest `keep` checkpoints and the best one. Only the newest keeps its training state."""
    every = checkpoints(out)
    best = best_step(out)
    for folder in every[:-keep]:
        if step_of(folder) != best:
            _remove(folder)
    for folder in every[:-1]:
        if (folder / STATE).exists():
            _remove(folder / STATE)


def best_step(out: Path) -> int | None:
    """The step of the best checkpoint, or None if none was evaluated."""
    if not (out / BEST).exists():
        return None
    step = _best(out)["step"]
    return step if isinstance(step, int) else None


def note_score(out: Path, step: int, score: float) -> bool:
    """Records a checkpoint's score if it is the best so far, and returns whether it is."""
    if (out / BEST).exists():
        before = _best(out)["score"]
        if isinstance(before, int | float) and before >= score:
            return False
    write_record(out / BEST, {"step": step, "score": score})
    return True


def _best(out: Path) -> Mapping[str, object]:
    return read_record(out / BEST, ("step", "score"))


def _remove(folder: Path) -> None:
    """Removes a folder, after renaming it: a process that is killed here leaves no partial checkpoint."""
    gone = folder.with_name(f".{folder.name.lstrip('.')}.removed")
    shutil.rmtree(gone, ignore_errors=True)
    with explain_os_errors(folder):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
