"""`llave.tasks` and `llave.models`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import counted
from llave.words.answer import answering

if TYPE_CHECKING:
    import pandas as pd

    from harness.types import ModelRow, Task
    from tasks.suites import Suite

_COUNTS = ("num_queries", "num_candidates")


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows of plain data: one for each task or model."""

    noun: str
    rows: tuple[Mapping[str, object], ...] = field(repr=False)

    def frame(self) -> pd.DataFrame:
        """One row for each task or model."""
        import pandas as pd

        frame = pd.DataFrame([dict(row) for row in self.rows])
        return frame.astype({name: "Int64" for name in _COUNTS if name in frame})

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, name: object) -> bool:
        return any(row["name"] == name for row in self.rows)

    def __repr__(self) -> str:
        return f"Listing({counted(len(self), self.noun)})"

    def _repr_html_(self) -> str:
        from leaderboards.tables import Cell, Table, html_table

        shown = [name for name in (self.rows[0] if self.rows else ()) if any(row[name] for row in self.rows)]
        shown = [name for name in shown if name not in ("metrics", "notes", "query_instruction", "target_instruction")]
        rows = tuple(tuple(Cell(_text(row[name])) for name in shown) for row in self.rows)
        words = frozenset(shown) - set(_COUNTS)
        names = tuple(name.replace("_", " ") for name in shown)
        return html_table(Table(repr(self)[8:-1], names, rows, frozenset(each.replace("_", " ") for each in words)))


def tasks(suite: str | None = None) -> Listing:
    """The tasks that can be named, of all suites or of one.

    Args:
        suite: a suite, such as `mmeb`, `mmeb-vqa` or `demo`.

    Returns:
        A table with name, meta_task, split, modalities, scope, metrics, num_queries, num_candidates, instructions,
        notes and source of each task.

    Raises:
        UserError: for an unknown suite.

    Example:
        >>> import llave
        >>> "demo-object" in llave.tasks(suite="demo")
        True
    """
    from tasks.catalog import all_tasks, resolve_tasks

    with answering():
        chosen = all_tasks().values() if suite is None else resolve_tasks(suite=suite)
    return Listing("task", tuple(task_fields(task) for task in chosen))


def models() -> Listing:
    """The models that can be named. A name that ends in `/` takes a name on the hub or a folder after it.

    Returns:
        A table with name, summary, modalities, several_media and verified of each model. `several_media` is what an
        item of several images comes to. `verified` says how far the adapter is known to be right.

    Raises:
        UserError: if a plug-in that brings models cannot be loaded.

    Example:
        >>> import llave
        >>> "classical" in llave.models()
        True
    """
    from harness.models import ROWS, installed_rows

    return Listing("model", tuple(model_fields(row) for row in (*ROWS, *installed_rows())))


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


def model_fields(row: ModelRow) -> dict[str, object]:
    """A model as plain data."""
    return {
        "name": row.name,
        "summary": row.summary,
        "modalities": list(row.modalities),
        "several_media": list(row.several_media),
        "verified": row.verified,
    }


def suite_fields(suite: Suite, known: Mapping[str, Task]) -> dict[str, object]:
    """A suite as plain data. `known` has its tasks."""
    members = [known[name] for name in suite.tasks if name in known]
    return {
        "name": suite.name,
        "summary": suite.summary,
        "tasks": len(members),
        "meta_tasks": list(dict.fromkeys(task.meta_task for task in members if task.meta_task)),
        "needs": ", ".join(dict.fromkeys(_need(task) for task in members)),
    }


def _need(task: Task) -> str:
    """What must be at hand before a task can be evaluated."""
    from tasks.demo.suite import DemoSource
    from tasks.mmeb.hub import HubSource

    if isinstance(task.source, DemoSource):
        return "nothing"
    return f"{task.source.repo}, or --data" if isinstance(task.source, HubSource) else "its data: --data"


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else f"{value}"
