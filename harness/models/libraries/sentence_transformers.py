"""Models that sentence-transformers loads, from a folder or the hub, with the media that they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, cast

from harness.errors import UserError
from harness.files.tensors import explain_writing
from harness.identity import library_version
from harness.models.checkpoints import FoundCheckpoint, checkpoint_handle
from harness.models.common import float_type, no_options, torch_device
from harness.models.libraries.late_interaction import LateEmbedder
from harness.models.libraries.parts import embed_parts
from harness.models.libraries.sentence_files import (
    PREFIX,
    check_code,
    find_model,
    is_late_interaction,
    modalities_of,
    read_configs,
    references,
    several_media_of,
    similarity_of,
    width_of,
)
from harness.models.libraries.sentence_inputs import CallKey, Part, SentenceInput, SentenceInputs, SentenceOptions
from harness.models.libraries.sentence_loading import load_model, read_model
from harness.models.weights import count_parameters
from harness.settings import read_settings
from harness.types import Features, Item, ModelHandle, ModelRow, ModelSettings, ModelSpec, Role, Scalar

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor


class SentenceEmbedder:
    """An embedder that runs `encode_query` and `encode_document`, with the library's own prompts and truncation."""

    def __init__(self, spec: ModelSpec, checkpoint: FoundCheckpoint, device: str) -> None:
        self.spec = spec
        self._checkpoint = checkpoint
        self._model = load_model(spec, checkpoint, device)
        self._inputs = SentenceInputs(spec, self._model)

    def prepare(self, item: Item, role: Role) -> Features[SentenceInput]:
        """Opens media and counts tokens. The cost is in tokens, media included. Raises BadMedia."""
        return self._inputs.prepare(item, role)

    def embed(self, features: Sequence[Features[SentenceInput]]) -> object:
        """Returns vectors `(n, width)` in fp32, with one call of the library for each role and kind of input.

        The vector of an item with several inputs is the mean of their unit vectors.
        """
        return embed_parts([each.data.keyed for each in features], self._encode)

    @property
    def network(self) -> SentenceTransformer:
        """The modules of the library."""
        return self._model

    def forward(self, features: Sequence[Features[SentenceInput]]) -> Tensor:
        """Returns the vectors with a graph, by the library's own steps."""
        return embed_parts([each.data.keyed for each in features], self._run)

    def save(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Writes the weights in a model of the library, as the library does."""
        model = read_model(self.spec, self._checkpoint, "cpu").to(next(iter(weights.values())).dtype)
        model.load_state_dict(weights)
        with explain_writing(folder):
            model.save_pretrained(str(folder), create_model_card=False)

    def _encode(self, key: CallKey, parts: Sequence[Part]) -> Sequence[Tensor]:
        encode = self._model.encode_query if key.role == "query" else self._model.encode_document
        vectors = encode(
            parts,
            batch_size=len(parts),
            convert_to_tensor=True,
            normalize_embeddings=False,
            show_progress_bar=False,
            **self._inputs.arguments(key),
        )
        return cast("Sequence[Tensor]", vectors)

    def _run(self, key: CallKey, parts: Sequence[Part]) -> Tensor:
        """What `encode_query` and `encode_document` compute, with a graph."""
        from sentence_transformers.util import batch_to_device, truncate_embeddings

        task = "query" if key.role == "query" else "document"
        prompt = self._inputs.prompts[key.role] or None
        inputs = self._model.preprocess(list(parts), prompt=prompt, task=task, **self._inputs.arguments(key))
        vectors: Tensor = self._model(batch_to_device(inputs, self._model.device), task=task)["sentence_embedding"]
        cut = self._model.truncate_dim
        return vectors if cut is None else cast("Tensor", truncate_embeddings(vectors, cut))


def _open(name: str, settings: ModelSettings) -> ModelHandle:
    try:
        library = version("sentence-transformers")
    except PackageNotFoundError:
        what = f"{name} needs sentence-transformers, which is not installed."
        raise UserError(what, "pip install 'llave-bench[sentence-transformers]'") from None
    checkpoint = find_model(name)
    configs = read_configs(checkpoint.folder)
    checkpoint = checkpoint.referring_to(references(checkpoint, configs))
    modalities, late = modalities_of(configs), is_late_interaction(configs)
    options: dict[str, Scalar] = {
        "sentence-transformers": library,
        "roles": "encode_query, encode_document",
        "width": width_of(checkpoint.folder, configs),
        **_options_of_media(name, modalities, settings),
    }
    if len(modalities) > 1:
        options["parts"] = "all vectors" if late else "mean of unit vectors"
    if checkpoint.refers:
        options["refers"] = " ".join(each.revision for each in checkpoint.refers)
    if settings.trust_remote_code:
        check_code(name, checkpoint)
        options["remote_code"] = checkpoint.revision
    spec = ModelSpec(
        PREFIX + checkpoint.name.removeprefix(PREFIX),
        revision=checkpoint.revision,
        adapter="late-interaction/1" if late else "sentence-transformers/3",
        dtype=float_type(settings),
        options=options,
        modalities=modalities,
        similarity=similarity_of(name, checkpoint.folder, configs),
        several_media=several_media_of(checkpoint.folder, configs),
        about=checkpoint.about() | ({"parameters": count} if (count := count_parameters(checkpoint.folder)) else {}),
    )
    embedder = LateEmbedder if late else SentenceEmbedder
    return checkpoint_handle(spec, checkpoint, lambda: embedder(spec, checkpoint, torch_device(settings)))


def _options_of_media(name: str, modalities: Sequence[str], settings: ModelSettings) -> Mapping[str, Scalar]:
    """What else decides the vectors of pictures and videos. Raises UserError for options without an effect."""
    found: dict[str, Scalar] = {}
    if "image" in modalities:
        torchvision = library_version("torchvision")
        found["image processor"] = "pil" if torchvision == "none" else f"torchvision {torchvision}"
        found["transformers"] = library_version("transformers")
    if "video" not in modalities:
        no_options(name, settings)
        return found
    frames = read_settings(SentenceOptions(), settings.options, f"option of {name}").frames
    return {**found, "frames": frames, "frame_order": "kept", "transformers": library_version("transformers")}


ROWS = (
    ModelRow(
        PREFIX,
        "any sentence-transformers model: NAME on the hub, or FOLDER",
        ("text", "image", "video"),
        _open,
        "documented: the library's own vectors, of MiniLM and small random CLIP, LLaVA, ColBERT, ColPali and ColQwen2",
        several_media=("interleaved", "mean", "united"),
    ),
)
