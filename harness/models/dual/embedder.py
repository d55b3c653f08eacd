"""Dual encoders: texts and images go through separate towers, and the vectors of an item are added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.errors import BadMedia, UserError
from harness.identity import library_version
from harness.media.frame_policy import FramePolicy
from harness.media.images import open_image
from harness.models.checkpoint_files import JsonFile, processor_file, processor_name, read_image_processor
from harness.models.checkpoints import FoundCheckpoint, checkpoint_handle, find_checkpoint, save_network
from harness.models.common import float_type, map_pictures, plain_text, side_by_side, torch_device
from harness.models.dual.families import FAMILIES, DualFamily, Pixels
from harness.models.dual.options import DualOptions
from harness.models.dual.text import TextReader, TextTokens, read_tokenizer
from harness.models.fitting import check_ids, check_pixels
from harness.models.network_config import read_network_config
from harness.models.weights import load_network
from harness.settings import read_settings
from harness.types import MEDIA_TOKEN, Features, Item, Media, ModelHandle, ModelSettings, ModelSpec, Role, SeveralMedia

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from transformers import BaseImageProcessor, PreTrainedModel

_DEFAULTS = DualOptions()
MODALITIES = ("text", "image", "video")
SEVERAL: Mapping[str, SeveralMedia] = {
    "mean": "mean",
    "unit-mean": "mean",
    "side-by-side": "side-by-side",
    "refused": "refused",
}
"""What each value of the option `several_media` comes to."""
MAX_ASPECT_RATIO = 1000
"""Images with a larger ratio of their sides are refused.

