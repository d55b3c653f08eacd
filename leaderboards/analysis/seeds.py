"""Two ways of training, compared over seeds, from results of the checkpoints of runs that differ only in the seed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from harness.errors import UserError, counted
from harness.results.numbers import percent, points
from harness.results.renamed import current_settings
from harness.results.verified import Record
from harness.scoring.intervals import Interval
from leaderboards.analysis.curve_report import ends
from leaderboards.analysis.paired import check_fraction
from leaderboards.analysis.report import PlotAxes, PlotSeries, Report
from leaderboards.stats import over_seeds
from leaderboards.tables import Cell, Table

AXES: PlotAxes = {"across": "step", "up": "score in %, with the range over seeds", "doubles": False}
_MEAN = "mean"
_NOTE = (
    "95 % CI: Student's t over seeds. It says what other seeds would give on these queries, not what these seeds would "
    "give on others."
)


@dataclass(frozen=True, slots=True)
class SeedRuns:
    """The runs of one way of training."""

    label: str
    settings: Mapping[str, object]
    """What decided the weights, without the seed."""
    scores: Mapping[int, Mapping[int, Mapping[str, float]]]
    """Main scores, as fractions, by seed, step and task."""
    data: Mapping[str, tuple[str, str]]
    """The digest of each task's data, and its main metric."""

    @staticmethod
    def of(label: str, records: Sequence[Record]) -> SeedRuns:
        """The runs whose checkpoints have results. Raises UserError if they differ in more than the seed."""
        settings: Mapping[str, object] | None = None
        scores: dict[int, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
        data: dict[str, tuple[str, str]] = {}
        for record in records:
            training = record.result.model.get("training")
            given = training.get("settings") if isinstance(training, Mapping) else None
            if not isinstance(training, Mapping) or not isinstance(given, Mapping):
                continue
            found = dict(current_settings(given))
            seed, step = found.pop("seed", None), training.get("step")
            if not isinstance(seed, int) or not isinstance(step, int):
                continue
            if settings is not None and (others := _differing(settings, found)):
                what = f"{label} has runs that differ in {', '.join(others)}."
                raise UserError(what, "Name the runs of one way of training, which differ only in the seed.")
            settings = found
            result = record.result
            check_fraction({result.task: result.main_metric})
            scores[seed][step][result.task] = result.main.value
            data[result.task] = str(result.dataset["digest"]), result.main_metric
        if settings is None:
            hint = "Runs of `llave train` have them with --set eval_steps=N, and `llave run CHECKPOINT` makes them."
            raise UserError(f"{label} has no results of checkpoints of `llave train`.", hint)
        return SeedRuns(label, settings, scores, data)

    def tasks(self) -> set[str]:
        """The tasks that every checkpoint has."""
        return set.intersection(*(set(each) for steps in self.scores.values() for each in steps.values()))

    def steps(self) -> set[int]:
        """The steps at which every run was evaluated."""
        return set.intersection(*(set(steps) for steps in self.scores.values()))

    def score(self, seed: int, step: int, tasks: Sequence[str]) -> float:
        """The mean over tasks."""
        found = self.scores[seed][step]
        return math.fsum(found[task] for task in tasks) / len(tasks)


@dataclass(frozen=True, slots=True)
class SeedDifference:
    """Two ways of training on one task, or on the mean of all: fractions, B less A."""

    a: float
    b: float
    by_seed: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean difference over seeds."""
        return self.b - self.a

    @property
    def interval(self) -> Interval | None:
        """Its 95 % CI for other seeds. None if all differences are equal."""
        return over_seeds(self.by_seed)


@dataclass(frozen=True, slots=True)
class SeedComparison:
    """Two ways of training at the last step that all runs share."""

    a: SeedRuns
    b: SeedRuns
    seeds: tuple[int, ...]
    step: int
    tasks: tuple[str, ...]

    def difference(self, tasks: Sequence[str]) -> SeedDifference:
        """The difference of the mean over these tasks, paired by seed."""
        a, b = ([runs.score(seed, self.step, tasks) for seed in self.seeds] for runs in (self.a, self.b))
        return SeedDifference(fmean(a), fmean(b), tuple(after - before for before, after in zip(a, b, strict=True)))

    def settings(self) -> Mapping[str, tuple[object, object]]:
        """The settings in which the two differ."""
        names = _differing(self.a.settings, self.b.settings)
        return {name: (self.a.settings.get(name), self.b.settings.get(name)) for name in names}


def compare_seeds(a: SeedRuns, b: SeedRuns) -> SeedComparison:
    """Pairs runs by seed. Raises UserError unless they share two seeds, a step and a task."""
    seeds = sorted(a.scores.keys() & b.scores.keys())
    if len(seeds) < 2:
        have = "; ".join(f"{each.label} has {', '.join(map(str, sorted(each.scores)))}" for each in (a, b))
        raise UserError(f"The runs share fewer than two seeds: {have}.", "Train both with --seeds 3 or more.")
    steps, tasks = a.steps() & b.steps(), a.tasks() & b.tasks()
    if not steps or not tasks:
        what = "a step at which all were evaluated" if tasks else "a task that all checkpoints were evaluated on"
        raise UserError(f"These runs do not share {what}.", "Evaluate them alike, or name fewer results.")
    if others := [task for task in sorted(tasks) if a.data[task] != b.data[task]]:
        raise UserError(f"The two were evaluated on other data of {', '.join(others)}.", "Evaluate both on the same.")
    return SeedComparison(a, b, tuple(seeds), max(steps), tuple(sorted(tasks)))


def seed_report(found: SeedComparison) -> Report:
    """The differences as a table and a sentence, and the learning curves as lines of a plot."""
    whole = found.difference(found.tasks)
    rows = [(task, found.difference([task])) for task in found.tasks]
    names = (found.a.label, found.b.label)
    title = f"{_sides(*names)}: {counted(len(found.seeds), 'paired seed')}, step {found.step:,}, scores in %"
    scores = Table(
        title,
        ("task", *names, "difference"),
        tuple(_row(task, each) for task, each in rows),
        frozenset(("task",)),
        (_NOTE,),
        foot=(_row(_MEAN, whole),) if len(rows) > 1 else (),
        models=names,
    )
    return Report(
        "seeds",
        (_settings_table(found), scores),
        (_sentence(found, whole),),
        _figures(found, whole, dict(rows)),
        tuple(_line(each, found.tasks) for each in (found.a, found.b)),
        AXES,
    )


def _row(task: str, each: SeedDifference) -> tuple[Cell, ...]:
    return Cell(task), Cell(percent(each.a)), Cell(percent(each.b)), _difference(each)


def _difference(each: SeedDifference) -> Cell:
    return Cell(points(each.mean), ends(each.interval) if each.interval else "")


def _settings_table(found: SeedComparison) -> Table:
    rows = tuple((Cell(name), Cell(str(a)), Cell(str(b))) for name, (a, b) in found.settings().items())
    names = ("setting", found.a.label, found.b.label)
    return Table("Differences in training" if rows else "No difference in training", names, rows, frozenset(names))


def _sides(a: str, b: str) -> str:
    return f"{b} less {a}"


def _sentence(found: SeedComparison, whole: SeedDifference) -> str:
    told = f"{_sides(found.a.label, found.b.label)} is {_difference(whole)} points"
    seeds = f"over {counted(len(found.seeds), 'paired seed')}"
    if whole.interval is None:
        return f"{told} with every seed, so seeds do not say how far it may vary."
    verdict = "excludes" if whole.interval.low > 0 or whole.interval.high < 0 else "includes"
    return f"{told} {seeds}. The 95 % CI {verdict} 0."


def _figures(found: SeedComparison, whole: SeedDifference, tasks: Mapping[str, SeedDifference]) -> dict[str, object]:
    return {
        "a": found.a.label,
        "b": found.b.label,
        "step": found.step,
        "seeds": list(found.seeds),
        "settings": {name: list(pair) for name, pair in found.settings().items()},
        _MEAN: _figures_of(whole),
        "tasks": {task: _figures_of(each) for task, each in tasks.items()},
    }


def _figures_of(each: SeedDifference) -> dict[str, object]:
    low, high = each.interval or (None, None)
    return {"a": each.a, "b": each.b, "difference": each.mean, "low": low, "high": high, "by_seed": list(each.by_seed)}


def _line(runs: SeedRuns, tasks: Sequence[str]) -> PlotSeries:
    """The mean over the runs at each step that all have, with the lowest and the highest."""
    at = []
    for step in sorted(runs.steps()):
        scores = [runs.score(seed, step, tasks) for seed in runs.scores]
        at.append([float(step), fmean(scores), min(scores), max(scores)])
    return {"name": runs.label, "points": at}


def _differing(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    return [name for name in dict.fromkeys([*one, *other]) if one.get(name) != other.get(name)]
