"""Named groups of tasks, and their means. A mean with a task missing has no value, and says what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from harness.errors import unknown_name
from tasks.clustering import ROWS as CLUSTERINGS
from tasks.mmeb.datasets import META_TASKS, ROWS
from tasks.mmeb_v2.parts import VIDEO, VISDOC
from tasks.mmeb_v2.parts import names as v2_names
from tasks.mmeb_v3.parts import GROUPS as V3
from tasks.mmeb_v3.parts import LACKING
from tasks.video.retrieval import LLAVE, MMEB_V2, task_names

OVERALL = "overall"
MEAN_OF_META_TASKS = "mean-of-meta-tasks"
"""The mean of the meta-task means, each with the same weight. Some papers print it as their overall score.

MMEB's overall score is `overall`.
"""
_SPLITS = ("IND", "OOD")
_CUTS = (1, 5, 10)
_V2_NAMES = {"vqa": "qa", "visual_grounding": "grounding"}
_V2_PARTS = {
    "video-classification": ("v-cls", "classification of videos"),
    "video-qa": ("v-qa", "questions about videos"),
    "video-moment-retrieval": ("v-mret", "retrieval of moments in videos"),
    "visdoc-vidore-v1": ("vidore-v1", "ViDoRe V1"),
    "visdoc-vidore-v2": ("vidore-v2", "ViDoRe V2"),
    "visdoc-visrag": ("visrag", "VisRAG"),
    "visdoc-ood": ("ood", "documents out of distribution"),
}
"""The suites of parts. Video retrieval has one already, `video-retrieval-v2`."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over tasks."""

    name: str
    value: float | None
    """The mean. None: a task is missing."""
    present: int
    """Number of tasks that have a score."""
    missing: tuple[str, ...]
    """The tasks without a score."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A group of tasks, its means, and its columns on a board."""

    name: str
    summary: str
    tasks: tuple[str, ...]
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    """The means beside `overall`, each a name and its tasks: meta-tasks, IND and OOD."""
    recalls: frozenset[str] = frozenset()
    """Tasks of text-video retrieval. A board shows their R@1, R@5 and R@10, as papers do."""

    @property
    def title(self) -> str:
        """The name as people write it: MMEB-OOD for `mmeb-ood`."""
        return self.name.upper() if self.name.startswith("mmeb") else self.name

    @property
    def means(self) -> tuple[str, ...]:
        """Names of the means: `overall`, the groups, and the mean of the meta-task means if there are any."""
        names = (OVERALL, *(name for name, _ in self.groups))
        return (*names, MEAN_OF_META_TASKS) if any(name in META_TASKS for name in names) else names

    @property
    def columns(self) -> tuple[str, ...]:
        """The means in the order in which a board shows them: `overall`, IND, OOD, then the others."""
        first = (OVERALL, *_SPLITS)
        return tuple(dict.fromkeys((*(name for name in first if name in self.means), *self.means)))

    def recall_columns(self, task: str) -> dict[str, str]:
        """The columns of a task that has several: the metric of each, by the column's name."""
        return {f"{task} R@{cut}": f"hit@{cut}" for cut in _CUTS} if task in self.recalls else {}


class SuiteMember(Protocol):
    """What a suite must know of a task."""

    @property
    def name(self) -> str:
        """The name of the task."""

    @property
    def meta_task(self) -> str | None:
        """The meta-task, if the task has one."""

    @property
    def split(self) -> str | None:
        """IND or OOD, if the task has a split."""


def suite_of(name: str, summary: str, tasks: Iterable[SuiteMember], recalls: Iterable[str] = ()) -> Suite:
    """A suite of tasks, with a mean for each meta-task and split that some of them have, but not all."""
    members = tuple(tasks)
    groups = {meta: tuple(task.name for task in members if task.meta_task == meta) for meta in META_TASKS}
    groups |= {split: tuple(task.name for task in members if task.split == split) for split in _SPLITS}
    parts = tuple((group, names) for group, names in groups.items() if 0 < len(names) < len(members))
    return Suite(name, summary, tuple(task.name for task in members), parts, frozenset(recalls))


