"""The matrix rate of a device, its peak memory, and how far vectors in bf16 are from those in fp32."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

DTYPES = {"cuda": torch.bfloat16, "cpu": torch.float32}
"""The dtype in which speed is measured, by kind of device."""


def usual_dtype(device: str) -> torch.dtype:
    """Returns the dtype in which speed is measured on a device."""
    return DTYPES[device.partition(":")[0]]


def matrix_rate(device: str) -> float:
    """Returns the FLOP/s of a large square matrix product, the best of several runs."""
    size = 8192 if device.startswith("cuda") else 2048
    one = torch.randn(size, size, device=device, dtype=usual_dtype(device))
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        product = one @ one
        product[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return 2.0 * size**3 / best


def peaks_on_gpu(sides: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Runs each side, and returns by how many megabytes its peak is above what was allocated before."""
    found = {}
    for name, side in sides.items():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        side()
        found[name] = round((torch.cuda.max_memory_allocated() - before) / 1e6, 1)
    return found


def parity(exact: Tensor, rounded: Tensor) -> dict[str, object]:
    """Compares vectors `(n, width)` of the same items in fp32 and in bf16.

    Random weights leave all vectors close to each other. So the error is also given as a share of how far an item is
    from the mean of all, and nearest neighbours are compared.
    """
    exact, rounded = (normalize(each.float().cpu(), dim=1) for each in (exact, rounded))
    cosines = (exact * rounded).sum(1)
    spread = (exact - exact.mean(0)).norm(dim=1).median()
    nearest = [_nearest(each) for each in (exact, rounded)]
    return {
        "items": len(exact),
        "least cosine": round(float(cosines.min()), 6),
        "median error, share of the spread": round(float((exact - rounded).norm(dim=1).median() / spread), 4),
        "same nearest neighbour": round(float((nearest[0] == nearest[1]).float().mean()), 3),
    }


def _nearest(vectors: Tensor) -> Tensor:
    centred = normalize(vectors - vectors.mean(0), dim=1)
    return (centred @ centred.T).fill_diagonal_(-2).argmax(1)
