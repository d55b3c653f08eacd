"""The processes of a run: how accelerate joins them, and what is said when one of them ends. Imports torch."""

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
from accelerate.utils import DistributedType

from harness.errors import RunFailed, UserError
from trainers.config import TrainingConfig

_PATIENCE = timedelta(minutes=30)
"""Longest wait for a peer that lives: that one has ended is known at once, from its connection or the launcher."""
_LOST = ("Connection closed by peer", "Connection reset", "Broken pipe", "timed out", "Timed out", "NCCL", "gloo")
"""In the words of the libraries that processes talk to each other through."""


def join(config: TrainingConfig) -> Accelerator:
    """Joins the processes that `accelerate launch` or `torchrun` started, sharded as it says. Raises UserError."""
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true":
        return _join_deepspeed(config)
    accelerator = Accelerator(
        cpu=config.device == "cpu" or not torch.accelerator.is_available(),
        mixed_precision=_precision(config),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
    )
    if accelerator.distributed_type == DistributedType.FSDP and not accelerator.is_fsdp2:
        raise UserError("Version 1 of FSDP is not supported.", "Set fsdp_version: 2 in what `accelerate config` wrote.")
    return accelerator


def _join_deepspeed(config: TrainingConfig) -> Accelerator:
    """On CPUs too, which accelerate does only if it is told what their processes talk through."""
    if find_spec("deepspeed") is None:
        raise UserError("DeepSpeed is not installed.", 'pip install "llave-bench[deepspeed]"')
    if "LOCAL_RANK" not in os.environ:
        raise UserError("DeepSpeed needs processes that a launcher started.", "Use `accelerate launch`.")
    on_cpu = not torch.accelerator.is_available()
    if config.device == "cpu" and not on_cpu:
        raise UserError("DeepSpeed takes the GPU of this machine, but device is cpu.", "Leave device out.")
    # what DeepSpeed calls under old names, once for each call
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed")
    group = InitProcessGroupKwargs("gloo", timeout=_PATIENCE) if on_cpu else InitProcessGroupKwargs(timeout=_PATIENCE)
    try:
        return Accelerator(mixed_precision=_precision(config), kwargs_handlers=[group])
    except ValueError as error:
        raise UserError(f"accelerate refuses the config of DeepSpeed: {error}", "docs/training.md has one.") from error


def _precision(config: TrainingConfig) -> str:
    return "bf16" if config.precision == "bf16" else "no"


@contextmanager
def explain_lost_peers() -> Iterator[None]:
    """Raises RunFailed for what torch raises when a process that others wait for has ended."""
    try:
        yield
    except RuntimeError as error:
        several = dist.is_initialized() and dist.get_world_size() > 1
        if several and any(sign in str(error) for sign in _LOST):
            hint = "It says why itself, unless it was killed. --resume goes on from the last checkpoint."
            raise RunFailed("Another process of this run has ended.", hint) from error
        raise
