"""evaluate(): one model over some tasks, in a straight line from names to results."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from harness.distributed import World
from harness.encoding.encoder import DEFAULT_BUDGET, Encoder, EncodeReport
from harness.encoding.store import Store
from harness.encoding.vectors import Work
from harness.errors import BadMedia, RunFailed, UserError
from harness.plan import DatasetCache, EvalConfig, TaskPlan, assign, finished, identity_of, without
from harness.progress import Progress
from harness.results.files import Result, check_writable, find_result, result_folder, write_result
from harness.results.record import Provenance, make_record
from harness.scoring.score import score
from harness.types import Embedder, Learner, ModelHandle, Task


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Where a run writes and how hard it works. Nothing here changes a score."""

    out: Path
    store: Path
    budget: int = DEFAULT_BUDGET
    workers: int = 1
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What encoding each item once saved: uses of items, distinct ones, and those that the store already had."""

    uses: int = 0
    distinct: int = 0
    stored: int = 0

    def __add__(self, other: Receipt) -> Receipt:
        return Receipt(self.uses + other.uses, self.distinct + other.distinct, self.stored + other.stored)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of a run: results in the order asked for (in the main process, which scores)."""

    results: tuple[Result, ...]
    found: int
    """Results that stood before, and were neither loaded nor computed."""
    receipt: Receipt
    failure: RunFailed | None = None
    """Why it ended before the last task. What was done until then is kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What stays the same from model to model."""

    question: EvalConfig
    settings: RunSettings
    shelf: DatasetCache
    world: World
    listener: Progress

    def evaluate(self, handle: ModelHandle, tasks: Sequence[Task]) -> Evaluation:
        """Evaluates a model on tasks. Raises UserError before anything is embedded; later it is the `failure`.

        One of several processes raises the failure, so that the launcher stops the others.
        """
        if handle.needs_answers:
            return _joined([self.evaluate(self._told(handle, task), [task]) for task in tasks])
        self.world.wait()  # everybody sees what was finished before
        standing, assignments = self._plan(handle, tasks)
        if assignments:
            check_writable(result_folder(self.settings.out, handle.spec))
        found = len(standing)
        failure = None
        with Store(self.settings.store, handle.spec) as store:
            queue = _Queue.over(assignments.values(), store)
            self.world.wait()  # nobody writes before everybody has planned
            worker = _Worker(self, handle, store, queue.shares(self.world))
            try:
                for number, task in enumerate(tasks, start=1):
                    # Every process passes here as often, whatever it has found to do.
                    result = worker.work_off(assignments.get(task.name), f"{task.name} ({number} of {len(tasks)})")
                    standing |= {task.name: result} if result is not None else {}
            except RunFailed as error:
                if self.world.size > 1:
                    raise
                failure = error
        results = tuple(standing[task.name] for task in tasks if task.name in standing)
        return Evaluation(results, found, queue.receipt, failure)

    def _plan(self, handle: ModelHandle, tasks: Sequence[Task]) -> tuple[dict[str, Result], dict[str, TaskPlan]]:
        """Results that stand, and what is to be done for the other tasks. All data is read and checked here."""
        spec, folder = handle.spec, result_folder(self.settings.out, handle.spec)
        standing: dict[str, Result] = {}
        assignments: dict[str, TaskPlan] = {}
        errors: list[UserError] = []
        for task in tasks:
            try:
                result = finished(task, folder, spec, self.question, self.shelf)
                if result is None:
                    dataset = self.shelf.load(task, self.question)
                    result = find_result(folder, task.name, identity_of(task, dataset.digest, spec, self.question))
            except UserError as error:
                errors.append(error)
                continue
            if result is not None:
                standing[task.name] = result
            else:
                assignments[task.name] = assign(dataset, spec, self.question)
        if errors:
            raise _all_of(errors)
        return standing, assignments

    def _told(self, handle: ModelHandle, task: Task) -> ModelHandle:
        """A model that learns the answers, told those of one task."""
        dataset = self.shelf.load(task, self.question)
        embedder = handle.load()
        pairs = (
            (query.item, dataset.data.targets[index]) for query in dataset.data.queries for index in query.positives
        )
        usable = (
            (query, target) for query, target in pairs if not dataset.why_bad(query) and not dataset.why_bad(target)
        )
        if task.query_role != "query":
            usable = ((target, query) for query, target in list(usable))
        assert isinstance(embedder, Learner)
        return ModelHandle(embedder.learn(usable), lambda: cast("Embedder[object]", embedder))


