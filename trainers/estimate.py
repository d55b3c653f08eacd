"""Estimates a run without training: pairs, steps, negatives, parameters and memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from harness.encoding.distributed import World
from harness.errors import unknown_name
from harness.media.frame_policy import FramePolicy
from harness.models.llave.config import LlaveConfig, read_config
from harness.models.llave.options import LlaveOptions
from harness.models.llave.vision import ImageLayout, Size, VideoLayout, image_layout
from harness.types import MEDIA_TOKEN, Item, Media
from trainers.config import SCRATCH, TrainingConfig
from trainers.data.pairs import Pair
from trainers.data.published import MMEB_TRAIN, ROUNDED, SHAPES, TRAIN_ROWS
from trainers.data.training_data import (
    check_matryoshka,
    check_shares,
    load_training_data,
    on_hub,
    plan_batches,
    remarks,
)
from trainers.engine.initial_checkpoint import adapt_config, find_initial_checkpoint
from trainers.engine.start import is_llave
from trainers.monitor.evaluation import CheckpointEvaluator

_FLOAT, _ADAM = 4, 8
_TEMPLATE = 12
"""About the number of tokens that the chat template adds to a text."""
_GROUPS = 4
"""Number of groups of items that the encoder embeds one after the other."""
_LONGEST = Item("word " * 128, (Media("image", "", Path()),))
"""The item that stands for all where the data is not at hand."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The size of a run.

    Bytes are those of one process that holds the whole network, as under DDP. FSDP divides all but activations.
    """

    pairs: Mapping[str, int]
    """Number of pairs in an epoch, by dataset."""
    rounded: tuple[str, ...]
    """Datasets whose rows are not at hand, and whose published number of rows is rounded."""
    left_out: tuple[str, ...]
    """A line for each pair that is left out because of bad media: where it is, and why."""
    steps: int
    negatives: int
    """Number of negatives of each query, without hard negatives."""
    trainable: int
    """Number of parameters that are trained."""
    frozen: int
    """Number of parameters that are not."""
    state_bytes: int
    """Bytes of weights, gradients and the optimizer's two moments."""
    activation_bytes: int
    """Bytes that are kept for the gradient, roughly.

    Images are taken to fill the grid. Pairs are those of the data. Without data they have an image and a text of 128
    words on both sides. Allocators reserve more memory than this, most of all on a CPU.
    """
    remarks: tuple[str, ...]
    """Sentences about the data that a person should know."""


def estimate(config: TrainingConfig, processes: int) -> Estimate:
    """Estimates a run with this number of processes. Raises UserError for what the run would refuse."""
    check_shares(config, processes)
    if config.eval_steps:
        CheckpointEvaluator.of(config, Path(), World(0, 1))
    rounded: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    pairs = [Pair(_LONGEST, _LONGEST)]
    notes: tuple[str, ...] = ()
    if config.data.partition("@")[0] == MMEB_TRAIN and on_hub(config.data):
        sizes = _published_sizes(config)
        rounded = tuple(
            name
            for name in sizes
            if name in ROUNDED and (config.max_rows_per_dataset or TRAIN_ROWS[name]) >= TRAIN_ROWS[name]
        )
        plan = plan_batches(sizes, config)
        steps = config.max_steps or plan.steps(config.num_train_epochs)
    else:
        data = load_training_data(config)
        plan, steps = data.plan, data.steps
        left_out = tuple(line for lost in data.skipped.values() for line in lost)
        pairs, notes = data.sample(), remarks(config, data)
    trainable, frozen, activations = _network(config, processes, pairs)
    return Estimate(
        pairs=dict(zip(plan.names, plan.draws, strict=True)),
        rounded=rounded,
        left_out=left_out,
        steps=steps,
        negatives=config.contrasted - 1,
        trainable=trainable,
        frozen=frozen,
        state_bytes=_FLOAT * (trainable + frozen) + (_FLOAT + _ADAM) * trainable,
        activation_bytes=activations,
        remarks=notes,
    )


