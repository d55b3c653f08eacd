"""Reads config.json of a LLaVE checkpoint (`llava_qwen`). Settings that are not supported are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from harness.errors import UserError
from harness.models.checkpoint_files import JsonFile
from harness.models.network_config import read_network_config
from harness.types import Scalar

MODEL_TYPE = "llava_qwen"
Newline: TypeAlias = Literal["grid", "frame", "one_token", "no_token"]
"""Where a video gets `image_newline`: after each row of each frame, after each frame, once at its end, or nowhere."""
_NEWLINES: tuple[Newline, ...] = ("grid", "frame", "one_token", "no_token")

_ACCEPTED: Mapping[str, tuple[Scalar, ...]] = {
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_patch_merge_type": ("spatial_unpad",),
    "mm_vision_select_feature": ("patch", None),
    "mm_resampler_type": (None,),
    "mm_use_im_start_end": (False, None),
    "add_faster_video": (False, None),
    "hidden_act": ("silu",),
    "rope_scaling": (None,),
    "use_sliding_window": (False, None),
}
"""Settings that change a vector, and the values that are supported. None means that the key may be missing."""

_LANGUAGE = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
)
_TOWER = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size")
_MOST_GRIDS = 10_000
_SO400M = "google/siglip-so400m-patch14-384"
_SO400M_SHAPE = dict(zip(_TOWER, (1152, 4304, 27, 16, 384, 14), strict=True))


@dataclass(frozen=True, slots=True)
class VisionTower:
    """The SigLIP vision tower: its folder, if there is one, and its shape before the last layer is removed."""

    name: str
    folder: Path | None
    shape: Mapping[str, int]
    layer_norm_eps: float

    @property
    def image_size(self) -> int:
        """The width and height of a crop in pixels."""
        return self.shape["image_size"]

    @property
    def side(self) -> int:
        """The number of patches along one side of a crop."""
        return self.shape["image_size"] // self.shape["patch_size"]


@dataclass(frozen=True, slots=True)
class LlaveConfig:
    """Everything that decides LLaVE's computation, apart from the weights and the tokenizer."""

    language: Mapping[str, int]
    rope_theta: float
    rms_norm_eps: float
    tower: VisionTower
    own_tower: bool
    """Whether the checkpoint's own vision weights are used; otherwise those of the tower's folder are."""
    resolutions: tuple[tuple[int, int], ...]
    """Sizes (width, height) in pixels at which an image can be tiled. Of equally good ones the first is taken."""
    max_tiles: int
    """The features of a larger image are shrunk to about as many tokens as this number of crops has."""
    newline: Newline
    max_length: int | None
    sees_video: bool


def read_config(folder: Path) -> LlaveConfig:
    """Reads and checks config.json and the vision tower's config.json. Raises UserError naming file and key."""
    file = read_network_config(folder)
    if file.fields.get("model_type") != MODEL_TYPE:
        raise UserError(
            f"{file.path} has model_type {file.fields.get('model_type')!r}, not {MODEL_TYPE!r}.",
            "This is not a LLaVE checkpoint. `llave models` lists the other families.",
        )
    for key, accepted in _ACCEPTED.items():
        if file.fields.get(key) not in accepted:
            raise file.wrong(key)
    tower = _read_tower(folder, file)
    ratio = re.fullmatch(r"anyres_max_(\d+)", file.text("image_aspect_ratio"))
    if ratio is None:
        raise file.wrong("image_aspect_ratio")
    newline = [each for each in _NEWLINES if each == file.fields.get("mm_newline_position", "one_token")]
    if not newline:
        raise file.wrong("mm_newline_position")
    length = "tokenizer_model_max_length"
    return LlaveConfig(
        language={key: file.integer(key) for key in _LANGUAGE},
        rope_theta=file.number("rope_theta"),
        rms_norm_eps=file.number("rms_norm_eps"),
        tower=tower,
        own_tower=not file.fields.get("delay_load") or _tower_was_trained(file),
        resolutions=_resolutions(file, tower.image_size),
        max_tiles=int(ratio[1]),
        newline=newline[0],
        max_length=None if file.fields.get(length) is None else file.integer(length),
        sees_video=file.fields.get("mm_spatial_pool_mode") == "bilinear",
    )


def grid_resolutions(columns: int, rows: int, size: int) -> tuple[tuple[int, int], ...]:
    """Returns (width, height) in pixels of every grid up to `columns` x `rows` crops, ordered by width, then height.

    `size` is the width and height of a crop in pixels.
    """
    return tuple((size * i, size * j) for i in range(1, columns + 1) for j in range(1, rows + 1))


def _read_tower(folder: Path, file: JsonFile) -> VisionTower:
    name = file.text("mm_vision_tower")
    place = folder / name
    if not place.is_dir():
        if name == _SO400M:
            return VisionTower(name, None, _SO400M_SHAPE, 1e-6)
        raise UserError(
            f"{file.path} names the vision tower {name!r}, but {place} is not a folder.",
            f"Copy the tower's folder there. Only the shape of {_SO400M} is known without a folder.",
        )
    found = read_network_config(place)
    vision = found.fields.get("vision_config")
    if isinstance(vision, dict):
        found = JsonFile(found.path, vision)
    if found.fields.get("model_type") != "siglip_vision_model":
        raise found.wrong("model_type")
    if found.fields.get("hidden_act", "gelu_pytorch_tanh") != "gelu_pytorch_tanh":
        raise found.wrong("hidden_act")
    eps = found.number("layer_norm_eps") if "layer_norm_eps" in found.fields else 1e-6
    return VisionTower(name, place, {key: found.integer(key) for key in _TOWER}, eps)


def _tower_was_trained(file: JsonFile) -> bool:
    parts = str(file.fields.get("mm_tunable_parts") or "")
    return bool(file.fields.get("unfreeze_mm_vision_tower")) or "mm_vision_tower" in parts


def _resolutions(file: JsonFile, size: int) -> tuple[tuple[int, int], ...]:
    """Reads `image_grid_pinpoints`: a list of [width, height] in pixels, or `(1x1),...,(2x2)` in crops."""
    key = "image_grid_pinpoints"
    given = file.fields.get(key)
    if isinstance(given, str):
        corners = [(int(i), int(j)) for i, j in re.findall(r"\((\d+)x(\d+)\)", given)]
        if not corners:
            raise file.wrong(key)
        (i0, j0), (i1, j1) = corners[0], corners[-1]
        if i1 * j1 > _MOST_GRIDS:
            raise file.wrong(key)
        given = [[size * i, size * j] for i in range(i0, i1 + 1) for j in range(j0, j1 + 1)]
    if not isinstance(given, list) or not given:
        raise file.wrong(key)
    for pair in given:
        if not (isinstance(pair, list) and len(pair) == 2 and all(_is_multiple(edge, size) for edge in pair)):
            raise file.wrong(key)
    return tuple((width, height) for width, height in given)


def _is_multiple(edge: object, size: int) -> bool:
    return isinstance(edge, int) and edge > 0 and edge % size == 0
