"""Embedders made of generative models that see images: `gme-qwen2-vl-2b`, or `vlm/gme-qwen2-vl-2b=FOLDER`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import repeat
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import BadMedia, unknown_name
from harness.identity import library_version
from harness.media.frame_policy import FramePolicy
from harness.media.images import open_image
from harness.media.video import read_frames
from harness.models.common import half_on_gpu, handle, torch_device
from harness.models.vlm.family import Ids, Limits, Tensors, TokenSpan, Turn, VisualTokens
from harness.models.vlm.folder import VlmFiles, find_files, load_folders
from harness.models.vlm.options import VlmOptions, parse_options
from harness.models.vlm.qwen import grid_positions
from harness.models.vlm.recipes import RECIPES, Recipe
from harness.models.vlm.resize import MIDDLE, fit, middle
from harness.models.vlm.video import VIDEO, read_timed_frames, video_tokens, with_timestamps
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
    from tokenizers import Tokenizer
    from torch import Tensor
    from transformers import BaseImageProcessor, PreTrainedModel

    from harness.models.vlm.forward import VlmInput

PREFIX = "vlm/"
_VERIFIED = "documented: vendor's recipe on a small random checkpoint; released weights not run"
_BY_NAME: Mapping[str, Recipe] = {recipe.name: recipe for recipe in RECIPES}


class VlmEmbedder:
    """Unit vectors in fp32. A video is seen as one, or its frames as so many images, as the recipe says."""

    def __init__(
        self,
        spec: ModelSpec,
        recipe: Recipe,
        options: VlmOptions,
        tokenizer: Tokenizer,
        processor: BaseImageProcessor,
        network: PreTrainedModel,
    ) -> None:
        self.spec = spec
        self._recipe = recipe
        self._options = options
        self._tokenizer = tokenizer
        self._processor = processor
        self._network = network

    def prepare(self, item: Item, role: Role) -> Features[VlmInput]:
        from harness.models.vlm.forward import VlmInput

        films = [medium for medium in item.media if medium.kind == "video" and self._recipe.film]
        stills, clips = self._see([medium for medium in item.media if medium not in films]), self._watch(films)
        # frames that are seen as images stand in the prompt as those
        kinds: list[MediaKind] = [medium.kind for medium in item.media] if films else ["image" for _ in stills.tokens]
        places, ids = self._tokenize(item, role, tuple(kinds), stills, clips)
        limit = self._recipe.max_length or len(ids)
        ends = [place.start + place.tokens for place in places]
        length = min(len(ids), max([limit, *ends]))  # a medium is never cut: nothing could be made of its rest
        prompt = VlmInput(
            ids[:length],
            self._positions(length, places),
            {**self._tensors(stills, ids[:length]), **clips.tensors},
            images=len(stills.tokens),
        )
        return Features(prompt, length, truncated=length < len(ids))

    def embed(self, features: Sequence[Features[VlmInput]]) -> Tensor:
        import torch

        from harness.models.vlm.forward import embed

        with torch.inference_mode():
            return embed(self._network, self._recipe, [feature.data for feature in features])

    def _see(self, media: Sequence[Media]) -> VisualTokens:
        if not media:
            return VisualTokens({}, ())
        recipe = self._recipe
        images = [_sized(image, recipe) for medium in media for image in _open(medium, recipe)]
        try:
            return recipe.family.see(images, self._processor, self._network.config, recipe.limits)
        except ValueError as error:  # such as an aspect ratio that its public code does not take
            names = ", ".join(medium.name for medium in media)
            only = media[0] if len(media) == 1 else None
            raise BadMedia(f"{recipe.name} cannot see {names}: {error}.", "Crop the image.", only) from None

    def _watch(self, media: Sequence[Media]) -> VisualTokens:
        recipe = self._recipe
        if not media or recipe.film is None:
            return VisualTokens({}, ())
        choose = FramePolicy.parse(recipe.frames).choose
        clips = [read_timed_frames(medium, choose, self._processor.temporal_patch_size) for medium in media]
        return video_tokens(clips, recipe.film, recipe.mark, self._processor, self._network.config)

    def _tokenize(
        self, item: Item, role: Role, kinds: tuple[MediaKind, ...], stills: VisualTokens, clips: VisualTokens
    ) -> tuple[list[TokenSpan], Ids]:
        """Where each image and video is, and all ids, with as many of its token as it has visual tokens."""
        options, config = self._options, self._network.config
        found = [(self._recipe.family.token, config.image_token_id, stills)]
        found += [(VIDEO, config.video_token_id, clips)] if self._recipe.film else []
        override = options.query_instruction if role == "query" else options.target_instruction
        instruction = item.instruction if override is None else override
        text = item.text
        for token, _, _ in found:  # a literal one in a text is no place for an image
            instruction, text = instruction.replace(token, ""), text.replace(token, "")
        prompt = with_timestamps(self._recipe.prompt(Turn(instruction, text, role, kinds)), clips.texts)
        ids = np.array(self._tokenizer.encode(prompt or " ").ids, np.int64)  # nothing at all would have no vector
        counts = np.ones(len(ids), np.int64)
        for _, number, seen in found:
            at = ids == number
            assert at.sum() == len(seen.tokens), "a prompt has one token for each image and each part of a video"
            counts[at] = seen.tokens
        starts = np.cumsum(counts) - counts
        places = [
            TokenSpan(*place)
            for _, number, seen in found
            for place in zip(starts[ids == number].tolist(), seen.tokens, seen.grids or repeat(None), strict=False)
        ]
        return sorted(places, key=attrgetter("start")), np.repeat(ids, counts)

    def _positions(self, length: int, places: Sequence[TokenSpan]) -> Ids | None:
        if not self._recipe.family.two_dimensional:
            return None
        grids = [] if self._recipe.flat else [(place.start, place.grid) for place in places if place.grid]
        return grid_positions(length, grids)

    def _tensors(self, seen: VisualTokens, ids: Ids) -> Tensors:
        if not seen.tensors:
            return {}
        return self._recipe.family.finish(seen, ids, self._network.config.image_token_id)


def _open(medium: Media, recipe: Recipe) -> Sequence[Image]:
    if medium.kind == "image":
        return [open_image(medium)]
    return read_frames(medium, middle if recipe.frames == MIDDLE else FramePolicy.parse(recipe.frames).choose)


def _sized(image: Image, recipe: Recipe) -> Image:
    if recipe.first is not None:
        image = recipe.first(image)
    return image if recipe.fit is None else fit(image, recipe.fit, recipe.family.factor)


def open_vlm(name: str, settings: ModelSettings) -> ModelHandle:
    """Finds and identifies a model: `NAME`, or `vlm/NAME=FOLDER` for one with its recipe. Raises UserError."""
    alias, _, rest = name.removeprefix(PREFIX).partition("=")
    recipe = _BY_NAME.get(alias)
    if recipe is None:
        where = f"Write {PREFIX}NAME=FOLDER with NAME one of {', '.join(_BY_NAME)}."
        raise unknown_name("recipe", alias, _BY_NAME, where)
    options = parse_options(alias, settings.options, resizes=recipe.limits is not None, films=bool(recipe.frames))
    recipe = _adjusted(recipe, options)
    files = find_files(recipe, rest or recipe.hub, options)
    limits = recipe.limits or (None, None)
    seen: dict[str, Scalar] = {
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
        f"{PREFIX}{alias}={files.main.name}" if rest else alias,
        revision=files.main.revision,
        adapter="vlm/1",
        dtype=half_on_gpu(settings),
        options={**seen, **_films(recipe)},
        modalities=recipe.modalities,
        about=files.network.about(),
    )
    return handle(spec, partial(_load, spec, recipe, options, files, settings))


def _films(recipe: Recipe) -> Mapping[str, Scalar]:
    """How videos are seen, of recipes that see them; a single frame says nothing of its place."""
    if not recipe.frames:
        return {}
    order = {} if recipe.frames == MIDDLE else {"frame_order": "kept"}
    film = recipe.film
    if film is None:
        return {"frames": recipe.frames, **order}
    pixels = {"frame_min_pixels": film.frame[0], "frame_max_pixels": film.frame[1], "video_pixels": film.total}
    return {"frames": recipe.frames, **order, **pixels}


def _adjusted(recipe: Recipe, options: VlmOptions) -> Recipe:
    """The recipe with a user's limits in it."""
    limits, fitted = (_limited(each, options) for each in (recipe.limits, recipe.fit))
    film = recipe.film and replace(recipe.film, frame=_limited(recipe.film.frame, options) or recipe.film.frame)
    return replace(
        recipe,
        limits=limits,
        fit=fitted,
        film=film,
        max_length=options.max_length or recipe.max_length,
        frames=options.frames or recipe.frames,
    )


