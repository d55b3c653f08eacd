"""Reads what the files of a sentence-transformers model say about it, before its weights are loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from harness.errors import UserError
from harness.models.checkpoint_files import read_json
from harness.models.checkpoints import FoundCheckpoint, find_checkpoint

PREFIX = "sentence-transformers/"
_FILES = ("*config*.json", "modules.json")
_FOREIGN = re.compile(r'"([^"\s]+--[\w.]+\.\w+)"')
"""A class in another repository or folder, as configurations name it: `ORG/NAME--file.Class`."""

_WIDTHS = ("out_features", "embedding_dimension", "word_embedding_dimension")

Configs: TypeAlias = Mapping[Path, Mapping[str, object]]


def find_model(name: str) -> FoundCheckpoint:
    """Resolves `FOLDER`, `NAME` or `NAME@COMMIT`, with or without the prefix. Raises UserError."""
    return find_checkpoint(
        name, PREFIX, owner=PREFIX.removesuffix("/"), check=_with_config, patterns=_FILES, run_in_name=False
    )


def read_configs(folder: Path) -> Configs:
    """Reads every configuration file that holds an object. Raises UserError for one that cannot be read."""
    return {path: found for path in sorted(folder.rglob("*config*.json")) if isinstance(found := read_json(path), dict)}


def modalities_of(configs: Configs) -> tuple[str, ...]:
    """Returns the kinds of items that the model takes, `text` and perhaps `image`.

    They are read from the files, because a finished result must be found without loading the model. Newer models
    declare them; for the others the settings of an image processor decide. Loading checks them.
    """
    declared = [config["modality_config"] for config in configs.values() if "modality_config" in config]
    if declared:
        sees_images = any("image" in kinds for kinds in declared if isinstance(kinds, dict))
    else:
        processors = [
            configs[path] for path in configs if path.name in ("processor_config.json", "preprocessor_config.json")
        ]
        sees_images = any(key.startswith("image_") for config in processors for key in config)
    return ("text", "image") if sees_images else ("text",)


def width_of(folder: Path, configs: Configs) -> int | None:
    """Returns the width of the vectors, if the files of the model's modules say it."""
    cut = configs.get(folder / "config_sentence_transformers.json", {}).get("truncate_dim")
    if isinstance(cut, int):
        return cut
    width = None
    modules = read_json(folder / "modules.json") if (folder / "modules.json").is_file() else None
    for module in modules if isinstance(modules, list) else []:
        config = configs.get(folder / str(module.get("path")) / "config.json", {}) if module.get("path") else {}
        found = next((config[key] for key in _WIDTHS if isinstance(config.get(key), int)), None)
        modes = sum(value is True for key, value in config.items() if key.startswith("pooling_mode_"))
        width = found * max(1, modes) if isinstance(found, int) else width
    return width


def check_code(name: str, checkpoint: FoundCheckpoint) -> None:
    """Raises UserError unless the revision that the user named fixes all code that the model can bring along."""
    if not checkpoint.pinned:
        model = PREFIX + checkpoint.name.removeprefix(PREFIX)
        raise UserError(
            f"--trust-remote-code needs a revision that cannot move, and {name} can.",
            f"Read the code of this one, then write {model}@{checkpoint.commit}.",
        )
    contents = [read_json(path) for path in sorted(checkpoint.folder.rglob("*.json")) if _names_code(path)]
    if foreign := _FOREIGN.findall(json.dumps(contents)):
        raise UserError(
            f"{name} takes code from elsewhere, which its revision does not fix: {', '.join(sorted(set(foreign)))}.",
            "Copy the model and that code into one folder. Remove `...--` from its name in the configuration, and "
            "name the folder here.",
        )


def _names_code(path: Path) -> bool:
    return "config" in path.name or path.name == "modules.json"


def _with_config(folder: Path) -> Path:
    if not any((folder / name).is_file() for name in ("modules.json", "config.json")):
        what = f"{folder} holds no model: it has neither modules.json nor config.json."
        raise UserError(what, "Name the folder of a whole model.")
    return folder
