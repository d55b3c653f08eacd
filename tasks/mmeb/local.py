"""The subsets of a local folder as tasks: those of MMEB by their names, and the user's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.errors import counted
from harness.files.parquet import count_rows
from harness.types import Task
from tasks.mmeb.datasets import mmeb_tasks
from tasks.mmeb.folder import FolderSource, shards_of, subsets


def local_tasks(data: Path, images: Path | None = None, roots: tuple[Path, ...] = ()) -> tuple[Task, ...]:
    """Every subset of a folder as a task with the subset's name, sorted by name.

    A subset with the name of an MMEB dataset is that dataset only if the number of rows is the same.
    Raises UserError if there is no subset.
    """
    source = FolderSource(data, images, roots)
    registered = {task.name: task for task in mmeb_tasks(source)}
    return tuple(_local_task(name, registered.get(name), source) for name in subsets(data))


def _local_task(name: str, registered: Task | None, source: FolderSource) -> Task:
    task = Task(name, meta_task=None, split=None, query_modality=None, target_modality=None, source=source)
    if registered is None:
        return task
    found = count_rows(shards_of(source.data / name))
    if found == registered.num_queries:
        return registered
    return replace(
        task,
        query_instruction=registered.query_instruction,
        target_instruction=registered.target_instruction,
        notes=(
            f"not MMEB's own rows: {counted(found, 'query')} here, {registered.num_queries} there; "
            "scores are not comparable",
        ),
    )
