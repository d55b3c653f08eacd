"""The documentation does what it says: every command and every block of code is run, or checked as far as can be.

A command is run in a folder of its own where that needs no download, no GPU and no more than seconds. Otherwise the
real parser reads it, and every name in it must exist; the test's name says what a run would need.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from llave.cli.main import main
from tests.helpers import llave_files
from tests.helpers.doc_commands import VERDICTS, check, parse, shortened, why_not_run
from tests.helpers.doc_folder import call, train, write_data, write_modules, write_results
from tests.helpers.doc_pages import PAGES, PROGRAMS, ROOT, SHELLS, Block, Command, blocks, commands

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)

BLOCKS = tuple(blocks())
COMMANDS = tuple({command.words: command for command in commands()}.values())
"""Each command once, at the last of its places."""
NEEDS = {command: why_not_run(command) for command in COMMANDS}
"""What a run of each command needs; None for the commands that are run."""
PYTHON = tuple(block for block in BLOCKS if block.language == "python")
OWN = re.compile(
    r"https://(?:github\.com|raw\.githubusercontent\.com)/llave-bench/llave-bench/(?:(?:blob|tree)/)?main/"
)
"""Links to files of this repository, which must exist."""
LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder for commands, with the data and results that the pages name."""
    place = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.syspath_prepend(str(place))
        write_data(place)
        write_modules(place, PYTHON)
        write_results(place)
        yield place


@pytest.fixture(scope="module")
def trained(folder: Path) -> None:
    """The checkpoints that the pages name."""
    train(folder)


def _called(command: Command) -> str:
    return f"{command.place} [{'run' if NEEDS[command] is None else f'parsed, a run needs {NEEDS[command]}'}]"


def _shows_checkpoints(words: Sequence[str]) -> bool:
    return "--by" in words or any("checkpoint-300" in word for word in words)


def _marked(command: Command) -> object:
    slow = "train" in command.words or _shows_checkpoints(command.words)
    return pytest.param(command, marks=pytest.mark.slow) if slow else command


@pytest.mark.parametrize("command", [_marked(each) for each in COMMANDS if NEEDS[each] is None], ids=_called)
def test_a_command_runs(command: Command, folder: Path, request: pytest.FixtureRequest) -> None:
    words = shortened(command)
    if _shows_checkpoints(words):
        request.getfixturevalue("trained")
    allowed = (0, 1) if parse(words).command in VERDICTS else (0,)
    assert main(words) in allowed


@pytest.mark.parametrize("command", [each for each in COMMANDS if NEEDS[each] is not None], ids=_called)
def test_a_command_that_is_not_run_is_understood(command: Command) -> None:
    check(command)


def test_the_readme_shows_what_its_command_prints(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = next(block for block in BLOCKS if block.page == "README.md" and block.language == "text")
    before = [each for each in COMMANDS if each.page == "README.md" and each.line < shown.line and "run" in each.words]
    monkeypatch.setenv("COLUMNS", "80")
    printed = call(*before[-1].words[1:])
    assert shown.text.strip() in printed
    assert max(map(len, shown.text.splitlines())) <= 80


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({block.page for block in PYTHON}))
def test_the_python_of_a_page_runs(page: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its first block to its last, in a folder of its own, with the data and results of the other commands."""
    for entry in folder.iterdir():
        if entry.name != "runs" and not entry.is_dir():
            shutil.copy(entry, tmp_path / entry.name)
        elif entry.name != "runs":
            shutil.copytree(entry, tmp_path / entry.name, symlinks=True)
    shutil.copytree(folder / "runs/results", tmp_path / "runs/results")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "docs"}
    for block in PYTHON:
        if block.page == page:
            exec(compile(block.text, block.place, "exec"), names)


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language in ("json", "yaml", "toml")], ids=str)
def test_a_block_of_data_can_be_read(block: Block) -> None:
    if block.language == "yaml":
        assert yaml.safe_load(block.text)
    elif block.language == "toml":
        assert tomllib.loads(block.text)
    elif block.text.startswith("{\n"):
        assert json.loads(block.text)
    else:
        assert all(map(json.loads, block.text.splitlines()))


def test_no_command_hides_in_another_block() -> None:
    hidden = [
        f"{block.place}: {line}"
        for block in BLOCKS
        if block.language in SHELLS and not block.is_shell
        for line in block.text.splitlines()
        if line.partition(" ")[0] in PROGRAMS and not line.startswith("make ")
    ]
    assert not hidden


def test_every_link_to_a_file_of_the_repository_leads_somewhere() -> None:
    broken = []
    for page in PAGES:
        for link in LINK.finditer(page.read_text(encoding="utf-8")):
            target, _, _ = (link[1] or link[2]).partition("#")
            if OWN.match(target):
                found = ROOT / OWN.sub("", target)
            elif target and not re.match(r"[a-z]+:", target):
                found = page.parent / target
            else:
                continue
            if not found.exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken


def test_links_of_the_readme_work_on_a_package_index() -> None:
    targets = [link[1] or link[2] for link in LINK.finditer((ROOT / "README.md").read_text(encoding="utf-8"))]
    assert targets
    assert not [each for each in targets if not each.startswith(("https://", "#"))]


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"[\w/-]+\.md", text[text.index("\nnav:") :])
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= set(listed)
    assert len(listed) == len(set(listed))


def test_versions_and_names_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project["version"]
    assert [each["name"] for each in citation["authors"]] == [each["name"] for each in project["authors"]]
    assert citation["license"] == project["license"]
    assert project["urls"]["Source"] == citation["repository-code"]


def test_forms_and_workflows_are_valid_yaml() -> None:
    for path in (*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8")), path
    assert all(os.access(ROOT / ".ci" / name, os.X_OK) for name in ("run", "wheel"))


def test_every_benchmark_says_how_it_is_called() -> None:
    called = {command.words[1] for command in COMMANDS if command.words[0] == "python" and len(command.words) > 1}
    scripts = {
        f"benchmarks/{path.name}"
        for path in (ROOT / "benchmarks").glob("*.py")
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in ast.parse(path.read_text()).body)
    }
    assert scripts <= called
