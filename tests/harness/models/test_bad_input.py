"""Tests of broken checkpoints and odd items, for every family: the error names the fault, and finished work is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.encoding.encoder import Encoder
from harness.encoding.store import Store
from harness.encoding.vectors import Work
from harness.errors import UserError
from harness.models.common import handle
from harness.progress import NoProgress
from harness.types import Item, ModelSpec
from tests.helpers import llave_files
from tests.helpers.checkpoints import NAMES, WRITERS, opened
from tests.helpers.llave_files import copied, embed, picture, shown

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
pytestmark = pytest.mark.usefixtures("offline_cache")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Mapping[str, Path]:
    """A whole checkpoint of each family."""
    root = tmp_path_factory.mktemp("whole")
    found = {name: write(root / name) for name, write in WRITERS.items()}
    return {**found, "uniir": found["clip"]}


@pytest.fixture(params=NAMES)
def family(request, folders) -> str:
    if request.param not in folders:
        pytest.skip("sentence-transformers is not installed")
    return request.param


def _load(family: str, folder: Path):
    return opened(family, folder).load()


def _refused(family: str, folder: Path) -> UserError:
    """The error that names the folder, and says what to do."""
    with pytest.raises(UserError) as caught:
        _load(family, folder)
    assert str(folder) in caught.value.what
    assert caught.value.hint
    return caught.value


def test_a_folder_that_is_no_model_is_named(family, tmp_path):
    (tmp_path / "notes.txt").write_text("no model")
    assert "no model" in _refused(family, tmp_path).what


@pytest.mark.parametrize("kept", [5, -100], ids=["header", "data"])
def test_a_truncated_weight_file_is_named(family, folders, tmp_path, kept):
    folder = copied(folders[family], tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    said = _refused(family, folder).what
    assert any(words in said for words in ("cut short or damaged", "is not a ")), said


def _only_its_kind(config: dict) -> None:
    for key in set(config) - {"model_type"}:
        del config[key]


def _no_kind(config: dict) -> None:
    del config["model_type"]


def _no_number(config: dict) -> None:
    for part in (config, *(each for each in config.values() if isinstance(each, dict))):
        part.update({key: "many" for key in ("hidden_size", "embed_dim") if key in part})
        part["hidden_size"] = "many"


@pytest.mark.parametrize("change", [_only_its_kind, _no_kind, _no_number])
def test_a_config_without_what_is_needed_is_named(family, folders, tmp_path, change: Callable[[dict], None]):
    folder = copied(folders[family], tmp_path / "bare")
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    _refused(family, folder)


def test_a_missing_weight_is_named_and_never_drawn_at_random(family, folders, tmp_path):
    if family == "uniir":
        pytest.skip("its weights have other names: test_uniir.py")
    folder = copied(folders[family], tmp_path / "less")
    weights = load_file(folder / "model.safetensors")
    gone = next(name for name in sorted(weights) if "layers.1." in name or "layer.1." in name)
    save_file(
        {name: each for name, each in weights.items() if name != gone}, folder / "model.safetensors", {"format": "pt"}
    )
    said = _refused(family, folder).what
    assert "missing" in said
    assert gone.rpartition("layer")[2] in said


@pytest.mark.parametrize("content", ["{", "[]", '{"version": "1.0"}'])
def test_a_broken_tokenizer_is_named(family, folders, tmp_path, content):
    folder = copied(folders[family], tmp_path / "broken")
    (folder / "tokenizer.json").write_text(content)
    _refused(family, folder)


def test_a_tokenizer_without_the_special_tokens_is_named(family, folders, tmp_path):
    if family in ("siglip", "sentence"):
        pytest.skip("any token can be its end" if family == "siglip" else "left to the library")
    folder = copied(folders[family], tmp_path / "plain")
    path = folder / "tokenizer.json"
    fields = json.loads(path.read_text())
    words = {word: at for word, at in fields["model"]["vocab"].items() if word[0] not in "<[" or len(word) == 1}
    fields |= {"added_tokens": [], "post_processor": None, "model": {**fields["model"], "vocab": words}}
    if fields["model"].get("unk_token") not in words:
        fields["model"]["unk_token"] = next(iter(words)) if fields["model"].get("unk_token") else None
    path.write_text(json.dumps(fields))
    assert "tokenizer" in _refused(family, folder).what


@pytest.fixture(scope="module", params=[name for name in NAMES if name != "uniir"])
def model(request, folders, tmp_path_factory):
    """UniIR's is CLIP's."""
    if request.param not in folders:
        pytest.skip("sentence-transformers is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLAVE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return _load(request.param, folders[request.param])


def test_a_text_over_the_limit_is_cut_and_counted(model):
    short, long = (model.prepare(Item(text), "query") for text in ("a red cube", "a red cube " * 3000))
    assert (short.truncated, long.truncated) == (False, True)
    if long.cost < 8192:  # more would take long
        assert np.isfinite(model.embed([short, long]).float().numpy()).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (100, 1), (300, 3), (20, 2000)], ids=str)
def test_an_image_of_any_shape_is_seen(model, tmp_path, size):
    ours, other = embed(model, [shown("<image>\na red cube", picture(tmp_path, *size, seed=seed)) for seed in (0, 7)])
    assert np.isfinite(ours).all()
    assert np.abs(ours - other).max() > 0


def test_without_memory_for_one_item_it_is_named_and_what_came_before_is_kept(folders, tmp_path, monkeypatch):
    model = _load("llave", folders["llave"])
    run = model.network.language.forward

    def tight(*args, inputs_embeds, **kwargs):
        if inputs_embeds.shape[0] * inputs_embeds.shape[1] > 1500:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return run(*args, inputs_embeds=inputs_embeds, **kwargs)

    monkeypatch.setattr(model.network.language, "forward", tight)
    texts = {f"{at:02d}": Item("a cat " * at) for at in range(20)}
    work = [Work(key.encode(), item, "query") for key, item in texts.items()]
    giant = Work(b"giant", Item("a giant " * 400), "query")
    with closing(Store(tmp_path / "store", model.spec)) as store:
        report = Encoder(model, store, budget=100_000).run(work, NoProgress())
        assert report.backoffs > 0
        with pytest.raises(
            UserError, match="not enough memory even for one item: the query with text 'a giant"
        ) as caught:
            Encoder(model, store).run([giant], NoProgress())
        assert "kept" in caught.value.hint
        assert store.missing([each.key for each in work]) == []


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("a bug")])
def test_a_lack_of_memory_for_the_weights_is_a_user_error_and_a_bug_is_not(error):
    def load():
        raise error

    expected = RuntimeError if str(error) == "a bug" else UserError
    with pytest.raises(expected, match="a bug" if expected is RuntimeError else "not enough memory to load big"):
        handle(ModelSpec("big", "1", "toy/1"), load).load()
