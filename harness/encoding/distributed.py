"""Runs of one process, or of several under `accelerate launch` or `torchrun`.

Processes share a store, so vectors are never gathered. Processes only wait for each other.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

from harness.errors import RunFailed

_TIMEOUT = timedelta(days=7)
"""Longest wait for the slowest process. The launcher notices a process that has died, not this time-out."""


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
                PartialState().wait_for_everyone()
            except RuntimeError as error:
                hint = "That process prints the reason. Finished work is kept: run the same command again to resume."
                raise RunFailed("Another process of this run has ended.", hint) from error


def join(device: str = "auto") -> World:
    """Joins the processes that the launcher started. A single process imports nothing for it."""
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        return World(0, 1)
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available(), timeout=_TIMEOUT)
    return World(state.process_index, state.num_processes)
