"""Files of the user with the name of a module: llave-bench takes its own, or one line says what is in the way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("harness", "tasks", "leaderboards", "trainers")
HOSTILE = "raise RuntimeError('this is a file of the user')\n"


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=240)


def _write(folder: Path, names: Sequence[str], *, packages: bool) -> None:
    for name in names:
        file = folder / name / "__init__.py" if packages else folder / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(HOSTILE)


@pytest.mark.parametrize("packages", [False, True])
def test_the_command_works_beside_files_of_any_name(tmp_path: Path, packages: bool) -> None:
    names = [*OURS, "datasets", "random", "types", "jsonlines", "tempfile", "numpy"]
    _write(tmp_path, names, packages=packages)
    run = _run(tmp_path, sys.executable, "-m", "llave", "run", "classical", "--tasks", "demo-video-t2v", "--limit", "2")
    assert (run.returncode, "Traceback" in run.stderr) == (0, False), run.stderr
    assert "demo-video-t2v" in run.stdout  # its clips are decoded in other processes


def test_accelerate_launches_the_command_beside_them(tmp_path: Path) -> None:
    _write(tmp_path, [*OURS, "datasets", "random"], packages=False)
    launcher = Path(sys.executable).with_name("accelerate")
    if not launcher.exists():
        pytest.skip("the command accelerate is not installed beside Python")
    for processes in ("1", "2"):
        options = ("launch", "--cpu", "--num_processes", processes, "--num_machines", "1", "-m")
        run = _run(tmp_path, str(launcher), *options, "llave", "run", "--help")
        assert (run.returncode, "usage: llave run" in run.stdout) == (0, True), run.stderr


@pytest.mark.parametrize("packages", [False, True])
def test_a_notebook_cell_or_a_script_takes_our_packages(tmp_path: Path, packages: bool) -> None:
    """The folder of a notebook or of a script comes first on Python's path, and stays there."""
    _write(tmp_path, OURS, packages=packages)
    (tmp_path / "datasets").mkdir()  # without a module in it, such a folder hides nothing
    cell = "import llave, leaderboards.load, trainers.config; print(len(llave.tasks().frame()) > 36)"
    (tmp_path / "script.py").write_text(cell)
    for command in (("-c", cell), ("script.py",)):
        run = _run(tmp_path, sys.executable, *command)
        assert (run.stdout, run.stderr) == ("True\n", "")


def test_importing_the_engine_alone_finds_its_siblings(tmp_path: Path) -> None:
    _write(tmp_path, OURS[1:], packages=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    code = "import harness, tasks.names; print(tasks.names.__file__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert found.stdout.strip() == str(ROOT / "tasks" / "names.py"), found.stderr


def test_a_module_that_was_imported_before_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("")
    run = _run(tmp_path, sys.executable, "-c", "import tasks, llave")
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        f"error: {tmp_path / 'tasks.py'} was imported as 'tasks', which is the name of a package of llave-bench. "
        "Rename it, or work in another folder."
    ]
    caught = "import tasks\ntry:\n    import llave\nexcept ImportError as error:\n    print(error._render_traceback_())"
    assert "error: " in _run(tmp_path, sys.executable, "-c", caught).stdout


def test_a_hidden_module_is_named_in_one_line(tmp_path: Path) -> None:
    """Where Python itself takes the user's file, nothing can be imported; otherwise a warning names it."""
    _write(tmp_path, ["numpy"], packages=False)
    run = _run(tmp_path, sys.executable, "-c", "import llave")
    assert run.stderr.splitlines() == [
        f"error: {tmp_path / 'numpy.py'} hides the installed package 'numpy'. Rename it, or work in another folder."
    ]
    (tmp_path / "numpy.py").unlink()
    (tmp_path / "wave.py").write_text("")
    run = _run(tmp_path, sys.executable, "-c", "import llave; print(len(llave.__all__) > 5)")
    assert run.stdout == "True\n"
    (line,) = run.stderr.splitlines()
    assert f"{tmp_path / 'wave.py'} hides Python's own module 'wave'" in line


def test_an_error_of_another_kind_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("")
    code = "import tasks\ntry:\n    import llave\nexcept ImportError:\n    pass\nraise ValueError('mine')"
    assert "Traceback" in _run(tmp_path, sys.executable, "-c", code).stderr
