"""Tests of finding models by name: built-in rows, rows of other packages, and unknown names."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import harness.models
from harness.errors import UserError
from harness.models import ROWS, installed_rows, open_model
from harness.types import ModelRow, ModelSettings

ROOT = Path(__file__).resolve().parents[3]
ROW = ModelRow("plug/", "a plug-in", ("text",), lambda name, _: open_model("null/constant", ModelSettings()))
NOT_ROWS = ("plug",)


class _Failing:
    @property
    def rows(self):
        raise ValueError("of its own")


FAILING = _Failing()


@pytest.fixture
def plug_in(monkeypatch):
    def install(value: str) -> None:
        point = EntryPoint("mine", f"{__name__}:{value}", "llave.models")
        monkeypatch.setattr(harness.models, "entry_points", lambda group: [point] if group == "llave.models" else [])

    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    return install


def test_rows_are_complete_and_their_names_unique():
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(row.summary and row.modalities for row in ROWS)
    assert {row.verified.partition(":")[0] for row in ROWS} <= {
        "golden",
        "documented",
        "real weights",
        "tests",
        "named",
    }


def test_a_row_that_ends_in_a_slash_takes_the_rest(plug_in):
    plug_in("ROW")
    assert ROW in installed_rows()
    assert open_model("plug/anything:7b", ModelSettings()).spec.name == "null/constant"


@pytest.mark.parametrize("value", ["NOT_ROWS", "MISSING", "FAILING.rows"])
def test_a_broken_plug_in_is_named_but_does_not_stop_what_is_built_in(plug_in, value):
    plug_in(value)
    assert open_model("null/constant", ModelSettings()).spec.name == "null/constant"
    with pytest.raises(UserError, match=value):
        open_model("plug/x", ModelSettings())


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("null/constnat", "null/constant"),
        ("Classical", "classical"),
        ("sentence-transformer", "sentence-transformers/"),
    ],
)
def test_an_unknown_name_gets_the_closest_known_ones(name, close):
    with pytest.raises(UserError, match=f"no model named '{name}'") as caught:
        open_model(name, ModelSettings())
    assert f"Did you mean {close}" in caught.value.hint
    assert "llave models" in caught.value.hint


def test_looking_a_name_up_loads_no_heavy_library():
    code = (
        "import sys; from harness.models import open_model; from harness.types import ModelSettings;"
        "open_model('null/random', ModelSettings());"
        "print({'torch', 'cv2', 'transformers', 'sentence_transformers', 'huggingface_hub'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_a_bare_folder_is_known_by_its_model_type(tmp_path, monkeypatch):
    asked = []
    row = ModelRow("kind/", "", ("text",), lambda name, _: asked.append(name), model_type="some_type")
    monkeypatch.setattr(harness.models, "ROWS", (row,))
    (tmp_path / "config.json").write_text('{"model_type": "some_type"}')
    open_model(str(tmp_path), ModelSettings())
    assert asked == [str(tmp_path)]
    (tmp_path / "config.json").write_text('{"model_type": "another"}')
    with pytest.raises(UserError):
        open_model(str(tmp_path), ModelSettings())
