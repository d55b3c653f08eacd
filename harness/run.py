"""evaluate(): one model over some tasks, in a straight line from names to results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from harness.encode import DEFAULT_BUDGET, Encoder, EncodeReport, Work
from harness.environment import environment, peak_memory
from harness.errors import RunFailed, UserError
from harness.identity import model_fingerprint
from harness.listener import Listener
from harness.models.null import Learner, needs_answers
from harness.parallel import World
from harness.plan import Assignment, Question, Shelf, assign, finished, identity_of, without
from harness.registry import ModelHandle
from harness.results import FORMAT, Result, find_result, result_folder, write_result
from harness.score import Scored, score
from harness.store import Store
from harness.types import Embedder, Task


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


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What stays the same from model to model."""

    question: Question
    settings: RunSettings
    shelf: Shelf
    world: World
    listener: Listener

    def evaluate(self, handle: ModelHandle, tasks: Sequence[Task]) -> Evaluation:
        """Evaluates a model on tasks. Raises UserError before anything is embedded, RunFailed after."""
        if needs_answers(handle.spec):
            each = [self.evaluate(self._told(handle, task), [task]) for task in tasks]
            results = tuple(result for one in each for result in one.results)
            return Evaluation(results, sum(one.found for one in each), sum((one.receipt for one in each), Receipt()))
        standing, assignments = self._plan(handle, tasks)
        found = len(standing)
        with closing(Store(self.settings.store, handle.spec)) as store:
            queue = _Queue.over(assignments, store)
            self.world.wait()  # nobody writes before everybody has planned
            if assignments:
                standing |= _Worker(self, handle, store, queue).work_off(assignments)
        return Evaluation(tuple(standing[task.name] for task in tasks if task.name in standing), found, queue.receipt)

    def _plan(self, handle: ModelHandle, tasks: Sequence[Task]) -> tuple[dict[str, Result], list[Assignment]]:
        """Results that stand, and what is to be done for the others. All data is read and checked here."""
        spec, folder = handle.spec, result_folder(self.settings.out, handle.spec)
        standing: dict[str, Result] = {}
        for task in tasks:
            result = finished(task, folder, spec, self.question, self.shelf)
            if result is not None:
                standing[task.name] = result
        assignments = []
        for task in tasks:
            if task.name in standing:
                continue
            dataset = self.shelf.load(task, self.question)
            result = find_result(folder, task.name, identity_of(task, dataset.digest, spec, self.question))
            if result is not None:
                standing[task.name] = result
            else:
                assignments.append(assign(dataset, spec, self.question))
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
        assert isinstance(embedder, Learner)
        return ModelHandle(embedder.learn(usable), lambda: cast("Embedder[object]", embedder))


@dataclass(frozen=True, slots=True, eq=False)
class _Queue:
    """Missing items, each under the first task that needs it, and the count of what that saves."""

    todo: tuple[tuple[Work, ...], ...]
    receipt: Receipt

    @staticmethod
    def over(assignments: Sequence[Assignment], store: Store) -> _Queue:
        uses = sum(len(each.keys.queries) + len(each.keys.targets) for each in assignments)
        distinct = {key: work for each in assignments for key, work in each.work.items()}
        missing = set(store.missing(list(distinct)))
        receipt = Receipt(uses, len(distinct), len(distinct) - len(missing))
        todo = []
        for each in assignments:
            mine = [work for key, work in each.work.items() if key in missing]
            missing.difference_update(work.key for work in mine)
            todo.append(tuple(sorted(mine, key=lambda work: (work.rough_cost, work.key))))
        return _Queue(tuple(todo), receipt)


