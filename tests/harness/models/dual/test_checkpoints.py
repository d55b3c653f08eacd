"""Tests of checkpoints of dual encoders: identity before loading, and errors for incomplete or wrong files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.errors import UserError
from harness.models.dual.checkpoints import ALIASES, ROWS, open_named
from harness.types import Item, ModelSettings
from tests.helpers import llave_files
from tests.helpers.dual_files import KINDS, change_json, opened
from tests.helpers.llave_files import change_weights, copied, embed, picture

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
ROUNDING = 2e-6
WEIGHT = {
    "clip": "visual_projection.weight",
    "siglip": "text_model.head.weight",
    "siglip2-fixed": "vision_model.head.probe",
    "siglip2": "vision_model.post_layernorm.bias",
    "blip2": "query_tokens",
}
MODEL_TYPES = {"clip": "clip", "siglip": "siglip", "siglip2-fixed": "siglip", "siglip2": "siglip2", "blip2": "blip-2"}


pytestmark = pytest.mark.usefixtures("offline_cache")


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    root = tmp_path_factory.mktemp("originals")
    for name, kind in KINDS.items():
        (root / name).mkdir()
        kind.write(root / name)
    return root


@pytest.fixture(params=list(KINDS))
def name(request) -> str:
    return request.param


@pytest.fixture
def folder(originals, name, tmp_path) -> Path:
    return copied(originals / name, tmp_path / "model")


@pytest.fixture
def clip(originals, tmp_path) -> Path:
    return copied(originals / "clip", tmp_path / "clip")


def test_a_bare_folder_has_one_row_and_is_the_same_under_its_prefix(folder, name):
    (row,) = [row for row in ROWS if row.model_type == MODEL_TYPES[name]]
    bare = row.open(str(folder), ModelSettings("cpu"))
    assert bare.spec == row.open(f"{row.name}{folder}", ModelSettings("cpu")).spec
    assert bare.spec.name == f"{row.name}model"
    assert bare.spec.modalities == row.modalities == ("text", "image", "video")
    assert len(bare.spec.revision) == 64


def test_weights_are_not_read_before_they_are_needed_and_any_changed_byte_is_another_revision(folder):
    before = opened(folder)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-1000])
    after = opened(folder)
    assert before.spec.revision != after.spec.revision
    with pytest.raises(UserError, match="is not a checkpoint that transformers can open"):
        after.load()


def test_every_weight_is_accounted_for_by_name(folder, name):
    own = load_file(folder / "model.safetensors")[WEIGHT[name]]
    for changes, says in (
        ({WEIGHT[name]: None}, f"1 missing: {WEIGHT[name]}"),
        ({WEIGHT[name]: torch.ones(3)}, rf"1 misshapen: {WEIGHT[name]} \[3\] instead of \[{own.shape[0]}"),
        ({WEIGHT[name]: own, "stray.weight": torch.ones(3)}, r"1 unexpected: stray\.weight"),
    ):
        with pytest.raises(UserError, match=says):
            opened(change_weights(folder, changes)).load()


def test_constants_that_older_files_hold_are_no_weights(clip):
    wanted = embed(opened(clip).load(), [Item("a dog")])
    change_weights(clip, {"text_model.embeddings.position_ids": torch.arange(16)[None]})
    np.testing.assert_allclose(embed(opened(clip).load(), [Item("a dog")]), wanted, atol=ROUNDING)


def test_pickled_weights_are_refused_with_a_command_that_converts_them(clip):
    wanted = embed(opened(clip).load(), [Item("a dog")])
    torch.save(load_file(clip / "model.safetensors"), clip / "pytorch_model.bin")
    (clip / "model.safetensors").unlink()
    with pytest.raises(UserError, match="only pickle files") as caught:
        opened(clip)
    command = caught.value.hint.split("python -c '")[1].removesuffix("'")
    subprocess.run([sys.executable, "-c", command], cwd=clip, check=True)
    np.testing.assert_allclose(embed(opened(clip).load(), [Item("a dog")]), wanted, atol=ROUNDING)


def test_shards_are_one_checkpoint(clip):
    wanted = embed(opened(clip).load(), [Item("a dog")])
    weights = load_file(clip / "model.safetensors")
    (clip / "model.safetensors").unlink()
    places = {each: f"model-{number % 2}.safetensors" for number, each in enumerate(sorted(weights))}
    for file in set(places.values()):
        save_file({each: weights[each] for each in weights if places[each] == file}, clip / file, {"format": "pt"})
    (clip / "model.safetensors.index.json").write_text("{}")
    change_json(clip / "model.safetensors.index.json", weight_map=places, metadata={"total_size": 1})
    np.testing.assert_allclose(embed(opened(clip).load(), [Item("a dog")]), wanted, atol=ROUNDING)
    (clip / "model-1.safetensors").unlink()
    with pytest.raises(UserError, match="is missing"):
        opened(clip).load()


@pytest.mark.parametrize(
    ("file", "changes", "says"),
    [
        ("config.json", {"model_type": "qwen2_vl"}, "model_type 'qwen2_vl', not 'clip' or 'siglip'"),
        ("config.json", {"model_type": ...}, "model_type None"),
        ("config.json", {"text_config": {"max_position_embeddings": "many"}}, "max_position_embeddings"),
        ("tokenizer_config.json", {"eos_token": ...}, "its eos_token None has id None"),
        ("tokenizer_config.json", {"bos_token": "<start>"}, "its bos_token '<start>' has id None"),
        ("preprocessor_config.json", {"image_processor_type": "Nonsense"}, "image processor"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(clip, file, changes, says):
    change_json(clip / file, **changes)
    with pytest.raises(UserError, match=says):
        opened(clip).load()


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"])
def test_a_missing_file_is_named(clip, file):
    (clip / file).unlink()
    with pytest.raises(UserError, match=file):
        opened(clip).load()


@pytest.mark.parametrize("change", ["joint", "unnamed", "fast"])
def test_the_image_processor_is_found_wherever_and_however_it_is_named(clip, tmp_path, change):
    item = Item("", (picture(tmp_path, 50, 40),))
    wanted = embed(opened(clip).load(), [item])
    path = clip / "preprocessor_config.json"
    if change == "joint":
        (clip / "processor_config.json").write_text(json.dumps({"image_processor": json.loads(path.read_text())}))
        path.unlink()
    else:
        change_json(path, image_processor_type=... if change == "unnamed" else "CLIPImageProcessorFast")
    np.testing.assert_array_equal(embed(opened(clip).load(), [item]), wanted)


def test_a_prefix_takes_its_own_family_only(originals, clip):
    with pytest.raises(UserError, match="model_type 'siglip', not 'clip'"):
        opened(f"clip/{originals / 'siglip'}")
    assert opened(f"siglip2/{originals / 'siglip2-fixed'}").spec == opened(f"siglip/{originals / 'siglip2-fixed'}").spec
    with pytest.raises(UserError, match="There is no folder"):
        opened(f"clip/{clip}/nowhere")


def test_an_unknown_tokenizer_of_siglip_is_not_guessed_at(originals, tmp_path):
    folder = copied(originals / "siglip", tmp_path / "model")
    change_json(folder / "tokenizer_config.json", tokenizer_class="T5Tokenizer")
    with pytest.raises(UserError, match="'T5Tokenizer', which is neither version of SigLIP"):
        opened(folder).load()


def test_a_name_on_the_hub_is_known_by_its_commit_and_downloads_no_weights_until_loaded(clip, monkeypatch):
    commit = clip.rename(clip.with_name("0123456789abcdef"))
    asked = []

    def snapshot(name, *, revision, allow_patterns):
        asked.append((name, revision, "*.safetensors" in allow_patterns))
        return str(commit)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    handle = open_named("clip-vit-large-patch14", ModelSettings("cpu"))
    hub = ALIASES["clip-vit-large-patch14"]
    assert (handle.spec.name, handle.spec.revision) == (f"clip/{hub}", commit.name)
    assert handle.spec == open_named(f"clip/{hub}", ModelSettings("cpu")).spec
    assert not any(weights for *_, weights in asked)
    handle.load()
    assert asked[-1] == (hub, commit.name, True)


def test_names_are_plain_and_no_two_are_alike():
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(row.verified.startswith("documented") for row in ROWS)


def test_a_folder_without_weights_is_refused_at_once(clip):
    shutil.copytree(clip, clip.with_name("bare"), ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(UserError, match=r"has no model\.safetensors\."):
        opened(clip.with_name("bare"))
