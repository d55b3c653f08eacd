"""What there is to choose from, for the terminal and as plain data."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from harness.registry import ModelRow
from harness.types import Task


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
    table = Table("task", "meta-task", "split", "query", "target")
    table.caption, table.caption_justify = f"{len(tasks)} tasks", "left"
    for name in ("queries", "candidates"):
        table.add_column(name, justify="right")
    for task in tasks:
        table.add_row(
            Text(task.name),
            task.meta_task,
            task.split,
            task.query_modality,
            task.target_modality,
            _count(task.num_queries),
            _count(task.num_candidates),
        )
    return table


def task_sheet(task: Task) -> Table:
    """Everything about one task; what is not known is a dash."""
    table = Table(show_header=False, box=None)
    for name, value in task_fields(task).items():
        shown = "\n".join(map(str, value)) if isinstance(value, list) else value
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
    table = Table("model", "what it is", "sees", "verified by")
    for row in rows:
        name = f"{row.name}NAME-OR-FOLDER" if row.name.endswith("/") else row.name
        table.add_row(Text(name), Text(row.summary), Text(", ".join(row.modalities)), Text(row.verified))
    return table


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
