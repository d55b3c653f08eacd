"""Several processes under `accelerate launch` or `torchrun`, or one.

Ranks share a store, so nothing is ever gathered.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

_PATIENCE = timedelta(days=7)
"""Ranks wait for the slowest; a dead one is noticed by the launcher, not by a time-out."""


@dataclass(frozen=True, slots=True)
class World:
    """This process among its peers."""

    rank: int
    size: int

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Returns when every rank has come here."""
        if self.size > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


def join() -> World:
    """Joins the peers that the launcher started; a process by itself pays nothing for it."""
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        return World(0, 1)
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available(), timeout=_PATIENCE)
    return World(state.process_index, state.num_processes)
