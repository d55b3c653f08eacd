"""A checkpoint that changes while it is in use: nothing is stored under the key of its old content."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from harness.embed import EmbedSettings, OwnItem, embed_items
from harness.encoding.distributed import World
from harness.encoding.store import Store
from harness.errors import RunFailed, UserError
from harness.progress import NoProgress
from harness.types import Item
from tests.helpers import llave_files
from tests.helpers.checkpoints import WRITERS, opened

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
pytestmark = pytest.mark.usefixtures("offline_cache")


@pytest.fixture
def clip(tmp_path) -> Path:
    return WRITERS["clip"](tmp_path / "clip")


def _flip(path: Path) -> None:
    """Changes the last byte in place: the size stays."""
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.write(data[:-1] + bytes([data[-1] ^ 1]))


def _replaced(path: Path) -> None:
    """Another file of the same size and times under the same name, as a trainer that renames leaves it."""
    old, new = path.stat(), path.with_name("new")
    shutil.copyfile(path, new)
    _flip(new)
    os.utime(new, ns=(old.st_atime_ns, old.st_mtime_ns))
    new.replace(path)


@pytest.mark.parametrize("change", [_flip, _replaced], ids=["in place", "renamed"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_change_between_digest_and_loading_is_named(clip, name, change):
    handle = opened("clip", clip)
    change(clip / name)
    with pytest.raises(UserError, match=rf"{name} has changed since the model was identified"):
        handle.load()


def test_a_new_file_and_a_lost_one_are_named(clip):
    handle = opened("clip", clip)
    (clip / "generation_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"generation_config\.json is new"):
        handle.load()
    handle = opened("clip", clip)
    (clip / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"tokenizer\.json is gone"):
        handle.load()


def test_a_change_of_times_alone_changes_nothing(clip):
    handle = opened("clip", clip)
    for path in clip.iterdir():
        os.utime(path)
    handle.load()
    handle.check()


def test_a_change_while_weights_are_read_is_named(clip, monkeypatch):
    handle = opened("clip", clip)
    monkeypatch.setattr("harness.models.checkpoints.try_out", lambda *_: _replaced(clip / "model.safetensors"))
    with pytest.raises(UserError, match=r"model\.safetensors has changed"):
        handle.load()


def test_a_change_during_a_run_stops_it_before_vectors_are_stored(clip, tmp_path):
    handle = opened("clip", clip)
    items = [OwnItem(str(at), Item(f"number {at} " * at), "query", str(at)) for at in range(1, 9)]
    load, stored = handle.load, []

    def slow():
        embedder = load()
        embed = embedder.embed

        def then_change(features):
            vectors = embed(features)
            if stored:
                _replaced(clip / "model.safetensors")
            stored.append(len(features))
            return vectors

        embedder.embed = then_change
        return embedder

    changing = type(handle)(handle.spec, slow, handle.needs_answers, handle.check)
    settings = EmbedSettings(tmp_path / "store", budget=1)
    with pytest.raises(RunFailed, match=r"model\.safetensors has changed") as caught:
        embed_items(items, changing, settings, NoProgress(), World(0, 1))
    assert "run the same command again" in caught.value.hint
    with closing(Store(tmp_path / "store", handle.spec)) as store:
        assert store.width() is not None
    assert opened("clip", clip).spec.revision != handle.spec.revision
    assert len(stored) == 2
