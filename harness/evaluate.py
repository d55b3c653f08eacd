"""The evaluation of a model on tasks, in a straight line from names to results.

name -> data digest -> identity -> finished result?
     -> missing vectors -> encode -> rank and score -> write the record
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import cast

from harness.data.cache import DatasetCache
from harness.encoding.distributed import World
from harness.encoding.encoder import EncodeReport
from harness.encoding.missing import EncodeSettings, amount, encode_missing, failures_of, missing_work
from harness.encoding.pairs import stored_scores
from harness.encoding.store import Store
from harness.encoding.vectors import Load, Work
from harness.errors import RunFailed, UserError, all_of
from harness.plan import (
    EncodeCounts,
    Forecast,
    TaskPlan,
    check_texts,
    find_or_plan,
    plan_pairs,
    plan_task,
    reranked_spec,
    without,
    without_missing,
)
from harness.progress import SCORING, Progress
from harness.results.files import check_writable, result_folder, write_result
from harness.results.record import Provenance, make_record
from harness.results.result import Result
from harness.scoring.ranking import Ranking
from harness.scoring.reranked import reranked, shortlist
from harness.scoring.score import Scored, rank_dataset, score, score_rankings
from harness.types import Embedder, EvalConfig, Learner, ModelHandle, ModelSpec, Task


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Where a run writes and how hard it works. Nothing here changes a score."""

    out: Path
    """Folder of the results."""
    store: Path
    """Folder of the embedding store."""
    budget: int | None = None
    """Largest cost of a batch, in tokens or pixels, padding included."""
    workers: int = 1
    """Number of threads that prepare items."""
    device: str = "auto"
    """The device, for the record."""


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
            reports = encode_missing(groups, missing, handle, store, self._how, self.world, self.progress)
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

    def check_pairs(self, second: ModelHandle, tasks: Sequence[Task]) -> None:
        """Raises UserError, before anything is embedded, for tasks that a second stage cannot score."""
        for task in tasks:
            check_texts(self.cache.load(task, self.config), second.spec)

    def rerank(
        self, first: ModelHandle, before: Evaluation, second: ModelHandle, top: int, tasks: Sequence[Task]
    ) -> tuple[ModelHandle, Evaluation]:
        """Orders the best candidates of each query anew, by the scores that a second model gives to pairs.

        The results of the first stage, which `before` has, stay as they are. Returns the model of both stages, and its
        evaluation.

        Raises: as `evaluate` does.
        """
        both = replace(first, spec=reranked_spec(first.spec, second.spec, top))
        self.world.wait()
        planned = self._plan(both, tasks, result_folder(self.settings.out, both.spec), self.progress.note)
        bad = {str(each["media"]): str(each["why"]) for result in before.results for each in result.bad_media}
        done = {name: each for name, each in planned.items() if isinstance(each, Result)}
        found, counts, failure = len(done), EncodeCounts(), None
        with Store(self.settings.store, first.spec) as store, Store(self.settings.store, second.spec) as scores:
            try:
                for name, plan in planned.items():
                    if isinstance(plan, TaskPlan):
                        ranked = without_missing(plan_task(plan.dataset, plan.identity, first.spec), bad, store)
                        rankings = rank_dataset(ranked.dataset, ranked.keys, store, first.spec, top=top + 1)
                        done[name], own = self._score_pairs(ranked, rankings, both.spec, top, second, scores)
                        counts += own
            except RunFailed as error:
                if self.world.size > 1:
                    raise
                failure = error
        self.world.wait()
        return both, Evaluation(tuple(done[name] for name in planned if name in done), found, counts, failure)

    def _score_pairs(
        self, plan: TaskPlan, rankings: Sequence[Ranking], both: ModelSpec, top: int, second: ModelHandle, scores: Store
    ) -> tuple[Result, EncodeCounts]:
        """Scores the pairs of a task, and writes its record. Every process takes part, and the main one writes."""
        start, queries, title = time.perf_counter(), plan.dataset.data.queries, f"{both.name}, {plan.dataset.task.name}"
        listed = [shortlist(ranking, top) for ranking in rankings]
        pairs = plan_pairs(plan, listed, second.spec)
        groups = {title: {each.key: each for row in pairs for each in row}}
        missing = missing_work(groups, scores)
        (report,) = encode_missing(groups, missing, second, scores, self._how, self.world, self.progress)
        own = [stored_scores(scores, [each.key for each in row]) for row in pairs]
        grouped = bool(plan.dataset.data.groups)
        after = [reranked(*each, grouped=grouped) for each in zip(rankings, queries, listed, own, strict=True)]
        made = Provenance(
            both, None, report, len(groups[title]), time.perf_counter() - start, self.world.size, self.settings.device
        )
        result = self._write(plan, score_rankings(plan.dataset, after, protocol=self.config.protocol), made)
        return result, EncodeCounts(sum(map(len, pairs)), len(groups[title]), len(groups[title]) - len(missing[title]))

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

    @property
    def _how(self) -> EncodeSettings:
        return EncodeSettings(self.settings.budget, self.settings.workers, self.config.skip_bad_media)

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
            raise all_of(errors)
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
        return self._write(plan, scored, made)

    def _write(self, plan: TaskPlan, scored: Scored, made: Provenance) -> Result:
        """Writes the record of a scored task."""
        record = make_record(plan.dataset, plan.identity, scored, self.config, made)
        folder = result_folder(self.settings.out, made.spec)
        return write_result(folder, record, scored.rows) if self.world.is_main else record

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


def _joined(parts: Sequence[Evaluation]) -> Evaluation:
    return Evaluation(
        tuple(result for part in parts for result in part.results),
        sum(part.found for part in parts),
        sum((part.counts for part in parts), EncodeCounts()),
        next((part.failure for part in parts if part.failure), None),
    )
