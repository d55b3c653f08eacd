"""Embedders made from generative vision-language models: `gme-qwen2-vl-2b`, or `vlm/gme-qwen2-vl-2b=FOLDER`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import repeat
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import BadMedia, unknown_name
from harness.identity import library_version
from harness.media.frame_policy import FramePolicy
from harness.models.checkpoints import checkpoint_handle, save_network
from harness.models.common import half_on_gpu, map_pictures, torch_device
from harness.models.tokenizer import PromptTokenizer
from harness.models.vlm.family import Ids, PixelLimits, Tensors, TokenSpan, Turn, VisualTokens
from harness.models.vlm.loading import VlmFiles, find_files, load_vlm
from harness.models.vlm.options import VlmOptions, parse_options
from harness.models.vlm.qwen import grid_positions
from harness.models.vlm.recipes import RECIPES, Recipe
from harness.models.vlm.resize import MIDDLE, fit, middle
from harness.models.vlm.video import VIDEO_TOKEN, read_timed_frames, video_tokens, with_timestamps
from harness.types import (
    Features,
    Item,
    Media,
    MediaKind,
    ModelHandle,
    ModelRow,
    ModelSettings,
    ModelSpec,
    Role,
    Scalar,
)

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from transformers import BaseImageProcessor, PreTrainedModel

    from harness.models.vlm.forward import VlmInput

PREFIX = "vlm/"
_VERIFIED = "documented: vendor's recipe on a small random checkpoint; released weights not run"
_BY_NAME: Mapping[str, Recipe] = {recipe.name: recipe for recipe in RECIPES}


class VlmEmbedder:
    """An embedder whose vectors have unit length, in fp32.

    A video has its own tokens, or its frames are images, as the recipe says.
    """

    def __init__(
        self,
        spec: ModelSpec,
        recipe: Recipe,
        options: VlmOptions,
        tokenizer: PromptTokenizer,
        image_processor: BaseImageProcessor,
        network: PreTrainedModel,
        processors: Path,
    ) -> None:
        self.spec = spec
        self._recipe = recipe
        self._options = options
        self._tokenizer = tokenizer
        self._image_processor = image_processor
        self.network = network
        self._processors = processors

    def prepare(self, item: Item, role: Role) -> Features[VlmInput]:
        """Opens media and tokenizes the prompt. The cost is the number of tokens. Raises BadMedia."""
        from harness.models.vlm.forward import VlmInput

        videos = [medium for medium in item.media if medium.kind == "video" and self._recipe.native_video]
        images = self._process_images([medium for medium in item.media if medium not in videos])
        clips = self._process_videos(videos)
        # frames that are shown as images are images in the prompt
        kinds: list[MediaKind] = [medium.kind for medium in item.media] if videos else ["image" for _ in images.tokens]
        spans, ids = self._tokenize(item, role, tuple(kinds), images, clips)
        limit = self._recipe.max_length or len(ids)
        ends = [span.start + span.tokens for span in spans]
        length = min(len(ids), max([limit, *ends]))  # a medium is never cut, because networks need all its tokens
        prompt = VlmInput(
            ids[:length],
            self._positions(length, spans),
            {**self._image_tensors(images, ids[:length]), **clips.tensors},
            images=len(images.tokens),
        )
        return Features(prompt, length, truncated=length < len(ids))

    def embed(self, features: Sequence[Features[VlmInput]]) -> Tensor:
        """Returns unit vectors `(n, width)` in fp32."""
        import torch

        with torch.inference_mode():
            return self.forward(features)

    def forward(self, features: Sequence[Features[VlmInput]]) -> Tensor:
        """Returns the vectors with a graph."""
        from harness.models.vlm.forward import embed

        return embed(self.network, self._recipe, [feature.data for feature in features])

    def save(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Writes a checkpoint as transformers does, without the LM head."""
        save_network(self.network, self._processors, folder, weights)

    def _process_images(self, media: Sequence[Media]) -> VisualTokens:
        if not media:
            return VisualTokens({}, ())
        recipe = self._recipe
        resized = partial(_resized, recipe=recipe)
        images = [image for medium in media for image in map_pictures(medium, self._choose, resized)]
        try:
            return recipe.family.process_images(images, self._image_processor, self.network.config, recipe.pixel_limits)
        except ValueError as error:  # such as an aspect ratio that the public code refuses
            names = ", ".join(medium.name for medium in media)
            only = media[0] if len(media) == 1 else None
            raise BadMedia(f"{recipe.name} cannot see {names}: {error}.", "Crop the image.", only) from None

    def _process_videos(self, media: Sequence[Media]) -> VisualTokens:
        recipe = self._recipe
        if not media or recipe.native_video is None:
            return VisualTokens({}, ())
        processor = self._image_processor
        clips = [read_timed_frames(medium, self._choose, recipe.native_video, processor) for medium in media]
        return video_tokens(clips, recipe.timestamps, processor, self.network.config)

    def _choose(self, total: int, rate: float) -> Sequence[int]:
        """Indexes of the frames that the recipe selects."""
        frames = self._recipe.frames
        return middle(total, rate) if frames == MIDDLE else FramePolicy.parse(frames).choose(total, rate)

    def _tokenize(
        self, item: Item, role: Role, kinds: tuple[MediaKind, ...], images: VisualTokens, clips: VisualTokens
    ) -> tuple[list[TokenSpan], Ids]:
        """The spans of images and videos, and all ids, with a placeholder token for every visual token."""
        options, config = self._options, self.network.config
        found = [(self._recipe.family.image_token, config.image_token_id, images)]
        found += [(VIDEO_TOKEN, config.video_token_id, clips)] if self._recipe.native_video else []
        override = options.query_instruction if role == "query" else options.target_instruction
        instruction = item.instruction if override is None else override
        quoted = self._tokenizer.quoted
        prompt = self._recipe.prompt(Turn(quoted(instruction), quoted(item.text), role, kinds))
        ids = np.array(
            self._tokenizer.encode_with_ends(with_timestamps(prompt, clips.texts) or " "), np.int64
        )  # an empty sequence would have no vector
        counts = np.ones(len(ids), np.int64)
        for _, number, visual in found:
            at = ids == number
            assert at.sum() == len(visual.tokens), "a prompt has one token for each image and each part of a video"
            counts[at] = visual.tokens
        starts = np.cumsum(counts) - counts
        spans = [
            TokenSpan(*span)
            for _, number, visual in found
            for span in zip(starts[ids == number].tolist(), visual.tokens, visual.grids or repeat(None), strict=False)
        ]
        return sorted(spans, key=attrgetter("start")), np.repeat(ids, counts)

    def _positions(self, length: int, spans: Sequence[TokenSpan]) -> Ids | None:
        if not self._recipe.family.mrope:
            return None
        grids = [] if self._recipe.flat_positions else [(span.start, span.grid) for span in spans if span.grid]
        return grid_positions(length, grids)

    def _image_tensors(self, images: VisualTokens, ids: Ids) -> Tensors:
        if not images.tensors:
            return {}
        return self._recipe.family.finish_inputs(images, ids, self.network.config.image_token_id)


