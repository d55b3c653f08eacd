"""Tests of a user's own class: the page's example works, errors name mistakes, and edits change the identity."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.errors import ModelFailed, UserError, model_traceback
from harness.models import open_model
from harness.types import Item, Media, ModelSettings
from llave.cli.main import main

PAGE = Path(__file__).resolve().parents[3] / "docs/add-a-model.md"
HEAD = "from harness.types import Features, ModelSpec\n"
MODEL = """
class Model:
    spec = ModelSpec("mine", "1", "mine/1"{spec})
    def __init__(self{parameters}): self.given = {given}
    def prepare(self, item, role): return Features(1)
    def embed(self, features): return [[1.0]] * len(features)
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a module into an empty current folder, and forgets what was imported from it afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(name: str, text: str) -> None:
        sys.modules.pop(name, None)
        (tmp_path / f"{name}.py").write_text(HEAD + text)

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def model(spec="", parameters="", given="None"):
    return MODEL.format(spec=spec, parameters=parameters, given=given)


def opened(name="mine_module:Model", **given_settings):
    return open_model(name, ModelSettings(**given_settings))


def test_the_example_of_the_page_is_short_and_works(write, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 1
    assert len(blocks[0].splitlines()) < 40
    (tmp_path / "colours.py").write_text(blocks[0])
    Image.new("RGB", (30, 20), "red").save(tmp_path / "red.png")

    handle = opened("colours:ColoursAndLetters")
    embedder = handle.load()
    items = [Item("a red cube"), Item("<|media|>\nfind it", (Media("image", "red.png", tmp_path),))]
    vectors = np.asarray(embedder.embed([embedder.prepare(item, "query") for item in items]))
    assert vectors.shape == (2, 30)
    assert vectors[1, :3].tolist() == [1, 0, 0]
    assert vectors.any(axis=1).all()
    assert handle.spec.name == "colours-and-letters"


def test_a_spec_on_the_class_is_read_without_making_the_model(write):
    write("mine_module", model(given="1 / 0"))
    handle = opened()
    with pytest.raises(ModelFailed):
        handle.load()


def test_a_spec_of_the_constructor_makes_the_model_once(write):
    write(
        "mine_module",
        model().replace("    spec =", "    made = 0\n    later =").replace("self.given = None", "self.set()"),
    )
    with (Path.cwd() / "mine_module.py").open("a") as file:
        file.write("    def set(self): self.spec = self.later; Model.made += 1\n")
    handle = opened()
    assert handle.spec.name == "mine"
    assert handle.load() is handle.load()
    assert sys.modules["mine_module"].Model.made == 1


def test_an_edit_of_the_file_changes_the_identity(write):
    write("mine_module", model())
    first = opened().spec
    assert opened().spec == first
    write("mine_module", model() + "# changed\n")
    assert opened().spec.adapter != first.adapter
    assert first.adapter.endswith("mine/1")


def test_the_constructor_gets_the_settings_it_asks_for(write):
    write("mine_module", model(parameters=", device='cpu', dtype='float32', *, seed", given="(device, dtype, seed)"))
    assert opened(seed=7).load().given == ("cpu", "float32", 7)
    handle = opened(device="cuda", dtype="bfloat16", seed=8)
    assert handle.load().given == ("cuda", "bfloat16", 8)
    assert (handle.spec.dtype, handle.spec.options["seed"]) == ("bfloat16", 8)
    assert opened(device="cuda").spec == opened().spec


def test_a_device_without_a_default_is_given_as_it_was_written(write):
    write("mine_module", model(parameters=", device", given="device"))
    assert opened().load().given == "auto"


@pytest.mark.parametrize("flag", [{"device": "cuda"}, {"dtype": "float16"}])
def test_settings_without_a_parameter_are_refused(write, flag):
    write("mine_module", model())
    with pytest.raises(UserError, match=f"takes no {next(iter(flag))}"):
        opened(**flag)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("nowhere:Model", "", "no module 'nowhere'"),
        ("mine_module.py:Model", model(), "no module 'mine_module.py'"),
        ("mine_module:Modell", model(), "no class in mine_module named 'Modell'.\n.*Model"),
        ("mine_module:HEAD", "HEAD = 1", "no class in mine_module named 'HEAD'"),
        ("mine_module:Model", "import not_installed_anywhere", "imports 'not_installed_anywhere'"),
        ("mine_module:Model", "class Model: spec = ModelSpec('', '', '')", "no method prepare and no method embed"),
        ("mine_module:Model", model().replace("embed", "embeds"), "no method embed"),
        ("mine_module:Model", model().replace("    spec", "    sepc"), "has no `spec`"),
        ("mine_module:Model", re.sub(r"ModelSpec\(.*", "'mine'", model()), "has no `spec`"),
    ],
)
def test_mistakes_are_named(write, name, text, says):
    write("mine_module", text)
    with pytest.raises(UserError, match=says):
        opened(name)