@dataclass(frozen=True, slots=True, eq=False)
class _Worker:
    """One model at work on its queue."""

    run: Run
    handle: ModelHandle
    store: Store
    queue: _Queue

    def work_off(self, assignments: Sequence[Assignment]) -> dict[str, Result]:
        """Embeds and scores task by task; a task's result is written as soon as its vectors are there."""
        settings, results = self.run.settings, dict[str, Result]()
        encoder: Encoder | None = None
        if any(self.queue.todo):
            self.store.check_writable()
            self.run.listener.phase(f"loading {self.handle.spec.name}", 0)
            encoder = Encoder(self.handle.load(), self.store, budget=settings.budget, workers=settings.workers)
        for assignment, todo in zip(assignments, self.queue.todo, strict=True):
            start = time.perf_counter()
            name = assignment.dataset.task.name
            try:
                report = self._encode(encoder, assignment, todo)
            except UserError as error:
                raise RunFailed(f"{self.handle.spec.name} on {name}: {error.what}", error.hint) from error
            if self.run.world.is_main:
                assignment = without(assignment, report.bad, self.handle.spec, self.run.question)
                results[name] = self._score(assignment, report, start)
        return results

    def _encode(self, encoder: Encoder | None, assignment: Assignment, todo: Sequence[Work]) -> EncodeReport:
        """Embeds this process's share; then the main process sees to what is left, such as other shares' bad media."""
        if encoder is None:
            return EncodeReport()
        world, listener, skip = self.run.world, self.run.listener, self.run.question.skip_bad_media
        share = todo[world.rank :: world.size]
        listener.phase(assignment.dataset.task.name, len(share))
        report = encoder.run(share, listener, skip_bad_media=skip)
        world.wait()
        if world.is_main:
            missing = self.store.missing(list(assignment.work))
            left = [assignment.work[key] for key in missing if key not in report.bad]
            report.bad.update(encoder.run(left, listener, skip_bad_media=skip).bad)
        return report

    def _score(self, assignment: Assignment, report: EncodeReport, start: float) -> Result:
        question, spec = self.run.question, self.handle.spec
        dataset = assignment.dataset
        scored = score(dataset, assignment.keys, self.store, spec, protocol=question.protocol, seed=question.seed)
        cost = _cost(report, len(assignment.work), time.perf_counter() - start, self.run.world)
        result = _record(assignment, scored, self, cost)
        path = write_result(result_folder(self.run.settings.out, spec), result, scored.rows)
        return replace(result, queries={"file": path.name})


def _cost(report: EncodeReport, needed: int, seconds: float, world: World) -> dict[str, object]:
    """What a task took. Items and batches are those of the main process; the wall clock is everybody's."""
    return {
        "seconds": round(seconds, 3),
        "processes": world.size,
        "items_embedded": report.items,
        "items_needed": needed,
        "items_per_second": round(report.items / report.seconds, 2) if report.items else None,
        "batches": report.batches,
        "padding_waste": round(report.padding_waste, 4),
        "waiting_share": round(report.waiting / report.seconds, 4) if report.items else None,
        "memory_backoffs": report.backoffs,
        **peak_memory(),
    }


def _record(assignment: Assignment, scored: Scored, worker: _Worker, cost: dict[str, object]) -> Result:
    task, dataset, spec = assignment.dataset.task, assignment.dataset, worker.handle.spec
    question = worker.run.question
    kinds = {medium.kind for medium in dataset.media}
    return Result(
        format=FORMAT,
        status="done",
        identity=assignment.identity,
        task=task.name,
        meta_task=task.meta_task,
        split=task.split,
        scope=task.scope,
        main_metric=task.metrics[0],
        model={
            "name": spec.name,
            "revision": spec.revision,
            "adapter": spec.adapter,
            "dtype": spec.dtype,
            "options": dict(spec.options),
            "modalities": list(spec.modalities),
            "not_seen": sorted(kinds - set(spec.modalities)),
            "similarity": spec.similarity,
            "width": worker.store.width(),
            "fingerprint": model_fingerprint(spec),
        },
        protocol=question.protocol,
        metrics=scored.metrics,
        official=scored.official,
        chance=scored.chance,
        tied_queries=scored.tied_queries,
        num_queries=len(dataset.data.queries),
        num_targets=len(dataset.data.targets),
        dataset={
            "source": dataset.info.source,
            "revision": dataset.info.revision,
            "digest": dataset.digest,
            "notes": dict(dataset.data.notes),
        },
        settings={"limit": question.limit, "seed": question.seed, "on_bad_media": _policy(question)},
        bad_media=[
            {"media": medium.name, "why": error.what}
            for medium, error in sorted(dataset.bad.items(), key=lambda pair: pair[0].name)
        ],
        environment=environment(worker.run.settings.device),
        cost=cost,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _policy(question: Question) -> str:
    return "count-as-wrong" if question.skip_bad_media else "stop"