Processors that resize by the shorter side would make more than 50 megapixels of them.
"""


@dataclass(frozen=True, slots=True, eq=False)
class DualInput:
    """A prepared item: token ids of its text, if it has one, and pixels of each image or frame."""

    text: TextTokens | None
    pictures: tuple[Pixels, ...]


@dataclass(frozen=True, slots=True)
class DualCheckpoint:
    """A checkpoint that was found, and how it is used. `options.max_length` is a number."""

    found: FoundCheckpoint
    family: DualFamily
    options: DualOptions
    vocabulary: int
    """Number of token ids that have an embedding."""
    width: int
    """Width of the vectors."""


class DualEmbedder:
    """An embedder whose vectors are in fp32 and not normalised."""

    def __init__(
        self,
        spec: ModelSpec,
        checkpoint: DualCheckpoint,
        reader: TextReader,
        image_processor: BaseImageProcessor,
        network: PreTrainedModel,
    ) -> None:
        self.spec = spec
        self._folder = checkpoint.found.folder
        self._family = checkpoint.family
        self._options = checkpoint.options
        self._choose = FramePolicy.parse(checkpoint.options.frames).choose
        self._reader = reader
        self._image_processor = image_processor
        self.network = network
        self._patch: int = network.config.vision_config.patch_size

    def prepare(self, item: Item, role: Role) -> Features[DualInput]:
        """Tokenizes the text and processes the media. The cost is the number of patches and tokens.

        An item with media whose text is only white space has no text part. An item without media always has one.
        Raises BadMedia.
        """
        full = self._full_text(item, role)
        text = self._reader.read(full) if full.strip() or not item.media else None
        pictures = self._pictures(item.media)
        patches = sum(each["pixel_values"].numel() // (3 * self._patch**2) for each in pictures)
        cost = patches + (self._length(text) if text else 0)
        return Features(DualInput(text, pictures), cost, truncated=text is not None and text.cut)

    def embed(self, features: Sequence[Features[DualInput]]) -> Tensor:
        """Returns vectors `(n, width)` in fp32. All texts share one pass of their tower, and so do all pictures."""
        import torch

        with torch.inference_mode():
            return self.forward(features)

    def forward(self, features: Sequence[Features[DualInput]]) -> Tensor:
        """Returns the vectors with a graph."""
        import torch

        parts = [feature.data for feature in features]
        texts = iter(self._embed_texts([each.text for each in parts if each.text]))
        pictures = iter(self._embed_pictures([picture for each in parts for picture in each.pictures]))
        vectors = []
        for each in parts:
            sides = [next(texts)] if each.text else []
            if each.pictures:
                seen = torch.stack([next(pictures) for _ in each.pictures])
                unit = self._options.several_media == "unit-mean" and len(seen) > 1
                sides.append((torch.nn.functional.normalize(seen, dim=1) if unit else seen).mean(dim=0))
            vectors.append(self._fuse(sides))
        return torch.stack(vectors)

    def save(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Writes a checkpoint as transformers does."""
        save_network(self.network, self._folder, folder, weights)

    def _full_text(self, item: Item, role: Role) -> str:
        included = {"all": True, "queries": role == "query", "none": False}[self._options.instructions]
        text = item.full_text if included else item.text
        return text.replace(MEDIA_TOKEN, self._options.media_token) if self._options.media_token else plain_text(text)

    def _pictures(self, media: Sequence[Media]) -> tuple[Pixels, ...]:
        """The pixels of each image and frame, or those of one picture of all images."""
        option, images = self._options.several_media, [medium for medium in media if medium.kind == "image"]
        if option == "refused" and len(media) > 1:
            what = f"{self.spec.name} is set to take one image or video, and an item has {len(media)}."
            raise UserError(what, "Leave several_media=refused out, or set it to mean.")
        if option == "side-by-side" and len(images) > 1:
            joined = self._process(images[0], side_by_side([open_image(image) for image in images]))
            return (joined, *self._each([medium for medium in media if medium.kind != "image"]))
        return self._each(media)

    def _each(self, media: Sequence[Media]) -> tuple[Pixels, ...]:
        return tuple(
            pixels for medium in media for pixels in map_pictures(medium, self._choose, partial(self._process, medium))
        )

    def _process(self, medium: Media, image: Image) -> Pixels:
        if max(image.size) > MAX_ASPECT_RATIO * min(image.size):
            raise BadMedia(
                f"{medium.name} is {image.width} x {image.height} pixels, too narrow for {self.spec.name}.",
                f"Crop it or leave it out: one side is more than {MAX_ASPECT_RATIO} times the other.",
                medium,
            )
        pixels: Pixels = dict(self._image_processor(image, return_tensors="pt"))
        return pixels

    def _length(self, text: TextTokens) -> int:
        return self._reader.limit if self._family.full_length else len(text.ids)

    def _embed_texts(self, texts: Sequence[TextTokens]) -> Tensor:
        import torch

        if not texts:
            return torch.empty(0)
        width = max(map(self._length, texts))
        ids = torch.full((len(texts), width), self._reader.pad)
        mask = torch.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text.ids)] = torch.tensor(text.ids)
            mask[row, : len(text.ids)] = 1
        device = self.network.device
        return self._family.text(self.network, ids.to(device), mask.to(device)).float()

    def _embed_pictures(self, pictures: Sequence[Pixels]) -> Tensor:
        import torch

        if not pictures:
            return torch.empty(0)
        batch = {key: torch.cat([each[key] for each in pictures]).to(self.network.device) for key in pictures[0]}
        batch["pixel_values"] = batch["pixel_values"].to(self.network.vision_model.dtype)
        return self._family.image(self.network, batch).float()

    def _fuse(self, sides: Sequence[Tensor]) -> Tensor:
        import torch

        if self._options.fusion == "unit-sum":
            sides = [torch.nn.functional.normalize(each, dim=0) for each in sides]
        return torch.stack(list(sides)).sum(dim=0)


