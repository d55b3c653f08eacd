"""Named groups of tasks, and how each is averaged. A mean with anything missing is incomplete and says what."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from harness.errors import unknown_name
from tasks.mmeb.datasets import META_TASKS, ROWS
from tasks.video.retrieval import LLAVE, MMEB_V2, task_names

MEAN_OF_META_TASKS = "mean-of-meta-tasks"
"""The unweighted mean of the meta-task means. Some papers print it as their overall score; MMEB's is `overall`."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over tasks."""

    name: str
    value: float | None
    """None if a task is missing."""
    present: int
    """Tasks that have a score."""
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suite:
    """A group of tasks."""

    name: str
    summary: str
    tasks: tuple[str, ...]
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    """The means beside `overall`, each a name and its tasks: meta-tasks, IND and OOD."""


class SuiteMember(Protocol):
    """A task, as far as a suite is concerned."""

    @property
    def name(self) -> str: ...
    @property
    def meta_task(self) -> str | None: ...
    @property
    def split(self) -> str | None: ...


def suite_of(name: str, summary: str, tasks: Iterable[SuiteMember]) -> Suite:
    """A suite of tasks, with a mean for each meta-task and split that some of them have, but not all."""
    members = tuple(tasks)
    groups = {meta: tuple(task.name for task in members if task.meta_task == meta) for meta in META_TASKS}
    groups |= {split: tuple(task.name for task in members if task.split == split) for split in ("IND", "OOD")}
    parts = tuple((group, names) for group, names in groups.items() if 0 < len(names) < len(members))
    return Suite(name, summary, tuple(task.name for task in members), parts)


def aggregate(suite: Suite, scores: Mapping[str, float]) -> tuple[Mean, ...]:
    """The means of a suite: `overall` over all its tasks, its groups, and the mean of the meta-task means.

    Each task counts the same, in any order to the last bit. Scores of other tasks are ignored.
    """
    means = [_mean("overall", suite.tasks, scores)]
    means += [_mean(name, tasks, scores) for name, tasks in suite.groups]
    meta = [mean for mean in means if mean.name in META_TASKS]
    if meta:
        values = [mean.value for mean in meta if mean.value is not None]
        missing = tuple(name for mean in meta for name in mean.missing)
        value = None if missing else math.fsum(values) / len(values)
        means.append(Mean(MEAN_OF_META_TASKS, value, sum(mean.present for mean in meta), missing))
    return tuple(means)


def _mean(name: str, tasks: tuple[str, ...], scores: Mapping[str, float]) -> Mean:
    missing = tuple(task for task in tasks if task not in scores)
    value = None if missing else math.fsum(scores[task] for task in tasks) / len(tasks)
    return Mean(name, value, len(tasks) - len(missing), missing)


def suites() -> dict[str, Suite]:
    """Every suite by its name."""
    from tasks.demo.suite import demo_tasks

    every = [
        suite_of("mmeb", "MMEB, all 36 datasets", ROWS),
        suite_of("mmeb-ind", "MMEB in distribution: the 20 with training data", [r for r in ROWS if r.split == "IND"]),
        suite_of("mmeb-ood", "MMEB out of distribution: the other 16", [r for r in ROWS if r.split == "OOD"]),
    ]
    for meta in META_TASKS:
        name = f"mmeb-{meta.removeprefix('visual_')}"
        every.append(suite_of(name, f"MMEB, {meta.replace('_', ' ')} alone", [r for r in ROWS if r.meta_task == meta]))
    every.append(_video_suite(LLAVE, "MSR-VTT (1k-A) and MSVD as LLaVE measures them, in both directions"))
    every.append(_video_suite(MMEB_V2, "text to video as MMEB-V2 measures it"))
    every.append(suite_of("demo", "small drawn scenes and clips; no download", demo_tasks()))
    return {suite.name: suite for suite in every}


def _video_suite(protocol: str, summary: str) -> Suite:
    """With a mean for each direction where there are two."""
    names = task_names(protocol)
    groups = tuple(names.items()) if len(names) > 1 else ()
    return Suite(protocol, summary, tuple(name for group in names.values() for name in group), groups)


def find_suite(name: str) -> Suite:
    """The suite of a name. Raises UserError with the closest names."""
    known = suites()
    if name not in known:
        raise unknown_name("suite", name, known, f"Suites: {', '.join(known)}.")
    return known[name]
