"""Loads models of sentence-transformers, and checks that all of their weights come from their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.errors import UserError
from harness.models.checkpoint_files import opening
from harness.models.checkpoints import FoundCheckpoint
from harness.models.fitting import check_ids, embedding_rows
from harness.models.libraries.sentence_files import check_files
from harness.models.weights import account
from harness.types import ModelSpec

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer

M = TypeVar("M", "SentenceTransformer", "MultiVectorEncoder")
_FROM_FILE = "_is_hf_initialized"
_HINT = """A model with its own code needs --trust-remote-code: docs/models-other.md.
For a model that needs torchvision, write your own class: docs/add-a-model.md."""


def load_model(spec: ModelSpec, checkpoint: FoundCheckpoint, device: str) -> SentenceTransformer:
    """Loads a model of single vectors. Raises UserError if it is damaged, or if its files promised something else."""
    model = read_model(spec, checkpoint, device)
    _admit(model, spec, checkpoint)
    return model


def load_late(spec: ModelSpec, checkpoint: FoundCheckpoint, device: str) -> MultiVectorEncoder:
    """Loads a model of late interaction. Raises UserError as `load_model` does."""
    from sentence_transformers import MultiVectorEncoder

    model = _read(MultiVectorEncoder, spec, checkpoint, device)
    _admit(model, spec, checkpoint)
    return model


def _admit(model: SentenceTransformer | MultiVectorEncoder, spec: ModelSpec, checkpoint: FoundCheckpoint) -> None:
    import torch

    check_loaded(checkpoint, model)
    keep_text_as_text(model)
    if model.transformers_model is None:
        model.to(getattr(torch, spec.dtype))  # modules without a network of transformers ignore `model_kwargs`
    # Files of older models do not always say that they take videos.
    wanted = {"text", "image", *spec.modalities}
    modalities = {kind for kind in model.modalities if kind in wanted}
    if modalities != set(spec.modalities) or model.similarity_fn_name != spec.similarity:
        raise UserError(
            f"The files of {_location(checkpoint)} promise {', '.join(spec.modalities)} and {spec.similarity} "
            f"similarity; loaded, it has {', '.join(sorted(modalities))} and {model.similarity_fn_name}.",
            "Compare config.json and processor_config.json, or load it in your own class: docs/add-a-model.md.",
        )


def _location(checkpoint: FoundCheckpoint) -> str:
    return str(checkpoint.folder) if checkpoint.commit is None else checkpoint.name


def read_model(spec: ModelSpec, checkpoint: FoundCheckpoint, device: str) -> SentenceTransformer:
    """The model as the library reads it. Raises UserError if it is damaged."""
    from sentence_transformers import SentenceTransformer

    return _read(SentenceTransformer, spec, checkpoint, device)


def _read(kind: type[M], spec: ModelSpec, checkpoint: FoundCheckpoint, device: str) -> M:
    import torch

    location = _location(checkpoint)
    hint = f"Compare {', '.join(check_files(checkpoint.folder))} with where they came from. {_HINT}"
    with opening(Path(location), "a model that sentence-transformers can load", hint):
        return kind(
            location,
            revision=checkpoint.commit,
            device=device,
            trust_remote_code="remote_code" in spec.options,
            model_kwargs={"dtype": getattr(torch, spec.dtype)},
        )


def keep_text_as_text(model: SentenceTransformer | CrossEncoder | MultiVectorEncoder) -> None:
    """Makes the tokenizer read `[SEP]` or `<|endoftext|>` in a text as text.

    A model whose own prompts or messages are written with special tokens keeps the rule of the library. So does one of
    late interaction that sees images, because its processor writes them too.
    """
    from sentence_transformers import MultiVectorEncoder

    if isinstance(model, MultiVectorEncoder) and "image" in model.modalities:
        return
    special = getattr(model.tokenizer, "all_special_tokens", [])
    written = any(token in prompt for token in special for prompt in model.prompts.values() if prompt)
    if special and not written and "message" not in model.modalities:
        model.tokenizer.split_special_tokens = True


def check_loaded(checkpoint: FoundCheckpoint, model: SentenceTransformer | CrossEncoder | MultiVectorEncoder) -> None:
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
