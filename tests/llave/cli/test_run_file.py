"""`llave run --config`: a file is the flags that it stands for, and the file that a run writes repeats it."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.types import ModelSettings
from llave.cli.front import run_file, toml
from llave.cli.main import build_parser
from tests.conftest import Folder, Place
from tests.helpers import dual_files, llave_files

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
HASHED = "tests.helpers.embedders:Hashed"

text = st.text(st.characters(codec="utf-8"))
plain = st.one_of(
    text, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)
)
table = st.dictionaries(text, plain, max_size=3)


@given(st.dictionaries(text, st.one_of(plain, table, st.lists(st.one_of(text, table), max_size=3)), max_size=5))
def test_what_is_written_is_read_back(fields):
    assert tomllib.loads(toml.dumps(fields)) == fields


def _files(out: Path) -> list[Path]:
    return sorted(out.glob("run-*.toml"))


def _identities(out: Path) -> dict[str, str]:
    return {path.name: json.loads(path.read_text())["identity"] for path in out.rglob("*.json")}


class TestRepeat:
    def test_the_file_of_a_run_gives_the_same_identities_and_encodes_nothing(
        self, llave, tiny: Folder, place: Place, log
    ):
        asked = ("run", HASHED, "null/random", "-d", tiny.data, "-t", "Find", "Match", "--limit", "5", "--seed", "3")
        assert llave(*asked, "--protocol", "official", *place.flags).code == 0
        (file,) = _files(place.out)
        before, batches = _identities(place.out), len(log())
        assert batches > 0
        again = llave("run", "--config", file)
        assert again.code == 0
        assert "2 results skipped because finished" in again.err
        assert _identities(place.out) == before
        assert len(log()) == batches
        assert _files(place.out) == [file], "the same run is written once"
        assert llave("run", "--config", file, "-o", place.folder / "elsewhere").code == 0
        assert _identities(place.folder / "elsewhere") == before
        assert len(log()) == batches

    def test_another_run_is_another_file(self, llave, tiny: Folder, place: Place):
        for limit in (3, 4, 3):
            assert llave("run", "null/random", "-d", tiny.data, "--limit", limit, *place.flags).code == 0
        assert [tomllib.loads(path.read_text())["limit"] for path in _files(place.out)] == [3, 4]

    def test_every_flag_is_in_the_file(self, llave, tiny: Folder, place: Place):
        llave("run", HASHED, "-d", tiny.data, *place.flags, "--workers", "0")
        fields = tomllib.loads(_files(place.out)[0].read_text())
        own = {key for key, action in run_file._keys(build_parser().commands["run"]).items() if action.default}
        assert own | {"models", "data", "out", "store", "seed", "workers"} == fields.keys()
        assert fields["workers"] == 0

    def test_a_model_of_the_hub_is_written_with_its_commit(
        self, llave, tiny: Folder, place: Place, monkeypatch, tmp_path
    ):
        folder = tmp_path / ("a1" * 20)
        folder.mkdir()
        dual_files.write_clip(folder)
        monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(folder))
        names = ("ours/Model", "clip/ours/Model", "clip-vit-base-patch32", "openai/clip-vit-large-patch14")
        assert llave("run", *names, "-d", tiny.data, "--limit", "1", *place.flags).code == 0
        file = _files(place.out)[0]
        assert tomllib.loads(file.read_text())["models"] == [f"{name}@{folder.name}" for name in names]
        before = _identities(place.out)
        again = llave("run", "--config", file)
        assert again.code == 0
        assert _identities(place.out) == before


class TestFile:
    @pytest.fixture
    def written(self, tiny: Folder, place: Place, tmp_path: Path):
        def write(body: str) -> Path:
            path = tmp_path / "run.toml"
            path.write_text(f'data = "{tiny.data}"\nout = "{place.out}"\nstore = "{place.store}"\n{body}')
            return path

        return write

    def test_what_is_given_as_an_argument_wins(self, llave, written, place: Place):
        file = written('models = ["null/random", "null/constant"]\ntasks = ["Find", "Match"]\nlimit = 3\nseed = 1\n')
        done = json.loads(llave("run", "--config", file, "--json").out)
        assert {(each["model"]["name"], each["task"]) for each in done["results"]} == {
            (model, task) for model in ("null/random", "null/constant") for task in ("Find", "Match")
        }
        assert {each["num_queries"] for each in done["results"]} == {3}
        done = json.loads(llave("run", "null/oracle", "--config", file, "--json", "-t", "Find", "--limit=2").out)
        assert [(each["model"]["name"], each["task"], each["num_queries"]) for each in done["results"]] == [
            ("null/oracle", "Find", 2)
        ]

    def test_a_model_has_flags_of_its_own(self, written, place: Place):
        file = written(
            'models = ["a", {name = "b", dtype = "bfloat16", model-option = {x = 1, y = true}}, {name = "c"}]\n'
            'dtype = "float16"\n[model-option]\nx = 9\nz = "w"\n'
        )

        def settings(*arguments: str) -> dict[str, ModelSettings]:
            return run_file.settings_by_model(build_parser().parse_args(["run", "--config", str(file), *arguments]))

        usual = ModelSettings(dtype="float16", options={"x": "9", "z": "w"}, memory=place.store)
        own = replace(usual, dtype="bfloat16", options={"x": "1", "z": "w", "y": "true"})
        assert settings() == {"a": usual, "b": own, "c": usual}
        found = settings("--dtype", "float32", "--model-option", "x=5")
        assert {each.dtype for each in found.values()} == {"float32"}
        assert found["b"].options == {"x": "5", "z": "w", "y": "true"}
        assert found["a"].options == {"x": "5", "z": "w"}

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("limt = 3", "There is no key of {} named 'limt'.|Did you mean limit?"),
            ("json = true", "There is no key of {} named 'json'."),
            ("limit = 0", "'0' is not a whole number from 1"),
            ("limit = true", "limit cannot be True.|Write one value."),
            ("limit = [1]", "limit cannot be [1]."),
            ("trust-remote-code = 1", "Write true or false."),
            ("models = 'null/random'", "models cannot be 'null/random'."),
            ("models = [{dtype = 'float32'}]", "a model has no name."),
            ("models = [{name = 'null/random', limit = 3}]", "no key of a model in {} named 'limit'."),
            ("models = ['null/rndom']", "Did you mean null/random"),
            ("protocol = 'lax'", "invalid choice: 'lax'"),
            ("= 3", "is not valid TOML: "),
        ],
    )
    def test_what_is_wrong_is_named(self, llave, written, body: str, said: str):
        file = written(body if "models" in body else f'models = ["null/random"]\n{body}')
        done = llave("run", "--config", file)
        assert (done.code, done.out) == (2, "")
        for part in said.format(file).split("|"):
            assert part in done.err

    def test_a_file_that_is_not_there(self, llave, tmp_path: Path):
        done = llave("run", "--config", tmp_path / "none.toml")
        assert done.code == 2
        assert "cannot be read" in done.err
