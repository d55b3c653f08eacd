"""`llave store`: what it prints, what it removes, and its exit status; and how damage meets a run."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from llave.cli.main import main
from tests.conftest import Done, Folder, Place

HASHED = "tests.helpers.embedders:Hashed"
Command = Callable[..., Done]


@pytest.fixture
def filled(llave: Command, tiny: Folder, place: Place) -> Place:
    """A store with two models."""
    assert llave("run", HASHED, "null/random", "--data", tiny.data, *place.flags).code == 0
    return place


@pytest.fixture
def store(llave: Command, filled: Place) -> Command:
    """`llave store` on it."""
    return lambda *words: llave("store", *words, "--store", filled.store)


def harm(place: Place, statement: str = "UPDATE vectors SET vector = zeroblob(length(vector)) WHERE id = 2") -> Path:
    """Changes the file of the model `hashed`."""
    (path,) = place.store.glob("hashed-*/*.db")
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    return path


def test_list_and_size_say_the_same_in_a_table_and_in_json(store: Command, filled: Place) -> None:
    models = json.loads(store("list", "--json").out)
    assert [model["name"] for model in models] == ["hashed", "null/random"]
    shown = store("list")
    assert (shown.code, shown.err) == (0, "")
    for model in models:
        assert model["damaged"] == []
        assert model["bytes"] == sum(path.stat().st_size for path in Path(model["folder"]).iterdir())
        assert re.search(rf"{model['name']} .* {model['vectors']:,} .* {Path(model['folder']).name}", shown.out)
    whole = sum(path.stat().st_size for path in filled.store.rglob("*") if path.is_file())
    assert f"({whole:,} bytes)" in shown.out
    assert f"({whole:,} bytes)" in store("size").out
    assert f"({models[0]['bytes']:,} bytes)" in store("size", "hashed").out
    assert json.loads(store("size", "--json").out) == models


def test_models_may_stand_after_flags(llave: Command, filled: Place) -> None:
    first = llave("store", "list", "hashed", "--store", filled.store)
    assert first.code == 0
    assert llave("store", "--store", filled.store, "list", "hashed").out == first.out
    assert llave("store", "list", "--store", filled.store, "hashed").out == first.out


def test_check_names_the_damaged_file_and_fails(store: Command, filled: Place) -> None:
    good = store("check")
    assert (good.code, good.err) == (0, "Every vector was read, and no file is damaged.\n")
    path = harm(filled)
    assert store("list").code == 0, "a list reads no vectors"
    bad = store("check")
    assert bad.code == 1
    assert f"{path} is damaged: the checksum of a vector is wrong." in bad.err
    assert "Move the file away" in bad.err
    assert "no file is damaged" not in bad.err
    assert [len(model["damaged"]) for model in json.loads(store("check", "--json").out)] == [1, 0]
    assert store("check", "null/random").code == 0


def test_prune_says_what_it_removes_and_removes_only_that(store: Command, filled: Place) -> None:
    before = sorted(filled.store.rglob("*"))
    (folder,) = filled.store.glob("hashed-*")
    size = sum(path.stat().st_size for path in folder.iterdir())
    dry = store("prune", "hashed", "--dry-run")
    assert (dry.code, dry.err) == (0, "")
    assert f"({size:,} bytes)" in dry.out
    assert sorted(filled.store.rglob("*")) == before
    done = store("prune", "hashed")
    assert (done.code, done.out) == (0, dry.out)
    assert done.err == f"Removed {folder}.\n"
    assert sorted(filled.store.rglob("*")) == [path for path in before if folder not in (path, path.parent)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("prune",), "prune needs the models"),
        (("prune", "hashd"), "Did you mean hashed?"),
        (("list", "hashd"), "Did you mean hashed?"),
        (("size", "--dry-run"), "--dry-run means nothing to size"),
        (("empty",), "invalid choice: 'empty'"),
        ((), "required: ACTION"),
    ],
)
def test_what_is_wrong_removes_nothing(store: Command, filled: Place, words: tuple[str, ...], said: str) -> None:
    before = sorted(filled.store.rglob("*"))
    done = store(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert sorted(filled.store.rglob("*")) == before


def test_a_store_that_is_not_there(llave: Command, tmp_path: Path) -> None:
    done = llave("store", "list", "--store", tmp_path / "nowhere")
    assert (done.code, done.out) == (2, "")
    assert "There is no store" in done.err


DAMAGE = {
    "other bits": "UPDATE vectors SET vector = zeroblob(length(vector)) WHERE id = 2",
    "another width": "UPDATE vectors SET vector = x'0000803f' WHERE id > 1",
    "no table": "DROP TABLE vectors",
    "no version": "PRAGMA user_version = 0",
    "text": "UPDATE vectors SET vector = 'text'",
}


@pytest.mark.parametrize("statement", DAMAGE.values(), ids=DAMAGE)
def test_a_run_on_a_damaged_store_names_the_file_and_after_the_remedy_has_the_same_rows(
    llave: Command, tiny: Folder, filled: Place, tmp_path: Path, statement: str
) -> None:
    path = harm(filled, statement)
    again = ("run", HASHED, "--data", tiny.data, "--out", tmp_path / "again", "--store", filled.store)
    done = llave(*again)
    assert done.code in (1, 2)
    assert f"{path} is damaged" in done.err
    assert not re.search("Traceback|overflow|checkpoint|mistake", done.err)
    path.rename(tmp_path / "away")
    assert llave(*again).code == 0
    for task in ("Colour", "Find", "Match"):
        rows = (tmp_path / "again/hashed/1" / f"{task}.queries.jsonl").read_bytes()
        assert rows == filled.path(task).with_suffix(".queries.jsonl").read_bytes()


def test_damage_is_found_before_the_model_is_loaded(
    llave: Command, tiny: Folder, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--data", tiny.data, *place.flags)
    assert llave("run", HASHED, *flags, "--tasks", "Find").code == 0
    place.path("Find").unlink()
    path = harm(place)
    monkeypatch.setenv("EMBEDDER_FORBIDDEN", "1")
    done = llave("run", HASHED, *flags)
    assert (done.code, done.out) == (2, "")
    assert f"{path} is damaged" in done.err


def test_the_error_of_a_model_is_told_below_its_traceback(
    tiny: Folder, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "picky.py").write_text(
        "from harness.types import Features, ModelSpec\n"
        "class Picky:\n"
        "    spec = ModelSpec('picky', '1', 'picky/1')\n"
        "    def prepare(self, item, role):\n"
        "        if any(medium.name.endswith('03.png') for medium in item.media):\n"
        "            raise ValueError('this picture is too thin')\n"
        "        return Features(len(item.full_text) + 1.0)\n"
        "    def embed(self, features):\n"
        "        return [[each.data, 1.0] for each in features]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["run", "picky:Picky", "--data", str(tiny.data), *place.flags]) == 1
    trace, _, message = capsys.readouterr().err.rpartition("error: picky, ")
    assert "The prepare of picky failed on the query 'shapes/03.png'" in message
    assert "ValueError: this picture is too thin." in message
    assert len(message.splitlines()) == 2
    assert "Traceback (most recent call last):" in trace
    assert 'picky.py", line 6, in prepare' in trace
