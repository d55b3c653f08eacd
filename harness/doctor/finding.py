"""The finding of a check, and the embedder as the checks see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from harness.encoding.matrices import as_vectors
from harness.encoding.vectors import vector_distance
from harness.types import Embedder, Features, FloatArray, Item, Role

Verdict: TypeAlias = Literal["pass", "fail", "note", "skipped"]

TOLERANCE: Mapping[str, float] = {"float32": 1e-4, "float16": 0.01, "bfloat16": 0.05}
"""Largest distance between two vectors of one item, by dtype. Different items must be further apart.

For models that use cosine, it is the distance of unit vectors, `sqrt(2 - 2 cos)`. For the dot product, it is relative
to the longer vector. 1e-4 is a hundred times the difference between kernels of different shapes in float32. The other
values are the rounding errors of a deep network with 11 and 8 bits. Other dtypes have the largest tolerance.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """The finding of one check."""

    check: str
    verdict: Verdict
    says: str
    """What was found, in a sentence or two."""
    remedy: str = ""
    measured: float | None = None
    """The worst value that was measured, such as a distance."""
    tolerance: float | None = None


class Probe(NamedTuple):
    """An item that the model embeds, and its role."""

    item: Item
    role: Role = "query"


class ModelUnderTest:
    """An embedder under test. Vectors of single probes are cached; batches are embedded every time.

    Of a model that has a vector for every token of an item, the mean of these is examined.
    """

    def __init__(self, embedder: Embedder[object]) -> None:
        self.embedder = embedder
        self.spec = embedder.spec
        self.tolerance = TOLERANCE.get(self.spec.dtype, max(TOLERANCE.values()))
        self._single: dict[Probe, FloatArray] = {}

    def batch(self, probes: Sequence[Probe]) -> FloatArray:
        """Returns the model's output for a batch, of any shape. Raises: UserError if it is not an array."""
        return self.embed([self.embedder.prepare(*probe) for probe in probes])

    def embed(self, features: Sequence[Features[object]]) -> FloatArray:
        """Returns the model's output for prepared probes, as `batch` does."""
        return as_vectors(self.embedder.embed(features), self.spec)

    def single(self, probe: Probe) -> FloatArray:
        """Returns the model's output for a batch of one."""
        if probe not in self._single:
            self._single[probe] = self.batch([probe])
        return self._single[probe]

    def alone(self, probe: Probe) -> FloatArray:
        """Returns the vector `(d,)` of a probe in a batch of its own. The check `shape` must have passed."""
        vector: FloatArray = self.single(probe)[0]
        return vector

    def distance(self, one: FloatArray, other: FloatArray) -> float:
        """Returns the distance of two vectors as defined at TOLERANCE; infinite if one is not finite or all zeros."""
        return vector_distance(one, other, self.spec.similarity)

    def apart(self, one: Probe, other: Probe) -> float:
        """Returns the distance of two probes, each in a batch of its own."""
        return self.distance(self.alone(one), self.alone(other))

    def same(self, check: str, distance: float, holds: str, breaks: str, remedy: str) -> Finding:
        """Returns a pass if `distance`, of vectors that should be equal, is within the tolerance; otherwise a fail."""
        if distance <= self.tolerance:
            return Finding(check, "pass", holds, "", distance, self.tolerance)
        return Finding(check, "fail", breaks, remedy, distance, self.tolerance)

    def differs(self, check: str, distance: float, holds: str, breaks: str, remedy: str) -> Finding:
        """Returns a pass if `distance`, of vectors that should differ, is above the tolerance; otherwise a fail."""
        if distance > self.tolerance:
            return Finding(check, "pass", holds, "", distance, self.tolerance)
        return Finding(check, "fail", breaks, remedy, distance, self.tolerance)