def _resized(image: Image, recipe: Recipe) -> Image:
    if recipe.preprocess is not None:
        image = recipe.preprocess(image)
    return image if recipe.fit_limits is None else fit(image, recipe.fit_limits, recipe.family.size_multiple)


def open_vlm(name: str, settings: ModelSettings) -> ModelHandle:
    """Finds and identifies a model: `NAME`, `NAME@COMMIT`, or `vlm/NAME=FOLDER` for a checkpoint of NAME's recipe.

    Raises:
        UserError: if there is no such recipe or checkpoint, or if an option cannot be used.
    """
    written, _, rest = name.removeprefix(PREFIX).partition("=")
    alias, at, commit = written.partition("@")
    recipe = _BY_NAME.get(alias)
    if recipe is None:
        where = f"Write {PREFIX}NAME=FOLDER with NAME one of {', '.join(_BY_NAME)}."
        raise unknown_name("recipe", alias, _BY_NAME, where)
    options = parse_options(
        alias, settings.options, resizes=recipe.pixel_limits is not None, sees_video=bool(recipe.frames)
    )
    recipe = _adjusted(recipe, options)
    files = find_files(recipe, rest or f"{recipe.hub}{at}{commit}", options)
    main = files.main
    limits = recipe.pixel_limits or (None, None)
    identity: dict[str, Scalar] = {
        "max_length": recipe.max_length,
        "min_pixels": limits[0],
        "max_pixels": limits[1],
        "query_instruction": options.query_instruction,
        "target_instruction": options.target_instruction,
        "processor": files.processor.revision,
        "base": files.network.revision if files.adapter else None,
        "width": files.width,
        "image processor": "pil",
        "transformers": library_version("transformers"),
    }
    spec = ModelSpec(
        f"{PREFIX}{alias}={main.name}" if rest else alias,
        revision=main.revision,
        adapter="vlm/2",
        dtype=half_on_gpu(settings),
        options={**identity, **_video_options(recipe)},
        modalities=recipe.modalities,
        several_media=recipe.several_media,
        about=files.network.about(),
    )
    return checkpoint_handle(spec, main, partial(_load, spec, recipe, options, files, settings))


