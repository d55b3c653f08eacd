"""The house rules that can be checked: who imports whom, how long things get, what an import costs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("harness", "tasks", "leaderboards", "trainers", "llave")
MAY_IMPORT = {
    "harness": {"harness"},
    "tasks": {"harness", "tasks"},
    "leaderboards": {"harness", "tasks", "leaderboards"},
    "trainers": {"harness", "tasks", "trainers"},
    "llave": {"harness", "tasks", "leaderboards", "trainers", "llave"},
}
FRONT_DOOR = Path("llave/cli")
MOST_LINES, MOST_FUNCTION_LINES = 300, 60


def _sources(*packages: str) -> list[Path]:
    return sorted(path.relative_to(ROOT) for name in packages for path in (ROOT / name).rglob("*.py"))


def _tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", _sources(*PACKAGES), ids=str)
def test_imports_run_one_way(path: Path) -> None:
    ours = {name for name in _imports(_tree(path)) if name in PACKAGES}
    assert ours <= MAY_IMPORT[path.parts[0]]


@pytest.mark.parametrize("path", _sources(*PACKAGES, "tests", "benchmarks"), ids=str)
def test_files_are_short(path: Path) -> None:
    most = MOST_LINES if path.parts[0] in PACKAGES else 2 * MOST_LINES
    assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) <= most


@pytest.mark.parametrize("path", _sources(*PACKAGES, "benchmarks"), ids=str)
def test_functions_are_short(path: Path) -> None:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < MOST_FUNCTION_LINES, f"{node.name} is too long"


@pytest.mark.parametrize("path", _sources("harness"), ids=str)
def test_the_engine_has_no_any_and_no_open_arguments(path: Path) -> None:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "typing":
            assert "Any" not in {alias.name for alias in node.names}
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.args.kwarg is None, f"{node.name} takes **{node.args.kwarg and node.args.kwarg.arg}"


@pytest.mark.parametrize("path", _sources(*PACKAGES), ids=str)
def test_nothing_unsafe(path: Path) -> None:
    assert "pickle" not in set(_imports(_tree(path)))
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ExceptHandler):
            caught = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"all"}
            swallows = not any(isinstance(each, ast.Raise) and each.exc is None for each in ast.walk(node))
            assert not (caught & {"all", "Exception", "BaseException"} and swallows), f"line {node.lineno}"
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
            assert not (isinstance(node.value, ast.Constant) and node.value.value is True)


def test_every_function_is_typed_and_every_public_one_documented() -> None:
    bare = []
    for path in _sources(*PACKAGES):
        for node in _tree(path).body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            contract = path.parent == FRONT_DOOR and node.name in ("add_arguments", "run")  # said once, in the package
            if node.name.startswith("_") or contract or ast.get_docstring(node) is not None:
                continue
            if path.parts[0] == "harness":
                bare.append(f"{path}:{node.lineno} {node.name}")
    known = {"build_parser", "result_folder", "rows_are_whole", "own_version"}
    assert [each for each in bare if each.split()[-1] not in known] == []


def _python(code: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )


def test_the_engine_imports_fast_and_without_torch() -> None:
    heavy = "{'torch', 'transformers', 'datasets', 'pandas', 'cv2', 'sentence_transformers', 'accelerate'}"
    code = f"import sys, harness, harness.evaluate, llave.cli.main; print(sorted({heavy} & set(sys.modules)))"
    assert _python(code).stdout.strip() == "[]"
    timed = "import time; a = time.perf_counter(); import harness; print(time.perf_counter() - a)"
    assert min(float(_python(timed).stdout) for _ in range(3)) < 0.5


def test_a_shadowed_sibling_is_named(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").touch()
    found = _python("import harness", tmp_path)
    assert found.returncode != 0
    assert "shadowed" in found.stderr
    assert str(tmp_path) in found.stderr


def test_the_packages_that_the_project_promises_are_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = {"torch", "transformers", "datasets", "pandas", "accelerate", "rich", "decord", "jsonlines"}
    assert promised <= {each.split(">")[0] for each in project["dependencies"]}
    assert project["scripts"] == {"llave": "llave.cli.main:main"}


def test_constraints_pin_what_moves_vectors_and_block_what_is_never_needed() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert {"torch==2.13.0", "pillow==12.3.0", "torchvision==0.0.0.dev0", "torchaudio==0.0.0.dev0"} <= set(pins)
