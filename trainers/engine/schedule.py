"""The learning rate of each step."""

from __future__ import annotations

import math

from trainers.config import TrainingConfig


def learning_rate(config: TrainingConfig, step: int, steps: int) -> float:
    """The learning rate of a step, from 1 to `steps`. It rises linearly, then falls as half a cosine towards zero."""
    warm = math.ceil(config.warmup_ratio * steps)
    if step <= warm:
        return config.learning_rate * step / warm
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - 1 - warm) / max(1, steps - warm)))
