"""The steps that training.py measures: the trainer's own, and one that works as the public code does."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from harness.models.checkpoints import FoundCheckpoint
from harness.models.llave.config import LlaveConfig, read_config
from harness.models.llave.embedder import LlaveCheckpoint, LlaveEmbedder
from harness.models.llave.network import LlaveNetwork
from harness.models.llave.options import LlaveOptions
from harness.models.llave.prompt import PromptBuilder
from harness.types import MEDIA_TOKEN, Item, Media, ModelSpec
from lib.llave_shapes import AsPublic, random_network, word_tokenizer, write_config
from lib.synthetic import write_images
from trainers.config import TrainingConfig
from trainers.data.loader import PreparedItem, PreparedItems, SubBatch
from trainers.engine.backend import AccelerateBackend
from trainers.engine.initial_checkpoint import adapt_config
from trainers.engine.network import ready
from trainers.engine.scratch import write_scratch
from trainers.engine.step import Stepper
from trainers.loss.hardness import hardness_weighted_infonce
from trainers.recipes import find_recipe

DEMO = "demo"
"""The shape of the demo recipe: 0.4 million parameters, images of 48 pixels."""
_WORDS = [f"word{number}" for number in range(2000)]
_DISTINCT = 64
"""Number of different pairs. A larger batch repeats them, so that it does not need more memory for pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """A network under training, and pairs. In one half the query has an image; in the other, the target has."""

    config: TrainingConfig
    accelerator: Accelerator
    network: LlaveNetwork
    backend: AccelerateBackend
    queries: Sequence[PreparedItem]
    targets: Sequence[PreparedItem]

    def part(self, pairs: int) -> SubBatch:
        """Pairs that are contrasted with each other, sorted by length as the trainer does."""
        chosen = list(islice(cycle(zip(self.queries, self.targets, strict=True)), pairs))
        chosen.sort(key=lambda pair: (-pair[0].features.cost, -pair[1].features.cost))
        queries, targets = ([pair[side]._replace(id=at) for at, pair in enumerate(chosen)] for side in (0, 1))
        return SubBatch([], queries, targets, [], [0] * pairs, all_negatives=0)

    def step(self, part: SubBatch, micro_batch: int | None) -> float:
        """The trainer's own step: computes the gradient, and returns the loss."""
        self.network.zero_grad()
        config = replace(self.config, micro_batch=micro_batch, batch=len(part.queries))
        (loss,) = Stepper(config, self.backend, None).gradient([part])
        return loss

    def public_step(self, part: SubBatch) -> float:
        """The step of the public code: all queries are padded together, then all targets, in their order."""
        self.network.zero_grad()
        embed = AsPublic(self.network)
        with self.accelerator.autocast():
            query, target = (embed([each.features.data for each in side]) for side in (part.queries, part.targets))
        loss = hardness_weighted_infonce(query, target, scale=self.config.logit_scale, alpha=self.config.alpha)
        loss.backward()
        return float(loss.detach())

    def agree(self, sides: Mapping[str, Callable[[], float]]) -> None:
        """Raises AssertionError unless all sides have the same loss and the same norm of the gradient."""
        found = {name: (side(), self._norm()) for name, side in sides.items()}
        (loss, norm), *others = found.values()
        loose = self.config.precision == "bf16"
        for other in others:
            np.testing.assert_allclose(other, (loss, norm), rtol=0.1 if loose else 2e-3)

    def _norm(self) -> float:
        gradients = [each.grad.norm() for each in self.network.parameters() if each.grad is not None]
        return float(torch.stack(gradients).norm())


def set_up(folder: Path, options: Namespace, shape: str, *, checkpointing: bool) -> Bench:
    """A network of this shape with random weights, trained with the settings of a LLaVE recipe, and pairs for it."""
    on_gpu = options.device.startswith("cuda")
    config = replace(
        find_recipe("llave-0.5b"),
        precision="bf16" if on_gpu else "fp32",
        gradient_accumulation_steps=1,
        gradient_checkpointing=checkpointing,
        mask_duplicates=False,
    )
    shaped = _write(folder / "model", shape, config)
    network = random_network(shaped, options.device, torch.float32)
    prompter = PromptBuilder(word_tokenizer(_WORDS), None)
    checkpoint = LlaveCheckpoint(FoundCheckpoint("benchmark", folder, None), shaped, LlaveOptions())
    embedder = LlaveEmbedder(ModelSpec("benchmark", "1", "llave/1"), checkpoint, prompter, network)
    encoder, prepare = ready(embedder, config), PreparedItems(embedder, 0)
    sides = [[prepare(item, "query") for item in side] for side in _items(folder / "images", options)]
    accelerator = Accelerator(cpu=not on_gpu, mixed_precision="bf16" if on_gpu else "no")
    backend = AccelerateBackend(accelerator, encoder, config)
    return Bench(config, accelerator, network, backend, *sides)


def _write(folder: Path, shape: str, config: TrainingConfig) -> LlaveConfig:
    if shape == DEMO:
        write_scratch(folder, _WORDS, 0)
        return read_config(folder)
    write_config(folder, shape)
    path = folder / "config.json"
    path.write_text(json.dumps(adapt_config(json.loads(path.read_text()), config)))
    return read_config(folder)


def _items(folder: Path, options: Namespace) -> tuple[list[Item], list[Item]]:
    """Pairs of a text with 3 to 40 words, and an image with a question of 5 to 20 words."""
    rng = np.random.default_rng(0)

    def text(least: int, most: int) -> str:
        return " ".join(rng.choice(_WORDS, int(rng.integers(least, most + 1))).tolist())

    names = write_images(folder, options.images, side=options.side)
    queries, targets = [], []
    for at in range(_DISTINCT):
        image = Item(f"{MEDIA_TOKEN}\n{text(5, 20)}", (Media("image", names[at % len(names)], folder),))
        words = Item(text(3, 40))
        queries.append(image if at % 2 else words)
        targets.append(words if at % 2 else image)
    return queries, targets
