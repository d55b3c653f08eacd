"""Every weight is accounted for; the right vision weights win; what cannot be loaded is named before it is run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.errors import UserError
from harness.types import Item
from tests.helpers import llave_files
from tests.helpers.llave_files import (
    TOWER,
    change_config,
    change_weights,
    copied,
    embed,
    opened,
    picture,
    shown,
    write_checkpoint,
)

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
FIRST = TOWER + "encoder.layers.0.layer_norm1.bias"


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("LLAVE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_checkpoint(tmp_path / "tiny")


@pytest.fixture
def item(tmp_path):
    return shown("<image>\nWhat?", picture(tmp_path, 60, 40))


def split(folder: Path, *, lost: str | None = None) -> None:
    """Turns one weight file into three shards and an index; `lost` stays in the index only."""
    whole = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(whole)
    place = {name: f"model-0000{at % 3}.safetensors" for at, name in enumerate(names)}
    for file in set(place.values()):
        shard = {name: whole[name] for name in names if place[name] == file and name != lost}
        save_file(shard, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": place}))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model.norm.weight": None}, r"1 missing: model\.norm\.weight\."),
        ({"model.image_newline": None}, r"missing: model\.image_newline"),
        ({FIRST: None}, f"missing: {FIRST}"),
        ({"model.mm_projector.4.bias": torch.zeros(3)}, r"1 unexpected: model\.mm_projector\.4\.bias\."),
        ({TOWER + "encoder.layers.2.layer_norm1.bias": torch.zeros(16)}, r"unexpected: .*layers\.2\.layer_norm1"),
        ({"model.norm.weight": torch.zeros(31)}, r"1 misshapen: model\.norm\.weight \[31\] instead of \[32\]\."),
        ({"model.norm.weight": torch.zeros(32, dtype=torch.int8)}, r"1 not of floats: model\.norm\.weight I8\."),
    ],
)
def test_a_weight_that_is_not_as_it_should_be_is_named(folder, changes, says):
    handle = opened(change_weights(folder, changes))
    with pytest.raises(UserError, match=says):
        handle.load()


def test_many_faults_are_counted_and_some_are_named(folder):
    change_config(folder, num_hidden_layers=3)
    with pytest.raises(UserError, match=r"12 missing: (model\.layers\.2\.[a-z_.]+, ){5}\.\.\."):
        opened(folder).load()


def test_what_an_embedding_does_not_need_may_be_there(folder, item):
    wanted = embed(opened(folder).load(), [item])
    change_weights(folder, {"lm_head.weight": torch.ones(3, 3)})
    np.testing.assert_array_equal(embed(opened(folder).load(), [item]), wanted)


def test_shards_are_read_as_one(folder, item):
    wanted = embed(opened(folder).load(), [item])
    split(folder)
    np.testing.assert_array_equal(embed(opened(folder).load(), [item]), wanted)


def test_a_weight_that_only_the_index_has_is_missing(folder):
    split(folder, lost="model.norm.weight")
    with pytest.raises(UserError, match=r"missing: model\.norm\.weight"):
        opened(folder).load()


def test_a_missing_shard_is_named(folder):
    split(folder)
    (folder / "model-00001.safetensors").unlink()
    with pytest.raises(UserError, match=r"model-00001\.safetensors is missing"):
        opened(folder)


def test_a_weight_in_two_shards_is_refused(folder):
    whole = load_file(folder / "model.safetensors")
    split(folder)
    save_file(whole, folder / "model-00002.safetensors")
    with pytest.raises(UserError, match="and again in"):
        opened(folder)


def test_an_index_cannot_lead_out_of_the_folder(folder):
    split(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../other.safetensors"}}')
    with pytest.raises(UserError, match="weight_map"):
        opened(folder)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.999])
def test_a_truncated_file_is_found_out_before_anything_is_loaded(folder, share):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match=r"model\.safetensors is missing, cut short or damaged"):
        opened(folder)


def test_pickles_are_refused_with_a_conversion_that_works(folder, item):
    wanted = embed(opened(folder).load(), [item])
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    for number in range(2):
        torch.save({name: weights[name] for name in names[number::2]}, folder / f"pytorch_model-{number}.bin")
    with pytest.raises(UserError, match="pickle") as caught:
        opened(folder)
    command = caught.value.hint.split("python -c '")[1].removesuffix("'")
    subprocess.run([sys.executable, "-c", command], cwd=folder, check=True)
    np.testing.assert_array_equal(embed(opened(folder).load(), [item]), wanted)


def test_the_checkpoints_vision_weights_win_over_the_towers(folder, item):
    wanted = embed(opened(folder).load(), [item])
    change_weights(folder / "tower", {"vision_model.embeddings.patch_embedding.bias": torch.ones(16)})
    np.testing.assert_array_equal(embed(opened(folder).load(), [item]), wanted)


@pytest.mark.parametrize(
    ("settings", "own"),
    [
        ({"delay_load": True}, False),
        ({"delay_load": True, "mm_tunable_parts": "mm_mlp_adapter,mm_language_model"}, False),
        ({"delay_load": True, "mm_tunable_parts": "mm_vision_tower,mm_mlp_adapter"}, True),
        ({"delay_load": True, "unfreeze_mm_vision_tower": True}, True),
        ({"delay_load": False, "mm_tunable_parts": "mm_language_model"}, True),
    ],
)
def test_delayed_towers_keep_their_own_weights_unless_they_were_trained(folder, item, settings, own):
    mine = embed(opened(folder).load(), [item])
    theirs = embed(opened(_without_vision(copied(folder, folder.parent / "bare"))).load(), [item])
    assert np.abs(mine - theirs).max() > 1e-3
    found = embed(opened(change_config(folder, **settings)).load(), [item])
    np.testing.assert_array_equal(found, mine if own else theirs)


def test_a_checkpoint_without_vision_weights_takes_the_towers_but_its_last_layer_and_head(folder, item):
    tower = load_file(folder / "tower" / "model.safetensors")
    kept = {name: each for name, each in tower.items() if "layers.2" not in name and "head" not in name}
    moved = {TOWER + name.removeprefix("vision_model."): each for name, each in kept.items()}
    explicit = copied(folder, folder.parent / "explicit")
    wanted = embed(opened(change_weights(explicit, moved)).load(), [item])
    np.testing.assert_array_equal(embed(opened(_without_vision(folder)).load(), [item]), wanted)


def test_there_is_never_a_random_tower(folder):
    _without_vision(folder)
    change_weights(folder / "tower", {"vision_model.post_layernorm.bias": None})
    with pytest.raises(UserError, match=r"missing: .*post_layernorm\.bias"):
        opened(folder).load()
    (folder / "tower" / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"tower has no model\.safetensors"):
        opened(folder)
    with pytest.raises(UserError, match="needs the vision weights of google/siglip-so400m-patch14-384: it has none"):
        opened(change_config(folder, mm_vision_tower="google/siglip-so400m-patch14-384"))


def test_a_checkpoint_names_a_tower_that_is_there(folder):
    with pytest.raises(UserError, match="vision tower 'elsewhere'"):
        opened(change_config(folder, mm_vision_tower="elsewhere"))


def test_sixteen_bit_checkpoints_are_run_in_the_dtype_asked_for(folder):
    weights = load_file(folder / "model.safetensors")
    change_weights(folder, {name: each.to(torch.bfloat16) for name, each in weights.items()})
    for dtype in ("float32", "bfloat16"):
        network = opened(folder, dtype=dtype).load().network
        assert {each.dtype for each in network.parameters()} == {getattr(torch, dtype)}
    assert np.isfinite(embed(opened(folder).load(), [Item("a cat")])).all()


def _without_vision(folder: Path) -> Path:
    names = load_file(folder / "model.safetensors")
    return change_weights(folder, {name: None for name in names if name.startswith(TOWER)})