def _network(config: TrainingConfig, processes: int, pairs: Sequence[Pair]) -> tuple[int, int, int]:
    """Numbers of trainable and frozen parameters, and bytes of activations. LLaVE's are counted without its weights."""
    if is_llave(config.model):
        shape = _shape(config)
        check_matryoshka(config, shape.language["hidden_size"])
        return (*_parameters(shape, config), _activations(shape, config, processes, pairs))
    from trainers.engine.measure import measure

    found = measure(config, [pair for pair in pairs if pair.query is not _LONGEST])
    if config.micro_batch:
        return found.trainable, found.frozen, round(config.micro_batch * max(found.query, found.target))
    of_pair = found.query + found.target + found.negatives
    return found.trainable, found.frozen, round(config.contrasted // processes * of_pair)


def _published_sizes(config: TrainingConfig) -> dict[str, int]:
    for name in config.datasets:
        if name not in TRAIN_ROWS:
            raise unknown_name("dataset", name, TRAIN_ROWS, f"{MMEB_TRAIN} has {', '.join(TRAIN_ROWS)}.")
    names = config.datasets or tuple(TRAIN_ROWS)
    return {name: min(TRAIN_ROWS[name], config.max_rows_per_dataset or TRAIN_ROWS[name]) for name in names}


def _shape(config: TrainingConfig) -> LlaveConfig:
    """The shape of the network. No weights are read, and no files for the published initial checkpoints."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if config.model == SCRATCH:
            from tasks.demo.suite import demo_vocabulary
            from trainers.engine.scratch import write_scratch

            write_scratch(folder, demo_vocabulary(), config.seed)
        elif config.model in SHAPES and not Path(config.model).is_dir():
            fields = {**_RELEASED, **SHAPES[config.model]}
            (folder / "config.json").write_text(json.dumps(adapt_config(fields, config)), "utf-8")
        else:
            return read_config(find_initial_checkpoint(config.model).folder)
        return read_config(folder)


_RELEASED: Mapping[str, object] = {
    "image_aspect_ratio": "anyres_max_9",
    "image_grid_pinpoints": "(1x1),...,(6x6)",
    "mm_patch_merge_type": "spatial_unpad",
    "mm_projector_type": "mlp2x_gelu",
    "mm_vision_tower": "google/siglip-so400m-patch14-384",
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
}


def _parameters(shape: LlaveConfig, config: TrainingConfig) -> tuple[int, int]:
    """Numbers of trainable and frozen parameters."""
    import torch

    from harness.models.llave.network import LlaveNetwork
    from trainers.engine.network import make_trainable

    with torch.device("meta"):
        network = LlaveNetwork(shape)
        make_trainable(network, config, list(network.tower.post_layernorm.parameters()))
    counts = {True: 0, False: 0}
    for parameter in network.parameters():
        counts[parameter.requires_grad] += parameter.numel()
    return counts[True], counts[False]


def _activations(shape: LlaveConfig, config: TrainingConfig, processes: int, pairs: Sequence[Pair]) -> int:
    kept = _Bytes.by(shape, config)
    queries = sum(kept.item(pair.query) for pair in pairs) / len(pairs)
    targets = sum(kept.item(pair.target) for pair in pairs) / len(pairs)
    if config.micro_batch:  # gradient caching holds one side of a micro-batch at a time
        return round(config.micro_batch * max(queries, targets))
    hard = [item for pair in pairs for item in pair.negatives] if config.hard_negatives else []
    negatives = sum(map(kept.item, hard)) / len(pairs)
    return round(config.contrasted // processes * (queries + targets + negatives))


@dataclass(frozen=True, slots=True)
class _Bytes:
    """Bytes that autograd keeps for a token (in the language model) and for a patch (in tower and projector).

    They are counted on the layers of transformers. Gradient checkpointing keeps the input of each layer, and all of one
    layer for one group of items.
    """

    shape: LlaveConfig
    token: int
    patch: int

    @staticmethod
    def by(shape: LlaveConfig, config: TrainingConfig) -> _Bytes:
        half, size = config.precision == "bf16", 2 if config.precision == "bf16" else _FLOAT
        language, tower = shape.language, shape.tower.shape
        width, inner = language["hidden_size"], tower["hidden_size"]
        keys = width * language["num_key_value_heads"] // language["num_attention_heads"]

        def layers(count: int, width: int, layer: int) -> int:
            return count * _FLOAT * width + layer // _GROUPS if config.gradient_checkpointing else count * layer

        # with 16 bits, norms and the sums between layers still have 32
        token = (30 if half else 32) * width + size * (2 * keys + 4 * language["intermediate_size"])
        patch = (24 if half else 32) * inner + size * 2 * tower["intermediate_size"]
        pixels = size * 3 * tower["patch_size"] ** 2
        seen = 0 if "vision" in config.frozen else pixels + layers(tower["num_hidden_layers"] - 1, inner, patch)
        projected = 0 if "projector" in config.frozen else size * (inner + 2 * width)
        return _Bytes(shape, layers(language["num_hidden_layers"], width, token), seen + projected)

    def item(self, item: Item) -> int:
        """Bytes that autograd keeps for an item."""
        from tasks.demo.datasets import words_of

        layouts = [self._layout(medium) for medium in item.media]
        words = words_of(item.full_text.replace(MEDIA_TOKEN, ""))
        tokens = _TEMPLATE + len(words) + sum(layout.tokens for layout in layouts)
        patches = sum(layout.crops for layout in layouts) * self.shape.tower.side**2
        return min(tokens, self.shape.max_length or tokens) * self.token + patches * self.patch

    def _layout(self, medium: Media) -> ImageLayout | VideoLayout:
        """The layout of an image that fills the largest grid, or of a video with the largest number of frames."""
        tower = self.shape.tower
        if medium.kind == "video":
            frames = FramePolicy.parse(LlaveOptions().frames).most
            return VideoLayout(frames, ceil(tower.side / 2), self.shape.newline)
        size = Size(*max(self.shape.resolutions, key=lambda each: each[0] * each[1]))
        grid = Size(size.width // tower.image_size, size.height // tower.image_size)
        return image_layout(size, grid, tower.side, self.shape.max_tiles)
