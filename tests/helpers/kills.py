"""Commands in child processes that are killed at a moment. They are forked from one with all imports done."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from llave.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 100
_VARIES = {"cost", "created", "date", "pairs_per_second", "seconds", "tokens_per_second"}
"""Fields of records and training logs that say when something was, or how long it took."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command whose outputs all lie in the working folder. `again` is what a second call adds to it."""

    line: Sequence[str]
    again: Sequence[str] = ()


def finish(command: Command, folder: Path, *, again: bool = False) -> float:
    """Runs a command to its end in a folder. Returns the seconds that it took."""
    words = (*command.line, *command.again) if again else command.line
    began = time.monotonic()
    child = _start(words, folder)
    child.join(_PATIENCE)
    child.kill()
    assert child.exitcode == 0, f"{words}: exit status {child.exitcode}\n{(folder / 'said').read_text()}"
    return time.monotonic() - began


def kill(command: Command, folder: Path, moment: float) -> bool:
    """Kills a command `moment` seconds after its start. Returns whether it was still at work."""
    child = _start(command.line, folder)
    child.join(moment)
    child.kill()
    child.join()
    return child.exitcode != 0


def _start(words: Sequence[str], folder: Path) -> multiprocessing.context.ForkServerProcess:
    os.environ["PYTHONPATH"] = str(ROOT)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "tests.helpers.train_child"])
    child = context.Process(target=_work, args=(tuple(words), folder))
    child.start()
    return child


def _work(words: Sequence[str], folder: Path) -> None:
    os.environ.update(LLAVE_CACHE=str(folder / "cache"), SOURCE_DATE_EPOCH="0", HF_HUB_OFFLINE="1")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(1)
    os.chdir(folder)
    with Path("said").open("w") as said, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main(words)
    raise SystemExit(status)


def left(folder: Path) -> Mapping[str, object]:
    """What a command left in a folder, without what depends on time or process: each file's content, and all vectors.

    A run writes the file of its settings under its date, and each run another one. So these files are not told apart.
    """
    found: dict[str, object] = {"vectors": dict(_vectors(folder))}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or path.suffix == ".db" or path.name == ".lock" or name == "said":
            continue
        found["run.toml" if path.match("run-*.toml") else name] = _content(path)
    return found


def _content(path: Path) -> object:
    if path.match("run-*.toml") or path.match("cache/*"):
        return None
    if path.name == "log.jsonl":
        return [_without_times(json.loads(line)) for line in path.read_text().splitlines()]
    return _without_times(json.loads(path.read_text())) if path.suffix == ".json" else path.read_bytes()


def _without_times(fields: object) -> object:
    if not isinstance(fields, dict):
        return fields
    return {key: _without_times(value) for key, value in fields.items() if key not in _VARIES}


def _vectors(folder: Path) -> Iterator[tuple[bytes, bytes]]:
    for path in folder.rglob("vm-*.db"):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            yield from connection.execute("SELECT key, vector FROM vectors")


def fresh(folder: Path) -> Path:
    """An empty folder in its place."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
