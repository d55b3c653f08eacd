"""The processes of a run: joins them through accelerate, and explains errors when one of them ends.

Imports torch.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec

import torch
import torch.distributed as dist
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.utils import DistributedType, GradientAccumulationPlugin

from harness.encoding.distributed import launched
from harness.encoding.peers import patience, start_watch
from harness.errors import RunFailed, UserError, brief
from trainers.config import TrainingConfig

_LATER = timedelta(minutes=2)
"""How much longer the libraries wait for a peer than `harness.encoding.peers`, which can say which one it is."""
_UNRECORDED = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "1",
    "ACCELERATE_DYNAMO_BACKEND": "no",
    "ACCELERATE_USE_MEGATRON_LM": "false",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "false",
}
"""Variables by which accelerate changes training, and their values without an effect."""
_SUPPORTED = (
    DistributedType.NO,
    DistributedType.MULTI_CPU,
    DistributedType.MULTI_GPU,
    DistributedType.FSDP,
    DistributedType.DEEPSPEED,
)
_LOST = ("Connection closed by peer", "Connection reset", "Broken pipe", "timed out", "Timed out", "NCCL", "gloo")
"""Words in the messages of the libraries that connect the processes."""


def join(config: TrainingConfig, minutes: float | None = None) -> Accelerator:
    """Joins the processes that `accelerate launch` or `torchrun` started, with the sharding that it configures.

    `minutes` are how long a process may stand still before the others give up (default: `peers.patience`).
    Raises UserError.
    """
    limit, world = patience(minutes), launched()
    if world.size > 1:
        start_watch(world.rank, world.size, limit)  # before the others are waited for
    _refuse_other_settings()
    deepspeed = _is_true(os.environ.get("ACCELERATE_USE_DEEPSPEED"))
    return (_join_deepspeed if deepspeed else _join)(config, limit + _LATER)


def _join(config: TrainingConfig, timeout: timedelta) -> Accelerator:
    on_cpu = config.device == "cpu" or not torch.accelerator.is_available()
    if _is_true(os.environ.get("ACCELERATE_USE_FSDP")):
        if os.environ.get("FSDP_VERSION", "1") != "2":
            raise UserError("Version 1 of FSDP is not supported.", "Set fsdp_version: 2 in the config of accelerate.")
        if on_cpu:
            raise UserError("FSDP needs a GPU for each process.", "Use torchrun without FSDP, or DeepSpeed.")
    accelerator = Accelerator(
        cpu=on_cpu,
        mixed_precision=_precision(config),
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timeout)],
    )
    if accelerator.distributed_type not in _SUPPORTED:
        raise UserError(f"{accelerator.distributed_type.value} is not supported.", "Use DDP, FSDP2 or DeepSpeed.")
    return accelerator


def _is_true(value: str | None) -> bool:
    return (value or "").lower() in ("true", "1", "yes")


def _refuse_other_settings() -> None:
    """Raises UserError for what accelerate reads from the environment and the recipe does not have."""
    for variable, usual in _UNRECORDED.items():
        found = os.environ.get(variable, usual)
        if found.lower() != usual:
            hint = f"Unset {variable}, or leave it out of the config of accelerate. The recipe decides what is trained."
            raise UserError(f"{variable} is {brief(found)}, which would change training without a record.", hint)


def _join_deepspeed(config: TrainingConfig, timeout: timedelta) -> Accelerator:
    """Joins under DeepSpeed, also on CPUs, where accelerate must be told the communication library."""
    if find_spec("deepspeed") is None:
        raise UserError("DeepSpeed is not installed.", 'pip install "llave-bench[deepspeed]"')
    if "LOCAL_RANK" not in os.environ:
        raise UserError("DeepSpeed needs processes that were started by a launcher.", "Use `accelerate launch`.")
    on_cpu = not torch.accelerator.is_available()
    if config.device == "cpu" and not on_cpu:
        raise UserError("DeepSpeed would use the GPU of this machine, but device is cpu.", "Leave device out.")
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    # DeepSpeed calls functions under old names, and each call would warn
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed")
    group = InitProcessGroupKwargs("gloo", timeout=timeout) if on_cpu else InitProcessGroupKwargs(timeout=timeout)
    try:
        accelerator = Accelerator(
            mixed_precision=_precision(config),
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
            kwargs_handlers=[group],
        )
    except ValueError as error:
        raise UserError(
            f"accelerate refuses the config of DeepSpeed: {error}", "See docs/training.md for one."
        ) from error
    unset_hf_deepspeed_config()  # else transformers makes sharded networks, before their weights are read and checked
    return accelerator


def _precision(config: TrainingConfig) -> str:
    return "bf16" if config.precision == "bf16" else "no"


@contextmanager
def explain_lost_peers() -> Iterator[None]:
    """Raises RunFailed in place of torch's error when a process that this one waits for has ended."""
    try:
        yield
    except RuntimeError as error:
        several = dist.is_initialized() and dist.get_world_size() > 1
        if several and any(sign in str(error) for sign in _LOST):
            hint = "Its own message says why, unless it was killed. --resume continues from the last checkpoint."
            raise RunFailed("Another process of this run has ended.", hint) from error
        raise
