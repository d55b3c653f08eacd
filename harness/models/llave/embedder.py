"""LLaVE, from a released checkpoint or one in the same format: `llave/NAME`, `llave/FOLDER`, or `llave-7b`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.files.tensors import write_tensors
from harness.media.frame_policy import FramePolicy
from harness.media.images import open_image
from harness.media.video import map_frames
from harness.models.checkpoints import FoundCheckpoint, checkpoint_handle, copy_settings, find_checkpoint
from harness.models.common import half_on_gpu, torch_device
from harness.models.fitting import check_ids
from harness.models.llave.config import MODEL_TYPE, LlaveConfig, grid_resolutions, read_config
from harness.models.llave.options import LlaveOptions
from harness.models.llave.prompt import LlaveInput, PromptBuilder, read_prompter, user_turn
from harness.models.llave.vision import VisualInput, process_frame, process_image, process_video
from harness.models.llave.weights import find_weights, released_name
from harness.settings import read_settings
from harness.types import (
    Features,
    Item,
    Media,
    ModelHandle,
    ModelRow,
    ModelSettings,
    ModelSpec,
    Role,
    Scalar,
    SeveralMedia,
)

if TYPE_CHECKING:
    from torch import Tensor

    from harness.models.llave.network import LlaveNetwork

PREFIX = "llave/"
MODALITIES = ("text", "image", "video")
SEVERAL: SeveralMedia = "interleaved"
ALIASES: Mapping[str, str] = {f"llave-{size.lower()}": f"zhibinlan/LLaVE-{size}" for size in ("0.5B", "2B", "7B")}
TRAINED_LENGTH, VIDEO_LENGTH = 4096, 8192
"""The public video evaluation raises the limit, because 32 frames take 6,720 tokens before the text."""


@dataclass(frozen=True, slots=True)
class LlaveCheckpoint:
    """A checkpoint that was found, its configuration, and the user's options."""

    found: FoundCheckpoint
    config: LlaveConfig
    options: LlaveOptions

    @property
    def max_length(self) -> int | None:
        """The maximum number of tokens of an item without a video; None if there is no limit."""
        return self.options.max_length or self.config.max_length

    @property
    def max_video_length(self) -> int | None:
        """The maximum number of tokens of an item with a video.

        It is raised as in the public code, unless the user has set a limit or the checkpoint has a lower one.
        """
        limit = self.max_length
        if self.options.max_length is not None or limit is None or limit < TRAINED_LENGTH:
            return limit
        return max(limit, VIDEO_LENGTH)


