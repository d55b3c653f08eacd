"""Any model that sentence-transformers loads: a folder or a name on the hub. Text, and images where it takes them."""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from harness.digests import folder_digest
from harness.errors import UserError
from harness.identity import library_version
from harness.media import open_image
from harness.models.common import float_type, handle, no_options, plain_text, torch_device
from harness.registry import ModelHandle, ModelRow, ModelSettings
from harness.types import Features, Item, ModelSpec, Role, Scalar

if TYPE_CHECKING:
    from PIL.Image import Image
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

PREFIX = "sentence-transformers/"
PIXELS_PER_TOKEN = 28 * 28
LEAST_IMAGE_COST = 256
"""What an image counts as when a batch is filled: true of models that see all pixels, and for those that shrink the
image it bounds the memory that images wait in."""

Part: TypeAlias = "Mapping[str, str | Image | Sequence[Image]]"
"""One input of the library. Always named by its kind: a bare string that looks like an address would be fetched."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An item as one input, or as several where the model cannot take them together."""

    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model lies. `folder` holds at least its configuration; `commit` is None for a local folder."""

    label: str
    location: str
    folder: Path
    commit: str | None


class SentenceEmbedder:
    """Runs `encode_query` and `encode_document`, so that prompts, routes and truncation are the library's own."""

    def __init__(self, spec: ModelSpec, source: Source, device: str) -> None:
        self.spec = spec
        self._model = _load(spec, source, device)
        self._count = _token_counter(self._model)
        self._limit = self._model.max_seq_length or 2**31
        self._fuses = bool(self._model.supports(("image", "text")))

    def prepare(self, item: Item, role: Role) -> Features[Prepared]:
        text = plain_text(item.full_text)
        images = [open_image(medium) for medium in item.media]
        parts: list[Part]
        if not images:
            parts = [{"text": text}]
        elif self._fuses:
            shown = {"image": images[0] if len(images) == 1 else images}
            parts = [{**shown, "text": text} if text else shown]
        else:
            parts = [{"image": image} for image in images] + ([{"text": text}] if text else [])
        cost = sum(max(LEAST_IMAGE_COST, image.width * image.height // PIXELS_PER_TOKEN) for image in images)
        tokens = self._count(text)
        return Features(Prepared(role, tuple(parts)), cost + min(tokens, self._limit), truncated=tokens > self._limit)

    def embed(self, features: Sequence[Features[Prepared]]) -> object:
        """One call of the library for each role and kind of input; an item in parts is the mean of its unit vectors."""
        import torch

        calls: dict[tuple[Role, tuple[str, ...]], list[tuple[int, Part]]] = defaultdict(list)
        for at, feature in enumerate(features):
            for part in feature.data.parts:
                calls[feature.data.role, tuple(part)].append((at, part))
        vectors: list[list[Tensor]] = [[] for _ in features]
        for (role, _), members in calls.items():
            for (at, _), vector in zip(members, self._encode(role, [part for _, part in members]), strict=True):
                vectors[at].append(vector)
        return torch.stack([_fuse(of_item) for of_item in vectors])

    def _encode(self, role: Role, parts: Sequence[Part]) -> Sequence[Tensor]:
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        inputs = parts if "image" in self.spec.modalities else [part["text"] for part in parts]
        vectors = encode(
            inputs,
            batch_size=len(inputs),
            convert_to_tensor=True,
            normalize_embeddings=False,
            show_progress_bar=False,
        )
        return cast("Sequence[Tensor]", vectors)


def _fuse(vectors: Sequence[Tensor]) -> Tensor:
    import torch

    if len(vectors) == 1:
        return vectors[0].float()
    return torch.nn.functional.normalize(torch.stack(list(vectors)).float(), dim=1).mean(dim=0)


def _load(spec: ModelSpec, source: Source, device: str) -> SentenceTransformer:
    """Loads the weights and checks that the model is what its files promised. Raises UserError if it is not."""
    import torch
    from sentence_transformers import SentenceTransformer

    dtype = getattr(torch, spec.dtype)
    try:
        model = SentenceTransformer(
            source.location,
            revision=source.commit,
            device=device,
            trust_remote_code=False,
            model_kwargs={"dtype": dtype},
        )
    except (OSError, ValueError, ImportError) as error:
        raise UserError(
            f"sentence-transformers cannot load {source.location}: {error}",
            "Remote code is never run. A model that needs it, or torchvision, fits in as a class of your own: "
            "docs/add-a-model.md.",
        ) from error
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


def _token_counter(model: SentenceTransformer) -> Callable[[str], int]:
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


def _find(name: str) -> Source:
    """Finds a folder, or resolves a name on the hub to a commit; from the cache where the hub cannot be reached."""
    rest = name.removeprefix(PREFIX)
    folder = Path(rest).expanduser()
    if rest and folder.is_dir():
        return Source(folder.resolve().name, str(folder), folder, None)
    if not rest or rest.startswith((".", "/", "~")) or rest.count("/") > 1:
        raise UserError(
            f"There is no folder {rest!r}.", f"Write {PREFIX}FOLDER, or {PREFIX}NAME for a model on the hub."
        )
    from huggingface_hub import snapshot_download

    location = rest if "/" in rest else PREFIX + rest
    try:
        folder = Path(snapshot_download(location, allow_patterns=["*config*.json", "modules.json"]))
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"There is no folder {rest!r}, and the hub does not give {location}: {reason}",
            "Check the name and the network, or copy the model here and name its folder.",
        ) from None
    return Source(location.removeprefix(PREFIX), location, folder, folder.name)


def _read_configs(folder: Path) -> Mapping[Path, Mapping[str, object]]:
    configs = {}
    for path in sorted(folder.rglob("*config*.json")):
        try:
            content = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}", "Copy or download the model again.") from None
        if isinstance(content, dict):
            configs[path] = content
    return configs


