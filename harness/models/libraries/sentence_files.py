"""Reads what the files of a sentence-transformers model say about it, before its weights are loaded."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from harness.errors import UserError
from harness.media.places import walk
from harness.models.checkpoint_files import ADAPTER_CONFIG, JsonFile, opening, read_json
from harness.models.checkpoints import TRAINED_ADAPTER, TRAINING, FoundCheckpoint, find_checkpoint, holds_no_model
from harness.models.network_config import check_depth, check_dtypes
from harness.models.weights import weight_sizes
from harness.types import SeveralMedia, Similarity

PREFIX = "sentence-transformers/"
_FILES = ("*config*.json", "modules.json")
_FOREIGN = re.compile(r'"([^"\s]+--[\w.]+\.\w+)"')
"""A class in another repository or folder, as configurations name it: `ORG/NAME--file.Class`."""

_BASE = "base_model_name_or_path"
_REFERENCES = (_BASE, "tokenizer_name_or_path")
"""Keys under which a configuration names another model. Others, such as `_name_or_path`, only say where it is from."""
_PROCESSORS = ("processor_config.json", "preprocessor_config.json")
_LATE_TYPES = ("MultiVectorEncoder", "ColBERT")
_LATE = re.compile(r"HF_ColBERT|Col\w+ForRetrieval")
"""Architectures of late interaction in config.json."""
_WIDTHS = ("out_features", "embedding_dimension", "word_embedding_dimension")

Configs: TypeAlias = Mapping[Path, Mapping[str, object]]


def find_model(name: str) -> FoundCheckpoint:
    """Resolves `FOLDER`, `NAME` or `NAME@COMMIT`, with or without the prefix. Raises UserError."""
    return find_checkpoint(
        name, PREFIX, owner=PREFIX.removesuffix("/"), check=_with_config, patterns=_FILES, run_in_name=False
    )


def read_configs(folder: Path) -> Configs:
    """Reads every configuration file that holds an object. Raises UserError for one that cannot be read.

    That of an adapter beside the merged weights of our trainer's checkpoint is left out: its base is not needed.
    """
    merged = folder / TRAINED_ADAPTER if (folder / TRAINING).is_file() else None
    found = {path: read_json(path) for path in _files(folder, "*config*.json") if path.parent != merged}
    for path in found:
        if path.name == "config.json":
            check_dtypes(path, found[path], plain=True)
    return {path: fields for path, fields in found.items() if isinstance(fields, dict)}


def check_files(folder: Path) -> list[str]:
    """Returns the names of the model's JSON files in a folder.

    Raises:
        UserError: for a tokenizer that cannot be read, and for a network of more layers than its weights can have.
    """
    from tokenizers import Tokenizer

    for path in _files(folder, "tokenizer.json"):
        with opening(path, "a tokenizer"):
            Tokenizer.from_file(str(path))
    for path in _files(folder, "config.json"):
        sizes = weight_sizes(path.parent)
        if sizes and sizes.tensors:
            check_depth(JsonFile.read(path), sizes.tensors)
    return [path.relative_to(folder).as_posix() for path in _files(folder, "*.json")]


def references(checkpoint: FoundCheckpoint, configs: Configs) -> list[FoundCheckpoint]:
    """Returns the folders elsewhere that the model is loaded from: bases of adapters, tokenizers, hidden modules.

    Raises:
        UserError: for a name on the hub. The library takes the newest revision of it, which can change.
    """
    hidden = {path.parent for path in configs if not checkpoint.covers(path.parent)}
    found = [FoundCheckpoint(place.name, place, None) for place in sorted(hidden)]
    for path, fields in configs.items():
        for key in _REFERENCES:
            named = fields.get(key)
            if named is None or (key == _BASE) != (path.name == ADAPTER_CONFIG):
                continue
            place = Path(JsonFile(path, fields).text(key)).expanduser()
            if not place.is_dir():
                raise UserError(
                    f"{path} names {named} under {key}. It is no folder, and on the hub it can change.",
                    f"Download it, and write its folder there: hf download {named} --local-dir FOLDER",
                )
            found.append(FoundCheckpoint(place.name, place, None))
    return found


def is_late_interaction(configs: Configs) -> bool:
    """Whether the files are of a model with a vector for every token, in any layout that the library loads.

    These are its own, PyLate's, ColBERT's, and those that transformers names like `ColPaliForRetrieval`.
    """
    return any(
        fields.get("model_type") in _LATE_TYPES
        if path.name == "config_sentence_transformers.json"
        else _LATE.search(str(fields.get("architectures"))) is not None
        for path, fields in configs.items()
    )


def modalities_of(configs: Configs) -> tuple[str, ...]:
    """Returns the kinds of items that the model takes: `text`, and perhaps `image` and `video`.

    They are read from the files, because a finished result must be found without loading the model. Newer models
    declare them; for the others the settings of processors decide. Loading checks them.
    """
    declared = [config["modality_config"] for config in configs.values() if "modality_config" in config]
    if declared:
        sees = {kind for kinds in declared if isinstance(kinds, dict) for kind in ("image", "video") if kind in kinds}
        return ("text", *sorted(sees))
    processors = [config for path, config in configs.items() if path.name in _PROCESSORS]
    images = any(key.startswith("image_") for config in processors for key in config)
    videos = any(path.name.startswith("video_") for path in configs) or any(
        "video_processor" in each for each in processors
    )
    return ("text", *("image",) * images, *("video",) * videos)


def several_media_of(folder: Path, configs: Configs) -> SeveralMedia | None:
    """Returns what the model does with several media; None if it takes none.

    A model that takes messages of a chat has the media in their places. Of others each medium has a vector, or all its
    vectors. Newer models declare it; for the others a chat template decides, as in the library.
    """
    if modalities_of(configs) == ("text",):
        return None
    declared = [kinds for config in configs.values() if isinstance(kinds := config.get("modality_config"), dict)]
    chats = any("chat_template" in config for config in configs.values()) or any(folder.rglob("chat_template.*"))
    if any("message" in kinds for kinds in declared) if declared else chats:
        return "interleaved"
    return "united" if is_late_interaction(configs) else "mean"


def similarity_of(name: str, folder: Path, configs: Configs) -> Similarity:
    """Returns how the model's vectors are compared. Raises UserError for a way that is not supported here."""
    found = configs.get(folder / "config_sentence_transformers.json", {}).get("similarity_fn_name")
    if is_late_interaction(configs):
        return "meanmaxsim" if found == "meanmaxsim" else "maxsim"  # older files say how single vectors are compared
    if found not in ("cosine", "dot", None, ""):
        what = f"{name} is compared by {found} distance (config_sentence_transformers.json)."
        raise UserError(what, "Choose a model that is compared by cosine or dot product.")
    return "dot" if found == "dot" else "cosine"


