"""What a run would be, without running it: pairs, steps, negatives, parameters, memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import unknown_name
from harness.models.llave_config import LlaveConfig, read_config
from trainers.config import SCRATCH, Config
from trainers.material import check_shares, find_material, on_hub, plan_over
from trainers.published import MMEB_TRAIN, ROUNDED, SHAPES, TRAIN_ROWS
from trainers.start import adapted, find_start

_FLOAT, _ADAM = 4, 8


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes are of one process that holds the whole network, as under DDP; FSDP shares out all but activations."""

    pairs: Mapping[str, int]
    """In an epoch, by dataset."""
    rounded: tuple[str, ...]
    """Datasets whose rows are not at hand, and are published rounded."""
    left_out: int
    """Pairs with bad media."""
    steps: int
    negatives: int
    """That each query is contrasted with, those that come with the pairs apart."""
    trainable: int
    frozen: int
    state_bytes: int
    """Weights, gradients and the optimizer's two moments."""
    activation_bytes: int
    """At the longest sequences; roughly."""


def estimate(config: Config, processes: int) -> Estimate:
    """Raises UserError as the run would."""
    check_shares(config, processes)
    rounded: tuple[str, ...] = ()
    left_out = 0
    if config.data.partition("@")[0] == MMEB_TRAIN and on_hub(config.data):
        sizes = _published_sizes(config)
        rounded = tuple(
            name for name in sizes if name in ROUNDED and (config.cap or TRAIN_ROWS[name]) >= TRAIN_ROWS[name]
        )
        plan = plan_over(sizes, config)
        steps = config.steps or plan.steps(config.epochs)
    else:
        material = find_material(config)
        plan, steps = material.plan, material.steps
        left_out = sum(map(len, material.skipped.values()))
    network = _shape(config)
    trainable, frozen = _parameters(network, config)
    return Estimate(
        pairs=dict(zip(plan.names, plan.draws, strict=True)),
        rounded=rounded,
        left_out=left_out,
        steps=steps,
        negatives=config.contrasted - 1,
        trainable=trainable,
        frozen=frozen,
        state_bytes=_FLOAT * (trainable + frozen) + (_FLOAT + _ADAM) * trainable,
        activation_bytes=_activations(network, config, processes),
    )


def _published_sizes(config: Config) -> dict[str, int]:
    for name in config.datasets:
        if name not in TRAIN_ROWS:
            raise unknown_name("dataset", name, TRAIN_ROWS, f"{MMEB_TRAIN} has {', '.join(TRAIN_ROWS)}.")
    names = config.datasets or tuple(TRAIN_ROWS)
    return {name: min(TRAIN_ROWS[name], config.cap or TRAIN_ROWS[name]) for name in names}


def _shape(config: Config) -> LlaveConfig:
    """The network's, with no weight read; of the published starts it is known without their files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if config.start == SCRATCH:
            from tasks.demo import demo_vocabulary
            from trainers.scratch import write_scratch

            write_scratch(folder, demo_vocabulary(), config.seed)
        elif config.start in SHAPES and not Path(config.start).is_dir():
            fields = {**_RELEASED, **SHAPES[config.start]}
            (folder / "config.json").write_text(json.dumps(adapted(fields, config)), "utf-8")
        else:
            return read_config(find_start(config.start))
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


def _parameters(shape: LlaveConfig, config: Config) -> tuple[int, int]:
    """Those that learn, and those that do not."""
    import torch

    from harness.models.llave_network import LlaveNetwork
    from trainers.network import make_trainable

    with torch.device("meta"):
        network = LlaveNetwork(shape)
        make_trainable(network, config)
    counts = {True: 0, False: 0}
    for parameter in network.parameters():
        counts[parameter.requires_grad] += parameter.numel()
    return counts[True], counts[False]


def _activations(shape: LlaveConfig, config: Config, processes: int) -> int:
    """About 34 bytes a token, layer and unit of width in 16 bits (Korthikanti et al. 2022, arXiv:2205.05198, Table 2,
    without the scores of attention); with checkpointing 2 a layer, and one layer whole."""
    share = config.contrasted // processes
    # gradient caching holds one side of a micro-batch at a time; a plain step both sides of its share
    items = config.micro_batch if config.micro_batch else 2 * share
    width, layers = shape.language["hidden_size"], shape.language["num_hidden_layers"]
    tokens = items * min(shape.max_length or 4096, _longest(shape))
    per_unit = 2 * layers + 34 if config.gradient_checkpointing else 34 * layers
    return tokens * width * per_unit * (1 if config.precision == "bf16" else 2)


def _longest(shape: LlaveConfig) -> int:
    """Tokens of an item with one image of the largest grid, and a short text."""
    tiles = max(width * height for width, height in shape.resolutions) // shape.tower.image_size**2
    return shape.tower.side**2 * (1 + min(tiles, shape.max_tiles)) + 128
