"""Dual encoders: a text and an image each go through a tower of their own, and what an item has of both is added up."""

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
from harness.media.video import read_frames
from harness.models.checkpoints import FoundCheckpoint, find_checkpoint, load_network
from harness.models.common import float_type, handle, plain_text, torch_device
from harness.models.dual.families import FAMILIES, DualFamily, Pixels
from harness.models.dual.options import DualOptions, parse_options
from harness.models.dual.text import TextReader, TextTokens, read_tokenizer
from harness.models.llave.config import JsonFile
from harness.types import MEDIA_TOKEN, Features, Item, Media, ModelHandle, ModelSettings, ModelSpec, Role

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from transformers import BaseImageProcessor, PreTrainedModel

_USUAL = DualOptions()
MODALITIES = ("text", "image", "video")
WORST_RATIO = 1000
"""Of the sides of an image. Processors that resize by the shorter side would make more than 50 megapixels of these."""


@dataclass(frozen=True, slots=True, eq=False)
class DualInput:
    """An item made ready: token ids unless it has no text, and pictures, one for each image or frame."""

    text: TextTokens | None
    pictures: tuple[Pixels, ...]


@dataclass(frozen=True, slots=True)
class DualCheckpoint:
    """A checkpoint that was found, and how it is to be used. `options.max_length` is known."""

    found: FoundCheckpoint
    family: DualFamily
    options: DualOptions
    vocabulary: int
    width: int


class DualEmbedder:
    """Vectors in fp32, not normalised."""

    def __init__(
        self,
        spec: ModelSpec,
        checkpoint: DualCheckpoint,
        reader: TextReader,
        eye: BaseImageProcessor,
        network: PreTrainedModel,
    ) -> None:
        self.spec = spec
        self._family = checkpoint.family
        self._options = checkpoint.options
        self._frames = FramePolicy.parse(checkpoint.options.frames)
        self._reader = reader
        self._eye = eye
        self._network = network
        self._patch: int = network.config.vision_config.patch_size

    def prepare(self, item: Item, role: Role) -> Features[DualInput]:
        """An item with media and nothing but white space for text has no text part; one without media always has."""
        wording = self._wording(item, role)
        text = self._reader.read(wording) if wording.strip() or not item.media else None
        pictures = tuple(self._see(medium, image) for medium in item.media for image in self._open(medium))
        patches = sum(each["pixel_values"].numel() // (3 * self._patch**2) for each in pictures)
        cost = patches + (self._length(text) if text else 0)
        return Features(DualInput(text, pictures), cost, truncated=text is not None and text.cut)

    def embed(self, features: Sequence[Features[DualInput]]) -> Tensor:
        """Each text of the batch goes through its tower once, and so does each picture."""
        import torch

        parts = [feature.data for feature in features]
        with torch.inference_mode():
            texts = iter(self._embed_texts([each.text for each in parts if each.text]))
            pictures = iter(self._embed_pictures([picture for each in parts for picture in each.pictures]))
            vectors = []
            for each in parts:
                sides = [next(texts)] if each.text else []
                if each.pictures:
                    sides.append(torch.stack([next(pictures) for _ in each.pictures]).mean(dim=0))
                vectors.append(self._fuse(sides))
        return torch.stack(vectors)

    def _wording(self, item: Item, role: Role) -> str:
        wanted = {"all": True, "queries": role == "query", "none": False}[self._options.instructions]
        text = item.full_text if wanted else item.text
        return text.replace(MEDIA_TOKEN, self._options.media_token) if self._options.media_token else plain_text(text)

    def _open(self, medium: Media) -> Sequence[Image]:
        return [open_image(medium)] if medium.kind == "image" else read_frames(medium, self._frames.choose)

    def _see(self, medium: Media, image: Image) -> Pixels:
        if max(image.size) > WORST_RATIO * min(image.size):
            raise BadMedia(
                f"{medium.name} is {image.width} x {image.height} pixels, too narrow for {self.spec.name}.",
                f"Crop it or leave it out: one side is more than {WORST_RATIO} times the other.",
                medium,
            )
        pixels: Pixels = dict(self._eye(image, return_tensors="pt"))
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
        device = self._network.device
        return self._family.text(self._network, ids.to(device), mask.to(device)).float()

    def _embed_pictures(self, pictures: Sequence[Pixels]) -> Tensor:
        import torch

        if not pictures:
            return torch.empty(0)
        batch = {key: torch.cat([each[key] for each in pictures]).to(self._network.device) for key in pictures[0]}
        batch["pixel_values"] = batch["pixel_values"].to(self._network.vision_model.dtype)
        return self._family.image(self._network, batch).float()

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
    usual: DualOptions = _USUAL,
) -> ModelHandle:
    """Finds and identifies a checkpoint: `clip/NAME`, `siglip/FOLDER`, an alias, or a folder. Raises UserError.

    The family is the one that config.json names. `aliases` lead to names on the hub.
    """
    prefix = next((each for family in families for each in family.prefixes if name.startswith(each)), "")
    found = find_checkpoint(aliases.get(name, name.removeprefix(prefix)), prefix or families[0].prefixes[0], aliases)
    checkpoint = _read(
        found, [family for family in families if not prefix or prefix in family.prefixes], settings, usual
    )
    spec = ModelSpec(
        checkpoint.family.prefixes[0] + found.name,
        revision=found.revision,
        adapter=checkpoint.family.prefixes[0] + "1",
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
        about=found.about(),
    )
    return handle(spec, partial(_load, spec, checkpoint, settings))


