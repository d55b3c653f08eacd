"""Models that sentence-transformers loads, from a folder or the hub, with images where they take them."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from harness.errors import UserError
from harness.files.tensors import explain_writing
from harness.identity import library_version
from harness.media.images import open_image
from harness.models.checkpoints import FoundCheckpoint, checkpoint_handle
from harness.models.common import float_type, no_options, plain_text, torch_device
from harness.models.libraries.sentence_files import (
    PREFIX,
    check_code,
    find_model,
    modalities_of,
    read_configs,
    references,
    several_media_of,
    similarity_of,
    width_of,
)
from harness.models.libraries.sentence_loading import load_model, read_model
from harness.models.weights import count_parameters
from harness.types import MEDIA_TOKEN, Features, Item, ModelHandle, ModelRow, ModelSettings, ModelSpec, Role, Scalar

if TYPE_CHECKING:
    from PIL.Image import Image
    from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer
    from torch import Tensor

K = TypeVar("K")
P = TypeVar("P")
PIXELS_PER_TOKEN = 28 * 28
MIN_IMAGE_COST = 256

Message: TypeAlias = "Mapping[str, str | Sequence[Mapping[str, str | Image]]]"
Part: TypeAlias = "str | Mapping[str, str | Image] | Sequence[Message]"
"""One input of the library.

