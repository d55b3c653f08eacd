"""The front door in Python: quick to open, and its page says what is true."""

from __future__ import annotations

import doctest
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import llave as front
from tests.helpers.api_page import MARK, PAGE, page

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "evaluate.ipynb"


def _python(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    ).stdout.strip()


def test_the_import_is_quick_and_loads_nothing_heavy():
    heavy = "{'torch', 'transformers', 'datasets', 'pandas', 'rich', 'PIL', 'matplotlib', 'scipy', 'cv2', 'IPython'}"
    assert _python(f"import sys, llave; print(sorted({heavy} & set(sys.modules)))") == "[]"
    # of the processor, so that a busy machine does not count
    timed = "import time; a = time.process_time(); import llave; print(time.process_time() - a)"
    assert min(float(_python(timed)) for _ in range(5)) < 0.5


def test_no_module_hides_a_function():
    code = "import llave, llave.cli.main, llave.api.engine, llave.api.plot; print([n for n in llave.__all__ if "
    assert _python(code + "type(getattr(llave, n)).__name__ == 'module'])") == "[]"


def test_every_function_says_what_it_takes_and_raises():
    for name in front.__all__:
        value = getattr(front, name)
        if not inspect.isfunction(value):
            continue
        text = inspect.getdoc(value) or ""
        assert "Returns:" in text, name
        assert "Raises:" in text, name
        assert "Example:" in text, name
        for parameter in inspect.signature(value).parameters.values():
            assert f"\n    {str(parameter).split(':')[0]}: " in text, f"{name} says nothing of {parameter.name}"
            assert parameter.annotation is not inspect.Parameter.empty


def test_a_notebook_shows_an_error_without_a_traceback():
    assert front.UserError("It is wrong.", "Do this.")._render_traceback_() == ["UserError: It is wrong.\nDo this."]


class TestPage:
    def test_it_is_made_from_the_docstrings(self):
        assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.helpers.api_page makes it anew"

    def test_every_public_name_is_on_it(self):
        text = page()
        for name in front.__all__:
            assert f"\n### llave.{name}\n" in text

    @pytest.mark.slow
    def test_every_block_runs(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        text = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
        names: dict[str, object] = {"__name__": "__page__"}
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(compile(block, "docs/api.md", "exec"), names)
        assert (tmp_path / "scores.png").stat().st_size > 1000
        assert (tmp_path / "board.html").stat().st_size > 1000
        assert names["vectors"].shape[0] == 2

    def test_every_example_holds(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
        for name in front.__all__:
            value = getattr(front, name)
            if inspect.isfunction(value):
                (test,) = finder.find(value, name, globs={"llave": front})
                assert test.examples
                runner.run(test)
        assert runner.summarize(verbose=False).failed == 0


class TestNotebook:
    def test_it_is_committed_without_outputs(self):
        cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
        assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)

    @pytest.mark.slow
    def test_its_cells_run_in_order(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        names: dict[str, object] = {"__name__": "__notebook__"}
        for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), str(NOTEBOOK), "exec"), names)
        assert names["figure"]._repr_png_().startswith(b"\x89PNG")
