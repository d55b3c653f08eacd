"""The config.json of a network of transformers: what is refused by name, and what is not the file's to decide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from harness.errors import UserError
from harness.models.checkpoint_files import JsonFile, shown

T = TypeVar("T")

_OURS = frozenset(
    (
        "_attn_implementation",
        "_attn_implementation_internal",
        "_experts_implementation",
        "_experts_implementation_internal",
        "attn_implementation",
        "dtype",
        "experts_implementation",
        "gradient_checkpointing",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
        "torch_dtype",
        "torchscript",
        "use_cache",
        "use_return_dict",
    )
)
"""Keys that do not describe the network: how it computes, and what it returns besides the vectors."""
_DTYPES = ("auto", "bfloat16", "double", "float", "float16", "float32", "float64", "half")
_PREFIX = "torch."
_COUNT_OF_LAYERS = re.compile(r"depth|n_layers?|num_(\w+_)?layers|(\w+_)?layers_num")


def read_network_config(folder: Path) -> JsonFile:
    """Reads config.json.

    Raises:
        UserError: naming file, key and value, for weights that are quantised, and for a dtype that there is not.
    """
    file = JsonFile.read(folder / "config.json")
    check_dtypes(file.path, file.fields)
    for part in _objects(file.fields):
        if part.get("quantization_config") is not None:
            raise UserError(
                f"{file.path} has a quantization_config, {shown(part['quantization_config'])}: quantised weights are "
                "not supported here.",
                "Name the checkpoint that was quantised, in float32, bfloat16 or float16.",
            )
    return file


def check_dtypes(path: Path, value: object, *, plain: bool = False) -> None:
    """Raises UserError with file, key and value for a dtype that does not exist, at any level.

    With `plain` a name such as `torch.bfloat16` is refused too, for libraries that read only `bfloat16`.
    """
    for part in _objects(value):
        for key in ("dtype", "torch_dtype"):
            found = part.get(key)
            if not _is_dtype(found):
                raise JsonFile(path, part).wrong(key, "is no dtype of weights")
            if plain and isinstance(found, str) and found.startswith(_PREFIX):
                what = f"{path} says {key} = {shown(found)}, which the library cannot read."
                raise UserError(what, f"Write {shown(found.removeprefix(_PREFIX))} there.")


def without_ours(value: T) -> T:
    """Returns a JSON value without the keys that are not the file's to decide, at every level."""
    found: object = value
    if isinstance(value, dict):
        found = {key: without_ours(each) for key, each in value.items() if key not in _OURS}
    elif isinstance(value, list):
        found = [without_ours(each) for each in value]
    return found  # type: ignore[return-value]


def check_depth(file: JsonFile, tensors: int) -> None:
    """Raises UserError if config.json describes more layers than the weights have tensors.

    Building such a network would not end. `tensors` is the number of tensors.
    """
    for part in _objects(file.fields):
        for key, value in part.items():
            if _COUNT_OF_LAYERS.fullmatch(key) and isinstance(value, int | float) and value > tensors:
                why = f"is more than the {tensors:,} tensors of the weights beside it"
                raise JsonFile(file.path, part).wrong(key, why)


def _is_dtype(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_dtype, value.values()))
    return value is None or (isinstance(value, str) and value.removeprefix(_PREFIX) in _DTYPES)


def _objects(value: object) -> Iterator[Mapping[str, object]]:
    """Yields every object of a JSON value, the outer ones first."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _objects(each)
    elif isinstance(value, list):
        for each in value:
            yield from _objects(each)