A model that takes images gets its texts in a mapping. The library would fetch a plain string that is an address.
"""


@dataclass(frozen=True, slots=True)
class SentenceInput:
    """A prepared item: one input, or several if the model cannot take its parts together."""

    role: Role
    parts: tuple[Part, ...]


class SentenceEmbedder:
    """An embedder that runs `encode_query` and `encode_document`, with the library's own prompts and truncation."""

    def __init__(self, spec: ModelSpec, checkpoint: FoundCheckpoint, device: str) -> None:
        self.spec = spec
        self._checkpoint = checkpoint
        self._model = load_model(spec, checkpoint, device)
        self._count = token_counter(self._model)
        self._limit = self._model.max_seq_length or 2**31
        prompts = self._model.prompts
        documents = next((prompts[each] for each in ("document", "passage", "corpus") if each in prompts), "")
        self._prompts: Mapping[Role, str] = {"query": prompts.get("query") or "", "target": documents or ""}

    def prepare(self, item: Item, role: Role) -> Features[SentenceInput]:
        """Opens images and counts tokens. The cost is in tokens, images included. Raises BadMedia."""
        images = [open_image(medium) for medium in item.media]
        tokens = self._count(self._prompts[role] + plain_text(item.full_text))
        cost = sum(map(image_cost, images)) + min(tokens, self._limit)
        return Features(SentenceInput(role, self._parts(item.full_text, images)), cost, truncated=tokens > self._limit)

    def embed(self, features: Sequence[Features[SentenceInput]]) -> object:
        """Returns vectors `(n, width)` in fp32, with one call of the library for each role and kind of input.

        The vector of an item with several inputs is the mean of their unit vectors.
        """
        items = [[((each.data.role, _kind(part)), part) for part in each.data.parts] for each in features]
        return embed_parts(items, lambda key, parts: self._encode(key[0], parts))

    @property
    def network(self) -> SentenceTransformer:
        """The modules of the library."""
        return self._model

    def forward(self, features: Sequence[Features[SentenceInput]]) -> Tensor:
        """Returns the vectors with a graph, by the library's own steps."""
        items = [[((each.data.role, _kind(part)), part) for part in each.data.parts] for each in features]
        return embed_parts(items, lambda key, parts: self._run(key[0], parts))

    def save(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Writes the weights in a model of the library, as the library does."""
        model = read_model(self.spec, self._checkpoint, "cpu").to(next(iter(weights.values())).dtype)
        model.load_state_dict(weights)
        with explain_writing(folder):
            model.save_pretrained(str(folder), create_model_card=False)

    def _parts(self, full_text: str, images: Sequence[Image]) -> tuple[Part, ...]:
        """One message with all images, if the model takes messages; else images and text, paired if possible."""
        text = plain_text(full_text)
        if not images:
            return ({"text": text},) if "image" in self.spec.modalities else (text,)
        if "message" in self._model.modalities:
            return ([_message(full_text, images)],)
        if text and self._model.supports(("image", "text")):
            return tuple({"image": image, "text": text} for image in images)
        return (*({"image": image} for image in images), *([{"text": text}] if text else []))

    def _encode(self, role: Role, parts: Sequence[Part]) -> Sequence[Tensor]:
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        vectors = encode(
            parts, batch_size=len(parts), convert_to_tensor=True, normalize_embeddings=False, show_progress_bar=False
        )
        return cast("Sequence[Tensor]", vectors)

    def _run(self, role: Role, parts: Sequence[Part]) -> Tensor:
        """What `encode_query` and `encode_document` compute, with a graph."""
        from sentence_transformers.util import batch_to_device, truncate_embeddings

        task = "query" if role == "query" else "document"
        inputs = self._model.preprocess(list(parts), prompt=self._prompts[role] or None, task=task)
        vectors: Tensor = self._model(batch_to_device(inputs, self._model.device), task=task)["sentence_embedding"]
        cut = self._model.truncate_dim
        return vectors if cut is None else cast("Tensor", truncate_embeddings(vectors, cut))


def image_cost(image: Image) -> int:
    """Returns the cost of an image in tokens, with which batches are filled.

    It is right for models that see all pixels. For models that shrink the image it bounds the memory of open images.
    """
    return max(MIN_IMAGE_COST, image.width * image.height // PIXELS_PER_TOKEN)


def embed_parts(items: Sequence[Sequence[tuple[K, P]]], encode: Callable[[K, Sequence[P]], Iterable[Tensor]]) -> Tensor:
    """Embeds items that have one or several parts.

    Args:
        items: the parts of each item, each with a key. Parts with one key can share a call.
        encode: returns the vectors of parts, called once for each key.

    Returns:
        Vectors `(n, width)` in fp32: the `mean_direction` of the parts of each item.
    """
    import torch

    calls: dict[K, list[tuple[int, P]]] = defaultdict(list)
    for at, parts in enumerate(items):
        for key, part in parts:
            calls[key].append((at, part))
    vectors: list[list[Tensor]] = [[] for _ in items]
    for key, members in calls.items():
        for (at, _), vector in zip(members, encode(key, [part for _, part in members]), strict=True):
            vectors[at].append(vector)
    return torch.stack([mean_direction(of_item) for of_item in vectors])


def mean_direction(vectors: Sequence[Tensor]) -> Tensor:
    """Returns the mean of the unit vectors in fp32, or a single vector without a change of its length."""
    import torch

    if len(vectors) == 1:
        return vectors[0].float()
    return torch.nn.functional.normalize(torch.stack(list(vectors)).float(), dim=1).mean(dim=0)


def token_counter(model: SentenceTransformer | CrossEncoder | MultiVectorEncoder) -> Callable[[str], int]:
    """Returns a function that counts the tokens of a text, also beyond the limit.

    If the tokenizer cannot be used from several threads, the count is estimated from bytes, up to the limit. The
    tokenizer is copied, because `encode` changes the original while `prepare` runs in several threads.
    """
    from tokenizers import Tokenizer

    limit = model.max_seq_length or 2**31
    tokenizer = getattr(model.tokenizer, "backend_tokenizer", model.tokenizer)
    if not isinstance(tokenizer, Tokenizer):
        return lambda text: min(limit, len(text.encode("utf-8", "replace")) // 4 + 1)
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return lambda text: max(1, len(tokenizer.encode(text)))


def _kind(part: Part) -> str:
    """The kind of an input. One call of the library must not mix kinds."""
    if isinstance(part, Mapping):
        return " ".join(part)
    return "text" if isinstance(part, str) else "message"


def _message(full_text: str, images: Sequence[Image]) -> Message:
    """A user's message, with images at their tokens. Without one token for each image all come first."""
    texts = full_text.split(MEDIA_TOKEN)
    if len(texts) != len(images) + 1:
        texts = [*("" for _ in images), plain_text(full_text)]
    texts = [texts[0], *(text.removeprefix("\n") for text in texts[1:])]
    content: list[Mapping[str, str | Image]] = []
    for text, image in zip(texts, (*images, None), strict=True):
        content += [{"type": "text", "text": text}] if text else []
        content += [{"type": "image", "image": image}] if image else []
    return {"role": "user", "content": content}


def _open(name: str, settings: ModelSettings) -> ModelHandle:
    no_options(name, settings)
    try:
        library = version("sentence-transformers")
    except PackageNotFoundError:
        what = f"{name} needs sentence-transformers, which is not installed."
        raise UserError(what, "pip install 'llave-bench[sentence-transformers]'") from None
    checkpoint = find_model(name)
    configs = read_configs(checkpoint.folder)
    checkpoint = checkpoint.referring_to(references(checkpoint, configs))
    modalities = modalities_of(configs)
    options: dict[str, Scalar] = {
        "sentence-transformers": library,
        "roles": "encode_query, encode_document",
        "width": width_of(checkpoint.folder, configs),
    }
    if "image" in modalities:
        torchvision = library_version("torchvision")
        options["image processor"] = "pil" if torchvision == "none" else f"torchvision {torchvision}"
        options["transformers"] = library_version("transformers")
        options["parts"] = "mean of unit vectors"
    if checkpoint.refers:
        options["refers"] = " ".join(each.revision for each in checkpoint.refers)
    if settings.trust_remote_code:
        check_code(name, checkpoint)
        options["remote_code"] = checkpoint.revision
    spec = ModelSpec(
        PREFIX + checkpoint.name.removeprefix(PREFIX),
        revision=checkpoint.revision,
        adapter="sentence-transformers/3",
        dtype=float_type(settings),
        options=options,
        modalities=modalities,
        similarity=similarity_of(name, checkpoint.folder, configs),
        several_media=several_media_of(checkpoint.folder, configs),
        about=checkpoint.about() | ({"parameters": count} if (count := count_parameters(checkpoint.folder)) else {}),
    )
    return checkpoint_handle(spec, checkpoint, lambda: SentenceEmbedder(spec, checkpoint, torch_device(settings)))


ROWS = (
    ModelRow(
        PREFIX,
        "any sentence-transformers model: NAME on the hub, or FOLDER",
        ("text", "image"),
        _open,
        "documented: the library's own vectors, of MiniLM and of small random CLIP and LLaVA",
        several_media=("interleaved", "mean"),
    ),
)
