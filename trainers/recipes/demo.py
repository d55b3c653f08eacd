"""A small LLaVE from random weights on the demo's training pairs: a minute or two on two cores."""

from __future__ import annotations

from dataclasses import replace

from trainers.config import SCRATCH, TrainingConfig


def demo() -> TrainingConfig:
    return TrainingConfig(
        recipe="demo",
        start=SCRATCH,
        data="demo",
        batch=64,
        steps=300,
        hard_negatives=True,
        lr=1e-3,
        warmup=0.1,
        weight_decay=0.01,
        betas=(0.9, 0.98),
        scale=20.0,
        precision="fp32",
        gradient_checkpointing=False,
        frozen=(),
        log_every=50,
    )


def demo_infonce() -> TrainingConfig:
    return replace(demo(), recipe="demo-infonce", alpha=0.0)
