"""Models of mteb's list, run as mteb runs them: with its loaders, prompts and encoder protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

import numpy as np

from harness.errors import UserError
from harness.identity import library_version
from harness.media.images import open_image
from harness.models.checkpoint_files import opening
from harness.models.common import handle, plain_text, torch_device
from harness.models.libraries.mteb_list import PREFIX, MtebMeta, find_meta, place_of_instructions
from harness.models.libraries.mteb_video import ClipDecoder
from harness.models.libraries.parts import embed_parts
from harness.models.libraries.remote_code import only_code_of
from harness.models.libraries.sentence_inputs import VIDEO_COST, image_cost, token_counter
from harness.types import (
    Features,
    FloatArray,
    Item,
    Media,
    ModelHandle,
    ModelRow,
    ModelSettings,
    ModelSpec,
    Role,
    Scalar,
)

if TYPE_CHECKING:
    from PIL.Image import Image
    from sentence_transformers import SentenceTransformer
    from torch import Tensor
    from torch.utils.data import DataLoader

DTYPE = "chosen by mteb"
NO_LIMIT = 2**31

Row: TypeAlias = "Mapping[str, str | Image | ClipDecoder]"
Batch: TypeAlias = "Mapping[str, Sequence[str | Image | ClipDecoder]]"


class MtebEncoder(Protocol):
    """The part of mteb's `EncoderProtocol` that is used here."""

    def encode(
        self,
        inputs: DataLoader[Row],
        *,
        task_metadata: object,
        hf_split: str,
        hf_subset: str,
        prompt_type: object,
        batch_size: int,
        show_progress_bar: bool,
    ) -> Tensor:
        """Returns vectors `(n, width)` of the rows that `inputs` yields."""

    def similarity(self, one: FloatArray, two: FloatArray) -> Tensor:
        """Returns the similarity of each vector of `one` with each of `two`."""


@dataclass(frozen=True, slots=True)
class MtebInput:
    """A prepared item: one row of mteb, or one row for each of several media, all with the text."""

    role: Role
    instruction: str
    """The prompt of mteb's task. If it is not empty, the text does not contain it."""
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class MtebDataset:
    """A dataset with the members that mteb's encoders use."""

    rows: Sequence[Row]

    @property
    def features(self) -> Mapping[str, None]:
        """The names of the columns."""
        return dict.fromkeys(self.rows[0])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]


