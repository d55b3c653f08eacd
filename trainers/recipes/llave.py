"""LLaVE as published (arXiv 2503.04812, Table 5, and the public training script), and the same with plain InfoNCE.

The script runs 8 GPUs with 4 pairs each and adds up gradients 8 times, so each pair is contrasted with 31 others, not
255. `--set accumulate=1 --set micro_batch=4` contrasts it with 255 in the same memory.
"""

from __future__ import annotations

from dataclasses import replace

from trainers.config import TrainingConfig


def llave_05b() -> TrainingConfig:
    return _llave("llave-0.5b", "lmms-lab/llava-onevision-qwen2-0.5b-ov", 1e-5)


def llave_2b() -> TrainingConfig:
    return _llave("llave-2b", "BAAI/Aquila-VL-2B-llava-qwen", 1e-5)


def llave_7b() -> TrainingConfig:
    return _llave("llave-7b", "lmms-lab/llava-onevision-qwen2-7b-ov", 5e-6)


def infonce_05b() -> TrainingConfig:
    return _infonce(llave_05b())


def infonce_2b() -> TrainingConfig:
    return _infonce(llave_2b())


def infonce_7b() -> TrainingConfig:
    return _infonce(llave_7b())


def _llave(recipe: str, start: str, lr: float) -> TrainingConfig:
    """Duplicates are not masked, as in the public code."""
    return TrainingConfig(
        recipe=recipe,
        start=start,
        data="TIGER-Lab/MMEB-train",
        cap=50_000,
        batch=256,
        accumulate=8,
        mask_duplicates=False,
        alpha=9.0,
        scale=50.0,
        lr=lr,
        warmup=0.03,
        weight_decay=0.0,
        frozen=("tower",),
        max_length=4096,
        grid="2x2",
        workers=8,
    )


def _infonce(config: TrainingConfig) -> TrainingConfig:
    return replace(config, recipe=config.recipe.replace("llave", "infonce"), alpha=0.0)