def _limited(usual: Limits | None, options: VlmOptions) -> Limits | None:
    """Where only one limit is given and it is beyond the usual other one, that gives way."""
    if usual is None:
        return None
    fewest, most = options.min_pixels or usual[0], options.max_pixels or usual[1]
    return (fewest, max(fewest, most)) if options.min_pixels else (min(fewest, most), most)


def _load(
    spec: ModelSpec, recipe: Recipe, options: VlmOptions, files: VlmFiles, settings: ModelSettings
) -> VlmEmbedder:
    """Loads tokenizer, image processor and weights. Raises UserError unless all is as it should be."""
    from harness.models.vlm.loading import load_chat

    folder, adapter = load_folders(files)
    parts = load_chat(recipe, files.processor.folder, folder, adapter, spec.dtype, torch_device(settings))
    return VlmEmbedder(spec, recipe, options, *parts)


ROWS = (
    *(
        ModelRow(
            recipe.name,
            f"{recipe.hub}{': ' + recipe.note if recipe.note else ''}",
            recipe.modalities,
            open_vlm,
            _VERIFIED,
        )
        for recipe in RECIPES
    ),
    ModelRow(
        PREFIX, "a checkpoint with the recipe of one of these: NAME=FOLDER", ("text", "image"), open_vlm, _VERIFIED
    ),
)