class MtebEmbedder:
    """An embedder that passes items to `encode` in the form of mteb's retrieval tasks: queries and documents."""

    def __init__(self, spec: ModelSpec, meta: MtebMeta, device: str) -> None:
        self.spec = spec
        self._commits = tuple(spec.revision.split("-")) if "remote_code" in spec.options else ()
        self._by_task = spec.options["instructions"] == "task"
        with only_code_of(spec.name, self._commits):
            self._encoder = _load(spec, meta, device)
        inner = _inner(self._encoder)
        self._limit = int(min((inner.max_seq_length if inner else meta.max_tokens) or NO_LIMIT, NO_LIMIT))
        self._count = token_counter(inner) if inner else self._guess

    def prepare(self, item: Item, role: Role) -> Features[MtebInput]:
        """Opens media and counts tokens. The cost is in tokens, media included. Raises BadMedia."""
        instruction = plain_text(item.instruction).strip() if self._by_task else ""
        text = plain_text(item.text if self._by_task else item.full_text)
        media: list[Row] = [_medium_row(medium) for medium in item.media]
        words: Row = {"text": text, "query" if role == "query" else "body": text} if text or not media else {}
        rows: list[Row] = [{**medium, **words} for medium in media] or [words]
        tokens = self._count(text)
        cost = sum(map(_cost, media)) + min(tokens, self._limit)
        return Features(MtebInput(role, instruction, tuple(rows)), cost, truncated=tokens > self._limit)

    def embed(self, features: Sequence[Features[MtebInput]]) -> object:
        """Returns vectors `(n, width)`, with one call of the encoder for each role, instruction and kind of row.

        The vector of an item with several rows is the mean of their unit vectors.
        """
        import torch

        items = [
            [((each.data.role, each.data.instruction, tuple(row)), row) for row in each.data.rows] for each in features
        ]
        with torch.no_grad(), only_code_of(self.spec.name, self._commits):
            return embed_parts(items, lambda key, rows: self._encode(rows, key[0], key[1]))

    def _guess(self, text: str) -> int:
        """Estimates the number of tokens, up to the limit, because the encoder does not give its tokenizer."""
        return min(self._limit, len(text.encode("utf-8", "replace")) // 4 + 1)

    def _encode(self, rows: Sequence[Row], role: Role, instruction: str) -> Tensor:
        import torch
        from mteb.types import PromptType
        from torch.utils.data import DataLoader

        prompt_type = PromptType.query if role == "query" else PromptType.document
        found = self._encoder.encode(
            DataLoader(
                cast("torch.utils.data.Dataset[Row]", MtebDataset(rows)), batch_size=len(rows), collate_fn=_columns
            ),
            task_metadata=_task(self.spec.modalities, {prompt_type.value: instruction} if instruction else None),
            hf_split="test",
            hf_subset="default",
            prompt_type=prompt_type,
            batch_size=len(rows),
            show_progress_bar=False,
        )
        return torch.as_tensor(found)


def _medium_row(medium: Media) -> Row:
    """The part of a row that is a medium. Raises BadMedia."""
    return {"image": open_image(medium)} if medium.kind == "image" else {"video": ClipDecoder(medium)}


def _cost(row: Row) -> int:
    """The cost of a medium in tokens."""
    image = row.get("image")
    return VIDEO_COST if image is None else image_cost(cast("Image", image))


def _columns(rows: Sequence[Row]) -> Batch:
    return {key: [row[key] for row in rows] for key in rows[0]}


def _task(modalities: Sequence[str], prompt: Mapping[str, str] | None) -> object:
    """A retrieval task, by which mteb's encoders choose their prompts. None of them knows its name."""
    from mteb.abstasks.task_metadata import TaskMetadata

    return TaskMetadata(
        name="llave-bench",
        description="Items of any task of llave-bench.",
        dataset={"path": "llave-bench", "revision": "1"},
        type="Retrieval" if tuple(modalities) == ("text",) else "Any2AnyRetrieval",
        modalities=list(modalities),
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
        prompt=prompt,
    )


def _inner(encoder: MtebEncoder) -> SentenceTransformer | None:
    """The model of sentence-transformers that an encoder wraps, if it wraps one."""
    from sentence_transformers import SentenceTransformer

    inner = getattr(encoder, "model", None)
    return inner if isinstance(inner, SentenceTransformer) else None


def _load(spec: ModelSpec, meta: MtebMeta, device: str) -> MtebEncoder:
    """Loads a model with mteb. Raises UserError if it fails, or if the similarity is not the one in mteb's list."""
    from mteb.models import EncoderProtocol

    with opening(Path(meta.name), "a model that mteb can load", "Correct that, or choose another model."):
        loaded = meta.load_model(device=device)
    if not isinstance(loaded, EncoderProtocol):
        raise UserError(
            f"The model that mteb loads for {meta.name} does not encode items.", "Choose a dense embedding model."
        )
    encoder = cast("MtebEncoder", loaded)
    one, two = np.array([[3, 0]], np.float32), np.array([[1, 1]], np.float32)
    score = float(np.asarray(encoder.similarity(one, two)).item())
    if not np.isclose(score, {"cosine": 0.5**0.5, "dot": 3.0}[spec.similarity], atol=1e-2):
        raise UserError(
            f"mteb lists {meta.name} with {spec.similarity} similarity, but compares it in another way.",
            "Load it in your own class: docs/add-a-model.md.",
        )
    return encoder


def _open(name: str, settings: ModelSettings) -> ModelHandle:
    try:
        library = version("mteb")
    except PackageNotFoundError:
        raise UserError(f"{name} needs mteb, which is not installed.", "pip install 'llave-bench[mteb]'") from None
    meta = find_meta(name, trusted=settings.trust_remote_code)
    revision = str(meta.revision)
    if settings.dtype != "auto":
        raise UserError(f"{name} has the dtype that mteb loads it in.", "Leave --dtype out for this model.")
    device = torch_device(settings)
    options: dict[str, Scalar] = {
        "instructions": place_of_instructions(name, meta, settings.options),
        "mteb": library,
        "transformers": library_version("transformers"),
        "sentence-transformers": library_version("sentence-transformers"),
        "device": device.partition(":")[0],  # loaders choose their dtype by it
    }
    if "image" in meta.modalities:
        options |= {"torchvision": library_version("torchvision"), "several images": "mean of unit vectors"}
    if "video" in meta.modalities:
        options |= {"frames": "chosen by mteb", "frame_order": "kept"}
    if settings.trust_remote_code:
        options["remote_code"] = revision
    elif meta.loader_kwargs.get("trust_remote_code"):
        raise UserError(
            f"{name} brings its own code, which is not run.",
            f"Read it at https://huggingface.co/{meta.name}/tree/{revision}, then allow it with --trust-remote-code.",
        )
    modalities = tuple(kind for kind in ("text", "image", "video") if kind in meta.modalities)
    spec = ModelSpec(
        PREFIX + meta.name,
        revision=revision,
        adapter="mteb/1",
        dtype=DTYPE,
        options=options,
        modalities=modalities,
        several_media=None if modalities == ("text",) else "mean",
        similarity="dot" if meta.similarity_fn_name == "dot" else "cosine",
    )
    return handle(spec, lambda: MtebEmbedder(spec, meta, device))


ROWS = (
    ModelRow(
        PREFIX,
        "any dense model that mteb lists: NAME as mteb writes it",
        ("text", "image", "video"),
        _open,
        "documented: the library's own vectors, of MiniLM and of small random CLIP and LLaVA",
        several_media=("mean",),
    ),
)