FAULTS = {
    "1 / 0": "ZeroDivisionError: division by zero",
    "from json import no_such_name": "ImportError: cannot import name 'no_such_name'",
    "raise ModuleNotFoundError": "ModuleNotFoundError",
    "raise OSError(2, 'gone', 'a.bin')": "FileNotFoundError: .*'a.bin'",
    "{}['width']": "KeyError: 'width'",
}


@pytest.mark.parametrize("fault", [*FAULTS, "x = = 1"])
def test_an_error_inside_the_users_file_is_told_as_its_own_with_its_traceback(write, fault):
    write("mine_module", fault)
    with pytest.raises(ModelFailed, match=f"The import of mine_module failed: {FAULTS.get(fault, 'SyntaxError')}"):
        opened()
    with pytest.raises(ModelFailed) as caught:
        opened()
    assert "mine_module.py" in model_traceback(caught.value)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("spec_of_class", [True, False])
def test_an_error_inside_the_constructor_is_told_as_the_models_own(write, fault, spec_of_class):
    text = model().replace("self.given = None", fault)
    write("mine_module", text if spec_of_class else text.replace("    spec", "    later"))
    with pytest.raises(ModelFailed, match=f"The constructor of mine_module:Model failed: {FAULTS[fault]}") as caught:
        opened().load()
    assert ", in __init__" in model_traceback(caught.value)


def test_a_package_that_the_constructor_needs_is_named(write):
    write("mine_module", model().replace("self.given = None", "import not_installed_anywhere"))
    with pytest.raises(UserError, match="mine_module:Model imports 'not_installed_anywhere'") as caught:
        opened().load()
    assert not isinstance(caught.value, ModelFailed)


@pytest.mark.parametrize("spec", ["spec", "later"])
def test_a_lack_of_memory_in_the_constructor_is_told_as_one(write, spec):
    text = (
        model().replace("self.given = None", "raise RuntimeError('CUDA out of memory')").replace("spec =", f"{spec} =")
    )
    write("mine_module", text)
    with pytest.raises(UserError, match="not enough memory to load mine"):
        opened().load()


def test_the_command_shows_the_traceback_of_a_file_that_fails(write, capsys):
    write("mine_module", "def inner():\n    return 1 / 0\ninner()")
    assert main(["run", "mine_module:Model", "--suite", "demo"]) == 2
    said = capsys.readouterr().err
    assert "in inner\n" in said
    assert "error: The import of mine_module failed: ZeroDivisionError: division by zero." in said
    assert "llave made a mistake" not in said


def test_the_door_for_models_loads_nothing_until_it_is_used():
    code = "import sys, harness.media; assert 'PIL' not in sys.modules, 'heavy'; "
    code += "from harness.media import map_frames, open_image, read_frames; import harness.media.images as i; "
    code += "import harness.media.video as v; assert open_image is i.open_image; assert read_frames is v.read_frames; "
    code += "assert map_frames is v.map_frames; assert not hasattr(harness.media, 'other')"
    subprocess.run([sys.executable, "-c", code], cwd=PAGE.parents[1], check=True)


def test_the_current_folder_never_hides_an_installed_module(write):
    write("colorsys", model())
    with pytest.raises(UserError, match="no class in colorsys"):
        opened("colorsys:Model")


def test_a_model_with_an_option_named_pairs_is_not_taken_for_the_oracle(write):
    write("mine_module", model(spec=', options={"pairs": ""}'))
    assert not opened().needs_answers
