"""Runs of one process, or of several under `accelerate launch` or `torchrun`.

Processes share a store, so vectors are never gathered. Processes only wait for each other.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

from harness.encoding.peers import meeting, patience, start_watch
from harness.errors import RunFailed, UserError

_TIMEOUT = timedelta(days=7)
"""Longest wait for the slowest process, which works. `peers` notices one that stands still, the launcher a dead one."""

_LAUNCH = "Unset WORLD_SIZE, RANK and LOCAL_RANK, or use `accelerate launch` or `torchrun`, which set them all."


@dataclass(frozen=True, slots=True)
class World:
    """The rank of this process, from 0, and the number of processes."""

    rank: int
    size: int

    @property
    def is_main(self) -> bool:
        """Whether this is the process that scores and writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Waits until every process has called it. Raises: RunFailed if another process has ended."""
        if self.size > 1:
            from accelerate import PartialState

            try:
                with meeting():
                    PartialState().wait_for_everyone()
            except RuntimeError as error:
                hint = "That process prints the reason. Finished work is kept: run the same command again to resume."
                raise RunFailed("Another process of this run has ended.", hint) from error


def launched() -> World:
    """Reads which process this is from the variables that the launcher sets.

    Raises: UserError for variables that no launcher sets so. They may come from a job of another kind.
    """
    size = _whole("WORLD_SIZE", os.environ.get("WORLD_SIZE") or "1")
    rank = _whole("RANK", os.environ.get("RANK") or "0")
    _whole("LOCAL_RANK", os.environ.get("LOCAL_RANK") or "0")
    if size <= 1:
        return World(0, 1)
    needed = {
        "RANK": os.environ.get("RANK"),
        "LOCAL_RANK": os.environ.get("LOCAL_RANK"),
        "MASTER_ADDR": os.environ.get("MASTER_ADDR"),
        "MASTER_PORT": os.environ.get("MASTER_PORT"),
    }
    if missing := [name for name, value in needed.items() if not value]:
        raise UserError(f"WORLD_SIZE is {size}, but there is no {', '.join(missing)}.", _LAUNCH)
    _whole("MASTER_PORT", needed["MASTER_PORT"] or "")
    if rank >= size:
        raise UserError(f"RANK is {rank}, but WORLD_SIZE is {size}: ranks count from 0.", _LAUNCH)
    return World(rank, size)


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UserError(f"{name} is {text!r}, which is not a whole number.", _LAUNCH)
    return int(text)


def join(device: str = "auto", minutes: float | None = None) -> World:
    """Joins the processes that the launcher started. A single process imports nothing for it.

    `minutes` are how long a process may stand still before the others give up (default: `peers.patience`).
    """
    limit, world = patience(minutes), launched()
    if world.size <= 1:
        return world
    import torch
    from accelerate import PartialState

    start_watch(world.rank, world.size, limit)  # before the others are waited for
    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available(), timeout=_TIMEOUT)
    return World(state.process_index, state.num_processes)