class LlaveEmbedder:
    """An embedder whose vectors have unit length, in fp32."""

    def __init__(
        self, spec: ModelSpec, checkpoint: LlaveCheckpoint, prompter: PromptBuilder, network: LlaveNetwork
    ) -> None:
        self.spec = spec
        self._checkpoint = checkpoint
        self._prompter = prompter
        self.network = network

    def prepare(self, item: Item, role: Role) -> Features[LlaveInput]:
        """Opens media and tokenizes the prompt. The cost is the number of tokens. Raises BadMedia."""
        options = self._checkpoint.options
        override = options.query_instruction if role == "query" else options.target_instruction
        text = item.full_text if override is None else override + item.text
        pieces = self._prompter.encode(user_turn(text, len(item.media)))
        shown = item.media[: len(pieces.ids) - 1]  # truncation of the text can remove the tokens of later media
        pictures = tuple(self._process(medium) for medium in shown)
        whole = sum(map(len, pieces.ids)) + sum(picture.layout.tokens for picture in pictures)
        has_video = any(medium.kind == "video" for medium in shown)
        limit = self._checkpoint.max_video_length if has_video else self._checkpoint.max_length
        length = whole if limit is None else min(limit, whole)
        return Features(LlaveInput(pieces.ids, pictures, length), length, truncated=pieces.cut or length < whole)

    def embed(self, features: Sequence[Features[LlaveInput]]) -> Tensor:
        """Returns unit vectors `(n, width)` in fp32."""
        import torch

        with torch.inference_mode():
            return self.forward(features)

    def forward(self, features: Sequence[Features[LlaveInput]]) -> Tensor:
        """Returns the vectors with a graph."""
        vectors: Tensor = self.network([feature.data for feature in features])
        return vectors

    def save(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Writes a checkpoint in the released format."""
        copy_settings(self._checkpoint.found.folder, folder)
        write_tensors(folder / "model.safetensors", {released_name(name): each for name, each in weights.items()})

    def _process(self, medium: Media) -> VisualInput:
        config, options = self._checkpoint.config, self._checkpoint.options
        if medium.kind == "image":
            return process_image(open_image(medium), config)
        crops = map_frames(medium, FramePolicy.parse(options.frames).choose, partial(process_frame, config=config))
        return process_video(crops, config)


def open_llave(name: str, settings: ModelSettings) -> ModelHandle:
    """Finds and identifies a checkpoint: `llave/NAME`, `llave/FOLDER`, an alias, or a folder. Raises UserError."""
    options = read_settings(LlaveOptions(), settings.options, "option of LLaVE")
    checkpoint = _find(name, options)
    identity: dict[str, Scalar] = {
        **asdict(options),
        "max_length": checkpoint.max_length,
        "max_video_length": checkpoint.max_video_length,
        "grid": "x".join(map(str, options.grid)) if options.grid else None,
        "width": checkpoint.config.language["hidden_size"],
        "frame_order": "kept",
    }
    if checkpoint.found.refers:
        identity["vision_tower"] = checkpoint.found.refers[0].revision
    dtype = half_on_gpu(settings)
    if options.attention != "sdpa":
        _check_attention(options.attention, dtype)
    spec = ModelSpec(
        PREFIX + checkpoint.found.name,
        revision=checkpoint.found.revision,
        adapter="llave/2",
        dtype=dtype,
        options=identity,
        modalities=("text", "image", "video") if checkpoint.config.sees_video else ("text", "image"),
        several_media=SEVERAL,
        about=checkpoint.found.about(),
    )
    return checkpoint_handle(spec, checkpoint.found, partial(_load, spec, checkpoint, settings))


def _check_attention(attention: str, dtype: str) -> None:
    if find_spec("flash_attn") is None:
        raise UserError(
            f"attention={attention} needs flash-attn, which is not installed.",
            "pip install flash-attn, or leave the option out: PyTorch has its own flash attention on a GPU.",
        )
    if dtype == "float32":
        raise UserError(f"attention={attention} does not compute in float32.", "Add --dtype bfloat16, on a GPU.")


def _find(name: str, options: LlaveOptions) -> LlaveCheckpoint:
    """Finds a checkpoint and reads its configuration and, if it is local, the headers of its weights."""
    found = find_checkpoint(name, PREFIX, aliases=ALIASES)
    config = read_config(found.folder)
    if found.commit is None:
        find_weights(found.folder, config)  # reports a broken checkpoint before anything runs
    if options.grid:
        config = replace(config, resolutions=grid_resolutions(*options.grid, config.tower.image_size))
    tower = config.tower.folder
    towers = [] if tower is None else [FoundCheckpoint(tower.name, tower, None)]
    return LlaveCheckpoint(found.referring_to(towers), config, options)


def _load(spec: ModelSpec, checkpoint: LlaveCheckpoint, settings: ModelSettings) -> LlaveEmbedder:
    """Loads tokenizer and weights. Raises UserError, before a weight is read, if something does not fit."""
    from harness.models.llave.network import load_network

    folder, config = checkpoint.found.weights_folder(), checkpoint.config
    prompter = read_prompter(folder, config.language["vocab_size"])
    check_ids(
        prompter.tokenizer.tokenizer, config.language["vocab_size"], folder / "tokenizer.json", folder / "config.json"
    )
    attention, weights = checkpoint.options.attention, find_weights(folder, config)
    network = load_network(config, weights, folder, torch_device(settings), spec.dtype, attention)
    return LlaveEmbedder(spec, checkpoint, prompter, network.eval().requires_grad_(False))


_VERIFIED = "golden: the public code's vectors on a small checkpoint; released weights not run"
ROWS = (
    ModelRow(
        PREFIX,
        "a LLaVE checkpoint: NAME on the hub, or FOLDER",
        MODALITIES,
        open_llave,
        _VERIFIED,
        MODEL_TYPE,
        several_media=(SEVERAL,),
    ),
    *(
        ModelRow(alias, name, MODALITIES, open_llave, _VERIFIED, hub=name, several_media=(SEVERAL,))
        for alias, name in ALIASES.items()
    ),
)
