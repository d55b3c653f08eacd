"""Any model that sentence-transformers loads: a folder or a name on the hub. Text, and images where it takes them."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, TypeAlias, cast

from harness.encoding.oom import is_out_of_memory
from harness.errors import UserError
from harness.identity import library_version
from harness.media.images import open_image
from harness.models.checkpoints import account, count_parameters
from harness.models.common import float_type, handle, no_options, plain_text, torch_device
from harness.models.libraries.sentence_files import (
    PREFIX,
    SentenceCheckpoint,
    check_code,
    find_source,
    modalities_of,
    read_configs,
    width_of,
)
from harness.types import MEDIA_TOKEN, Features, Item, ModelHandle, ModelRow, ModelSettings, ModelSpec, Role, Scalar

if TYPE_CHECKING:
    from PIL.Image import Image
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

PIXELS_PER_TOKEN = 28 * 28
LEAST_IMAGE_COST = 256
_FROM_FILE = "_is_hf_initialized"

Message: TypeAlias = "Mapping[str, str | Sequence[Mapping[str, str | Image]]]"
Part: TypeAlias = "str | Mapping[str, str | Image] | Sequence[Message]"
"""One input of the library. Where a model sees images its texts are named as texts: a bare string that looks like an
address would be fetched."""


@dataclass(frozen=True, slots=True)
class SentenceInput:
    """An item as one input, or as several where the model cannot take them together."""

    role: Role
    parts: tuple[Part, ...]


class SentenceEmbedder:
    """Runs `encode_query` and `encode_document`, so that prompts, routes and truncation are the library's own."""

    def __init__(self, spec: ModelSpec, source: SentenceCheckpoint, device: str) -> None:
        self.spec = spec
        self._model = _load(spec, source, device)
        self._count = token_counter(self._model)
        self._limit = self._model.max_seq_length or 2**31
        prompts = self._model.prompts
        documents = next((prompts[each] for each in ("document", "passage", "corpus") if each in prompts), "")
        self._prompts: Mapping[Role, str] = {"query": prompts.get("query") or "", "target": documents or ""}

    def prepare(self, item: Item, role: Role) -> Features[SentenceInput]:
        images = [open_image(medium) for medium in item.media]
        tokens = self._count(self._prompts[role] + plain_text(item.full_text))
        cost = sum(map(image_cost, images)) + min(tokens, self._limit)
        return Features(SentenceInput(role, self._parts(item.full_text, images)), cost, truncated=tokens > self._limit)

    def embed(self, features: Sequence[Features[SentenceInput]]) -> object:
        """One call of the library for each role and kind of input; an item in parts is the mean of its unit vectors."""
        import torch

        calls: dict[tuple[Role, str], list[tuple[int, Part]]] = defaultdict(list)
        for at, feature in enumerate(features):
            for part in feature.data.parts:
                calls[feature.data.role, _kind(part)].append((at, part))
        vectors: list[list[Tensor]] = [[] for _ in features]
        for (role, _), members in calls.items():
            for (at, _), vector in zip(members, self._encode(role, [part for _, part in members]), strict=True):
                vectors[at].append(vector)
        return torch.stack([mean_direction(of_item) for of_item in vectors])

    def _parts(self, full_text: str, images: Sequence[Image]) -> tuple[Part, ...]:
        """A chat where the model takes one, with every image in its place; else image and text as far as they go."""
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
    """What an image counts as when a batch is filled, in tokens: true of models that see all pixels.

    For those that shrink the image it bounds the memory that images wait in.
    """
    return max(LEAST_IMAGE_COST, image.width * image.height // PIXELS_PER_TOKEN)


def mean_direction(vectors: Sequence[Tensor]) -> Tensor:
    """The mean of the vectors brought to length 1; a single one as it is. In float32."""
    import torch

    if len(vectors) == 1:
        return vectors[0].float()
    return torch.nn.functional.normalize(torch.stack(list(vectors)).float(), dim=1).mean(dim=0)


def token_counter(model: SentenceTransformer) -> Callable[[str], int]:
    """Counts tokens, whatever the limit; from bytes, and up to the limit, where that cannot be done in threads.

    The tokenizer is a copy: `prepare` runs in several threads, and the original is being set up by `encode` meanwhile.
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
    """What the library may not find mixed in one call."""
    if isinstance(part, Mapping):
        return " ".join(part)
    return "text" if isinstance(part, str) else "message"


def _message(full_text: str, images: Sequence[Image]) -> Message:
    """What a user says: texts, and images where the text has their tokens; in front where it has not one for each."""
    texts = full_text.split(MEDIA_TOKEN)
    if len(texts) != len(images) + 1:
        texts = [*("" for _ in images), plain_text(full_text)]
    texts = [texts[0], *(text.removeprefix("\n") for text in texts[1:])]
    content: list[Mapping[str, str | Image]] = []
    for text, image in zip(texts, (*images, None), strict=True):
        content += [{"type": "text", "text": text}] if text else []
        content += [{"type": "image", "image": image}] if image else []
    return {"role": "user", "content": content}


def _load(spec: ModelSpec, source: SentenceCheckpoint, device: str) -> SentenceTransformer:
    """Loads the weights and checks that the model is what its files promised. Raises UserError if it is not."""
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    dtype = getattr(torch, spec.dtype)
    try:
        model = SentenceTransformer(
            source.location,
            revision=source.commit,
            device=device,
            trust_remote_code="remote_code" in spec.options,
            model_kwargs={"dtype": dtype},
        )
    except (SafetensorError, StrictDataclassError) as error:
        raise UserError(f"{source.location} is cut short or damaged: {error}", "Copy or download it again.") from error
    except (OSError, ValueError, TypeError, LookupError, RuntimeError, ImportError) as error:
        if is_out_of_memory(error):
            raise
        raise UserError(
            f"sentence-transformers cannot load {source.location}: {error}",
            "A model that brings code of its own needs --trust-remote-code, which docs/models-other.md explains. One "
            "that needs torchvision fits in as a class of your own: docs/add-a-model.md.",
        ) from error
    _account(source, model)
    if model.transformers_model is None:
        model.to(dtype)  # modules without a network of transformers do not take `model_kwargs`
    seen = {"text", "image"}.intersection(model.modalities)
    if seen != set(spec.modalities) or model.similarity_fn_name != spec.similarity:
        raise UserError(
            f"The files of {source.location} promise {', '.join(spec.modalities)} and {spec.similarity} similarity; "
            f"loaded, it has {', '.join(sorted(seen))} and {model.similarity_fn_name}.",
            "Load it in a class of your own (docs/add-a-model.md), and please report the model's name.",
        )
    return model


def _account(source: SentenceCheckpoint, model: SentenceTransformer) -> None:
    """Raises UserError if weights were missing, which transformers fills with random numbers and a warning.

    It marks those that came from a file. A head that pools for another use is often left out of the files.
    """
    network = model.transformers_model
    marks = {} if network is None else {name: hasattr(each, _FROM_FILE) for name, each in network.named_parameters()}
    if any(marks.values()):
        account(source.folder, [name for name, marked in marks.items() if not marked and "pooler." not in name], [], [])


def _open(name: str, settings: ModelSettings) -> ModelHandle:
    no_options(name, settings)
    try:
        library = version("sentence-transformers")
    except PackageNotFoundError:
        raise UserError(
            f"{name} needs sentence-transformers, which is not installed.",
            "pip install 'llave-bench[sentence-transformers]'",
        ) from None
    source = find_source(name.removeprefix(PREFIX))
    configs = read_configs(source.folder)
    modalities = modalities_of(configs)
    similarity = (
        configs.get(source.folder / "config_sentence_transformers.json", {}).get("similarity_fn_name") or "cosine"
    )
    if similarity not in ("cosine", "dot"):
        raise UserError(
            f"{name} is compared by {similarity} distance.", "Only cosine and dot product are measured here."
        )
    revision = source.revision()
    options: dict[str, Scalar] = {
        "sentence-transformers": library,
        "roles": "encode_query, encode_document",
        "width": width_of(source.folder, configs),
    }
    if "image" in modalities:
        torchvision = library_version("torchvision")
        options["image processor"] = "pil" if torchvision == "none" else f"torchvision {torchvision}"
        options["transformers"] = library_version("transformers")
        options["parts"] = "mean of unit vectors"
    if settings.trust_remote_code:
        check_code(name, source)
        options["remote_code"] = revision
    spec = ModelSpec(
        PREFIX + source.label,
        revision=revision,
        adapter="sentence-transformers/2",
        dtype=float_type(settings),
        options=options,
        modalities=modalities,
        similarity="dot" if similarity == "dot" else "cosine",
        about={"parameters": parameters} if (parameters := count_parameters(source.folder)) else {},
    )
    return handle(spec, lambda: SentenceEmbedder(spec, source, torch_device(settings)))


ROWS = (
    ModelRow(
        PREFIX,
        "any sentence-transformers model: NAME on the hub, or FOLDER",
        ("text", "image"),
        _open,
        "documented: the library's own vectors, of MiniLM and of small random CLIP and LLaVA",
    ),
)
