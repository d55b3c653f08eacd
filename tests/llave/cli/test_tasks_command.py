"""The lists of `llave tasks` and `llave models` as a person reads them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness.errors import UserError
from harness.models import ROWS
from leaderboards.tables import Table
from llave.cli.lists.models import model_list
from llave.cli.lists.tasks import select, task_list, task_sheet
from tasks.mmeb.datasets import mmeb_tasks
from tasks.mmeb.folder import FolderSource


def shown(table: Table, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_choosing_tasks(tmp_path):
    every = mmeb_tasks(FolderSource(tmp_path))
    for meta, split, modality in [(None, None, None), ("vqa", "OOD", None), (None, "IND", "image+text")]:
        chosen = select(every, meta, split, modality)
        assert chosen == [
            task
            for task in every
            if (meta is None or task.meta_task == meta)
            and (split is None or task.split == split)
            and (modality is None or modality in (task.query_modality, task.target_modality))
        ]
        assert f"{len(chosen)} tasks" in shown(task_list(chosen))
    with pytest.raises(UserError, match="Did you mean vqa"):
        select(every, "vq", None, None)


def test_a_sheet_shows_all_that_is_known_and_a_dash_for_what_is_not(tmp_path):
    for task in mmeb_tasks(FolderSource(tmp_path)):
        said = shown(task_sheet(task), 1000)
        for known in (task.name, task.query_instruction, task.target_instruction, *task.notes, *task.metrics):
            assert known is None or known in said
        assert str(tmp_path) in said
        assert ("target instruction │ -" in said) == (not task.target_instruction)


def test_names_are_whole_on_a_narrow_terminal(tmp_path):
    """They are copied from there. What has no room is named."""
    said = shown(task_list(mmeb_tasks(FolderSource(tmp_path))), 80)
    assert all(task.name in said for task in mmeb_tasks(FolderSource(tmp_path)))
    assert "No room for queries, candidates: --json has all." in said
    assert max(map(len, said.splitlines())) <= 80


def test_every_model_is_listed():
    said = shown(model_list(ROWS))
    assert all(row.name in said for row in ROWS)
