"""Late interaction: every token has a vector, and the score of a pair is a sum of best matches (MaxSim).

ColBERT, Khattab and Zaharia 2020, arXiv 2004.12832, section 3.3. The models are those that sentence-transformers loads
as `MultiVectorEncoder`, in its own layout, ColBERT's, PyLate's and ColPali's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from harness.models.checkpoints import FoundCheckpoint
from harness.models.libraries.parts import encode_parts
from harness.models.libraries.sentence_inputs import CallKey, Part, SentenceInput, SentenceInputs
from harness.models.libraries.sentence_loading import load_late
from harness.types import Features, Item, ModelSpec, Role

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder
    from torch import Tensor


class LateEmbedder:
    """An embedder that runs `encode_query` and `encode_document`, with the library's own prompts, lengths and masks."""

    def __init__(self, spec: ModelSpec, checkpoint: FoundCheckpoint, device: str) -> None:
        self.spec = spec
        self._model = load_late(spec, checkpoint, device)
        self._inputs = SentenceInputs(spec, self._model)

    def prepare(self, item: Item, role: Role) -> Features[SentenceInput]:
        """Opens media and counts tokens. The cost is in tokens, media included. Raises BadMedia."""
        return self._inputs.prepare(item, role)

    def embed(self, features: Sequence[Features[SentenceInput]]) -> list[Tensor]:
        """Returns `(tokens, width)` in fp32 of each item, with one call of the library for each role and kind of input.

        An item with several inputs has the vectors of all of them.
        """
        import torch

        found = encode_parts([each.data.keyed for each in features], self._encode)
        return [torch.cat(of_item).float() for of_item in found]

    def _encode(self, key: CallKey, parts: Sequence[Part]) -> Sequence[Tensor]:
        encode = self._model.encode_query if key.role == "query" else self._model.encode_document
        found = encode(parts, batch_size=len(parts), show_progress_bar=False, **self._inputs.arguments(key))
        return cast("Sequence[Tensor]", found)


def maxsim(model: MultiVectorEncoder, queries: Sequence[str], targets: Sequence[str]) -> Tensor:
    """Returns the score `(n,)` of each query with the target at its place, summed in fp64.

    A text that occurs several times is embedded once. A model of `meanmaxsim` divides by the number of the query's
    tokens.
    """
    import torch

    encoded = (
        dict(zip(texts, encode(texts, batch_size=len(texts), show_progress_bar=False), strict=True))
        for texts, encode in (
            (list(dict.fromkeys(queries)), model.encode_query),
            (list(dict.fromkeys(targets)), model.encode_document),
        )
    )
    of_query, of_target = encoded
    scores = [
        (of_query[query].double() @ of_target[target].double().T).amax(dim=1).sum()
        / (len(of_query[query]) if model.similarity_fn_name == "meanmaxsim" else 1)
        for query, target in zip(queries, targets, strict=True)
    ]
    return torch.stack(scores).float()
