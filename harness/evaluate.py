"""The evaluation of a model on tasks, in a straight line from names to results.

name -> data digest -> identity -> finished result?
     -> missing vectors -> encode -> rank and score -> write the record
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import cast

from harness.data.cache import DatasetCache
from harness.encoding import DEFAULT_BUDGET
from harness.encoding.distributed import World
from harness.encoding.encoder import EncodeReport
from harness.encoding.missing import EncodeSettings, amount, encode_missing, failures_of, missing_work
from harness.encoding.store import Store
from harness.encoding.vectors import Load, Work
from harness.errors import RunFailed, UserError
from harness.plan import TaskPlan, find_or_plan, without
from harness.progress import SCORING, Progress
from harness.results.files import check_writable, result_folder, write_result
from harness.results.record import Provenance, make_record
from harness.results.result import Result
from harness.scoring.score import score
from harness.types import Embedder, EvalConfig, Learner, ModelHandle, Task


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Where a run writes and how hard it works. Nothing here changes a score."""

    out: Path
    """Folder of the results."""
    store: Path
    """Folder of the embedding store."""
    budget: int = DEFAULT_BUDGET
    """Largest cost of a batch, in tokens or pixels, padding included."""
    workers: int = 1
    """Number of threads that prepare items."""
    device: str = "auto"
    """The device, for the record."""


