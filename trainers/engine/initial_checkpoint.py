"""The initial checkpoint of a run: found or made from random weights, and adapted to the recipe."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.files.writing import explain_os_errors, write_atomic
from harness.models.checkpoint_files import JsonFile
from harness.models.checkpoints import FoundCheckpoint, find_checkpoint
from harness.models.llave.config import MODEL_TYPE, LlaveConfig, read_config
from harness.models.llave.embedder import ALIASES, LlaveCheckpoint, LlaveEmbedder
from harness.models.llave.options import LlaveOptions
from harness.models.llave.prompt import read_prompter
from harness.models.llave.weights import TensorLocation, find_weights
from harness.types import ModelSpec
from trainers.config import SCRATCH, TrainingConfig
from trainers.engine.scratch import write_scratch

if TYPE_CHECKING:
    from harness.models.llave.network import LlaveNetwork

_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
)


@dataclass(frozen=True, slots=True)
class InitialCheckpoint:
    """The weights that a run starts from, and a folder with the other files of all its checkpoints."""

    template: Path
    config: LlaveConfig
    weights: Mapping[str, TensorLocation]
    """Where each tensor of the network lies, by its name."""

    def network(self, device: str = "cpu") -> LlaveNetwork:
        """The network in fp32, as the optimizer needs it."""
        from harness.models.llave.network import load_network

        return load_network(self.config, self.weights, self.template, device, "float32")

    def embedder(self, network: LlaveNetwork) -> LlaveEmbedder:
        """The embedder that evaluation uses, so that training prepares items in the same way."""
        prompter = read_prompter(self.template, self.config.language["vocab_size"])
        checkpoint = LlaveCheckpoint(
            FoundCheckpoint(self.template.name, self.template, None), self.config, LlaveOptions()
        )
        return LlaveEmbedder(ModelSpec("training", "", "llave"), checkpoint, prompter, network)


def open_initial_checkpoint(config: TrainingConfig, template: Path) -> InitialCheckpoint:
    """Finds or makes the initial checkpoint, and writes its files without weights to `template`.

    For `model=scratch` the random weights are written there too, unless they exist. Raises UserError.
    """
    if config.model == SCRATCH:
        from tasks.demo.suite import demo_vocabulary

        source = template
        if not (template / "model.safetensors").exists():
            write_scratch(template, demo_vocabulary(), config.seed)
    else:
        source = find_initial_checkpoint(config.model).weights_folder()
    fields = adapt_config(JsonFile.read(source / "config.json").fields, config)
    with explain_os_errors(template):
        template.mkdir(parents=True, exist_ok=True)
        _write_json(template / "config.json", fields)
        if source != template:
            _copy_small_files(source, template, str(fields["mm_vision_tower"]))
    found = read_config(template)
    tower = source / found.tower.name
    there = replace(found, tower=replace(found.tower, folder=tower if tower.is_dir() else None))
    weights = find_weights(source, there)
    # checkpoints of the run hold the vision weights themselves
    _write_json(template / "config.json", {**fields, "delay_load": False})
    return InitialCheckpoint(template, read_config(template), weights)


def adapt_config(fields: Mapping[str, object], config: TrainingConfig) -> dict[str, object]:
    """The fields of config.json as the recipe changes them: the grid of crops, newlines in videos, the length."""
    changed = {**fields, "model_type": MODEL_TYPE}
    if config.grid is not None:
        # as LLaVE's public code, which sets a grid and a newline after each row of each frame together
        changed |= {"image_grid_pinpoints": f"(1x1),...,({config.grid})", "mm_newline_position": "grid"}
    if config.max_length is not None:
        changed["tokenizer_model_max_length"] = config.max_length
    return changed


def find_initial_checkpoint(name: str) -> FoundCheckpoint:
    """Finds the checkpoint of the setting `model`. No weights are downloaded or read. Raises UserError."""
    return find_checkpoint(name, aliases=ALIASES)


def _copy_small_files(source: Path, template: Path, tower: str) -> None:
    for name in (*_TOKENIZER, f"{tower}/config.json"):
        if (source / name).is_file():
            (template / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, template / name)


def _write_json(path: Path, fields: Mapping[str, object]) -> None:
    write_atomic(path, json.dumps(fields, indent=1) + "\n")
