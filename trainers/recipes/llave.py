"""LLaVE as published, and the same with plain InfoNCE.

Sources: arXiv 2503.04812, Table 5, and the public training script. The script runs 8 GPUs with 4 pairs each and
accumulates gradients 8 times. So a pair is contrasted with 31 others and not with 255. In the same memory,
`--set gradient_accumulation_steps=1 --set micro_batch=4` contrasts it with 255.
"""

from __future__ import annotations

from dataclasses import replace

from trainers.config import TrainingConfig


def llave_05b() -> TrainingConfig:
    """LLaVE-0.5B with hardness weights."""
    return _llave("llave-0.5b", "lmms-lab/llava-onevision-qwen2-0.5b-ov", 1e-5)


def llave_2b() -> TrainingConfig:
    """LLaVE-2B with hardness weights."""
    return _llave("llave-2b", "BAAI/Aquila-VL-2B-llava-qwen", 1e-5)


def llave_7b() -> TrainingConfig:
    """LLaVE-7B with hardness weights."""
    return _llave("llave-7b", "lmms-lab/llava-onevision-qwen2-7b-ov", 5e-6)


def infonce_05b() -> TrainingConfig:
    """LLaVE-0.5B with plain InfoNCE."""
    return _infonce(llave_05b())


def infonce_2b() -> TrainingConfig:
    """LLaVE-2B with plain InfoNCE."""
    return _infonce(llave_2b())


def infonce_7b() -> TrainingConfig:
    """LLaVE-7B with plain InfoNCE."""
    return _infonce(llave_7b())


def _llave(recipe: str, model: str, learning_rate: float) -> TrainingConfig:
    """The settings that all sizes share. As in the public code, duplicates are not masked."""
    return TrainingConfig(
        recipe=recipe,
        model=model,
        data="TIGER-Lab/MMEB-train",
        max_rows_per_dataset=50_000,
        batch=256,
        gradient_accumulation_steps=8,
        mask_duplicates=False,
        alpha=9.0,
        temperature=0.02,
        learning_rate=learning_rate,
        warmup_ratio=0.03,
        weight_decay=0.0,
        frozen=("vision",),
        max_length=4096,
        grid="2x2",
        workers=8,
    )


def _infonce(config: TrainingConfig) -> TrainingConfig:
    return replace(config, recipe=config.recipe.replace("llave", "infonce"), alpha=0.0)
