"""Published rows: scores from papers, repositories and leaderboards, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from tasks.mmeb_v2.parts import VISDOC, names

TEXT_TO_VIDEO = "text-to-video"
"""The suite of rows with only text-to-video scores."""
DOCUMENTS = "ndcg@5"
"""The metric of visual documents on the public board of MMEB-V2, which calls it ndcg_linear@5."""

Kind = Literal["published", "self-reported", "imported"]
"""Who reports the scores: others, the model's authors, or a score file that `llave import` read."""

_DOCUMENT_TASKS = frozenset(names(VISDOC))
_NOTHING: Mapping[str, float] = MappingProxyType({})
_NOTHING_COUNTED: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Citation:
    """The source of scores."""

    name: str
    """A short name for a column, such as `LLaVE Table 2`."""
    where: str
    """The full reference: paper, table, commit."""
    work: str = ""
    """The paper or repository that the source is part of."""
    date: str | None = None
    """`YYYY-MM` or `YYYY-MM-DD`: the first submission of a paper, or the date of a report. None if not stated."""


@dataclass(frozen=True, slots=True)
class MeanMismatch:
    """A printed mean that differs from the mean of its parts. `cell` is a name of `PublishedRow.means`."""

    cell: str
    published: float
    recomputed: float
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class PublishedRow:
    """One model in one source. Scores are fractions, and scores that are not printed are absent."""

    model: str
    kind: Kind
    source: Citation
    """The source of `scores`, or of `means` if there are no scores."""
    suite: str
    """`mmeb`, or `text-to-video` for rows with only text-to-video scores."""
    metric: str
    """The metric of `scores` and `means`: `hit@1`, or `recall@1` for text-to-video. `metric_of` knows documents too."""
    evaluator: str
    """The evaluation code, if stated: `MMEB v1`, `MMEB v2`, `CLIP4Clip`."""
    group: str = ""
    """The heading above the row in its table."""
    size: int | None = None
    """Number of parameters, as stated by the source or the name."""
    width: int | None = None
    """Width of the vectors."""
    scores: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    """The values of `metric` by task."""
    means: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    """Means as printed, never recomputed. Names are those of `tasks.suites` and of MMEB v2's parts."""
    means_source: Citation | None = None
    """The source of `means`, if it is not `source`."""
    more: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: MappingProxyType({}))
    """Further metrics, such as `recall@5`: by metric, then by task."""
    counts: Mapping[str, int] = field(default_factory=lambda: _NOTHING_COUNTED)
    """The number of queries of each task, where the source states it. Without it, all queries of the task are meant."""
    notes: tuple[str, ...] = ()
    marks: tuple[MeanMismatch, ...] = ()
    """The audit's findings: means that contradict their parts."""
    protocol: Literal["official"] = "official"
    """The protocol of all public code: a tie counts as won."""

    def metric_of(self, task: str) -> str:
        """The metric of the score of a task."""
        return DOCUMENTS if task in _DOCUMENT_TASKS else self.metric
