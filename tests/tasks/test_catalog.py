"""Which tasks a choice of names, suite and data gives."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from harness.errors import UserError
from harness.types import Task
from tasks import catalog
from tasks.catalog import all_tasks, resolve_tasks
from tasks.mmeb.datasets import NUM_QUERIES, ROWS
from tasks.mmeb.folder import FolderSource
from tasks.mmeb_v3.parts import LACKING
from tasks.suites import suites
from tests.helpers.mmeb_files import columns, write_subset

ROW = ("q", "", [("a", ""), ("b", "")])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three subsets: one is MMEB's by name and rows, one only by name, one is not."""
    write_subset(tmp_path, "GQA", columns([ROW] * NUM_QUERIES))
    write_subset(tmp_path, "TextVQA", columns([ROW] * 3))
    write_subset(tmp_path, "Own", columns([ROW] * 3))
    return tmp_path


def names(tasks: tuple[Task, ...]) -> list[str]:
    return [task.name for task in tasks]


def test_every_task_of_every_suite_is_registered() -> None:
    known = all_tasks()
    assert {row.name for row in ROWS} <= set(known)
    for suite in suites().values():
        assert set(suite.tasks) - LACKING.keys() <= set(known), suite.name
        assert names(resolve_tasks(suite=suite.name)) == [name for name in suite.tasks if name not in LACKING]


def test_names_narrow_a_suite() -> None:
    tasks = resolve_tasks("RefCOCO, MSCOCO@global,RefCOCO ,MSCOCO", "mmeb-grounding")
    assert names(tasks) == ["RefCOCO", "MSCOCO@global", "MSCOCO"]
    with pytest.raises(UserError, match=r"(?s)GQA is not in suite mmeb-grounding.*has MSCOCO, RefCOCO"):
        resolve_tasks("MSCOCO,GQA", "mmeb-grounding")
    with pytest.raises(UserError, match=r"(?s)no task named 'MSCOC'"):
        resolve_tasks("MSCOC", "mmeb-grounding")


@pytest.mark.parametrize("written", [["GQA,MSCOCO"], ["GQA", "MSCOCO"], ["GQA , MSCOCO", "GQA"], "GQA,MSCOCO"])
def test_names_may_have_commas_between_or_stand_alone(written: str | list[str]) -> None:
    assert names(resolve_tasks(written)) == ["GQA", "MSCOCO"]


def test_a_name_with_a_comma_and_a_space_is_reached_alone(folder: Path) -> None:
    write_subset(folder, "Own, too", columns([ROW] * 3))
    assert names(resolve_tasks(["Own, too"], data=folder)) == ["Own, too"]
    assert names(resolve_tasks(["Own, too@global", "Own,TextVQA"], data=folder)) == [
        "Own, too@global",
        "Own",
        "TextVQA",
    ]


@pytest.mark.parametrize("scope", ["local", "global"])
def test_a_scope_is_overridden_and_stays_in_the_name(scope: str) -> None:
    (plain,), (scoped,) = resolve_tasks("MSCOCO_t2i"), resolve_tasks(f"MSCOCO_t2i@{scope}")
    assert scoped == replace(plain, name=f"MSCOCO_t2i@{scope}", scope=scope)


@pytest.mark.parametrize("choice", [(None, None), ("", None), ("all", None), ("all@global", None), (",", None)])
def test_nothing_to_run_is_an_error(choice: tuple[str | None, str | None]) -> None:
    with pytest.raises(UserError):
        resolve_tasks(*choice)


def test_an_unknown_name_is_an_error_with_a_guess(folder: Path) -> None:
    with pytest.raises(UserError, match="MSCOCO_t2i"):
        resolve_tasks("mscoco-t2i")
    with pytest.raises(UserError, match=r"(?s)no task named 'Onw'.*Did you mean Own"):
        resolve_tasks("Onw@global", data=folder)
    with pytest.raises(UserError, match="no suite"):
        resolve_tasks(suite="mteb")


