"""Rows that somebody else measured: what is printed in papers, repositories and boards, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Kind = Literal["published", "self-reported", "imported"]
"""Who says so: somebody other than the model's authors; its authors; or a score file that `llave import` read."""

_NOTHING: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Citation:
    """Where figures are printed."""

    name: str
    """Short, for a column: `LLaVE Table 2`."""
    where: str
    """In full: paper, table, commit."""
    work: str = ""
    """The paper or repository that it is part of."""
    date: str | None = None
    """`YYYY-MM` or `YYYY-MM-DD`: first submission of a paper, or when a report was made. None: not stated."""


@dataclass(frozen=True, slots=True)
class MeanMismatch:
    """A printed mean that its own parts do not give. `cell` is a name of `PublishedRow.means`."""

    cell: str
    published: float
    recomputed: float
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class PublishedRow:
    """One model in one source, equal to itself alone. Fractions, not percent; what is not printed is absent."""

    model: str
    kind: Kind
    source: Citation
    """Of `scores`; of `means` where there are no scores."""
    suite: str
    """`mmeb`, or `text-to-video` for rows that are about nothing else."""
    metric: str
    """Of `scores` and `means`: `hit@1`, or `recall@1` for text-to-video."""
    evaluator: str
    """Whose code measured, as far as it is stated: `MMEB v1`, `MMEB v2`, `CLIP4Clip`."""
    group: str = ""
    """The heading that the row stands under."""
    size: int | None = None
    """Parameters, as its source or its name says."""
    width: int | None = None
    """Of its vectors."""
    scores: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    """By task: `metric` of the datasets that are printed."""
    means: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    """As printed, never recomputed. Named as in `tasks.suites`; other names are those of MMEB v2's parts."""
    means_source: Citation | None = None
    """Where `means` are printed, if not in `source`."""
    more: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: MappingProxyType({}))
    """Further metrics, such as `recall@5`: by metric, then by task."""
    notes: tuple[str, ...] = ()
    marks: tuple[MeanMismatch, ...] = ()
    """From the audit: where `means` contradict their parts."""
    protocol: Literal["official"] = "official"
    """All public code lets the right candidate win its ties."""