def _all_of(errors: Sequence[UserError]) -> UserError:
    """Several errors as one, so that a person can mend them all at once."""
    hints = dict.fromkeys(error.hint for error in errors if error.hint)
    return UserError("\n".join(error.what for error in errors), "\n".join(hints))


def _joined(parts: Sequence[Evaluation]) -> Evaluation:
    return Evaluation(
        tuple(result for part in parts for result in part.results),
        sum(part.found for part in parts),
        sum((part.receipt for part in parts), Receipt()),
        next((part.failure for part in parts if part.failure), None),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Queue:
    """Missing items, each under the first task that needs it, and the count of what that saves."""

    todo: Mapping[str, Sequence[Work]]
    receipt: Receipt

    @staticmethod
    def over(assignments: Iterable[TaskPlan], store: Store) -> _Queue:
        assignments = list(assignments)
        uses = sum(key is not None for each in assignments for key in (*each.keys.queries, *each.keys.targets))
        distinct = {key: work for each in assignments for key, work in each.work.items()}
        missing = set(store.missing(list(distinct)))
        receipt = Receipt(uses, len(distinct), len(distinct) - len(missing))
        todo = {}
        for each in assignments:
            mine = [work for key, work in each.work.items() if key in missing]
            missing.difference_update(work.key for work in mine)
            todo[each.dataset.task.name] = sorted(mine, key=lambda work: (work.rough_cost, work.key))
        return _Queue(todo, receipt)

    def shares(self, world: World) -> dict[str, Sequence[Work]]:
        """This process's part of each task's items: each process gets some of every size."""
        return {name: work[world.rank :: world.size] for name, work in self.todo.items()}


class _Worker:
    """One model at work on its share, task by task."""

    def __init__(self, run: Run, handle: ModelHandle, store: Store, shares: Mapping[str, Sequence[Work]]) -> None:
        self._run = run
        self._handle = handle
        self._store = store
        self._shares = shares
        self._bad: dict[bytes, BadMedia] = {}
        """Items that broke here: they are not tried again, since a decoder that hangs takes minutes."""
        self._encoder = self._load() if any(shares.values()) else None

    def work_off(self, assignment: TaskPlan | None, title: str) -> Result | None:
        """Embeds and scores a task; its result is written as soon as its vectors are there. Raises RunFailed."""
        start = time.perf_counter()
        report = EncodeReport()
        try:
            if assignment is not None:
                report = self._encode(self._shares[assignment.dataset.task.name], title)
            self._run.world.wait()
            if assignment is None or not self._run.world.is_main:
                return None
            report.bad.update(self._see_to_the_rest(assignment))
            self._run.listener.phase(f"scoring {title}", 0)
            return self._score(without(assignment, report.bad, self._handle.spec, self._run.question), report, start)
        except RunFailed:
            raise
        except UserError as error:
            raise RunFailed(f"{self._handle.spec.name}, {title}: {error.what}", error.hint) from error

    def _load(self) -> Encoder:
        settings = self._run.settings
        self._store.check_writable()
        self._run.listener.phase(f"loading {self._handle.spec.name}", 0)
        return Encoder(self._handle.load(), self._store, budget=settings.budget, workers=settings.workers)

    def _encode(self, work: Sequence[Work], title: str) -> EncodeReport:
        if not work:
            return EncodeReport()
        self._encoder = self._encoder or self._load()
        self._run.listener.phase(f"{self._handle.spec.name}: {title}", len(work))
        report = self._encoder.run(work, self._run.listener, skip_bad_media=self._run.question.skip_bad_media)
        self._bad |= report.bad
        return report

    def _see_to_the_rest(self, assignment: TaskPlan) -> Mapping[bytes, BadMedia]:
        """Embeds what no process has: an item that broke on decoding, before or elsewhere, breaks once more."""
        missing = self._store.missing(list(assignment.work))
        unknown = [assignment.work[key] for key in missing if key not in self._bad]
        self._encode(unknown, assignment.dataset.task.name)
        return {key: self._bad[key] for key in missing if key in self._bad}

    def _score(self, assignment: TaskPlan, report: EncodeReport, start: float) -> Result:
        question, spec = self._run.question, self._handle.spec
        scored = score(
            assignment.dataset, assignment.keys, self._store, spec, protocol=question.protocol, seed=question.seed
        )
        made = Provenance(
            spec=spec,
            width=self._store.width(),
            report=report,
            seconds=time.perf_counter() - start,
            processes=self._run.world.size,
            device=self._run.settings.device,
        )
        record = make_record(assignment, scored, question, made)
        return write_result(result_folder(self._run.settings.out, spec), record, scored.rows)