@dataclass(frozen=True, slots=True)
class EncodeCounts:
    """Counts of items that need a vector: all uses, distinct items, and items that the store already had."""

    uses: int = 0
    distinct: int = 0
    stored: int = 0

    def __add__(self, other: EncodeCounts) -> EncodeCounts:
        return EncodeCounts(self.uses + other.uses, self.distinct + other.distinct, self.stored + other.stored)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome of a run. Only the main process scores, so only its `results` are complete."""

    results: tuple[Result, ...]
    """In the order of the tasks asked for."""
    found: int
    """Number of results that were finished before. Nothing was loaded or computed for them."""
    counts: EncodeCounts
    failure: RunFailed | None = None
    """Why the run ended before the last task. What was done until then is kept."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would do for a model."""

    tasks: int
    found: int
    """Number of tasks that have a finished result."""
    counts: EncodeCounts
    load: Load
    """The items that would be embedded. An item of several tasks counts once."""

    def __add__(self, other: Forecast) -> Forecast:
        return Forecast(
            self.tasks + other.tasks, self.found + other.found, self.counts + other.counts, self.load + other.load
        )


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """The parts of a run that do not change from model to model."""

    config: EvalConfig
    settings: RunSettings
    cache: DatasetCache
    world: World
    progress: Progress

    def evaluate(self, handle: ModelHandle, tasks: Sequence[Task]) -> Evaluation:
        """Evaluates a model on tasks. All data is read and checked before anything is embedded.

        Raises:
            UserError: before anything is embedded. A later error is the `failure` of the evaluation.
            RunFailed: in one of several processes, so that the launcher stops the others.
        """
        if handle.needs_answers:
            return _joined([self.evaluate(self._with_answers(handle, task), [task]) for task in tasks])
        self.world.wait()  # every process sees what was finished before
        folder = result_folder(self.settings.out, handle.spec)
        planned = self._plan(handle, tasks, folder, self.progress.note)
        plans = {name: each for name, each in planned.items() if isinstance(each, TaskPlan)}
        done = {name: each for name, each in planned.items() if isinstance(each, Result)}
        found = len(done)
        if plans:
            check_writable(folder)
        failure = None
        with Store(self.settings.store, handle.spec) as store:
            groups = {
                f"{handle.spec.name}, {name} ({number} of {len(planned)})": plans[name].work if name in plans else {}
                for number, name in enumerate(planned, start=1)  # every process takes part in every task
            }
            missing = missing_work(groups, store)
            self._expect(handle, plans, missing)
            counts = _counts(plans.values(), sum(map(len, missing.values())))
            if handle.remote and any(missing.values()):
                self.progress.note(f"{handle.spec.name}: to be sent: {_load(missing)}.")
            how = EncodeSettings(self.settings.budget, self.settings.workers, self.config.skip_bad_media)
            reports = encode_missing(groups, missing, handle, store, how, self.world, self.progress)
            try:
                for name, title in zip(planned, groups, strict=True):
                    start = time.perf_counter()
                    report = next(reports)
                    if self.world.is_main and name in plans:
                        self.progress.phase(f"scoring {title}", 0)
                        with failures_of(title):
                            done[name] = self._score(handle, plans[name], store, report, start)
                        self.progress.finish(handle.spec.name, {SCORING: 1})
            except RunFailed as error:
                if self.world.size > 1:
                    raise
                failure = error
        return Evaluation(tuple(done[name] for name in planned if name in done), found, counts, failure)

    def foresee(self, handles: Sequence[ModelHandle], tasks: Sequence[Task]) -> None:
        """Reports how much work the models have, for an estimate of the whole run. Nothing is embedded.

        What is wrong with a model or its data is left for its turn.
        """
        for handle in handles:
            if handle.needs_answers or not self.world.is_main:
                continue
            with suppress(UserError), Store(self.settings.store, handle.spec) as store:
                planned = self._plan(handle, tasks, result_folder(self.settings.out, handle.spec), lambda _: None)
                plans = {name: each for name, each in planned.items() if isinstance(each, TaskPlan)}
                self._expect(handle, plans, missing_work({name: plan.work for name, plan in plans.items()}, store))

    def forecast(self, handle: ModelHandle, tasks: Sequence[Task]) -> Forecast:
        """What `evaluate` would do. The data is read and checked, and nothing is embedded or written.

        Raises:
            UserError: for data that cannot be used.
        """
        if handle.needs_answers:  # it learns each task apart, so no vector is shared
            parts = [self._forecast(self._with_answers(handle, task), [task]) for task in tasks]
            return reduce(Forecast.__add__, parts)
        return self._forecast(handle, tasks)

    def _forecast(self, handle: ModelHandle, tasks: Sequence[Task]) -> Forecast:
        folder = result_folder(self.settings.out, handle.spec)
        planned = self._plan(handle, tasks, folder, self.progress.note)
        plans = {name: each for name, each in planned.items() if isinstance(each, TaskPlan)}
        with Store(self.settings.store, handle.spec) as store:
            missing = missing_work({name: plan.work for name, plan in plans.items()}, store)
        load = _load(missing)
        return Forecast(len(planned), len(planned) - len(plans), _counts(plans.values(), load.items), load)

    def _expect(
        self, handle: ModelHandle, plans: Mapping[str, TaskPlan], missing: Mapping[str, Sequence[Work]]
    ) -> None:
        scoring = Counter({SCORING: len(plans)} if plans and self.world.is_main else {})
        self.progress.expect(handle.spec.name, amount(missing, self.world) + scoring)

    def _plan(
        self, handle: ModelHandle, tasks: Sequence[Task], folder: Path, note: Callable[[str], None]
    ) -> dict[str, Result | TaskPlan]:
        """The finished result or the plan of each task, in order. Raises one UserError for all tasks with errors."""
        planned: dict[str, Result | TaskPlan] = {}
        errors: list[UserError] = []
        for task in tasks:
            try:
                planned[task.name] = find_or_plan(task, handle.spec, self.config, folder, self.cache, note)
            except UserError as error:
                errors.append(error)
        if errors:
            raise _all_of(errors)
        return planned

    def _score(self, handle: ModelHandle, plan: TaskPlan, store: Store, report: EncodeReport, start: float) -> Result:
        """Scores a task and writes its record, as soon as its vectors are in the store."""
        plan = without(plan, report.bad, handle.spec)
        scored = score(plan.dataset, plan.keys, store, handle.spec, protocol=self.config.protocol)
        made = Provenance(
            spec=handle.spec,
            width=store.width(),
            report=report,
            needed=len(plan.work),
            seconds=time.perf_counter() - start,
            processes=self.world.size,
            device=self.settings.device,
        )
        record = make_record(plan.dataset, plan.identity, scored, self.config, made)
        return write_result(result_folder(self.settings.out, handle.spec), record, scored.rows)

    def _with_answers(self, handle: ModelHandle, task: Task) -> ModelHandle:
        """A model that learns the answers, after it was told those of one task."""
        dataset = self.cache.load(task, self.config)
        pairs = (
            (query.item, dataset.data.targets[index]) for query in dataset.data.queries for index in query.positives
        )
        usable = (
            (query, target) for query, target in pairs if not dataset.why_bad(query) and not dataset.why_bad(target)
        )
        if task.query_role != "query":
            usable = ((target, query) for query, target in list(usable))
        embedder = handle.load()
        assert isinstance(embedder, Learner)
        return ModelHandle(embedder.learn(usable), lambda: cast("Embedder[object]", embedder))


def _load(missing: Mapping[str, Sequence[Work]]) -> Load:
    return Load.of([each for work in missing.values() for each in work])


def _counts(plans: Iterable[TaskPlan], missing: int) -> EncodeCounts:
    """Counts over all tasks; `missing` is the number of distinct items without a vector."""
    plans = list(plans)
    uses = sum(key is not None for plan in plans for key in (*plan.keys.queries, *plan.keys.targets))
    distinct = len({key for plan in plans for key in plan.work})
    return EncodeCounts(uses, distinct, distinct - missing)


def _all_of(errors: Sequence[UserError]) -> UserError:
    """Several errors as one, so that a person can mend them all at once."""
    whats = dict.fromkeys(error.what for error in errors)  # two tasks may have one file
    hints = dict.fromkeys(error.hint for error in errors if error.hint)
    return UserError("\n".join(whats), "\n".join(hints))


def _joined(parts: Sequence[Evaluation]) -> Evaluation:
    return Evaluation(
        tuple(result for part in parts for result in part.results),
        sum(part.found for part in parts),
        sum((part.counts for part in parts), EncodeCounts()),
        next((part.failure for part in parts if part.failure), None),
    )