def open_dual(
    name: str,
    settings: ModelSettings,
    *,
    families: Sequence[DualFamily] = FAMILIES,
    aliases: Mapping[str, str] = MappingProxyType({}),
    defaults: DualOptions = _DEFAULTS,
) -> ModelHandle:
    """Finds and identifies a checkpoint: `clip/NAME`, `siglip/FOLDER`, an alias, or a folder.

    Args:
        name: what the user wrote.
        settings: what the command line says about loading.
        families: the families to choose from. The one that config.json names is used.
        aliases: names on the hub by short name.
        defaults: the options that hold where the user gives none.

    Raises:
        UserError: if there is no such checkpoint, or if it belongs to none of the families.
    """
    prefix = next((each for family in families for each in family.prefixes if name.startswith(each)), "")
    found = find_checkpoint(name, prefix or families[0].prefixes[0], aliases=aliases)
    checkpoint = _read(
        found, [family for family in families if not prefix or prefix in family.prefixes], settings, defaults
    )
    spec = ModelSpec(
        checkpoint.family.prefixes[0] + found.name,
        revision=found.revision,
        adapter=checkpoint.family.prefixes[0] + "2",
        dtype=float_type(settings),
        options={
            **asdict(checkpoint.options),
            "width": checkpoint.width,
            "frame_order": "ignored",
            "image processor": "pil",
            "transformers": library_version("transformers"),
            "tokenizers": library_version("tokenizers"),
        },
        modalities=MODALITIES,
        several_media=SEVERAL[checkpoint.options.several_media],
        about=found.about(),
    )
    return checkpoint_handle(spec, found, partial(_load, spec, checkpoint, settings))


def _read(
    found: FoundCheckpoint, families: Sequence[DualFamily], settings: ModelSettings, defaults: DualOptions
) -> DualCheckpoint:
    """Reads config.json as far as the text side needs it. Raises UserError if it belongs to none of the families."""
    file = read_network_config(found.folder)
    kind = file.fields.get("model_type")
    family = next((each for each in families if each.model_type == kind), None)
    if family is None:
        raise UserError(
            f"{file.path} has model_type {kind!r}, not {' or '.join(repr(each.model_type) for each in families)}.",
            "Name a checkpoint of this kind. `llave models` lists the other families.",
        )
    sizes = _section(file, family.text_section, family.text_defaults)
    options = read_settings(defaults, settings.options, "option of dual encoders")
    positions = sizes.integer("max_position_embeddings")
    if (options.max_length or positions) > positions:
        raise UserError(
            f"max_length is {options.max_length}, and {found.name} has {positions} positions.",
            f"Write max_length={positions}, or less.",
        )
    options = replace(options, max_length=options.max_length or positions)
    section, key, default_width = family.width
    width = _section(file, section, {key: default_width}).integer(key)
    return DualCheckpoint(found, family, options, sizes.integer("vocab_size"), width)


def _section(file: JsonFile, name: str, defaults: Mapping[str, int]) -> JsonFile:
    """A part of config.json, or all of it. `defaults` are the values of transformers for missing keys."""
    if not name:
        return JsonFile(file.path, {**defaults, **file.fields})
    return JsonFile(file.path, {**defaults, **(file.section(name).fields if name in file.fields else {})})


def _load(spec: ModelSpec, checkpoint: DualCheckpoint, settings: ModelSettings) -> DualEmbedder:
    """Loads tokenizer, image processor and weights. Raises UserError if something is missing or does not fit."""
    import transformers

    family, folder = checkpoint.family, checkpoint.found.weights_folder()
    limit = checkpoint.options.max_length or 0
    reader = read_tokenizer(folder, family.text_rule(folder), limit, checkpoint.vocabulary)
    named = (processor_name(folder) or family.image_processor).removesuffix("Fast").removesuffix("Pil")
    # the Pillow version is taken, so that vectors do not depend on whether torchvision is installed
    image_processor = read_image_processor(folder, f"{named}Pil")
    weights = family.weights(folder) if family.weights else None
    kind = getattr(transformers, family.network)
    network = load_network(kind, folder, spec.dtype, torch_device(settings), weights=weights)
    config_path = folder / "config.json"
    check_ids(reader.tokenizer.tokenizer, checkpoint.vocabulary, folder / "tokenizer.json", config_path)
    due = family.pixel_shape(network.config.vision_config)
    check_pixels(
        lambda image: image_processor(image, return_tensors="pt")["pixel_values"],
        due,
        processor_file(folder),
        config_path,
    )
    return DualEmbedder(spec, checkpoint, reader, image_processor, network)
