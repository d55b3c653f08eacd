"""Reads and writes safetensors files. What is wrong with a file becomes one message that names it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import UserError
from harness.files.reading import explain_reading
from harness.files.writing import explain_os_errors

if TYPE_CHECKING:
    from torch import Tensor

    from harness.types import FloatArray

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


def read_arrays(path: Path, hint: str = "") -> dict[str, FloatArray]:
    """Reads all arrays of a file by name, as fp32. Raises: UnreadableFile with `hint`."""
    from safetensors.numpy import load_file

    with explain_reading(path, _KIND, hint):
        return {name: array.astype(np.float32) for name, array in load_file(path).items()}


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes a safetensors file, completely or not at all. Raises UserError."""
    from safetensors.torch import save_file

    partial = path.with_name(f".{path.name}.partial")
    with explain_writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(dict(tensors), partial, {"format": "pt"})
        partial.replace(path)


@contextmanager
def explain_writing(path: Path) -> Iterator[None]:
    """Turns the errors of a full or refusing disk, also those of the library, into a UserError that names `path`."""
    from safetensors import SafetensorError

    with explain_os_errors(path):
        try:
            yield
        except SafetensorError as error:
            what = f"{path} could not be written: {error}."
            raise UserError(what, "Free some space, then continue with --resume.") from None
