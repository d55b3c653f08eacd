"""The audit compares every printed mean with its parts. Mismatches are listed, never corrected."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.results.numbers import percent
from leaderboards.published.mmeb_v2 import part_suites
from leaderboards.published.rows import MeanMismatch, PublishedRow
from tasks.mmeb.datasets import META_TASKS
from tasks.suites import MEAN_OF_META_TASKS, Mean, Suite, aggregate, find_suite

TOLERANCE = 0.0005
"""Half of the last printed digit."""
ROUNDING = 0.0011
"""The most that rounding the parts and the mean explains, with a margin for values that are rounded twice."""
SPLITS = ("IND", "OOD")

_EPSILON = 1e-9
_UNWEIGHTED = "the unweighted mean of the four meta-tasks"


@dataclass(frozen=True, slots=True, eq=False)
class AuditFinding:
    """A printed mean that differs from the mean of its parts."""

    row: PublishedRow
    mark: MeanMismatch

    @property
    def rounding(self) -> bool:
        """Whether rounding may explain the difference. Such a finding is listed, but the row is not marked."""
        return self.mark.why == "rounding"


def audit(rows: Sequence[PublishedRow]) -> tuple[AuditFinding, ...]:
    """All findings, in the order of the rows.

    A row's means are compared with its datasets, or with those of another row of the same model and evaluator. If the
    datasets are unknown, an overall mean is compared with the meta-task means, and with IND and OOD.
    """
    copies = _copies(rows)
    shared = _shared_scores(row for row in rows if row not in copies)
    overalls: dict[str, set[float]] = defaultdict(set)
    for row in rows:
        overalls[row.model] |= {value for name, value in row.means.items() if name == "overall"}
    found: list[AuditFinding] = []
    for row in rows:
        cells = {**shared.get((row.model, row.evaluator), {}), **row.scores}
        marks = _against_datasets(row, cells, copies.get(row, ""))
        if not marks:
            marks = _against_means(row, overalls[row.model] - {row.means.get("overall")})
        found += [AuditFinding(row, mark) for mark in marks]
    return tuple(found)


def differences(printed: PublishedRow, other: PublishedRow) -> tuple[MeanMismatch, ...]:
    """The scores and means of a printed row that differ from those of another run's datasets."""
    found = {**other.scores, **_recomputed(other.scores)}
    return tuple(
        MeanMismatch(name, value, found[name], "another run")
        for name, value in {**printed.means, **printed.scores}.items()
        if name in found and _apart(value, found[name])
    )


def _against_datasets(row: PublishedRow, cells: Mapping[str, float], copied: str) -> list[MeanMismatch]:
    found = _recomputed(cells)
    wrong = {name: found[name] for name, value in row.means.items() if name in found and _apart(value, found[name])}
    return [
        MeanMismatch(name, row.means[name], value, copied or _why(row, name, found, wrong))
        for name, value in wrong.items()
    ]


def _why(row: PublishedRow, name: str, found: Mapping[str, float], wrong: Mapping[str, float]) -> str:
    means = row.means
    if not _apart(means[name], found[name], ROUNDING):
        return "rounding"
    if name == "overall" and not _apart(means[name], found[MEAN_OF_META_TASKS], ROUNDING):
        return _UNWEIGHTED
    both = {*SPLITS} <= means.keys() & found.keys()
    crossed = zip(SPLITS, reversed(SPLITS), strict=True)
    if name in SPLITS and both and all(not _apart(means[one], found[other], ROUNDING) for one, other in crossed):
        return "IND and OOD are swapped"
    if name in META_TASKS and {"overall", *SPLITS} <= means.keys() - wrong.keys():
        return "misprinted: overall, IND and OOD agree with the datasets"
    if name in SPLITS and "overall" in means.keys() - wrong.keys():
        return "not over the 20 and 16 datasets: overall agrees with them"
    return "its datasets give another mean"


def _against_means(row: PublishedRow, elsewhere: set[float]) -> list[MeanMismatch]:
    """Means that differ from the printed means of their parts, each of which stands for its datasets.

    `elsewhere` are other values that are printed for the same overall mean. If there are any, the row must be exact to
    the last digit.
    """
    marks = []
    for name, suite, parts in _wholes():
        if name in row.means and {*parts} <= row.means.keys():
            scores = {task: row.means[part] for part, tasks in suite.groups if part in parts for task in tasks}
            found = aggregate(suite, scores)
            assert found[0].value is not None
            why = _of_parts(row.means[name], found, parts, elsewhere)
            marks.append(MeanMismatch(name, row.means[name], found[0].value, why))
    wrong = [mark for mark in marks if _apart(mark.published, mark.recomputed, 2 * TOLERANCE)]
    doubtful = all(_apart(mark.published, mark.recomputed) for mark in marks)
    return wrong[:1] or (marks[:1] if elsewhere and doubtful else [])


def _of_parts(value: float, found: Sequence[Mean], parts: tuple[str, ...], elsewhere: set[float]) -> str:
    unweighted = found[-1].value if parts == META_TASKS else None
    if unweighted is not None and not _apart(value, unweighted, ROUNDING):
        return _UNWEIGHTED
    others = "".join(f"; printed elsewhere as {percent(other)}" for other in sorted(elsewhere))
    return f"the means of {', '.join(parts)} give another mean{others}"


def _wholes() -> list[tuple[str, Suite, tuple[str, ...]]]:
    """Each mean with the suite whose overall mean it is, and the groups that make up the suite."""
    mmeb = find_suite("mmeb")
    others = [(suite.name, suite, tuple(name for name, _ in suite.groups)) for suite in part_suites()]
    return [("overall", mmeb, META_TASKS), ("overall", mmeb, SPLITS), *others]


def _recomputed(cells: Mapping[str, float]) -> dict[str, float]:
    """The means whose datasets are all known, by the names of rows. MMEB comes last, so that it keeps `overall`."""
    found: dict[str, float | None] = {}
    for suite in (*part_suites(), find_suite("mmeb")):
        whole, *groups = aggregate(suite, cells)
        found |= {mean.name: mean.value for mean in groups}
        found["overall" if suite.name == "mmeb" else suite.name] = whole.value
    return {name: value for name, value in found.items() if value is not None}


def _shared_scores(rows: Iterable[PublishedRow]) -> dict[tuple[str, str], Mapping[str, float]]:
    """Scores by model and evaluator, from rows with all datasets of MMEB."""
    tasks = set(find_suite("mmeb").tasks)
    return {(row.model, row.evaluator): row.scores for row in rows if row.evaluator and tasks <= row.scores.keys()}


def _copies(rows: Sequence[PublishedRow]) -> dict[PublishedRow, str]:
    """Rows whose datasets of a meta-task equal those of another model while their mean differs, with the reason."""
    copies: dict[PublishedRow, str] = {}
    for name, tasks in find_suite("mmeb").groups:
        same: dict[tuple[float, ...], list[PublishedRow]] = defaultdict(list)
        for row in rows:
            if name in META_TASKS and name in row.means and set(tasks) <= row.scores.keys():
                same[tuple(row.scores[task] for task in tasks)].append(row)
        for sharers in same.values():
            models = {row.model for row in sharers}
            for row in sharers:
                others = ", ".join(sorted(models - {row.model}))
                if others and _apart(row.means[name], _recomputed(row.scores)[name], ROUNDING):
                    copies[row] = f"its {name} datasets are copied from {others}; the printed means are its own"
    return copies


def _apart(one: float, other: float, tolerance: float = TOLERANCE) -> bool:
    return abs(one - other) > tolerance + _EPSILON
