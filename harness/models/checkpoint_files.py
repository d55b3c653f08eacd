"""The small files of a checkpoint: JSON objects with errors that name file and key, and image processors."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.encoding.oom import is_out_of_memory
from harness.errors import UserError
from harness.files import reading

if TYPE_CHECKING:
    from transformers import BaseImageProcessor

ADAPTER_CONFIG = "adapter_config.json"
"""The settings of an adapter, in peft's format."""
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""The files that can hold the settings of an image processor. The first one counts."""
AGAIN = "Copy or download the checkpoint again."
_FROM_ORIGIN = "Take the file from where the weights came from."
_LONGEST = 80


def how_to_merge(base: object, adapter: Path, kind: str = "AutoModelForImageTextToText") -> str:
    """Returns what to run so that peft itself merges an adapter. `kind` is the class of its base in transformers."""
    base = base if isinstance(base, str) and base else "BASE"
    return (
        "Merge it with the version of peft that wrote it, and name the new folder:\n"
        f"""python -c 'from peft import PeftModel; from transformers import {kind} as M
m = PeftModel.from_pretrained(M.from_pretrained("{base}"), "{adapter}")
m.merge_and_unload().save_pretrained("merged")'\n"""
        f"That merges the adapter into its base, {base}. Copy the files of tokenizer and image processor from there."
    )


def merge_first(adapter: Path, more: str = "") -> UserError:
    """Returns the error for an adapter where whole weights are needed. `more` is another way out."""
    base = JsonFile.read(adapter / ADAPTER_CONFIG).fields.get("base_model_name_or_path")
    what = f"{adapter} is an adapter of {base}, not a whole model."
    return UserError(what, how_to_merge(base, adapter, "AutoModel") + more)


@contextmanager
def opening(path: Path, kind: str, hint: str = AGAIN) -> Iterator[None]:
    """Turns whatever a library raises while it opens a part of a checkpoint into a UserError that names `path`.

    A lack of memory passes unchanged. `kind` is what `path` should be, such as `a tokenizer`.
    """
    try:
        yield
    except UserError:
        raise
    except BaseException as error:
        if not is_of_library(error):
            raise
        raise reading.UnreadableFile(f"{path} is not {kind}: {reading.reason(error)}.", hint) from error


def is_of_library(error: BaseException) -> bool:
    """Whether an error can be an answer to wrong files. A lack of memory and the end of a run are none.

    Panics of libraries in Rust are no subclass of Exception.
    """
    raised = isinstance(error, Exception) or type(error).__name__ == "PanicException"
    return raised and not is_out_of_memory(error)


def read_json(path: Path) -> object:
    """Parses a JSON file, with any number that a library may have written. Raises UserError if it cannot be read."""
    return reading.read_json(path, AGAIN, lenient=True)


@dataclass(frozen=True, slots=True)
class JsonFile:
    """A JSON object, whose values are read with errors that name file and key."""

    path: Path
    fields: Mapping[str, object]

    @staticmethod
    def read(path: Path) -> JsonFile:
        """Reads a file. Raises UserError unless it holds a JSON object."""
        return JsonFile(path, reading.read_object(path, AGAIN, lenient=True))

    def section(self, key: str) -> JsonFile:
        """Returns the object under a key. Raises UserError if there is none."""
        value = self.fields.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "is no object")
        return JsonFile(self.path, value)

    def number(self, key: str) -> float:
        """Returns a finite number above zero. Raises UserError if there is none under the key."""
        value = self.fields.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise self.wrong(key, "is not a number above zero")
        return value

    def integer(self, key: str) -> int:
        """Returns a whole number above zero. Raises UserError if there is none under the key."""
        value = self.fields.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            raise self.wrong(key, "is not an integer")
        return int(self.number(key))

    def text(self, key: str) -> str:
        """Returns a string that is not empty. Raises UserError if there is none under the key."""
        value = self.fields.get(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "is no text")
        return value

    def wrong(self, key: str, why: str = "is not supported here") -> UserError:
        """Returns the error for a key that is missing, or whose value cannot be used."""
        if key not in self.fields:
            return UserError(f"{self.path} lacks {key!r}.", f"Take {self.path.name} from where the weights came from.")
        return UserError(
            f"{self.path} says {key} = {shown(self.fields[key])}, which {why}.",
            f"{_FROM_ORIGIN} Unknown settings are refused, so that no score rests on a guess.",
        )


def shown(value: object) -> str:
    """Returns a value as JSON for a message, cut where it is long."""
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def read_image_processor(folder: Path, name: str) -> BaseImageProcessor:
    """Loads an image processor by the name of its class in transformers.

    AutoImageProcessor is not used, because some versions of transformers need torchvision for it.

    Raises:
        UserError: if transformers has no such class, or if its settings in the folder cannot be read.
    """
    import transformers

    path = processor_file(folder)
    with opening(path, "an image processor", _FROM_ORIGIN):
        kind = getattr(transformers, name, None)
        if kind is None:
            raise ValueError(f"transformers has no {name}")
        return kind.from_pretrained(folder, local_files_only=True)


def processor_file(folder: Path) -> Path:
    """Returns the file with the settings of the image processor, which has another name in newer checkpoints."""
    separate, joint = (folder / name for name in PROCESSORS)
    return joint if joint.is_file() and not separate.is_file() else separate


def processor_name(folder: Path) -> str | None:
    """The class of the image processor in its file."""
    fields = JsonFile.read(processor_file(folder)).fields
    inner = fields.get("image_processor")
    named = (inner if isinstance(inner, dict) else fields).get("image_processor_type")
    return named if isinstance(named, str) else None
