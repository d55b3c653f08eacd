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
from harness.identity import library_version
from harness.media.images import open_image
from harness.models.checkpoint_files import opening
from harness.models.checkpoints import FoundCheckpoint, checkpoint_handle
from harness.models.common import float_type, no_options, plain_text, torch_device
from harness.models.fitting import check_ids, embedding_rows
from harness.models.libraries.sentence_files import (
    PREFIX,
    check_code,
    check_files,
    find_model,
    modalities_of,
    read_configs,
    references,
    several_media_of,
    similarity_of,
    width_of,
)
from harness.models.weights import account, count_parameters
from harness.types import MEDIA_TOKEN, Features, Item, ModelHandle, ModelRow, ModelSettings, ModelSpec, Role, Scalar

if TYPE_CHECKING:
    from PIL.Image import Image
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

K = TypeVar("K")
P = TypeVar("P")
PIXELS_PER_TOKEN = 28 * 28
MIN_IMAGE_COST = 256
_FROM_FILE = "_is_hf_initialized"

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
        self._model = _load(spec, checkpoint, device)
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


def token_counter(model: SentenceTransformer) -> Callable[[str], int]:
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


_HINT = """A model with its own code needs --trust-remote-code: docs/models-other.md.
For a model that needs torchvision, write your own class: docs/add-a-model.md."""


def _load(spec: ModelSpec, checkpoint: FoundCheckpoint, device: str) -> SentenceTransformer:
    """Loads the model. Raises UserError if it is damaged, or if its files promised something else."""
    import torch
    from sentence_transformers import SentenceTransformer

    location = str(checkpoint.folder) if checkpoint.commit is None else checkpoint.name
    dtype = getattr(torch, spec.dtype)
    hint = f"Compare {', '.join(check_files(checkpoint.folder))} with where they came from. {_HINT}"
    with opening(Path(location), "a model that sentence-transformers can load", hint):
        model = SentenceTransformer(
            location,
            revision=checkpoint.commit,
            device=device,
            trust_remote_code="remote_code" in spec.options,
            model_kwargs={"dtype": dtype},
        )
    _account(checkpoint, model)
    _keep_text_as_text(model)
    if model.transformers_model is None:
        model.to(dtype)  # modules without a network of transformers ignore `model_kwargs`
    modalities = {"text", "image"}.intersection(model.modalities)
    if modalities != set(spec.modalities) or model.similarity_fn_name != spec.similarity:
        raise UserError(
            f"The files of {location} promise {', '.join(spec.modalities)} and {spec.similarity} similarity; "
            f"loaded, it has {', '.join(sorted(modalities))} and {model.similarity_fn_name}.",
            "Compare config.json and processor_config.json, or load it in your own class: docs/add-a-model.md.",
        )
    return model


def _keep_text_as_text(model: SentenceTransformer) -> None:
    """Makes the tokenizer read `[SEP]` or `<|endoftext|>` in a text as text.

    A model whose own prompts or messages are written with special tokens keeps the rule of the library.
    """
    special = getattr(model.tokenizer, "all_special_tokens", [])
    written = any(token in prompt for token in special for prompt in model.prompts.values() if prompt)
    if special and not written and "message" not in model.modalities:
        model.tokenizer.split_special_tokens = True


def _account(checkpoint: FoundCheckpoint, model: SentenceTransformer) -> None:
    """Raises UserError if weights are missing, which transformers fills with random numbers after a warning.

    transformers marks the weights that come from a file. A pooling head is not needed, and files often lack it.
    A token id without an embedding is an error too.
    """
    from tokenizers import Tokenizer

    network = model.transformers_model
    marks = {} if network is None else {name: hasattr(each, _FROM_FILE) for name, each in network.named_parameters()}
    if any(marks.values()):
        account(
            checkpoint.folder, [name for name, marked in marks.items() if not marked and "pooler." not in name], [], []
        )
    tokenizer = getattr(model.tokenizer, "backend_tokenizer", None)
    rows = None if network is None else embedding_rows(network)
    if rows is not None and isinstance(tokenizer, Tokenizer):
        check_ids(tokenizer, rows, checkpoint.folder / "tokenizer.json", checkpoint.folder / "config.json")


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
        about={"parameters": parameters} if (parameters := count_parameters(checkpoint.folder)) else {},
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
