"""What the loss must equal: the formula written out over whole matrices, and recorded runs of LLaVE's own code."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

HERE = Path(__file__).parent / "golden" / "loss.npz"
RECORDED = Path(__file__).resolve().parents[2] / ".." / "shared" / "golden" / "loss"


@dataclass(frozen=True, slots=True)
class Case:
    """A run of the reference in float64, on one process or on several with equal numbers of rows."""

    alpha: float
    scale: float
    query: np.ndarray
    target: np.ndarray
    loss: np.ndarray
    """The loss of each process."""
    grad_query: np.ndarray
    grad_target: np.ndarray


def recorded(name: str) -> dict[str, Case]:
    """The runs beside the tests whose names start with this."""
    with np.load(HERE) as arrays:
        names = sorted({key.split("/")[0] for key in arrays if key.startswith(name)})
        fields = ("query", "target", "loss", "grad_query", "grad_target")
        return {
            each: Case(*arrays[f"{each}/settings"].tolist(), *(arrays[f"{each}/{field}"] for field in fields))
            for each in names
        }


def all_recorded() -> Iterator[Case]:
    """Every one of a single process."""
    with np.load(RECORDED / "single.npz") as arrays:
        for row in json.loads((RECORDED / "single.json").read_text(encoding="utf-8")):
            fields = ("query", "target", "loss64", "grad_query64", "grad_target64")
            yield Case(row["alpha"], row["logit_scale"], *(arrays[f"{row['case']}/{each}"] for each in fields))


def vectors(n: int, d: int, seed: int, *, like: Tensor | None = None) -> Tensor:
    """Unit vectors in float64, near those they are `like`."""
    drawn = torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return normalize(drawn if like is None else like.detach() + drawn * 0.5 / d**0.5, dim=1).requires_grad_()


def dense(
    query: Tensor,
    target: Tensor,
    *,
    scale: float | Tensor,
    alpha: float,
    hardness: str = "llave",
    margin: float = 0.0,
    direction: str = "both",
    same: Tensor | None = None,
    false_negative_margin: float | None = None,
    negatives: Tensor | None = None,
    allowed: Tensor | None = None,
) -> Tensor:
    """The definition, one exponential at a time. `same` (n, n) and `allowed` (n, m) are masks."""

    def one_way(asking: Tensor, answering: Tensor, wrong: Tensor | None) -> Tensor:
        n = len(asking)
        cosines = asking @ answering.T
        positive = cosines.diagonal()
        keep = ~torch.eye(n, dtype=torch.bool) if same is None else ~(same | torch.eye(n, dtype=torch.bool))
        if wrong is not None:
            cosines = torch.cat([cosines, asking @ wrong.T], 1)
            keep = torch.cat([keep, torch.ones(n, len(wrong), dtype=torch.bool) if allowed is None else allowed], 1)
        if false_negative_margin is not None:
            keep = keep & (cosines.detach() <= positive.detach()[:, None] + false_negative_margin)
        plain = torch.exp(scale * cosines) * keep
        weights = torch.exp(alpha * (cosines if hardness == "unstopped" else cosines.detach()))
        # by how much the weights change each total; the same for all negatives of a query, and without a gradient
        factor = (((weights * plain).sum(1) + 1e-300) / (plain.sum(1) + 1e-300)).detach()[:, None]
        weights = {"relative": weights / factor, "total": factor}.get(hardness, weights)
        right = torch.exp(scale * positive)
        return -torch.log(right / (right + math.exp(margin) * (weights * plain).sum(1))).mean()

    forward, backward = one_way(query, target, negatives), one_way(target, query, None)
    return {"query": forward, "target": backward, "both": (forward + backward) / 2}[direction]
