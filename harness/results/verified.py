"""Reads results for whoever shows or uses a figure. A record whose figures do not follow from its rows is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.results.figures import Figures, read_figures
from harness.results.files import files_for, read_record
from harness.results.recount import disagreements
from harness.results.result import Result
from harness.scoring.clustering import sample_of
from harness.scoring.intervals import Clusters, Floats, SampleMean


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """The main metric of each query, in the order of the data."""

    scores: Floats
    """`(queries,)`. A score of tied candidates is an expectation."""
    tied: NDArray[np.bool_]
    """Whether the order of tied candidates leaves the outcome open, `(queries,)`."""
    clusters: Clusters | None
    """The cluster of each query, `(queries,)`. None: all queries are unrelated."""
    spread: float | None = None
    """The variance of a clustering's score over seeds. None: the task is no clustering."""
    right: NDArray[np.bool_] | None = None
    """Whether a right target is first, and no wrong one tied with it, `(queries,)`. None for outcomes without rows."""

    @property
    def open(self) -> Floats:
        """The variance of each query's outcome over random orders of tied candidates, `(queries,)`.

        Of a clustering it is the query's share of the variance over seeds.
        """
        if self.spread is not None:
            return np.full(len(self.scores), self.spread * len(self.scores))
        variances: Floats = np.where(self.tied, self.scores * (1 - self.scores), 0.0).clip(0.0)
        return variances

    @property
    def sample(self) -> SampleMean:
        """The mean with its variance."""
        if self.spread is not None:
            return sample_of(self.scores, self.clusters, self.spread)
        return SampleMean.of(self.scores, self.tied, self.clusters)


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A result, the path of its file, and the outcomes of its queries."""

    result: Result
    path: Path
    outcomes: Outcomes | None = field(repr=False)
    """None for a result that a run just made, whose rows were not read again."""
    sample: SampleMean = field(init=False, repr=False)
    """The main score as a mean over queries. It means nothing for a metric that is a rank."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sample", self._sample())

    def _sample(self) -> SampleMean:
        if self.outcomes is not None:
            return self.outcomes.sample
        return SampleMean.of_count(self.result.main.value, self.result.num_queries)


class Contradiction(UserError):
    """A record whose rows say otherwise. `said` has a sentence for each number that they contradict."""

    def __init__(self, path: Path, said: tuple[str, ...]) -> None:
        super().__init__(f"{path} contradicts its rows. {said[0]}", "It was edited. Run the evaluation again.")
        self.said = said


def read_result(path: Path) -> Record:
    """Reads a record and its rows, recounts every number of the record, and returns both.

    Raises: UserError if a file is missing, damaged, changed or of a newer version; Contradiction if they disagree.
    """
    return verified(path, read_record(path))


def verified(path: Path, result: Result) -> Record:
    """The record at `path`, which was read before, with its rows. Raises as `read_result` does."""
    figures = read_figures(path, result)
    said = tuple(disagreements(result, figures))
    if said:
        raise Contradiction(path, said)
    return Record(result, path, _outcomes(result, figures))


def _outcomes(result: Result, figures: Figures) -> Outcomes:
    strict = result.protocol != "official"
    tied = np.array([strict and each.best != each.worst for each in figures.rankings])[figures.which]
    numbers = figures.clusters
    unrelated = len(set(numbers)) == len(numbers) or None in numbers
    clusters = None if unrelated else np.unique(np.array(numbers, dtype=np.int32), return_inverse=True)[1]
    spread = None if figures.clustering is None else figures.clustering.spread(result.main_metric)
    numbered = None if clusters is None else clusters.astype(np.int32)
    return Outcomes(figures.values, tied, numbered, spread, figures.right)


def find_result(folder: Path, task: str, identity: str, note: Callable[[str], None]) -> Result | None:
    """The finished result with this identity; None if there is none. `note` hears of each file that is not used."""
    for path in files_for(folder, task, identity):
        try:
            result = read_record(path)
            if result.identity == identity:
                return verified(path, result).result
        except UserError as error:
            note(f"{error.what} {task} is scored anew.")
    return None
