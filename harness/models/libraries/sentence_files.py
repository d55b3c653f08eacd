"""What the files of a sentence-transformers model say of it, before its weights are there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from harness.errors import UserError
from harness.media.digests import folder_digest
from harness.models.libraries.remote_code import split_commit

PREFIX = "sentence-transformers/"
_FOREIGN = re.compile(r'"([^"\s]+--[\w.]+\.\w+)"')
"""How a configuration names a class that lies in another repository or folder: `ORG/NAME--file.Class`."""

_WIDTHS = ("out_features", "embedding_dimension", "word_embedding_dimension")

Configs: TypeAlias = Mapping[Path, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class SentenceCheckpoint:
    """Where a model lies. `folder` holds at least its configuration; `commit` is None for a local folder."""

    label: str
    location: str
    folder: Path
    commit: str | None
    pinned: bool
    """Whether the user named something that does not move: a folder, or a commit."""

    def revision(self) -> str:
        return self.commit or folder_digest(self.folder)


def find_source(rest: str) -> SentenceCheckpoint:
    """Finds a folder, or resolves `NAME` or `NAME@COMMIT` on the hub; from the cache where the hub is out of reach."""
    folder = Path(rest).expanduser()
    if rest and folder.is_dir():
        if not any((folder / name).is_file() for name in ("modules.json", "config.json")):
            what = f"{folder} holds no model: it has neither modules.json nor config.json."
            raise UserError(what, "Name the folder of a whole model.")
        return SentenceCheckpoint(folder.resolve().name, str(folder), folder, None, pinned=True)
    if not rest or rest.startswith((".", "/", "~")) or rest.count("/") > 1:
        raise UserError(
            f"There is no folder {rest!r}.", f"Write {PREFIX}FOLDER, or {PREFIX}NAME for a model on the hub."
        )
    from huggingface_hub import snapshot_download

    name, commit = split_commit(rest)
    location = name if "/" in name else PREFIX + name
    try:
        folder = Path(snapshot_download(location, revision=commit, allow_patterns=["*config*.json", "modules.json"]))
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"There is no folder {rest!r}, and the hub does not give {location}: {reason}",
            "Check the name and the network, or copy the model here and name its folder.",
        ) from None
    return SentenceCheckpoint(location.removeprefix(PREFIX), location, folder, folder.name, pinned=commit is not None)


def read_configs(folder: Path) -> Configs:
    """Every configuration file that is an object. Raises UserError for one that cannot be read."""
    return {path: found for path in sorted(folder.rglob("*config*.json")) if isinstance(found := _json(path), dict)}


def modalities_of(configs: Configs) -> tuple[str, ...]:
    """What the model takes, read from its files, because a finished result must be found without loading it.

    Newer models declare it; for the others an image processor tells. Loading checks it against the real thing.
    """
    declared = [config["modality_config"] for config in configs.values() if "modality_config" in config]
    if declared:
        sees = any("image" in kinds for kinds in declared if isinstance(kinds, dict))
    else:
        processors = [
            configs[path] for path in configs if path.name in ("processor_config.json", "preprocessor_config.json")
        ]
        sees = any(key.startswith("image_") for config in processors for key in config)
    return ("text", "image") if sees else ("text",)


def width_of(folder: Path, configs: Configs) -> int | None:
    """The width of the vectors, if the files of the model's modules say it."""
    cut = configs.get(folder / "config_sentence_transformers.json", {}).get("truncate_dim")
    if isinstance(cut, int):
        return cut
    width = None
    modules = _json(folder / "modules.json") if (folder / "modules.json").is_file() else None
    for module in modules if isinstance(modules, list) else []:
        config = configs.get(folder / str(module.get("path")) / "config.json", {}) if module.get("path") else {}
        found = next((config[key] for key in _WIDTHS if isinstance(config.get(key), int)), None)
        modes = sum(value is True for key, value in config.items() if key.startswith("pooling_mode_"))
        width = found * max(1, modes) if isinstance(found, int) else width
    return width


def check_code(name: str, source: SentenceCheckpoint) -> None:
    """Raises UserError unless all the code that the model can bring along is fixed by what the user named."""
    if not source.pinned:
        raise UserError(
            f"--trust-remote-code needs a revision that cannot move, and {name} can.",
            f"Read the code of this one, then write {PREFIX}{source.location.removeprefix(PREFIX)}@{source.commit}.",
        )
    contents = [_json(path) for path in sorted(source.folder.rglob("*.json")) if _names_code(path)]
    if foreign := _FOREIGN.findall(json.dumps(contents)):
        raise UserError(
            f"{name} takes code from elsewhere, which no revision of it fixes: {', '.join(sorted(set(foreign)))}.",
            "Copy the model and that code into one folder, name it in the configuration without `...--`, and name the "
            "folder here.",
        )


def _names_code(path: Path) -> bool:
    return "config" in path.name or path.name == "modules.json"


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}", "Copy or download the model again.") from None
