"""Writers to a store that tests start, watch and kill. Run as `store_child.py ROOT WHAT [NUMBER ...]` from the root."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import sys
from pathlib import Path

import numpy as np

from harness.encoding.store import Store
from harness.errors import UserError
from harness.types import FloatArray, ModelSpec

SPEC = ModelSpec("org/model", "1", "test/1", options={"pixels": 448})
BATCH = 300
WIDTH = 3584
"""A batch of this width does not fit into SQLite's cache, so that it reaches the file before it is committed."""


def key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def keys(*numbers: int) -> list[bytes]:
    return [key(number) for number in numbers]


def vectors(*numbers: int, width: int = WIDTH, seed: int = 0) -> FloatArray:
    """A vector for each number, the same ones everywhere."""
    rows = [np.random.default_rng((seed, number)).normal(size=width) for number in numbers]
    return np.array(rows, dtype=np.float32).reshape(len(numbers), width)


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _batch(start: int) -> range:
    return range(start, start + BATCH)


def _loop(store: Store, start: int, count: int) -> None:
    """Puts batches, one line each time."""
    for number in range(count):
        batch = _batch(start + number * BATCH)
        store.put(keys(*batch), vectors(*batch))
        _say("stored")


def _die(store: Store, statement: int) -> None:
    """Stores a batch, and is killed at a statement of the next: 0 begins, 1 to `BATCH` insert, the last commits."""
    _loop(store, 0, 1)
    left = statement

    def count_down(_: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    store._open_writer()._connection.set_trace_callback(count_down)
    _loop(store, BATCH, 1)


def _fill(store: Store, largest: int) -> None:
    """Stores batches until files may not grow any more."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    try:
        _loop(store, 0, 10)
    except UserError as error:
        _say(error.what, error.hint)


def _hold(store: Store) -> None:
    store.check_writable()
    _say("holds")
    sys.stdin.read()


def main(root: str, what: str, *numbers: str) -> None:
    work = {"loop": _loop, "die": _die, "fill": _fill, "hold": _hold}[what]
    with Store(Path(root), SPEC) as store:
        work(store, *map(int, numbers))


if __name__ == "__main__":
    main(*sys.argv[1:])
