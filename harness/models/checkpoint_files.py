"""The small files of a checkpoint: JSON objects with errors that name file and key, and image processors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError

if TYPE_CHECKING:
    from transformers import BaseImageProcessor

ADAPTER_CONFIG = "adapter_config.json"
"""The settings of an adapter, in peft's format."""
_AGAIN = "Copy or download the checkpoint again."


def how_to_merge(base: object, adapter: Path, kind: str = "AutoModelForImageTextToText") -> str:
    """Returns what to run so that peft itself merges an adapter. `kind` is the class of its base in transformers."""
    base = base if isinstance(base, str) and base else "BASE"
    return (
        "Merge it with the version of peft that wrote it, and name the new folder:\n"
        f"""python -c 'from peft import PeftModel; from transformers import {kind} as M
m = PeftModel.from_pretrained(M.from_pretrained("{base}"), "{adapter}")
m.merge_and_unload().save_pretrained("merged")'\n"""
        "Then copy the files of tokenizer and image processor from the base."
    )


def merge_first(adapter: Path, more: str = "") -> UserError:
    """Returns the error for an adapter where whole weights are needed. `more` is another way out."""
    base = JsonFile.read(adapter / ADAPTER_CONFIG).fields.get("base_model_name_or_path")
    what = f"{adapter} is an adapter of {base}, not a whole model."
    return UserError(what, how_to_merge(base, adapter, "AutoModel") + more)


def read_json(path: Path) -> object:
    """Parses a JSON file. Raises UserError if it cannot be read."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} cannot be read: {reason}.", _AGAIN) from None


@dataclass(frozen=True, slots=True)
class JsonFile:
    """A JSON object, whose values are read with errors that name file and key."""

    path: Path
    fields: Mapping[str, object]

    @staticmethod
    def read(path: Path) -> JsonFile:
        """Reads a file. Raises UserError unless it holds a JSON object."""
        fields = read_json(path)
        if not isinstance(fields, dict):
            raise UserError(f"{path} does not hold a JSON object.", _AGAIN)
        return JsonFile(path, fields)

    def number(self, key: str) -> float:
        """Returns a number above zero. Raises UserError if there is none under the key."""
        value = self.fields.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise self.wrong(key)
        return value

    def integer(self, key: str) -> int:
        """Returns a whole number above zero. Raises UserError if there is none under the key."""
        value = self.number(key)
        if value != int(value):
            raise self.wrong(key)
        return int(value)

    def text(self, key: str) -> str:
        """Returns a string that is not empty. Raises UserError if there is none under the key."""
        value = self.fields.get(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key)
        return value

    def wrong(self, key: str) -> UserError:
        """Returns the error for a key that is missing, or whose value is not supported."""
        if key not in self.fields:
            return UserError(f"{self.path} lacks {key!r}.", "Take config.json from where the weights came from.")
        return UserError(
            f"{self.path} says {key} = {json.dumps(self.fields[key])}, which is not supported here.",
            "Take the file from where the weights came from. Unknown settings are refused, so that no score rests on "
            "a guess.",
        )


def read_image_processor(folder: Path, name: str) -> BaseImageProcessor:
    """Loads an image processor by the name of its class in transformers.

    AutoImageProcessor is not used, because some versions of transformers need torchvision for it.

    Raises:
        UserError: if transformers has no such class, or if its settings in the folder cannot be read.
    """
    import transformers

    try:
        kind = getattr(transformers, name, None)
        if kind is None:
            raise ValueError(f"transformers has no {name}.")
        return kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"The image processor in {folder} cannot be loaded: {reason}",
            "Take preprocessor_config.json from where the weights came from.",
        ) from error
