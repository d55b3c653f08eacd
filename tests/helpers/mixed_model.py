"""A small model of texts, images and videos with dropout, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

Chunk: TypeAlias = Sequence[Tensor]
"""Items: a text (tokens,), an image (pixels, 3) or a video (frames, pixels, 3)."""


class Mixed(nn.Module):
    """Embeds chunks as unit vectors (n, 5)."""

    def __init__(self, *, dropout: float = 0.0, seed: int = 0, uses_all: bool = False) -> None:
        super().__init__()
        self.uses_all = uses_all
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.words = nn.Embedding(11, 6)
            self.pixels = nn.Linear(3, 6)
            self.body = nn.Sequential(nn.Linear(6, 8), nn.Dropout(dropout), nn.Tanh(), nn.Linear(8, 5))
        self.double()

    def forward(self, chunk: Chunk) -> Tensor:
        pooled = torch.stack([self._pool(item) for item in chunk])
        if self.uses_all:
            pooled = pooled + 0 * (self.words.weight.sum() + self.pixels.weight.sum() + self.pixels.bias.sum())
        return normalize(self.body(pooled), dim=1)

    def _pool(self, item: Tensor) -> Tensor:
        if item.dim() == 1:
            return self.words(item).mean(0)
        seen = self.pixels(item)
        return seen.mean(0) if item.dim() == 2 else seen.mean((0, 1)) + seen[-1].mean(0)


def items(count: int, seed: int) -> list[Tensor]:
    """Texts, images and videos in turn, with different lengths."""
    draw = torch.Generator().manual_seed(seed)

    def one(number: int) -> Tensor:
        length = 2 + number % 4
        if number % 3 == 0:
            return torch.randint(11, (length,), generator=draw)
        shape = (length, 3) if number % 3 == 1 else (2, length, 3)
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    return [one(number + seed) for number in range(count)]


def cut(every: Sequence[Tensor], *sizes: int) -> list[Chunk]:
    """Cuts items into chunks of these sizes."""
    ends = torch.tensor(sizes).cumsum(0).tolist()
    assert ends[-1] == len(every)
    return [every[end - size : end] for end, size in zip(ends, sizes, strict=True)]
