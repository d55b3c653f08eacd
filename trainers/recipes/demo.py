"""A small LLaVE from random weights on the demo's training pairs. It takes a minute or two on two cores."""

from __future__ import annotations

from dataclasses import replace

from trainers.config import SCRATCH, TrainingConfig


def demo() -> TrainingConfig:
    """The demo with hardness weights."""
    return TrainingConfig(
        recipe="demo",
        model=SCRATCH,
        data="demo",
        batch=64,
        max_steps=300,
        hard_negatives=True,
        learning_rate=1e-3,
        warmup_ratio=0.1,
        weight_decay=0.01,
        betas=(0.9, 0.98),
        temperature=0.05,
        precision="fp32",
        gradient_checkpointing=False,
        frozen=(),
        logging_steps=50,
    )


def demo_infonce() -> TrainingConfig:
    """The demo with plain InfoNCE."""
    return replace(demo(), recipe="demo-infonce", alpha=0.0)
