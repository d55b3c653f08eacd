"""What a store holds, model by model; what is removed is all of a model and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.encoding.store import Store
from harness.encoding.stored_models import remove, stored_models
from harness.errors import UserError
from tests.helpers.store_child import SPEC, keys, vectors

OTHER = replace(SPEC, name="another", revision="2")
SPECS = (OTHER, SPEC, replace(SPEC, dtype="bfloat16"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store of three models, two of one name, with 1, 2 and 3 vectors in 1, 2 and 3 files; and things of others."""
    for number, spec in enumerate(SPECS, start=1):
        stores = [Store(tmp_path, spec) for _ in range(number)]
        for each, store in enumerate(stores):
            store.put(keys(each), vectors(each, width=8))
        for store in stores:
            store.close()
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "mine-0123456789abcdef").mkdir()
    (tmp_path / "pictures").mkdir()
    return tmp_path


def folder(root: Path, number: int) -> Path:
    return Store(root, SPECS[number]).folder


def test_every_model_is_listed_with_what_it_holds(root: Path) -> None:
    found = {model.folder: model for model in stored_models(root)}
    assert found.keys() == {folder(root, number) for number in range(3)}
    for number, spec in enumerate(SPECS):
        model = found[folder(root, number)]
        assert (model.name, model.revision, model.vectors, model.damaged) == (spec.name, spec.revision, number + 1, ())
        assert model.bytes == sum(path.stat().st_size for path in model.folder.iterdir())
    assert stored_models(root, check=True) == stored_models(root)


def test_a_name_stands_for_all_its_folders_and_a_folder_for_itself(root: Path) -> None:
    assert {model.folder for model in stored_models(root, [SPEC.name])} == {folder(root, 1), folder(root, 2)}
    assert [model.folder for model in stored_models(root, [folder(root, 2).name])] == [folder(root, 2)]
    assert len(stored_models(root, [SPEC.name, "another"])) == 3
    with pytest.raises(UserError, match="There is no stored model named 'anothr'") as caught:
        stored_models(root, ["another", "anothr"])
    assert "Did you mean another?" in caught.value.hint


def test_what_is_removed_is_gone_and_the_rest_is_as_before(root: Path) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    for model in stored_models(root, [SPEC.name]):
        remove(model)
    gone = [folder(root, 1), folder(root, 2)]
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == {
        path: data for path, data in before.items() if path.parent not in gone
    }
    assert sorted(path.name for path in root.iterdir()) == sorted(
        [folder(root, 0).name, "mine-0123456789abcdef", "notes.txt", "pictures"]
    )
    with Store(root, SPEC) as store:
        assert store.missing(keys(0)) == keys(0)
        store.put(keys(0), vectors(0, width=8))
        assert np.array_equal(store.get(keys(0)), vectors(0, width=8))


def test_a_model_that_a_live_run_writes_to_is_not_removed(root: Path) -> None:
    with Store(root, SPEC) as store:
        store.check_writable()
        (model,) = stored_models(root, [store.folder.name])
        with pytest.raises(UserError, match="A live run writes to"):
            remove(model)
        assert store.missing(keys(0, 1)) == []
    remove(model)
    assert not model.folder.exists()


@pytest.mark.parametrize("text", [None, "", "{", "[]", "\xff", '{"name": ["x"], "revision": null}'])
def test_a_model_whose_fields_cannot_be_read_has_the_name_of_its_folder(root: Path, text: str | None) -> None:
    spec = folder(root, 0) / "spec.json"
    spec.unlink()
    if text is not None:
        spec.write_text(text, encoding="latin-1")
    (model,) = stored_models(root, [folder(root, 0).name])
    assert model.name
    assert (model.vectors, model.damaged) == (1, ())


def test_damaged_files_are_counted_apart(root: Path) -> None:
    first, second, third = sorted(folder(root, 2).glob("*.db"))
    first.write_bytes(b"garbage" * 99)
    second.write_bytes(second.read_bytes().replace(vectors(1, width=8).tobytes(), bytes(32)))
    for check, damaged in ((False, [first]), (True, [first, second])):
        (model,) = stored_models(root, [folder(root, 2).name], check=check)
        assert model.vectors == 3 - len(damaged)
        for error, path in zip(model.damaged, damaged, strict=True):
            assert f"{path} is damaged" in error.what
    assert third.exists()
    remove(model)


@pytest.mark.parametrize("place", ["nowhere", "notes.txt"])
def test_where_there_is_no_store(root: Path, place: str) -> None:
    with pytest.raises(UserError, match=place) as caught:
        stored_models(root / place)
    assert "--store" in caught.value.hint
