"""DeepSpeed's config beside the recipe: what one leaves open, the other says."""

from __future__ import annotations

from typing import cast

from harness.errors import UserError
from trainers.config import TrainingConfig

_REFUSED = ("optimizer", "scheduler", "fp16", "amp", "torch_autocast", "tensor_parallel", "pipeline")
"""Sections of DeepSpeed's config for what the recipe decides, or that would change what a batch is."""


def settle(deepspeed: dict[str, object], config: TrainingConfig, processes: int, width: int) -> None:
    """Fills in what DeepSpeed's config leaves open or `auto`. Raises UserError where it says otherwise."""
    zero = cast("dict[str, object]", deepspeed["zero_optimization"])
    if zero.get("stage") not in (1, 2, 3):
        raise UserError(
            f"DeepSpeed's config has ZeRO's stage {zero.get('stage')}.", "Take 1, 2 or 3; without ZeRO, use torchrun."
        )
    for name in _REFUSED:
        section = deepspeed.get(name)
        if isinstance(section, dict) and section.get("enabled", True) not in (False, "false"):
            raise UserError(
                f"DeepSpeed's config has a section {name!r}, which is not supported.",
                "Take it out: the recipe says how weights move and in which precision, and --set changes it.",
            )
    _fill(deepspeed, "train_batch_size", config.batch)
    _fill(deepspeed, "train_micro_batch_size_per_gpu", config.batch // processes)
    _fill(deepspeed, "gradient_accumulation_steps", 1)
    _fill(deepspeed, "gradient_clipping", config.clip)
    _fill(cast("dict[str, object]", deepspeed["bf16"]), "enabled", config.precision == "bf16")
    sums = cast("dict[str, object]", deepspeed.setdefault("data_types", {}))
    sums.setdefault("grad_accum_dtype", "fp32")  # a step adds up as many gradients as it has micro-batches
    # what transformers' Trainer fills in
    sizes = {
        "reduce_bucket_size": width * width,
        "stage3_prefetch_bucket_size": 9 * width * width // 10,
        "stage3_param_persistence_threshold": 10 * width,
    }
    zero |= {name: size for name, size in sizes.items() if zero.get(name) == "auto"}


def _fill(section: dict[str, object], name: str, value: object) -> None:
    found = section.get(name)
    if found not in (None, "auto", value):
        raise UserError(
            f"DeepSpeed's config says {name}: {found}, and the recipe {value}.",
            'Write "auto" there, which takes what the recipe has, and change that with --set.',
        )
    section[name] = value
