"""The folder of a run: checks that it may be used, and writes the recipe before the first step."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.errors import UserError, brief, counted
from harness.files.writing import explain_os_errors, lock, write_atomic
from trainers.config import CHANGEABLE, TrainingConfig, differences, to_json
from trainers.data.training_data import TrainingData
from trainers.engine.checkpoint import STATE, checkpoints, read_record, resumable

RECIPE, SKIPPED = "recipe.json", "skipped.jsonl"
_LOCK = ".lock"


def claim(config: TrainingConfig, out: Path, *, resume: bool) -> TrainingConfig:
    """Makes the folder, and returns the config. A resumed run gets the commit of the data that it started with.

    Raises UserError for a folder that holds a run, unless this is resumed with the same settings.
    """
    found = checkpoints(out)
    if found and not resume:
        raise UserError(
            f"{out} already holds a run: {found[-1].name}.", "Continue it with --resume, or choose another --out."
        )
    if found and not resumable(out):
        raise UserError(
            f"{out} has {found[-1].name}, but no state to resume from: {STATE} is missing.",
            f"Start another run from its weights: --set model={found[-1]}.",
        )
    last = resumable(out) if resume else None
    if last is not None:
        # the checkpoint's own record decides, because a file beside it may be of another run
        saved = read_record(last / RECIPE, ("data",))
        if str(saved["data"]).startswith(f"{config.data}@"):
            config = replace(config, data=str(saved["data"]))
        other = differences(config, saved)
        if other:
            listed = "; ".join(f"{name} was {was}, now {now}" for name, (was, now) in other.items())
            raise UserError(
                f"{last} was trained with other settings: {listed}.",
                "Resume with those, or choose another --out.",
            )
    with explain_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    return config


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Held while a run writes to its folder. Raises UserError that names the process and host of a run that holds it.

    The operating system releases it when the process ends, however that happens.
    """
    with explain_os_errors(out / _LOCK):
        file = (out / _LOCK).open("a+", encoding="utf-8")
    with file:
        try:
            lock(file, wait=False)
        except BlockingIOError:
            file.seek(0)
            what = f"{out} is in use by another run: {brief(file.read() or 'one that has just begun')}."
            raise UserError(what, "Wait until it ends, or choose another --out.") from None
        except (ImportError, OSError):  # neither Windows nor every disk of a network has such locks
            pass
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def write_recipe(config: TrainingConfig, data: TrainingData, out: Path) -> None:
    """Writes the recipe, and a list of the pairs that are left out, if there are any."""
    write_atomic(out / RECIPE, to_json(config))
    if data.skipped:
        lines = [{"dataset": name, "pair": line} for name, lost in data.skipped.items() for line in lost]
        write_atomic(out / SKIPPED, "".join(json.dumps(line) + "\n" for line in lines))


def weight_settings(config: TrainingConfig) -> dict[str, object]:
    """The settings that affect the weights, as a recipe's file has them."""
    return {name: value for name, value in json.loads(to_json(config)).items() if name not in CHANGEABLE}


def left_out(data: TrainingData, out: Path) -> str | None:
    """A sentence about pairs that are left out, or None if there are none."""
    count = sum(map(len, data.skipped.values()))
    return f"{counted(count, 'pair')} left out because of bad media. {out / SKIPPED} lists them." if count else None
