"""The demo's recipes: a small LLaVE from random weights on pictures, and MiniLM on texts."""

from __future__ import annotations

from dataclasses import replace

from tasks.demo.wordings import WORDINGS
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


def demo_text() -> TrainingConfig:
    """MiniLM with adapters on captions in other words, with hardness weights. A run takes seconds on two cores."""
    return TrainingConfig(
        recipe="demo-text",
        model="sentence-transformers/all-MiniLM-L6-v2",
        data=WORDINGS,
        batch=32,
        max_steps=12,
        learning_rate=2e-3,
        warmup_ratio=0.1,
        precision="fp32",
        gradient_checkpointing=False,
        frozen=(),
        lora_rank=8,
        lora_dropout=0.0,
        logging_steps=4,
        save_steps=4,
        save_total_limit=1,
        eval_steps=4,
        eval_on_start=True,
        eval_tasks=("demo-paraphrase",),
    )


def demo_text_infonce() -> TrainingConfig:
    """The same with plain InfoNCE."""
    return replace(demo_text(), recipe="demo-text-infonce", alpha=0.0)
