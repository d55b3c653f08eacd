"""The house rules that can be checked: who imports whom, how long things get, what an import costs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.prose import breaches

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("harness", "tasks", "leaderboards", "trainers", "llave")
MOST_LINES, MOST_FUNCTION_LINES, MOST_ENTRIES = 300, 60, 16

FLOORS: Mapping[str, Sequence[set[str]]] = {
    "": ({"harness"}, {"tasks"}, {"leaderboards", "trainers"}, {"llave"}),
    "harness": (
        {"types", "progress"},
        {"errors"},
        {"settings", "files", "identity"},
        {"media"},
        {"data", "encoding"},
        {"scoring", "models"},
        {"results", "doctor"},
        {"plan"},
        {"evaluate", "embed"},
    ),
    "harness/models": (
        {"checkpoint_files", "common", "hub"},
        {"fitting", "network_config", "tokenizer"},
        {"weights"},
        {"checkpoints"},
        {"baselines", "custom", "llave", "libraries", "endpoints"},
        {"dual", "vlm"},
        {"recognition"},
    ),
    "tasks": (
        {"names", "jsonl", "video", "embedded"},
        {"corpus", "mmeb"},
        {"mmeb_v2", "mmeb_v3", "hub_set", "union", "clustering"},
        {"demo"},
        {"suites"},
        {"catalog"},
    ),
    "leaderboards": (
        {"layout"},
        {"stats", "tables", "published"},
        {"latex", "contents"},
        {"pictures"},
        {"exchange"},
        {"load"},
        {"board", "submission"},
        {"run_table", "result_list"},
        {"compare"},
        {"analysis"},
        {"page"},
    ),
    "llave": ({"words", "shadows", "process", "second_load"}, {"api"}, {"cli"}, {"__main__"}),
    "trainers": ({"config", "loss"}, {"recipes", "data"}, {"monitor"}, {"engine"}, {"estimate", "train"}),
}
"""The rooms of each folder, floor by floor. A room imports only from lower floors."""


def _sources(*packages: str) -> list[Path]:
    return sorted(path.relative_to(ROOT) for name in packages for path in (ROOT / name).rglob("*.py"))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


@cache
def _imports_of(path: Path) -> tuple[str, ...]:
    return tuple(_imports(_tree(path)))


def _imports(tree: ast.Module) -> Iterator[str]:
    """Full names of what is imported: the module, and the name behind `import` as if it were a module too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(name: Sequence[str], folder: Sequence[str]) -> str | None:
    """The room of a module in a folder, if it lies there. A folder's own `__init__` is no room."""
    inside = tuple(name[: len(folder)]) == tuple(folder) and len(name) > len(folder)
    return name[len(folder)] if inside else None


def _arrows(folder: str) -> Iterator[tuple[str, str, Path]]:
    """The imports between the rooms of a folder, each with the file that has it."""
    parts = tuple(folder.split("/")) if folder else ()
    for path in _sources(*PACKAGES):
        here = _room([*path.with_suffix("").parts], parts)
        for name in _imports_of(path):
            there = _room(name.split("."), parts)
            if here and there and here != there and here != "__init__":
                yield here, there, path


@pytest.mark.parametrize("folder", FLOORS)
def test_every_room_has_its_floor(folder: str) -> None:
    if not folder:
        assert set().union(*FLOORS[folder]) == set(PACKAGES)
        return
    entries = {
        path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert set().union(*FLOORS[folder]) == entries - {"__init__"}


@pytest.mark.parametrize("folder", FLOORS)
def test_imports_go_down_only(folder: str) -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS[folder]) for room in rooms}
    arrows = [arrow for arrow in _arrows(folder) if {arrow[0], arrow[1]} <= floor.keys()]
    assert [f"{path}: {here} imports {there}" for here, there, path in arrows if floor[there] >= floor[here]] == []


FOLDERS = sorted({str(path.parent) for path in _sources(*PACKAGES)})


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_circles(folder: str) -> None:
    """Files and folders of every folder can be put in an order in which imports only go back."""
    below: dict[str, set[str]] = defaultdict(set)
    for here, there, _ in _arrows(folder):
        below[here].add(there)
    while below:
        free = [room for room, others in below.items() if not others & below.keys()]
        assert free, f"a circle among {sorted(below)}"
        for room in free:
            del below[room]


def test_the_engine_imports_no_adapter() -> None:
    engine = [path for path in _sources("harness") if path.parts[1] != "models"]
    found = [(str(path), name) for path in engine for name in _imports_of(path) if name.startswith("harness.models")]
    assert found == []


