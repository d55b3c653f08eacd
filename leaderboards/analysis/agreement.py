"""How far models agree on which queries are hard, and the queries that all of them get wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError, counted
from harness.results.figures import read_figures
from harness.results.numbers import fixed, percent
from harness.results.rows import chosen_rows
from harness.results.verified import Record
from harness.scoring.intervals import Clusters, Floats, SampleMean
from harness.scoring.metrics import QueryRow
from leaderboards.analysis.paired import is_shared
from leaderboards.analysis.report import Report
from leaderboards.board.entries import Entry
from leaderboards.contents import Content, content_of, places_of
from leaderboards.tables import Cell, Table

_MISSED = ("dataset", "query", "content", "right", "chosen", "models")


class PairAgreement(NamedTuple):
    """How two models agree on one dataset, or over several. Figures are of whether the first place is right."""

    a: str
    b: str
    task: str
    same: SampleMean
    """The share of queries on which both are right or both are wrong."""
    expected: float
    """That share if the models were unrelated, with the scores that they have."""
    shared: SampleMean | None
    """Of the queries that A gets wrong, the share that B gets wrong too. None if A gets all right."""
    wrong: float
    """Of all queries, the share that B gets wrong."""

    @property
    def kappa(self) -> float | None:
        """Agreement beyond chance, from 0 to 1 (Cohen, 1960). None if both have the same answer everywhere."""
        left = 1 - self.expected
        return (self.same.mean - self.expected) / left if left > 1e-12 else None


@dataclass(frozen=True, slots=True, eq=False)
class MissedByAll:
    """A query that every model gets wrong."""

    task: str
    query: str
    content: Content
    right: Content
    """The target that the data calls right."""
    chosen: Content
    """The target that most models put first."""
    votes: int
    """Number of models that put it first."""

    @property
    def texts(self) -> tuple[str, str, str, str, str]:
        """The task, the query, its content, the right target and the chosen one, each in a line."""
        return self.task, self.query, self.content.line, self.right.line, self.chosen.line


@dataclass(frozen=True, slots=True, eq=False)
class ModelAgreement:
    """The pairs of models, and the queries that all models get wrong: the most unanimous first."""

    models: tuple[str, ...]
    queries: int
    pairs: tuple[PairAgreement, ...]
    missed: tuple[MissedByAll, ...]


def agreement(entries: Sequence[Entry]) -> ModelAgreement:
    """Compares which queries models get wrong, on the datasets that all of them have with the same data.

    A query is right if a right target is first and no wrong one is tied with it.

    Raises: UserError for fewer than two models, and if they share no dataset.
    """
    measured = [entry for entry in entries if entry.records]
    if len(measured) < 2:
        raise UserError("Agreement needs the results of two models.", "Published scores have no queries.")
    shared = [task for task in measured[0].records if is_shared(task, measured)]
    if not shared:
        named = " and ".join(entry.label for entry in measured)
        raise UserError(f"{named} share no dataset with the same data.", "Evaluate them on the same tasks.")
    right: dict[str, Floats] = {}
    missed: list[MissedByAll] = []
    for task in shared:  # one after the other, since the rows of many models take much memory
        records = [entry.records[task] for entry in measured]
        right[task] = np.array([_right(record) for record in records], np.float64)
        numbers = np.flatnonzero(~right[task].any(axis=0)).tolist()
        rows = [chosen_rows(record.path, record.result, numbers) for record in records if numbers]
        missed += _missed(task, rows, records[0])
    pairs = [
        each
        for a in range(len(measured))
        for b in range(a + 1, len(measured))
        for each in _pairs((measured[a], measured[b]), {task: found[[a, b]] for task, found in right.items()})
    ]
    missed.sort(key=lambda each: -each.votes)
    labels = tuple(entry.label for entry in measured)
    return ModelAgreement(labels, sum(found.shape[1] for found in right.values()), tuple(pairs), tuple(missed))


def _right(record: Record) -> NDArray[np.bool_]:
    found = record.outcomes.right if record.outcomes else None
    return read_figures(record.path, record.result).right if found is None else found


def _pairs(entries: tuple[Entry, Entry], right: Mapping[str, Floats]) -> list[PairAgreement]:
    """The agreement of two models on each dataset, and over all queries if there are several datasets."""
    a, b = entries
    clusters = {task: _clusters(a.records[task], found.shape[1]) for task, found in right.items()}
    made = [_pair(a.label, b.label, task, found, clusters[task]) for task, found in right.items()]
    if len(right) > 1:
        starts = np.cumsum([0, *(int(each.max(initial=-1)) + 1 for each in clusters.values())])
        joined = np.concatenate([each + start for each, start in zip(clusters.values(), starts, strict=False)])
        whole = np.concatenate(list(right.values()), axis=1)
        made.insert(0, _pair(a.label, b.label, "all queries", whole, joined.astype(np.int32)))
    return made


def _clusters(record: Record, count: int) -> Clusters:
    found = record.outcomes.clusters if record.outcomes else None
    return np.arange(count, dtype=np.int32) if found is None else found


def _pair(a: str, b: str, task: str, right: Floats, clusters: Clusters) -> PairAgreement:
    first, second = right
    one, other = float(first.mean()), float(second.mean())
    missed = first == 0
    shared = None
    if missed.any():
        numbers = np.unique(clusters[missed], return_inverse=True)[1].astype(np.int32)
        shared = SampleMean.of(1 - second[missed], clusters=numbers)
    same = SampleMean.of((first == second).astype(np.float64), clusters=clusters)
    return PairAgreement(a, b, task, same, one * other + (1 - one) * (1 - other), shared, 1 - other)


def _missed(task: str, rows: Sequence[Sequence[QueryRow]], record: Record) -> list[MissedByAll]:
    found, places = [], [places_of(record.result)]
    for each in zip(*rows, strict=True):
        tops = [_list(row["top"])[0] for row in each if _list(row["top"])]
        wrong = [top for top in tops if not top["right"]]
        if not wrong:
            continue  # tied with a right target, or without a vector
        target, votes = Counter(str(top["target"]) for top in wrong).most_common(1)[0]
        chosen = next(top for top in wrong if str(top["target"]) == target)
        right = next(iter(_list(each[0]["positives"])), {})
        asked, wanted, taken = (content_of(part, places) for part in (each[0]["content"], right, chosen))
        found.append(MissedByAll(task, str(each[0]["query"]), asked, wanted, taken, votes))
    return found


def _list(value: object) -> list[Mapping[str, object]]:
    return value if isinstance(value, list) else []


def agreement_report(found: ModelAgreement, most: int) -> Report:
    """The report: pairs of models, and the first `most` of the queries that all models get wrong."""
    unanimous = sum(each.votes == len(found.models) for each in found.missed)
    who = "both models" if len(found.models) == 2 else f"all {len(found.models)} models"
    sentence = (
        f"{counted(len(found.missed), 'query')} of {found.queries:,} are wrong for {who}. "
        f"On {unanimous:,} of them the same wrong target is first for all: the data may be wrong there."
    )
    tables = [_pair_table(found)]
    if most and found.missed:
        tables.append(_missed_table(found, most))
    return Report("agree", tuple(tables), (sentence,), _figures(found))


def _pair_table(found: ModelAgreement) -> Table:
    columns = ("A", "B", "dataset", "same outcome", "by chance", "kappa", "B wrong too", "B wrong")
    rows = tuple(
        (
            *(Cell(each.a), Cell(each.b), Cell(each.task)),
            Cell(percent(each.same.mean), _ends(each.same)),
            Cell(percent(each.expected)),
            Cell("" if each.kappa is None else fixed(each.kappa, 2)),
            Cell(percent(each.shared.mean), _ends(each.shared)) if each.shared else Cell(""),
            Cell(percent(each.wrong)),
        )
        for each in found.pairs
    )
    notes = (
        "Same outcome: both right or both wrong, in %, with its 95 % CI. By chance: if the models were unrelated.",
        "B wrong too: of the queries that A gets wrong. It is above `B wrong` where the models share what is hard.",
    )
    return Table("Agreement on which queries are right", columns, rows, frozenset(columns[:3]), notes, keep=columns[:6])


def _ends(sample: SampleMean) -> str:
    low, high = sample.interval
    return f"[{percent(low)}, {percent(high)}]"


def _missed_table(found: ModelAgreement, most: int) -> Table:
    columns = ("dataset", "query", "content", "right by the data", "first for most models", "models")
    rows = tuple((*map(Cell, each.texts), Cell(f"{each.votes} of {len(found.models)}")) for each in found.missed[:most])
    left = len(found.missed) - len(rows)
    more = (f"And {left:,} more. `llave agree` with --format json has all.",) if left > 0 else ()
    title = "Queries that all models get wrong, for the owners of the data"
    return Table(title, columns, rows, frozenset(columns[:5]), more, lines=True)


def _figures(found: ModelAgreement) -> dict[str, object]:
    return {
        "models": list(found.models),
        "queries": found.queries,
        "pairs": [
            {
                "a": each.a,
                "b": each.b,
                "dataset": each.task,
                "same": each.same.mean,
                **dict(zip(("same_low", "same_high"), each.same.interval, strict=True)),
                "expected": each.expected,
                "kappa": each.kappa,
                "b_wrong": each.wrong,
                "b_wrong_too": each.shared.mean if each.shared else None,
            }
            for each in found.pairs
        ],
        "wrong_for_all": [dict(zip(_MISSED, (*each.texts, each.votes), strict=True)) for each in found.missed],
    }
