"""Scores of shorter and coarser vectors, from the vectors of one encode.

A setting is a width, a number format and a scope. A width below the full one takes the first numbers of each vector, as
Matryoshka training intends. Source: Kusupati et al., "Matryoshka Representation Learning", 2022. Vectors of cosine
models are brought to unit length before they are rounded. Queries and targets are rounded alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np

from harness.errors import UserError
from harness.plan import TaskPlan
from harness.results.verified import Outcomes
from harness.scoring.reading import VectorReader
from harness.types import FloatArray, ModelSpec, ProtocolName, Scope
from leaderboards.analysis.paired import Change, change, mean_score
from leaderboards.analysis.stored import outcomes_of

Form: TypeAlias = Literal["fp32", "fp16", "int8", "binary"]
FORMS: tuple[Form, ...] = get_args(Form)
BITS: Mapping[Form, int] = {"fp32": 32, "fp16": 16, "int8": 8, "binary": 1}
"""Bits of a number in each format."""
_LEAST_WIDTH = 32
"""The smallest width that is tried unless others are asked for."""


@dataclass(frozen=True, slots=True)
class VectorSetting:
    """How vectors are kept and what they are ranked among."""

    width: int
    form: Form
    scope: Scope

    @property
    def bytes(self) -> int:
        """Bytes of one vector."""
        return -(-self.width * BITS[self.form] // 8)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The mean score of a setting, and its change against full width in fp32 of the same scope."""

    setting: VectorSetting
    score: float
    change: Change
    by_task: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """All settings of one model."""

    model: str
    tasks: tuple[str, ...]
    width: int
    points: tuple[CurvePoint, ...]

    def smallest(self, scope: Scope) -> CurvePoint:
        """The point with the fewest bytes that is not significantly worse than full width in fp32.

        Of several with as many bytes it is the best. No correction for their number is made, so that a loss is found
        rather than missed.
        """
        inside = [each for each in self.points if each.setting.scope == scope and not each.change.is_loss]
        return min(inside, key=lambda each: (each.setting.bytes, -each.score))

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The scopes that there are points of."""
        return tuple(dict.fromkeys(each.setting.scope for each in self.points))


class Reduced:
    """A view of vectors with fewer numbers, in a coarser format. It is read as the store is."""

    def __init__(self, vectors: VectorReader, width: int, form: Form, *, unit: bool) -> None:
        self._vectors, self._width, self._form, self._unit = vectors, width, form, unit

    def get(self, keys: Sequence[bytes]) -> FloatArray:
        """Returns the vectors `(n, width)` as fp32, in the order of `keys`."""
        return reduced(self._vectors.get(keys), self._width, self._form, unit=self._unit)


def reduced(vectors_ND: FloatArray, width: int, form: Form, *, unit: bool) -> FloatArray:
    """The first `width` numbers of each vector, as `form` can hold them, in fp32.

    int8 has one scale for each vector, by its largest number. Binary has the signs. With `unit` the vectors have unit
    length before and after rounding; a vector of zeros stays one, and so ties with everything.
    """
    kept = vectors_ND[:, :width].astype(np.float64)
    if unit:
        kept = _unit(kept)
    if form == "fp16":
        with np.errstate(over="ignore"):
            kept = kept.astype(np.float16).astype(np.float64)
    elif form == "int8":
        scale = np.abs(kept).max(axis=1, initial=0.0, keepdims=True) / 127
        kept = np.rint(kept / np.where(scale > 0, scale, 1.0)) * scale
    elif form == "binary":
        kept = np.where(kept > 0, 1.0, -1.0) * kept.any(axis=1, keepdims=True)
    found: FloatArray = (_unit(kept) if unit else kept).astype(np.float32)
    return found


def _unit(
    vectors_ND: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    lengths = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    return vectors_ND / np.where(lengths > 0, lengths, 1.0)


def widths_of(full: int, asked: Sequence[int] = ()) -> tuple[int, ...]:
    """The widths of a curve, the full one first. Without any asked for, each is half of the one before, down to 32.

    Raises: UserError for a width above the full one.
    """
    if too_wide := [each for each in asked if each > full]:
        raise UserError(
            f"The vectors have {full:,} numbers, so {too_wide[0]:,} are too many.", "Give smaller --widths."
        )
    if asked:
        return tuple(sorted({full, *asked}, reverse=True))
    halves = [full >> turn for turn in range(full.bit_length())]
    return tuple(each for each in halves if each >= _LEAST_WIDTH or each == full)


def scopes_of(plan: TaskPlan, limit: int | None) -> tuple[Scope, ...]:
    """The scopes that the vectors of a task can be scored in.

    Without lists of candidates there is only the whole pool. With a limit, targets outside the lists were not embedded.
    """
    data = plan.dataset.data
    if data.groups or not any(len(query.candidates) for query in data.queries):
        return ("global",)
    if limit is not None and plan.dataset.task.scope == "local":
        return ("local",)
    return ("local", "global")


def curve(
    model: str,
    parts: Mapping[str, tuple[TaskPlan, VectorReader, Sequence[Scope]]],
    spec: ModelSpec,
    protocol: ProtocolName,
    widths: Sequence[int],
) -> Curve:
    """Scores every setting on every task, and compares each with full width in fp32.

    Args:
        model: the label of the model.
        parts: plan, vectors and scopes of each task. A scope that some task lacks has a point only of the others.
        spec: the model's spec.
        protocol: the rule for ties.
        widths: the widths, the full one first.
    """
    found: dict[VectorSetting, dict[str, Outcomes]] = {}
    for task, (plan, vectors, scopes) in parts.items():
        for scope in scopes:
            for width in widths:
                for form in FORMS:
                    setting = VectorSetting(width, form, scope)
                    full = width == widths[0] and form == "fp32"
                    found.setdefault(setting, {})[task] = _scored(plan, vectors, spec, protocol, setting, full=full)
    points = []
    for setting, outcomes in found.items():
        first = found[VectorSetting(widths[0], "fp32", setting.scope)]
        after = list(outcomes.values())
        by_task = {task: mean_score([each]) for task, each in outcomes.items()}
        points.append(
            CurvePoint(setting, mean_score(after), change([first[task] for task in outcomes], after), by_task)
        )
    return Curve(model, tuple(parts), widths[0], tuple(points))


def _scored(
    plan: TaskPlan,
    vectors: VectorReader,
    spec: ModelSpec,
    protocol: ProtocolName,
    setting: VectorSetting,
    *,
    full: bool,
) -> Outcomes:
    """Scores one setting. The full one reads the vectors as a run does."""
    dataset = replace(plan.dataset, task=replace(plan.dataset.task, scope=setting.scope))
    if full:
        return outcomes_of(dataset, plan.keys, vectors, spec, protocol)
    view = Reduced(vectors, setting.width, setting.form, unit=spec.similarity == "cosine")
    return outcomes_of(dataset, plan.keys, view, replace(spec, similarity="dot"), protocol)
