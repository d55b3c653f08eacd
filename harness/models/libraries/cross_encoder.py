"""Models of sentence-transformers that score a pair of texts, for a second stage: cross-encoders and ColBERT."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.encoding.pairs import ItemPair
from harness.errors import UserError
from harness.models.checkpoint_files import opening
from harness.models.checkpoints import FoundCheckpoint, checkpoint_handle
from harness.models.common import float_type, plain_text, torch_device
from harness.models.libraries.late_interaction import maxsim
from harness.models.libraries.sentence_files import (
    PREFIX,
    check_code,
    check_files,
    find_model,
    is_late_interaction,
    modalities_of,
    read_configs,
    references,
)
from harness.models.libraries.sentence_inputs import token_counter
from harness.models.libraries.sentence_loading import check_loaded, keep_text_as_text
from harness.models.weights import count_parameters
from harness.types import Features, Item, ModelHandle, ModelSettings, ModelSpec, Role

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, MultiVectorEncoder
    from torch import Tensor


class TextPair(NamedTuple):
    """The texts of a query and of a candidate, as the model reads them."""

    query: str
    target: str


class PairEmbedder:
    """A model of the library that scores pairs, each an `ItemPair`. Another item is paired with itself."""

    def __init__(self, spec: ModelSpec, checkpoint: FoundCheckpoint, device: str) -> None:
        self.spec = spec
        self._model = _load(spec, checkpoint, device)
        self._count = token_counter(self._model)
        self._limit = self._model.max_seq_length or 2**31

    def prepare(self, item: Item, role: Role) -> Features[TextPair]:  # noqa: ARG002 - a pair has both roles
        """Counts the tokens of both texts. The cost is in tokens."""
        query, target = (item.query, item.target) if isinstance(item, ItemPair) else (item, item)
        pair = TextPair(plain_text(query.full_text), plain_text(target.full_text))
        tokens = self._count(pair.query) + self._count(pair.target)
        return Features(pair, min(tokens, self._limit), truncated=tokens > self._limit)

    def embed(self, features: Sequence[Features[TextPair]]) -> Tensor:
        """Returns `(n, 2)`: the score of each pair, and one."""
        import torch

        scores = self._scores([each.data for each in features])
        return torch.stack([scores, torch.ones_like(scores)], dim=1)

    def _scores(self, pairs: Sequence[TextPair]) -> Tensor:
        """The MaxSim of each pair, or else its logit, which the library's sigmoid would flatten."""
        import torch
        from sentence_transformers import MultiVectorEncoder

        if isinstance(self._model, MultiVectorEncoder):
            return maxsim(self._model, [pair.query for pair in pairs], [pair.target for pair in pairs])
        logits: Tensor = self._model.predict(
            [[*pair] for pair in pairs],
            batch_size=len(pairs),
            activation_fn=torch.nn.Identity(),
            convert_to_tensor=True,
            show_progress_bar=False,
        ).float()
        return logits


def open_reranker(name: str, settings: ModelSettings) -> ModelHandle:
    """Identifies a model that scores pairs, `ORG/NAME` on the hub or a folder, without loading its weights.

    Raises: UserError if there is none, if it sees more than texts, or if the library is not installed.
    """
    try:
        library = version("sentence-transformers")
    except PackageNotFoundError:
        what = f"--rerank {name} needs sentence-transformers, which is not installed."
        raise UserError(what, "pip install 'llave-bench[sentence-transformers]'") from None
    checkpoint = find_model(name)
    configs = read_configs(checkpoint.folder)
    checkpoint = checkpoint.referring_to(references(checkpoint, configs))
    if "image" in modalities_of(configs):
        raise UserError(f"{name} takes pictures too, and --rerank scores texts.", "Name a reranker of texts.")
    if settings.trust_remote_code:
        check_code(name, checkpoint)
    spec = ModelSpec(
        PREFIX + checkpoint.name.removeprefix(PREFIX),
        revision=checkpoint.revision,
        adapter="cross-encoder/1",
        dtype=float_type(settings),
        options={
            "sentence-transformers": library,
            "score": "maxsim" if is_late_interaction(configs) else "logit",
            **({"remote_code": checkpoint.revision} if settings.trust_remote_code else {}),
            **({"refers": " ".join(each.revision for each in checkpoint.refers)} if checkpoint.refers else {}),
        },
        modalities=("text",),
        about={"parameters": parameters} if (parameters := count_parameters(checkpoint.folder)) else {},
    )
    return checkpoint_handle(spec, checkpoint, lambda: PairEmbedder(spec, checkpoint, torch_device(settings)))


def _load(spec: ModelSpec, checkpoint: FoundCheckpoint, device: str) -> CrossEncoder | MultiVectorEncoder:
    """Loads the model. Raises UserError if it is damaged, or if it does not give one score for a pair."""
    import torch
    from sentence_transformers import CrossEncoder, MultiVectorEncoder

    late = spec.options["score"] == "maxsim"
    location = str(checkpoint.folder) if checkpoint.commit is None else checkpoint.name
    hint = f"Compare {', '.join(check_files(checkpoint.folder))} with where they came from."
    with opening(Path(location), "a reranker that sentence-transformers can load", hint):
        model = (MultiVectorEncoder if late else CrossEncoder)(
            location,
            revision=checkpoint.commit,
            device=device,
            trust_remote_code="remote_code" in spec.options,
            model_kwargs={"dtype": getattr(torch, spec.dtype)},
        )
    check_loaded(checkpoint, model)
    keep_text_as_text(model)
    if isinstance(model, CrossEncoder) and model.num_labels != 1:
        raise UserError(
            f"{location} gives {model.num_labels} numbers for a pair, and ranks need one.", "Name a reranker."
        )
    return model
