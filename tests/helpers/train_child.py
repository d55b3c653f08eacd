"""Trains in child processes, which may be killed at a step. They are forked from one with all imports done."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

import trainers.train as training
from harness.errors import RunFailed, UserError
from harness.models.llave import network as llave_network
from tests.helpers.training_files import Recorder, config
from trainers.config import TrainingConfig
from trainers.engine import launch
from trainers.train import train

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 200
REFUSED, LOST, FAILED = 2, 3, 4
UNEVEN = (
    "hard_negatives=true",
    "learn_temperature=true",
    "micro_batch=2",
    "gradient_accumulation_steps=2",
    "frozen=vision",
    "learning_rate=1e-4",
)
"""Settings with several chunks, some without images and some without negatives. Processes must still stay in step."""
Sharding: TypeAlias = Literal["fsdp2", "zero1", "zero2", "zero3"]


class Fatal(Recorder):
    """Kills the process after a step, before a checkpoint of that step is written."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def advance(self, steps: int = 1, state: str = "") -> None:
        super().advance(steps, state)
        if len(self.states) == self._at:
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
    sharding: Sharding | None = None,
    layer: str = "Qwen2DecoderLayer",
) -> list[int | None]:
    """Trains to the end, or until a process is killed at a step. Returns the exit codes.

    `layer` is the class whose modules FSDP2 shards, each by itself. LOST is the code of a process that stopped because
    another one ended.
    """
    os.environ["PYTHONPATH"] = str(ROOT)
    if sharding not in (None, "fsdp2"):
        _write_zero(place, sharding)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *(["deepspeed"] if find_spec("deepspeed") else [])])
    port = _free_port()
    children = []
    for rank in range(processes):
        together = {"MASTER_PORT": port, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "RANK": rank}
        launched = processes > 1 or sharding is not None
        environment = {"MASTER_ADDR": "localhost", **together, "LOCAL_RANK": rank} if launched else {}
        at = kill_at if rank == kill_rank else 0
        made = partial(
            _work, place, name, tuple(settings), environment, at, resume=resume, sharding=sharding, layer=layer
        )
        children.append(context.Process(target=made))
    for child in children:
        child.start()
    for child in children:
        child.join(_PATIENCE)
    codes = [child.exitcode for child in children]
    for child in children:
        child.kill()  # a process that hangs would outlive the tests
    return codes


def _work(
    place: Path,
    name: str,
    settings: Sequence[str],
    environment: Mapping[str, object],
    kill_at: int,
    *,
    resume: bool,
    sharding: Sharding | None,
    layer: str,
) -> None:
    import torch

    os.environ.update({key: str(value) for key, value in environment.items()}, HF_HUB_OFFLINE="1")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(1)
    if sharding == "fsdp2":
        _fsdp2(layer)
    elif sharding is not None:
        _zero(place, sharding)
    try:
        train(config(place, *settings), place / name, Fatal(kill_at), resume=resume)
    except RunFailed as error:
        sys.exit(LOST if "Another process" in error.what else FAILED)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(REFUSED)
    sys.exit(0)


def _fsdp2(layer: str) -> None:
    """Configures FSDP2 as `accelerate launch` does, which needs a GPU."""
    from accelerate import Accelerator, FullyShardedDataParallelPlugin
    from accelerate.utils import DistributedType

    def joined(made: TrainingConfig, patience: float | None) -> Accelerator:
        accelerator = launch.join(made, patience)
        accelerator.state.distributed_type = DistributedType.FSDP
        accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            reshard_after_forward=True,
            auto_wrap_policy="transformer_based_wrap",
            transformer_cls_names_to_wrap=[layer],
        )
        return accelerator

    training.join = joined


def _zero(place: Path, sharding: Sharding) -> None:
    """Sets the variables that `accelerate launch --use_deepspeed --deepspeed_config_file` sets."""
    import deepspeed

    # processes have different numbers of crops, and must still make equal numbers of passes through the tower
    llave_network._CROPS_AT_ONCE = 2
    # a faster connection within one machine, which is compiled for a minute at its first use
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    os.environ |= {
        "ACCELERATE_USE_DEEPSPEED": "true",
        "ACCELERATE_DEEPSPEED_CONFIG_FILE": str(_config(place, sharding)),
    }


def _config(place: Path, sharding: Sharding) -> Path:
    return place / f"{sharding}.json"


def _write_zero(place: Path, sharding: Sharding) -> None:
    """Writes DeepSpeed's config before the processes start."""
    zero: dict[str, object] = {"stage": int(sharding[-1]), "reduce_bucket_size": "auto"}
    # so that stage 3 gathers the weights of each layer at each pass, as it does in a large network
    limits = ("param_persistence_threshold", "max_live_parameters", "max_reuse_distance")
    zero |= {f"stage3_{name}": 0 for name in limits}
    made = {"zero_optimization": zero, "bf16": {"enabled": "auto"}, "gradient_clipping": "auto"}
    _config(place, sharding).write_text(json.dumps(made))


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("localhost", 0))
        return int(made.getsockname()[1])
