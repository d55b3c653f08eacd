"""Runs a function in several processes under gloo, and returns their tensors."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor

Work: TypeAlias = Callable[[], dict[str, Tensor]]


def in_processes(size: int, work: Work, folder: Path) -> list[dict[str, Tensor]]:
    """The results of `work` in each process. It must be a function at the top of a module.

    Raises an error if a process fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.multiprocessing.spawn(_process, (size, work, folder), nprocs=size)
    return [torch.load(folder / f"{rank}.pt") for rank in range(size)]


def _process(rank: int, size: int, work: Work, folder: Path) -> None:
    launcher = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_PORT": 0}
    os.environ.update({name: str(value) for name, value in launcher.items()}, MASTER_ADDR="localhost")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=size)
    torch.save(work(), folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
