"""What there is to choose from, for the terminal and as plain data."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Column, Table
from rich.text import Text

from harness.errors import unknown_name
from harness.types import ModelRow, Task


def select(tasks: Sequence[Task], meta_task: str | None, split: str | None, modality: str | None) -> list[Task]:
    """Tasks of a meta-task, of a split, with a modality on either side; None: any. Raises UserError if none."""
    for kind, wanted, known in (
        ("meta-task", meta_task, {task.meta_task for task in tasks}),
        ("modality", modality, {side for task in tasks for side in (task.query_modality, task.target_modality)}),
    ):
        if wanted is not None and wanted not in known:
            names = sorted(name for name in known if name)
            raise unknown_name(kind, wanted, names, f"These tasks have {', '.join(names) or 'none'}.")
    return [
        task
        for task in tasks
        if meta_task in (None, task.meta_task)
        and split in (None, task.split)
        and modality in (None, task.query_modality, task.target_modality)
    ]


def task_fields(task: Task) -> dict[str, object]:
    """A task as plain data."""
    return {
        "name": task.name,
        "meta_task": task.meta_task,
        "split": task.split,
        "query_modality": task.query_modality,
        "target_modality": task.target_modality,
        "scope": task.scope,
        "metrics": list(task.metrics),
        "num_queries": task.num_queries,
        "num_candidates": task.num_candidates,
        "query_instruction": task.query_instruction,
        "target_instruction": task.target_instruction,
        "train_subset": task.train_subset,
        "notes": list(task.notes),
        "source": task.source.describe(),
    }


def task_list(tasks: Sequence[Task]) -> Table:
    caption = f"{len(tasks)} task{'s' if len(tasks) != 1 else ''}"
    table = Table("task", "meta-task", "split", "query", "target", caption=caption, caption_justify="left")
    for name in ("queries", "candidates"):
        table.add_column(name, justify="right")
    for task in tasks:
        table.add_row(
            *map(Text, (task.name, task.meta_task or "-", task.split or "-")),
            *map(Text, (task.query_modality or "-", task.target_modality or "-")),
            *map(_count, (task.num_queries, task.num_candidates)),
        )
    return table


def task_sheet(task: Task) -> Table:
    """Everything about one task; what is not known is a dash."""
    table = Table(show_header=False, box=None)
    for name, value in task_fields(task).items():
        shown = (", " if name == "metrics" else "\n").join(map(str, value)) if isinstance(value, list) else value
        table.add_row(Text(name.replace("_", " "), style="bold"), Text("-" if shown in (None, "") else str(shown)))
    return table


def model_fields(row: ModelRow) -> dict[str, object]:
    """A model as plain data."""
    return {
        "name": row.name,
        "summary": row.summary,
        "modalities": list(row.modalities),
        "verified": row.verified,
    }


def model_list(rows: Sequence[ModelRow]) -> Table:
    table = Table(Column("model", overflow="fold"), "what it is", "sees", "verified by")
    for row in rows:
        name = f"{row.name}NAME-OR-FOLDER" if row.name.endswith("/") else row.name
        table.add_row(Text(name), Text(row.summary), Text(", ".join(row.modalities)), Text(row.verified))
    return table


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