def _modalities(configs: Mapping[Path, Mapping[str, object]]) -> tuple[str, ...]:
    """What the model takes, read from its files, because a finished result must be found without loading it.

    Newer models declare it; for the others an image processor tells. `_load` checks it against the real thing.
    """
    declared = [config["modality_config"] for config in configs.values() if "modality_config" in config]
    if declared:
        sees = any("image" in kinds for kinds in declared if isinstance(kinds, dict))
    else:
        processors = [
            configs[path] for path in configs if path.name in ("processor_config.json", "preprocessor_config.json")
        ]
        sees = any(key.startswith("image_") for config in processors for key in config)
    return ("text", "image") if sees else ("text",)


def _open(name: str, settings: ModelSettings) -> ModelHandle:
    no_options(name, settings)
    try:
        library = version("sentence-transformers")
    except PackageNotFoundError:
        raise UserError(
            f"{name} needs sentence-transformers, which is not installed.",
            "pip install 'llave-bench[sentence-transformers]'",
        ) from None
    source = _find(name)
    configs = _read_configs(source.folder)
    modalities = _modalities(configs)
    similarity = (
        configs.get(source.folder / "config_sentence_transformers.json", {}).get("similarity_fn_name") or "cosine"
    )
    if similarity not in ("cosine", "dot"):
        raise UserError(
            f"{name} is compared by {similarity} distance.", "Only cosine and dot product are measured here."
        )
    options: dict[str, Scalar] = {"sentence-transformers": library, "roles": "encode_query, encode_document"}
    if "image" in modalities:
        torchvision = library_version("torchvision")
        options["image processor"] = "pil" if torchvision == "none" else f"torchvision {torchvision}"
        options["transformers"] = library_version("transformers")
        options["parts"] = "mean of unit vectors"
    spec = ModelSpec(
        PREFIX + source.label,
        revision=source.commit or folder_digest(source.folder),
        adapter="sentence-transformers/1",
        dtype=float_type(settings),
        options=options,
        modalities=modalities,
        similarity="dot" if similarity == "dot" else "cosine",
    )
    return handle(spec, lambda: SentenceEmbedder(spec, source, torch_device(settings)))


ROWS = (
    ModelRow(
        PREFIX,
        "any sentence-transformers model: NAME on the hub, or FOLDER",
        ("text", "image"),
        _open,
        "tests: MiniLM (text), tiny CLIP (text, image)",
    ),
)