def width_of(folder: Path, configs: Configs) -> int | None:
    """Returns the width of the vectors, if the files of the model's modules say it."""
    cut = configs.get(folder / "config_sentence_transformers.json", {}).get("truncate_dim")
    if isinstance(cut, int):
        return cut
    width = None
    modules = read_json(folder / "modules.json") if (folder / "modules.json").is_file() else None
    for module in modules if isinstance(modules, list) else []:
        place = module.get("path") if isinstance(module, dict) else None
        config = configs.get(folder / str(place) / "config.json", {}) if place else {}
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
    contents = [read_json(path) for path in _files(checkpoint.folder, "*.json") if _names_code(path)]
    if foreign := _FOREIGN.findall(json.dumps(contents)):
        raise UserError(
            f"{name} takes code from elsewhere, which its revision does not fix: {', '.join(sorted(set(foreign)))}.",
            "Copy the model and that code into one folder. Remove `...--` from its name in the configuration, and "
            "name the folder here.",
        )


def _files(folder: Path, pattern: str) -> list[Path]:
    """The files below a folder whose names match, hidden ones and those behind links included."""
    return sorted(here / name for here, _, names in walk(folder) for name in fnmatch.filter(names, pattern))


def _names_code(path: Path) -> bool:
    return "config" in path.name or path.name == "modules.json"


def _with_config(folder: Path) -> Path:
    if not any((folder / name).is_file() for name in ("modules.json", "config.json")):
        raise holds_no_model(folder, "modules.json or config.json")
    return folder
