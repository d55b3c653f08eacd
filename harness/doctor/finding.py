"""What a check finds, and the embedder as the checks see it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from harness.encoding.vectors import as_matrix
from harness.types import Embedder, FloatArray, Item, Role

Verdict: TypeAlias = Literal["pass", "fail", "note", "skipped"]

TOLERANCE: Mapping[str, float] = {"float32": 1e-4, "float16": 0.01, "bfloat16": 0.05}
"""How far apart two vectors of one item may lie, and how far two different items must.

The distance is that of unit vectors (`sqrt(2 - 2 cos)`) where the model is compared by cosine, and relative to the
longer of the two where it is compared by dot product. 1e-4 is a hundred times what kernels of other shapes do in
float32; the others are what a deep network makes of 11 and of 8 bits. A dtype not listed has the loosest.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    verdict: Verdict
    says: str
    """One sentence."""
    remedy: str = ""
    measured: float | None = None
    tolerance: float | None = None


class Probe(NamedTuple):
    """What is asked of the model."""

    item: Item
    role: Role = "query"


class ModelUnderTest:
    """An embedder under examination. What a probe gives by itself is asked once; every batch is asked anew."""

    def __init__(self, embedder: Embedder[object]) -> None:
        self.embedder = embedder
        self.spec = embedder.spec
        self.tolerance = TOLERANCE.get(self.spec.dtype, max(TOLERANCE.values()))
        self._single: dict[Probe, FloatArray] = {}

    def batch(self, probes: Sequence[Probe]) -> FloatArray:
        """What the model gives for a batch, whatever its shape. Raises UserError if that is no array."""
        return as_matrix(self.embedder.embed([self.embedder.prepare(*probe) for probe in probes]))

    def single(self, probe: Probe) -> FloatArray:
        """What the model gives for a batch of one."""
        if probe not in self._single:
            self._single[probe] = self.batch([probe])
        return self._single[probe]

    def alone(self, probe: Probe) -> FloatArray:
        """The vector `(d,)` of a probe in a batch of its own, once the check `shape` has passed."""
        vector: FloatArray = self.single(probe)[0]
        return vector

    def distance(self, one: FloatArray, other: FloatArray) -> float:
        """How far apart two vectors are as the model compares them; infinite where one is not finite or has no length.

        See TOLERANCE.
        """
        a, b = one.astype(np.float64), other.astype(np.float64)
        sizes = float(np.linalg.norm(a)), float(np.linalg.norm(b))
        if not all(0 < size < math.inf for size in sizes):
            return math.inf
        if self.spec.similarity == "cosine":
            return float(np.linalg.norm(a / sizes[0] - b / sizes[1]))
        return float(np.linalg.norm(a - b)) / max(sizes)

    def apart(self, one: Probe, other: Probe) -> float:
        """How far apart two probes are, each embedded by itself."""
        return self.distance(self.alone(one), self.alone(other))

    def same(self, check: str, distance: float, holds: str, breaks: str, remedy: str) -> Finding:
        """Passes if `distance`, between vectors that should be one, is within the tolerance."""
        if distance <= self.tolerance:
            return Finding(check, "pass", holds, "", distance, self.tolerance)
        return Finding(check, "fail", breaks, remedy, distance, self.tolerance)

    def differs(self, check: str, distance: float, holds: str, breaks: str, remedy: str) -> Finding:
        """Passes if `distance`, between vectors that should not be one, is beyond the tolerance."""
        if distance > self.tolerance:
            return Finding(check, "pass", holds, "", distance, self.tolerance)
        return Finding(check, "fail", breaks, remedy, distance, self.tolerance)
