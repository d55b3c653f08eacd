"""Training in processes of their own, which may be killed at a step. They fork from one that has imported it all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import trainers.train as training
from harness.errors import RunFailed, UserError
from tests.trainers.training_files import Quiet, config
from trainers import launch
from trainers.config import Config
from trainers.train import train

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 200
REFUSED, LOST = 2, 3


class Fatal(Quiet):
    """Kills the process after a step, before the step's checkpoint, if it has one, is written."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def step(self, loss: float, pairs_per_second: float) -> None:
        super().step(loss, pairs_per_second)
        if len(self.losses) == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


def in_children(
    place: Path,
    name: str,
    settings: Sequence[str],
    *,
    processes: int = 1,
    kill_at: int = 0,
    kill_rank: int = 0,
    resume: bool = False,
    sharded: bool = False,
) -> list[int | None]:
    """Trains to the end, or until one is killed at a step; the exit codes, LOST for one that stopped for a lost peer.

    `sharded`: by FSDP2, as accelerate does it.
    """
    os.environ["PYTHONPATH"] = str(ROOT)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    port = _free_port()
    children = []
    for rank in range(processes):
        together = {"MASTER_PORT": port, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "RANK": rank}
        environment = {"MASTER_ADDR": "localhost", **together, "LOCAL_RANK": rank} if processes > 1 else {}
        at = kill_at if rank == kill_rank else 0
        made = partial(_work, place, name, tuple(settings), environment, at, resume=resume, sharded=sharded)
        children.append(context.Process(target=made))
    for child in children:
        child.start()
    for child in children:
        child.join(_PATIENCE)
    return [child.exitcode for child in children]


def _work(
    place: Path,
    name: str,
    settings: Sequence[str],
    environment: Mapping[str, object],
    kill_at: int,
    *,
    resume: bool,
    sharded: bool,
) -> None:
    import torch

    os.environ.update({key: str(value) for key, value in environment.items()}, HF_HUB_OFFLINE="1")
    torch.set_num_threads(1)
    if sharded:
        _shard()
    try:
        train(config(place, *settings), place / name, Fatal(kill_at), resume=resume)
    except RunFailed as error:
        sys.exit(LOST if "Another process" in error.what else 1)
    except UserError:
        sys.exit(REFUSED)
    sys.exit(0)


def _shard() -> None:
    """Tells accelerate what `accelerate launch` would by a config for FSDP2, which it takes from GPUs alone."""
    from accelerate import Accelerator, FullyShardedDataParallelPlugin
    from accelerate.utils import DistributedType

    def joined(made: Config) -> Accelerator:
        accelerator = launch.join(made)
        accelerator.state.distributed_type = DistributedType.FSDP
        accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            reshard_after_forward=True,
            auto_wrap_policy="transformer_based_wrap",
            transformer_cls_names_to_wrap=["Qwen2DecoderLayer"],
        )
        return accelerator

    training.join = joined


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("localhost", 0))
        return int(made.getsockname()[1])
