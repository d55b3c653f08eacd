"""Late interaction: every token has a vector, and the score of a pair is a sum of best matches (MaxSim).

ColBERT, Khattab and Zaharia 2020, arXiv 2004.12832, section 3.3. The models are those that sentence-transformers loads
as `MultiVectorEncoder`, in its own layout and in those of ColBERT and PyLate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.models.libraries.sentence_files import Configs

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder
    from torch import Tensor

_TYPES = ("MultiVectorEncoder", "ColBERT")
_ARCHITECTURE = "HF_ColBERT"


def is_late_interaction(configs: Configs) -> bool:
    """Whether the files are of a model with a vector for every token."""
    return any(
        fields.get("model_type") in _TYPES
        if path.name == "config_sentence_transformers.json"
        else _ARCHITECTURE in str(fields.get("architectures"))
        for path, fields in configs.items()
    )


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