def aggregate(suite: Suite, scores: Mapping[str, float]) -> tuple[Mean, ...]:
    """The suite's means of the scores of its tasks (`suite.means`, in that order). Other scores are ignored.

    Each task of a mean has the same weight, and so has each meta-task in the mean of the meta-task means.
    The order of the tasks changes no bit of a mean.
    """
    means = [_mean(OVERALL, suite.tasks, scores)]
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
        words = meta.replace("vqa", "VQA").replace("_", " ")
        every.append(suite_of(name, f"MMEB, only {words}", [r for r in ROWS if r.meta_task == meta]))
    every.append(_video_suite(LLAVE, "MSR-VTT (1k-A) and MSVD as LLaVE measures them, in both directions"))
    every.append(_video_suite(MMEB_V2, "text to video as MMEB-V2 measures it"))
    every += _v2_suites()
    every.append(suite_of("clustering", "the labelled sets of MMEB as clusterings; needs no new vectors", CLUSTERINGS))
    every.append(suite_of("demo", "small drawn scenes and clips; no download", demo_tasks()))
    return {suite.name: suite for suite in every}


def _v2_suites() -> list[Suite]:
    """MMEB-V2, its modalities, and the parts of each."""
    image = {f"image-{_V2_NAMES.get(meta, meta)}": _of_meta_task(meta) for meta in META_TASKS}
    video, visdoc = dict(VIDEO), dict(VISDOC)
    modalities = {"image": image, "video": video, "visdoc": visdoc}
    whole = {modality: v2_names(parts) for modality, parts in modalities.items()}
    groups = (*whole.items(), *((name, part) for parts in modalities.values() for name, part in parts.items()))
    every = tuple(row.name for row in ROWS), whole["video"], whole["visdoc"]
    suites = [
        Suite("mmeb-v2", "MMEB-V2, all 78 tasks", tuple(name for names in every for name in names), groups),
        Suite("mmeb-v2-video", "MMEB-V2, the 18 video tasks", whole["video"], tuple(video.items())),
        Suite("mmeb-v2-visdoc", "MMEB-V2, the 24 tasks of visual documents", whole["visdoc"], tuple(visdoc.items())),
    ]
    suites += _v3_suites(suites[0])
    for name, (short, words) in _V2_PARTS.items():
        suites.append(Suite(f"mmeb-v2-{short}", f"MMEB-V2, only {words}", {**video, **visdoc}[name], ()))
    return suites


def _v3_suites(v2: Suite) -> list[Suite]:
    """MMEB-V3 with all of its 190 tasks, and its texts. Those that cannot be run have no score, so no mean is whole."""
    tasks = (*v2.tasks, *(name for names in V3.values() for name in names))
    ready = len(tasks) - len(LACKING)
    summary = f"MMEB-V3: {ready} of its {len(tasks)} tasks can be run, so its overall mean is never whole"
    texts = f"MMEB-V3, only texts: {len(set(V3['text']) - set(LACKING))} of {len(V3['text'])} can be run"
    return [
        Suite("mmeb-v3", summary, tasks, (*v2.groups, *V3.items())),
        Suite("mmeb-v3-text", texts, V3["text"], ()),
    ]


def _of_meta_task(meta: str) -> tuple[str, ...]:
    return tuple(row.name for row in ROWS if row.meta_task == meta)


def _video_suite(protocol: str, summary: str) -> Suite:
    """A suite with a mean for each direction if there are two."""
    names = task_names(protocol)
    groups = tuple(names.items()) if len(names) > 1 else ()
    tasks = tuple(name for group in names.values() for name in group)
    return Suite(protocol, summary, tasks, groups, frozenset(tasks))


def column_of(name: str) -> tuple[str, str] | None:
    """The task and the metric of a dataset's column, whatever the suite; an empty metric is the main one.

    None if no suite has such a column.
    """
    for suite in suites().values():
        for task in suite.tasks:
            if name == task:
                return task, ""
            if metric := suite.recall_columns(task).get(name):
                return task, metric
    return None


def smallest_suite(tasks: Iterable[str]) -> Suite | None:
    """The smallest suite that has all these tasks; None if no suite has."""
    named = set(tasks)
    fitting = [suite for suite in suites().values() if named <= set(suite.tasks)]
    return min(fitting, key=lambda suite: len(suite.tasks), default=None)


def find_suite(name: str) -> Suite:
    """The suite with this name. Raises UserError with the closest names for an unknown name."""
    known = suites()
    if name not in known:
        raise unknown_name("suite", name, known, f"Choose from {', '.join(known)}.")
    return known[name]
