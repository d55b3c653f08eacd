"""Datasets that were loaded in this process, so that several models share them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields

from harness.data.dataset import Dataset, known_digest, load_dataset
from harness.media.digests import Digests
from harness.progress import Progress
from harness.types import DataInfo, EvalConfig, Task


class DatasetCache:
    """Loads each dataset once for each task, limit and treatment of bad media.

    An answer is kept under all that it depends on: every field of the task, and the fields of the configuration that
    decide its rows.
    """

    def __init__(self, digests: Digests, progress: Progress, workers: int) -> None:
        self.digests = digests
        self._progress = progress
        self._workers = workers
        self._loaded: dict[Hashable, Dataset] = {}
        self._infos: dict[Hashable, DataInfo] = {}
        self._known: dict[Hashable, str | None] = {}

    def info(self, task: Task) -> DataInfo:
        """Where the rows of a task come from. Raises UserError if they are missing."""
        key = _key(task)
        if key not in self._infos:
            self._infos[key] = task.source.info(task)
        return self._infos[key]

    def known_digest(self, task: Task, config: EvalConfig) -> str | None:
        """The digest of a task's data if it is known without reading a row, else None."""
        loaded = self._loaded.get((_key(task), config.limit, config.skip_bad_media))
        if loaded is not None:
            return loaded.digest
        key = (_key(task), config.limit)
        if key not in self._known:
            self._known[key] = known_digest(task, self.info(task), config.limit, self.digests)
        return self._known[key]

    def load(self, task: Task, config: EvalConfig) -> Dataset:
        """The rows of a task with their media checked. Raises UserError for data that cannot be used."""
        key = (_key(task), config.limit, config.skip_bad_media)
        if key not in self._loaded:
            self._loaded[key] = load_dataset(
                task,
                self.info(task),
                self.digests,
                self._progress,
                limit=config.limit,
                workers=self._workers,
                skip_bad=config.skip_bad_media,
            )
        return self._loaded[key]


def _key(task: Task) -> Hashable:
    """Every field of a task. A source that has no hash stands for itself only."""
    values = {each.name: getattr(task, each.name) for each in fields(task)}
    try:
        hash(task.source)
    except TypeError:
        values["source"] = id(task.source)  # the cache keeps the task, so no other source gets this number
    return tuple(values.values())
