"""Finds the row that opens a folder or a checkpoint on the hub, by its own small files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from harness.errors import UserError
from harness.models.checkpoint_files import ADAPTER_CONFIG as ADAPTER
from harness.models.checkpoint_files import JsonFile, merge_first
from harness.models.checkpoints import TRAINING, holds_no_model
from harness.models.hub import download, split_commit
from harness.models.libraries.sentence_files import PREFIX as SENTENCE_TRANSFORMERS
from harness.models.libraries.sentence_files import is_late_interaction
from harness.models.vlm.recipes import RECIPES, Recipe
from harness.types import ModelRow, ModelSettings

_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*(@.*)?", re.ASCII)
_MODULES = "modules.json"
_LOOKED_AT = ("config.json", _MODULES, ADAPTER)


class Recognized(NamedTuple):
    """A row, and the sentence that says why it is this one."""

    row: ModelRow
    why: str


def as_trained(name: str, settings: ModelSettings) -> tuple[str, ModelSettings]:
    """The model that the checkpoint of a training run says it is, and its settings. Other names are unchanged.

    Options that the user gives come before those of the training. Raises UserError for a damaged record.
    """
    folder = Path(name).expanduser()
    opens = _object(folder / TRAINING).get("opens") if folder.is_dir() else None
    if not isinstance(opens, dict) or not isinstance(opens.get("model"), str):
        return name, settings
    given = opens.get("options")
    trained = {key: str(value) for key, value in given.items()} if isinstance(given, dict) else {}
    return opens["model"].replace("{folder}", name), replace(settings, options={**trained, **settings.options})


def row_of_hub(name: str, rows: Sequence[ModelRow]) -> ModelRow | None:
    """The row whose checkpoint on the hub is `name`, with or without a commit after it."""
    return next((row for row in rows if row.hub and row.hub == name.partition("@")[0]), None)


def recognize(name: str, rows: Sequence[ModelRow]) -> Recognized | None:
    """Finds the row for a folder or a name on the hub by the files in it. No weights are downloaded or read.

    The modules of sentence-transformers come first, since they say how vectors are made, with the architectures of late
    interaction that it loads. Then comes `model_type`.

    Returns:
        None for what is neither a folder nor of the form of a name on the hub.

    Raises:
        UserError: if the hub does not give the files, or if they do not say how vectors are made.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        own = {row.name.partition("/")[0] for row in rows if not row.name.endswith("/") and "/" in row.name}
        if not _HUB_NAME.fullmatch(name) or name.partition("/")[0] in own:
            return None
        folder = download(*split_commit(name), _LOOKED_AT)
    config = _object(folder / "config.json")
    kind = config.get("model_type")
    late = is_late_interaction({folder / "config.json": config})
    if (folder / _MODULES).is_file() or late:
        row = next((each for each in rows if each.name == SENTENCE_TRANSFORMERS), None)
        says = "has an architecture of late interaction in config.json" if late else f"has {_MODULES}"
    else:
        row = next((each for each in rows if each.model_type and each.model_type == kind), None)
        says = f"has model_type {kind} in config.json"
    if row is not None:
        return Recognized(row, f"{name} {says}, so it is opened as {row.name}{name}.")
    raise _unrecognized(name, folder, kind)


def _unrecognized(name: str, folder: Path, kind: object) -> UserError:
    """The error for files that do not say which row they need, with what may be written."""
    if (folder / ADAPTER).is_file():
        base = _object(folder / ADAPTER).get("base_model_name_or_path")
        kind_of_base = _object(Path(base) / "config.json").get("model_type") if isinstance(base, str) else None
        fitting = [each for each in RECIPES if base in (each.base, each.hub)]
        fitting = fitting or [each for each in RECIPES if each.family.model_type == kind_of_base]
        if fitting:
            return _needs_recipe(f"{name} is an adapter of {base}", name, fitting)
        recipe = "" if kind_of_base else f"\nIf a recipe of `llave models` fits its base: vlm/RECIPE={name}"
        return merge_first(folder, recipe)
    fitting = [each for each in RECIPES if each.family.model_type == kind]
    if fitting:
        return _needs_recipe(f"{name} has model_type {kind}", name, fitting)
    if not isinstance(kind, str):
        raise holds_no_model(folder, "config.json with a model_type", name)
    return UserError(
        f"{name} has model_type {kind}, and no row of `llave models` recognizes that.",
        f"Text models: {SENTENCE_TRANSFORMERS}{name} takes the mean over tokens, which may not be the model's way. "
        "Others: write a class, docs/add-a-model.md.",
    )


def _needs_recipe(what: str, name: str, recipes: Sequence[Recipe]) -> UserError:
    names = ", ".join(each.name for each in recipes)
    return UserError(
        f"{what}, and several recipes use such a checkpoint.",
        f"Say which one: vlm/RECIPE={name}, with RECIPE one of {names}.",
    )


def _object(path: Path) -> Mapping[str, object]:
    """The object in a JSON file; empty if there is no such file. Raises UserError if it cannot be read."""
    return JsonFile.read(path).fields if path.is_file() else {}
