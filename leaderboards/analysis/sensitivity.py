"""How far a score depends on each choice of the protocol, one switch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from harness.data.cache import DatasetCache
from harness.encoding.distributed import World
from harness.errors import UserError
from harness.evaluate import Evaluation, Run, RunSettings
from harness.models import open_model
from harness.progress import Progress
from harness.results.files import files_for, result_folder
from harness.results.numbers import percent, points, significant
from harness.results.result import Result
from harness.results.verified import Outcomes, read_result
from harness.types import EvalConfig, ModelHandle, ModelSettings, ProtocolName, Scope, Task, TaskData
from leaderboards.analysis.curve_report import change_cell, change_figures, ends
from leaderboards.analysis.paired import Change, change, check_fraction, mean_score
from leaderboards.analysis.report import Report
from leaderboards.analysis.rewording import Reworded, Wording
from leaderboards.tables import Cell, Table
from tasks.names import parse_name

Switch: TypeAlias = Literal["instruction", "frames", "pixels", "dtype", "scope", "rule"]
_OPTIONS: Mapping[Switch, tuple[tuple[str, str], ...]] = {
    "frames": tuple(("frames", f"uniform:{count}") for count in (8, 16, 64)),
    "pixels": (("max_pixels", "200704"), ("max_pixels", "1003520"), ("grid", "1x1"), ("grid", "3x3")),
}
"""Options of models that a switch sets. 200,704 pixels are 256 patches of 28 x 28, and 1,003,520 are 1,280."""
_DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Setup:
    """A model, tasks and conditions. What differs from the first setup is the switch."""

    name: str
    settings: ModelSettings
    tasks: tuple[Task, ...]
    config: EvalConfig


@dataclass(frozen=True, slots=True)
class SwitchEffect:
    """A switch at one value: the score, its change against the setup asked for, and the encodings that it took."""

    switch: Switch
    value: str
    score: float
    change: Change
    encodings: int
    """Number of vectors that were not in the store."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The score of the setup asked for, the effects of switches, and why others could not be tried."""

    model: str
    tasks: tuple[str, ...]
    score: float
    encodings: int
    effects: tuple[SwitchEffect, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Lab:
    """Where and how setups are evaluated."""

    settings: RunSettings
    cache: DatasetCache
    world: World
    progress: Progress

    def evaluate(self, handle: ModelHandle, setup: Setup) -> tuple[list[Outcomes], int]:
        """The outcomes on each task, and the number of vectors that were made for them.

        Raises: UserError, also for a run that ended before the last task.
        """
        run = Run(setup.config, self.settings, self.cache, self.world, self.progress)
        found: Evaluation = run.evaluate(handle, setup.tasks)
        if found.failure:
            raise found.failure
        counts = found.counts
        return [self._outcomes(handle, each) for each in found.results], counts.distinct - counts.stored

    def _outcomes(self, handle: ModelHandle, result: Result) -> Outcomes:
        folder = result_folder(self.settings.out, handle.spec)
        found = (read_result(path) for path in files_for(folder, result.task, result.identity))
        outcomes = next(each.outcomes for each in found if each.result.identity == result.identity)
        assert outcomes is not None
        return outcomes


def sensitivity(setup: Setup, switches: Sequence[Switch], lab: Lab, note: Callable[[str], None]) -> Sensitivity:
    """Evaluates a setup, then each switch at each of its other values.

    Vectors that a switch does not change come from the store. A value that the model refuses is noted.

    Raises: UserError if the setup itself cannot be evaluated.
    """
    check_fraction({task.name: task.metrics[0] for task in setup.tasks})
    base = open_model(setup.name, setup.settings, note)
    before, encodings = lab.evaluate(base, setup)
    data = [lab.cache.load(task, setup.config).data for task in setup.tasks]
    effects: list[SwitchEffect] = []
    notes: dict[str, None] = {}
    for switch in switches:
        values = list(_values(switch, setup, data, base))
        if not values:
            notes[f"{switch}: nothing in these tasks depends on it."] = None
        for value, changed in values:
            try:
                handle = base if changed.settings == setup.settings else open_model(changed.name, changed.settings)
                if handle.spec == base.spec and changed.tasks == setup.tasks and changed.config == setup.config:
                    notes[f"{switch} {value}: as evaluated."] = None
                    continue
                after, new = lab.evaluate(handle, changed)
            except UserError as error:
                notes[f"{switch} {value}: {error.what}"] = None
                continue
            effects.append(SwitchEffect(switch, value, mean_score(after), change(before, after), new))
    names = tuple(task.name for task in setup.tasks)
    return Sensitivity(base.spec.name, names, mean_score(before), encodings, tuple(effects), tuple(notes))


def _values(switch: Switch, setup: Setup, data: Sequence[TaskData], base: ModelHandle) -> Iterator[tuple[str, Setup]]:
    """Each other value of a switch, with the setup that has it. None if the tasks do not depend on the switch."""
    if switch == "instruction" and any(query.item.instruction for each in data for query in each.queries):
        wordings: tuple[Wording, ...] = get_args(Wording)
        for wording in wordings:
            tasks = tuple(replace(task, source=Reworded(task.source, wording)) for task in setup.tasks)
            yield wording, replace(setup, tasks=tasks)
    elif switch in _OPTIONS and _kinds(data) & ({"video"} if switch == "frames" else {"image", "video"}):
        for name, value in _OPTIONS[switch]:
            options = {**setup.settings.options, name: value}
            yield f"{name}={value}", replace(setup, settings=replace(setup.settings, options=options))
    elif switch == "dtype":
        for dtype in _DTYPES:
            if dtype != base.spec.dtype:
                yield dtype, replace(setup, settings=replace(setup.settings, dtype=dtype))
    elif switch == "scope" and any(len(query.candidates) for each in data for query in each.queries):
        scopes: tuple[Scope, ...] = get_args(Scope)
        for scope in scopes:
            tasks = tuple(_scoped(task, scope) for task in setup.tasks)
            if tasks != setup.tasks:
                yield scope, replace(setup, tasks=tasks)
    elif switch == "rule":
        rule: ProtocolName = "strict" if setup.config.protocol == "official" else "official"
        yield rule, replace(setup, config=replace(setup.config, protocol=rule))


def _kinds(data: Sequence[TaskData]) -> set[str]:
    """The kinds of media of the tasks."""
    items = (item for each in data for item in (*(query.item for query in each.queries), *each.targets))
    return {medium.kind for item in items for medium in item.media}


def _scoped(task: Task, scope: Scope) -> Task:
    if task.scope == scope:
        return task
    return replace(task, name=f"{parse_name(task.name).dataset}@{scope}", scope=scope)


def sensitivity_report(found: Sensitivity) -> Report:
    """The effects as a table, and the largest one in a sentence."""
    columns = ("switch", "value", "score", "change", "p", "new encodings")
    first = (*map(Cell, ("as evaluated", "", percent(found.score), "", "")), Cell(f"{found.encodings:,}"))
    rows = tuple(
        (
            *(Cell(each.switch), Cell(each.value), Cell(percent(each.score)), change_cell(each.change)),
            *(Cell(significant(each.change.p)), Cell(f"{each.encodings:,}")),
        )
        for each in found.effects
    )
    notes = ("Change: in points of the mean over datasets, with its paired 95 % CI.", *found.notes)
    title = f"{found.model} on {', '.join(found.tasks[:4])}{', ...' if len(found.tasks) > 4 else ''}"
    return Report(
        "sensitivity",
        (Table(title, columns, (first, *rows), frozenset(columns[:2]), notes),),
        (_sentence(found),),
        {
            "model": found.model,
            "tasks": list(found.tasks),
            "score": found.score,
            "encodings": found.encodings,
            "effects": [
                {
                    "switch": each.switch,
                    "value": each.value,
                    "score": each.score,
                    "encodings": each.encodings,
                    **change_figures(each.change),
                }
                for each in found.effects
            ],
            "notes": list(found.notes),
        },
    )


def _sentence(found: Sensitivity) -> str:
    seen = [each for each in found.effects if each.change.interval.low > 0 or each.change.interval.high < 0]
    if not seen:
        return "No switch changes the score significantly."
    most = max(seen, key=lambda each: abs(each.change.value))
    moved = f"{points(most.change.value)} points {ends(most.change.interval)}"
    return f"The score depends most on {most.switch}: {most.value} changes it by {moved}."