def _read(
    found: FoundCheckpoint, families: Sequence[DualFamily], settings: ModelSettings, usual: DualOptions
) -> DualCheckpoint:
    """Reads config.json as far as the text side needs it. Raises UserError if it is of no family asked for."""
    file = JsonFile.read(found.folder / "config.json")
    kind = file.fields.get("model_type")
    family = next((each for each in families if each.model_type == kind), None)
    if family is None:
        raise UserError(
            f"{file.path} has model_type {kind!r}, not {' or '.join(repr(each.model_type) for each in families)}.",
            "Name a checkpoint of this kind. `llave models` lists the other families.",
        )
    sizes = _section(file, family.section, family.usual)
    options = parse_options(settings.options, usual)
    places = sizes.integer("max_position_embeddings")
    if (options.max_length or places) > places:
        raise UserError(f"max_length is {options.max_length}, and {found.name} has {places} places.", "Lower it.")
    options = replace(options, max_length=options.max_length or places)
    section, key, usual_width = family.width
    width = _section(file, section, {key: usual_width}).integer(key)
    return DualCheckpoint(found, family, options, sizes.integer("vocab_size"), width)


def _section(file: JsonFile, name: str, usual: Mapping[str, int]) -> JsonFile:
    """A part of config.json, or all of it; `usual` is what transformers takes for what is left out."""
    found = file.fields.get(name) if name else file.fields
    return JsonFile(file.path, {**usual, **(found if isinstance(found, dict) else {})})


def _load(spec: ModelSpec, checkpoint: DualCheckpoint, settings: ModelSettings) -> DualEmbedder:
    """Loads tokenizer, image processor and weights. Raises UserError unless all is as it should be."""
    import transformers

    family, folder = checkpoint.family, checkpoint.found.whole()
    limit = checkpoint.options.max_length or 0
    reader = read_tokenizer(folder, family.rule(folder), limit, checkpoint.vocabulary)
    eye = _read_eye(folder, family)
    weights = family.weights(folder) if family.weights else None
    kind = getattr(transformers, family.kind)
    network = load_network(kind, folder, spec.dtype, torch_device(settings), weights=weights)
    return DualEmbedder(spec, checkpoint, reader, eye, network)


def _read_eye(folder: Path, family: DualFamily) -> BaseImageProcessor:
    """The Pillow version of the image processor that the checkpoint names.

    It is asked for by its class: AutoImageProcessor wants torchvision for it in some versions of transformers.
    """
    import transformers

    named = _eye_named(folder) or family.eye
    named = named.removesuffix("Fast").removesuffix("Pil")
    kind = getattr(transformers, f"{named}Pil", None)
    try:
        if kind is None:
            raise ValueError(f"there is no {named} that works with Pillow")
        return kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"The image processor in {folder} cannot be loaded: {reason}",
            "Take preprocessor_config.json from where the weights came from.",
        ) from error


def _eye_named(folder: Path) -> str | None:
    """The class in preprocessor_config.json, or in processor_config.json, where newer checkpoints have it."""
    alone, joint = folder / "preprocessor_config.json", folder / "processor_config.json"
    fields = JsonFile.read(joint if joint.is_file() and not alone.is_file() else alone).fields
    inner = fields.get("image_processor")
    named = (inner if isinstance(inner, dict) else fields).get("image_processor_type")
    return named if isinstance(named, str) else None