def _video_options(recipe: Recipe) -> Mapping[str, Scalar]:
    """The settings for videos, if the recipe sees any. The order of frames does not apply to a single frame."""
    if not recipe.frames:
        return {}
    order = {} if recipe.frames == MIDDLE else {"frame_order": "kept"}
    native = recipe.native_video
    if native is None:
        return {"frames": recipe.frames, **order}
    least, most = native.frame_pixels
    pixels = {"frame_min_pixels": least, "frame_max_pixels": most, "video_pixels": native.total_pixels}
    return {"frames": recipe.frames, **order, **pixels}


def _adjusted(recipe: Recipe, options: VlmOptions) -> Recipe:
    """The recipe with the user's limits."""
    native = recipe.native_video
    if native is not None:
        native = replace(native, frame_pixels=_limited(native.frame_pixels, options))
    return replace(
        recipe,
        pixel_limits=recipe.pixel_limits and _limited(recipe.pixel_limits, options),
        fit_limits=recipe.fit_limits and _limited(recipe.fit_limits, options),
        native_video=native,
        max_length=options.max_length or recipe.max_length,
        frames=options.frames or recipe.frames,
    )


def _limited(defaults: PixelLimits, options: VlmOptions) -> PixelLimits:
    """The user's limits. If only one is given and it is beyond the default of the other, both are the given one."""
    least, most = options.min_pixels or defaults[0], options.max_pixels or defaults[1]
    return (least, max(least, most)) if options.min_pixels else (min(least, most), most)


def _load(
    spec: ModelSpec, recipe: Recipe, options: VlmOptions, files: VlmFiles, settings: ModelSettings
) -> VlmEmbedder:
    loaded = load_vlm(recipe, files, spec.dtype, torch_device(settings))
    return VlmEmbedder(spec, recipe, options, *loaded, files.processor.folder)


ROWS = (
    *(
        ModelRow(
            recipe.name,
            f"{recipe.hub}{': ' + recipe.note if recipe.note else ''}",
            recipe.modalities,
            open_vlm,
            _VERIFIED,
            hub=recipe.hub,
            several_media=(recipe.several_media,),
        )
        for recipe in RECIPES
    ),
    ModelRow(
        PREFIX,
        "a checkpoint with one of these recipes: NAME=FOLDER",
        ("text", "image"),
        open_vlm,
        _VERIFIED,
        several_media=("interleaved", "in-order"),
    ),
)
