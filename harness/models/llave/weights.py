"""The weights of a LLaVE checkpoint in safetensors files: found, checked by name and shape, and read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.models.checkpoint_files import JsonFile, opening
from harness.models.checkpoints import lacks_weights
from harness.models.llave.config import LlaveConfig, VisionTower
from harness.models.weights import INDEX, check_shards, refuse

if TYPE_CHECKING:
    import torch

_TOWER = "model.vision_tower.vision_tower.vision_model."
_RELEASED: Mapping[str, str] = {
    "language.": "model.",
    "projector.": "model.mm_projector.",
    "tower.": _TOWER,
    "image_newline": "model.image_newline",
}
_UNUSED = ("lm_head.weight", ".rotary_emb.inv_freq", ".embeddings.position_ids")
"""Ends of names of tensors that an embedding does not need: the LM head, and constants that are computed."""
_FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class TensorLocation:
    """The file of a tensor, and its name, shape and dtype there."""

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: str


def released_name(name: str) -> str:
    """Returns the name that a parameter of `LlaveNetwork` has in a released checkpoint."""
    prefix = next(each for each in _RELEASED if name.startswith(each))
    return _RELEASED[prefix] + name.removeprefix(prefix)


def find_weights(folder: Path, config: LlaveConfig) -> dict[str, TensorLocation]:
    """Returns the tensors to load, by released name. Only the headers of files are read.

    The checkpoint's own vision weights are used, as in the public code. If it has none, or if its config drops them
    (`delay_load` without a trained tower), those of the tower's folder are used.

    Raises:
        UserError: if there are no vision weights, or if a file is missing or damaged.
    """
    found = _read_headers(folder)
    own = {name for name in found if name.startswith(_TOWER)}
    if own and config.own_tower:
        return found
    tower = config.tower
    if tower.folder is None:
        why = "its config.json (delay_load) does not use those it has" if own else "it has none"
        raise UserError(
            f"{folder} needs the vision weights of {tower.name}: {why}.",
            f"Copy the checkpoint to a FOLDER, then run: hf download {tower.name} --local-dir FOLDER/{tower.name}",
        )
    return {name: each for name, each in found.items() if name not in own} | _tower_weights(tower, tower.folder)


def account(found: Mapping[str, TensorLocation], expected: Mapping[str, tuple[int, ...]], folder: Path) -> None:
    """Raises UserError naming every tensor that is missing, unexpected, misshapen or not of plain floats."""
    both = [name for name in expected if name in found]
    faults = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in found if name not in expected and not name.endswith(_UNUSED)],
        "misshapen": [
            f"{name} {list(found[name].shape)} instead of {list(expected[name])}"
            for name in both
            if found[name].shape != expected[name]
        ],
        "not of floats": [f"{name} {found[name].dtype}" for name in both if found[name].dtype not in _FLOATS],
    }
    refuse(folder, faults)


def read_tensors(
    weights: Mapping[str, TensorLocation], device: str, dtype: torch.dtype
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields every tensor with its released name, file by file, on `device` and in `dtype`."""
    from safetensors import safe_open

    for file in sorted({each.file for each in weights.values()}):
        here = {name: each.name for name, each in weights.items() if each.file == file}
        with opening(file, "a file of weights"), safe_open(file, framework="pt") as handle:
            for name, there in here.items():
                yield name, handle.get_tensor(there).to(device=device, dtype=dtype)


def _tower_weights(tower: VisionTower, folder: Path) -> dict[str, TensorLocation]:
    """Returns a tower's own weights by their names in a checkpoint, without last layer, head and text tower."""
    last = f"encoder.layers.{tower.shape['num_hidden_layers'] - 1}."
    found = {}
    for name, each in _read_headers(folder).items():
        rest = name.removeprefix("vision_model.")
        if rest != name and not rest.startswith((last, "head.")):
            found[_TOWER + rest] = each
    return found


def _read_headers(folder: Path) -> dict[str, TensorLocation]:
    from safetensors import SafetensorError, safe_open

    found: dict[str, TensorLocation] = {}
    for file in _weight_files(folder):
        try:
            with safe_open(file, framework="np") as handle:
                for name in handle.keys():  # noqa: SIM118 - not a dict
                    piece = handle.get_slice(name)
                    if name in found:
                        raise UserError(
                            f"{name} is in {found[name].file} and again in {file}.", "Download the weights again."
                        )
                    found[name] = TensorLocation(file, name, tuple(piece.get_shape()), piece.get_dtype())
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{file} is missing, cut short or damaged: {error}", "Copy or download the file again."
            ) from None
    return found


def _weight_files(folder: Path) -> list[Path]:
    """Returns the one file, or the shards that an index names."""
    whole, index = folder / "model.safetensors", folder / INDEX
    check_shards(folder)
    if whole.exists():
        return [whole]
    if not index.exists():
        raise lacks_weights(folder)
    shards = JsonFile.read(index).section("weight_map").fields
    return [folder / name for name in sorted(set(map(str, shards.values())))]
