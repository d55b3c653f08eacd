"""The cache answers only what it was asked: every field that decides a dataset is part of its key."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import pytest

from harness.data.cache import DatasetCache
from harness.media.digests import Digests
from harness.progress import NoProgress
from harness.types import DataInfo, EvalConfig, Item, Query, Task, TaskData

OTHER: dict[str, object] = {
    "name": "other",
    "meta_task": "vqa",
    "split": "OOD",
    "query_modality": "image",
    "target_modality": "image",
    "scope": "local",
    "metrics": ("mrr",),
    "num_queries": 9,
    "num_candidates": 9,
    "query_instruction": "Find: ",
    "target_instruction": "Describe: ",
    "train_subset": "other",
    "notes": ("a note",),
    "query_role": "target",
}
"""Another value for every field of a task but its source."""


@dataclass(frozen=True)
class Counted:
    """Ten queries and targets in memory; counts how often they are loaded."""

    path: Path
    loads: list[str] = field(default_factory=list, compare=False)

    def describe(self) -> str:
        return "a test"

    def info(self, task: Task) -> DataInfo:
        return DataInfo("test", "1", (self.path,))

    def load(self, task: Task) -> TaskData:
        self.loads.append(task.name)
        items = tuple(Item(f"{task.target_instruction} {number}") for number in range(10))
        nothing = np.empty(0, np.int32)
        queries = (Query(str(i), Item(f"q{i}"), nothing, np.array([i], np.int32)) for i in range(10))
        return TaskData(tuple(queries), items)


@dataclass(frozen=True)
class Unhashable(Counted):
    __hash__ = None  # type: ignore[assignment]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "rows").write_text("rows")
    return tmp_path / "rows"


@pytest.fixture
def cache(tmp_path: Path) -> DatasetCache:
    return DatasetCache(Digests(tmp_path / "digests.db"), NoProgress(), 1)


def task_of(source: Counted) -> Task:
    return Task("toy", None, None, "text", "text", source, scope="global")


def test_every_field_of_a_task_has_another_value_here(path: Path) -> None:
    task = task_of(Counted(path))
    assert {each.name for each in fields(Task)} == {*OTHER, "source"}
    assert all(getattr(task, name) != value for name, value in OTHER.items())


@pytest.mark.parametrize("name", OTHER)
def test_a_task_that_differs_in_one_field_is_loaded_again(cache: DatasetCache, path: Path, name: str) -> None:
    task = task_of(Counted(path))
    one, same = cache.load(task, EvalConfig()), cache.load(replace(task), EvalConfig())
    assert one is same
    other = cache.load(replace(task, **{name: OTHER[name]}), EvalConfig())
    assert getattr(other.task, name) == OTHER[name]
    assert len(task.source.loads) == 2


@pytest.mark.parametrize("change", [{"limit": 5}, {"skip_bad_media": True}, {"protocol": "official"}], ids=str)
def test_a_configuration_misses_where_it_decides_rows(cache, path, change) -> None:
    task = task_of(Counted(path))
    cache.load(task, EvalConfig())
    cache.load(task, EvalConfig(**change))
    assert len(task.source.loads) == (2 if {"limit", "skip_bad_media"} & change.keys() else 1)


def test_five_rows_are_never_taken_for_the_whole(cache: DatasetCache, path: Path) -> None:
    task = task_of(Counted(path))
    few = cache.load(task, EvalConfig(limit=5))
    assert cache.known_digest(task, EvalConfig()) is None
    whole = cache.load(task, EvalConfig())
    assert (len(few.data.queries), len(whole.data.queries)) == (5, 10)
    assert few.digest != whole.digest
    assert cache.known_digest(task, EvalConfig()) == whole.digest
    assert cache.known_digest(task, EvalConfig(limit=5)) == few.digest


@pytest.mark.parametrize("kind", [Counted, Unhashable])
def test_another_source_is_another_dataset(
    cache: DatasetCache, path: Path, tmp_path: Path, kind: type[Counted]
) -> None:
    (tmp_path / "other").write_text("other")
    one, two = task_of(kind(path)), task_of(kind(tmp_path / "other"))
    assert cache.load(one, EvalConfig()).digest != cache.load(two, EvalConfig()).digest
    assert cache.load(one, EvalConfig()) is cache.load(one, EvalConfig())


def test_rows_that_are_in_no_file_are_told_apart_by_their_digest(cache: DatasetCache, path: Path) -> None:
    @dataclass(frozen=True)
    class InMemory(Counted):
        content: str = ""

        def info(self, task: Task) -> DataInfo:
            return DataInfo("memory", "1", (), content=self.content)

    one, two = (cache.load(task_of(InMemory(path, content=each)), EvalConfig()).digest for each in "ab")
    assert one != two
