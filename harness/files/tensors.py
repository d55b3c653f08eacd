"""Reads safetensors files. What is wrong with a file becomes one message that names it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.files.reading import explain_reading

if TYPE_CHECKING:
    from torch import Tensor

_KIND = "a whole safetensors file"


def tensor_shapes(path: Path, hint: str = "") -> dict[str, tuple[int, ...]]:
    """Reads the shape of each tensor from the header of a file. Raises: UnreadableFile with `hint`."""
    from safetensors import safe_open

    with explain_reading(path, _KIND, hint), safe_open(path, framework="np") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def read_tensors(path: Path, hint: str = "") -> dict[str, Tensor]:
    """Reads all tensors of a file by name, into memory of the CPU. Raises: UnreadableFile with `hint`."""
    from safetensors.torch import load_file

    with explain_reading(path, _KIND, hint):
        return load_file(path)