@pytest.mark.parametrize("choice", ["all", None])
def test_all_is_every_subset_of_the_folder(folder: Path, choice: str | None) -> None:
    tasks = resolve_tasks(choice, data=folder)
    assert names(tasks) == ["GQA", "Own", "TextVQA"]
    assert [task.num_queries for task in tasks] == [NUM_QUERIES, None, None]
    assert names(resolve_tasks("all@global,Own", data=folder)) == ["GQA@global", "Own@global", "TextVQA@global", "Own"]


def test_with_a_folder_every_row_comes_from_there(folder: Path) -> None:
    images = folder / "pictures"
    for task in resolve_tasks("all,TextVQA@global", "mmeb", folder, images):
        assert task.source == FolderSource(folder, images)


def test_a_registered_name_keeps_its_row_count(folder: Path) -> None:
    (task,) = resolve_tasks("TextVQA", data=folder)
    assert task.num_queries == NUM_QUERIES
    with pytest.raises(UserError, match="has 3 rows, but TextVQA has 1000"):
        task.source.info(task)


def test_a_registered_name_that_the_folder_lacks_is_an_error(folder: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)no subset named 'OK-VQA'.*GQA, Own, TextVQA"):
        resolve_tasks("OK-VQA", data=folder)


def test_of_a_suite_the_tasks_that_are_there_are_taken(folder: Path) -> None:
    assert names(resolve_tasks(suite="mmeb", data=folder)) == ["GQA", "TextVQA"]
    assert names(resolve_tasks("TextVQA", "mmeb", folder)) == ["TextVQA"]
    with pytest.raises(UserError, match="Own is not in suite mmeb"):
        resolve_tasks("Own", "mmeb", folder)
    with pytest.raises(UserError, match=r"(?s)nothing of suite mmeb-grounding.*RefCOCO.*GQA, Own, TextVQA"):
        resolve_tasks(suite="mmeb-grounding", data=folder)


def test_a_file_is_one_task(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    lines = [{"target": "a", "text": "a"}, {"query": "q", "text": "q", "positives": ["a"]}]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    for choice in (None, "all", "mine"):
        assert names(resolve_tasks(choice, data=path)) == ["mine"]
    with pytest.raises(UserError, match="one task, mine"):
        resolve_tasks("yours", data=path)
    with pytest.raises(UserError, match="not a suite"):
        resolve_tasks(suite="mmeb", data=path)


def test_data_that_is_nothing_we_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rows.xlsx").touch()
    with pytest.raises(UserError, match="neither a folder nor"):
        resolve_tasks(data=tmp_path / "rows.xlsx")
    with pytest.raises(UserError, match="does not exist"):
        resolve_tasks(data=tmp_path / "gone")


@pytest.mark.parametrize(("name", "clash"), [("Plugin", False), ("GQA", True)])
def test_other_packages_add_tasks(monkeypatch: pytest.MonkeyPatch, name: str, clash: bool) -> None:
    plugin = ModuleType("a_plugin")
    plugin.tasks = lambda: (Task(name, None, None, None, None, FolderSource(Path("x"))),)
    monkeypatch.setitem(sys.modules, "a_plugin", plugin)
    monkeypatch.setattr(catalog, "entry_points", lambda group: [EntryPoint("x", "a_plugin:tasks", group)])
    if not clash:
        assert names(resolve_tasks(name)) == [name]
        return
    with pytest.raises(UserError, match="a task GQA, but there is one already"):
        all_tasks()


@pytest.mark.parametrize("value", ["no_such_package:tasks", "json:nothing", "json:loads", "os:abort.__get__"])
def test_a_package_whose_tasks_do_not_load_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    entry = EntryPoint("x", value, catalog.ENTRY_POINTS)
    monkeypatch.setattr(catalog, "entry_points", lambda group: [entry])
    with pytest.raises(UserError, match=f"{value} cannot be loaded"):
        all_tasks()
