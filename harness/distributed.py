"""Several processes under `accelerate launch` or `torchrun`, or one.

Processes share a store, so nothing is ever gathered; they only wait for each other.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

from harness.errors import RunFailed

_PATIENCE = timedelta(days=7)
"""Processes wait for the slowest; a dead one is noticed by the launcher, not by a time-out."""


@dataclass(frozen=True, slots=True)
class World:
    """This process among its peers."""

    rank: int
    size: int

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Returns when every process has come here. Raises RunFailed if one never will."""
        if self.size > 1:
            from accelerate import PartialState

            try:
                PartialState().wait_for_everyone()
            except RuntimeError as error:
                hint = "It says why itself. What is done is kept: the same command goes on from here."
                raise RunFailed("Another process of this run has ended.", hint) from error


def join(device: str = "auto") -> World:
    """Joins the peers that the launcher started; a process by itself pays nothing for it."""
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        return World(0, 1)
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available(), timeout=_PATIENCE)
    return World(state.process_index, state.num_processes)