def test_a_public_class_name_is_unique() -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for path in _sources(*PACKAGES):
        for node in _tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(str(path))
    assert {name: paths for name, paths in where.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("folder", [*FOLDERS, "benchmarks", "tests", "docs"])
def test_folders_are_small(folder: str) -> None:
    """Pictures are not counted. In `benchmarks` only scripts count, not the page, the results and the shared code."""
    usual = ("__", ".", "py.typed", *(("README.md", "results", "lib") if folder == "benchmarks" else ()))
    entries = [
        entry.name for entry in (ROOT / folder).iterdir() if not entry.name.startswith(usual) and entry.suffix != ".png"
    ]
    assert len(entries) <= (2 * MOST_ENTRIES if folder == "docs" else MOST_ENTRIES), sorted(entries)


def test_files_are_short() -> None:
    for path in _sources(*PACKAGES, "tests", "benchmarks"):
        most = MOST_LINES if path.parts[0] in PACKAGES else 2 * MOST_LINES
        assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) <= most, path


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(_tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_functions_are_short() -> None:
    for path in _sources(*PACKAGES, "benchmarks"):
        for node in _functions(path):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < MOST_FUNCTION_LINES, f"{path}: {node.name} is too long"


def test_the_engine_has_no_any_and_no_open_arguments() -> None:
    for path in _sources("harness"):
        assert "typing.Any" not in _imports_of(path), path
        assert [node.name for node in _functions(path) if node.args.kwarg is not None] == [], path


def _tells(handler: ast.ExceptHandler, path: Path) -> bool:
    """Whether a handler of everything raises again, with the traceback. Only the readers of files may drop that."""
    raises = [each for each in ast.walk(handler) if isinstance(each, ast.Raise)]
    if path.parts[:2] == ("harness", "files"):
        return isinstance(handler.body[-1], ast.Raise)
    return any(each.exc is None or isinstance(each.cause, ast.Name) for each in raises)


def test_nothing_unsafe() -> None:
    for path in _sources(*PACKAGES):
        assert "pickle" not in _imports_of(path), path
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ExceptHandler):
                names = ast.walk(node.type) if node.type else ()
                caught = {name.id for name in names if isinstance(name, ast.Name)} if node.type else {"all"}
                broad = caught & {"all", "Exception", "BaseException"}
                assert not broad or _tells(node, path), f"{path}, line {node.lineno}"
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert not (isinstance(node.value, ast.Constant) and node.value.value is True), path


def _undocumented(path: Path) -> Iterator[str]:
    """Public functions, classes and methods without a docstring."""

    def visit(body: Sequence[ast.stmt], inside: str) -> Iterator[str]:
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            name = f"{inside}{node.name}"
            if ast.get_docstring(node) is None:
                yield f"{path}:{node.lineno} {name}"
            if isinstance(node, ast.ClassDef):
                yield from visit(node.body, f"{name}.")

    yield from visit(_tree(path).body, "")


def test_everything_public_is_documented() -> None:
    assert [name for path in _sources(*PACKAGES) for name in _undocumented(path)] == []


PAGES = sorted(path.relative_to(ROOT) for folder in ("", "docs", "benchmarks") for path in (ROOT / folder).glob("*.md"))


def test_prose_is_plain() -> None:
    paths = [*_sources(*PACKAGES), *PAGES]
    assert [f"{path}: {found.why}: {found.sentence}" for path in paths for found in breaches(ROOT / path)] == []


def _python(code: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )


def test_the_engine_imports_without_torch() -> None:
    heavy = (
        "{'torch', 'transformers', 'datasets', 'pandas', 'cv2', 'sentence_transformers', 'accelerate', 'decord', 'av'}"
    )
    modules = "harness, harness.evaluate, harness.embed, llave, llave.cli.main"
    code = f"import sys, {modules}; print(sorted({heavy} & set(sys.modules)))"
    assert _python(code).stdout.strip() == "[]"


def test_the_packages_that_the_project_promises_are_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = {"torch", "transformers", "datasets", "pandas", "accelerate", "rich", "decord", "jsonlines"}
    assert promised <= {each.split(">")[0] for each in project["dependencies"]}
    assert project["scripts"] == {"llave": "llave.__main__:start"}


def test_constraints_pin_what_moves_vectors_and_block_what_is_never_needed() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert {"torch==2.13.0", "pillow==12.3.0", "torchvision==0.0.0.dev0", "torchaudio==0.0.0.dev0"} <= set(pins)
