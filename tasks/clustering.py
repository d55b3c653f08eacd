"""Clusterings of labelled datasets. The vectors are those of the dataset's queries, so no item is embedded anew."""

from __future__ import annotations

from dataclasses import replace

from harness.scoring.metrics import AGREEMENTS
from harness.types import Task
from tasks.mmeb.datasets import ROWS as MMEB_ROWS
from tasks.names import CLUSTERING

META_TASK = "clustering"


def clustering_of(task: Task) -> Task:
    """The task of sorting a task's queries by their labels, which are its right targets."""
    return replace(task, name=f"{task.name}{CLUSTERING}", meta_task=META_TASK, metrics=tuple(AGREEMENTS))


ROWS = tuple(clustering_of(row) for row in MMEB_ROWS if row.meta_task == "classification")
"""The datasets of MMEB whose queries have labels: those of classification."""
