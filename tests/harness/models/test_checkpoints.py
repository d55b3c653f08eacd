"""Tests of resolving names, and of the record of training, which must reach the result."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from harness.errors import UserError
from harness.models import open_model
from harness.models.checkpoint_files import ADAPTER_CONFIG
from harness.models.checkpoints import TRAINING, find_checkpoint
from harness.results.files import read_record, write_result
from harness.types import ModelSettings
from tests.helpers.llave_files import write_checkpoint
from tests.helpers.result_values import result

NEW = {"step": 2, "recipe": "demo", "pairs": {"x": 9}, "settings": {"alpha": 0.0, "betas": [0.9, 0.98], "cap": None}}
OLD = {"step": 2, "recipe": "demo", "pairs": {"x": 9}}


@pytest.mark.parametrize("training", [NEW, OLD], ids=["with settings", "of an older version"])
def test_a_result_carries_the_record_of_training_as_it_is(training: dict[str, object], tmp_path: Path):
    folder = write_checkpoint(tmp_path / "checkpoint-2")
    (folder / TRAINING).write_text(json.dumps(training))
    about = open_model(str(folder), ModelSettings()).spec.about
    made = result("A")
    write_result(tmp_path, replace(made, model={**made.model, **about}), [])
    model = read_record(tmp_path / "A.json").model
    assert (model["step"], model["training"]) == (2, training)


def test_numbers_that_are_no_json_become_words(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "checkpoint-2")
    (folder / TRAINING).write_text(json.dumps({"step": 2, "settings": {"clip": float("inf")}}))
    about = open_model(str(folder), ModelSettings()).spec.about
    assert json.loads(json.dumps(about, allow_nan=False))["training"]["settings"] == {"clip": "Infinity"}


@pytest.mark.parametrize("text", ["{", "[1]", '"demo"'])
def test_a_damaged_record_of_training_is_named(text: str, tmp_path: Path):
    folder = write_checkpoint(tmp_path / "checkpoint-2")
    (folder / TRAINING).write_text(text)
    with pytest.raises(UserError, match=TRAINING):
        open_model(str(folder), ModelSettings())


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def asked(monkeypatch, tmp_path) -> list[tuple[str, str | None]]:
    """The names and commits that a hub is asked for; it has everything, and its newest commit ends in f."""
    found: list[tuple[str, str | None]] = []

    def snapshot(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        found.append((name, revision))
        return str(tmp_path / (revision or "f" * 40))

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    return found


@pytest.mark.parametrize(
    ("written", "name", "commit"),
    [
        ("kind/org/model", "org/model", None),
        ("org/model", "org/model", None),
        (f"kind/org/model@{COMMIT}", "org/model", COMMIT),
        ("short", "org/long", None),
        ("kind/bare", "owner/bare", None),
        (f"kind/bare@{COMMIT}", "owner/bare", COMMIT),
    ],
)
def test_a_name_is_resolved_to_a_commit_on_the_hub(asked, written, name, commit):
    found = find_checkpoint(written, "kind/", aliases={"short": "org/long"}, owner="owner")
    assert asked == [(name, commit)]
    assert (found.name, found.commit, found.pinned) == (name, commit or "f" * 40, commit is not None)
    assert found.revision == found.commit


@pytest.mark.parametrize("written", ["kind/", "kind/bare", "kind/a/b/c", "kind/./a", "kind//a", "kind/~/a"])
def test_what_is_neither_a_folder_nor_a_name_is_refused_with_what_can_be_written(asked, written):
    with pytest.raises(UserError, match="There is no folder") as caught:
        find_checkpoint(written, "kind/", aliases={"short": "org/long"})
    assert asked == []
    assert "kind/FOLDER" in caught.value.hint
    assert "short" in caught.value.hint


def test_a_branch_is_refused(asked):
    with pytest.raises(UserError, match="no full commit"):
        find_checkpoint("kind/org/model@main", "kind/")
    assert asked == []


def test_a_folder_is_named_by_itself_or_with_its_run(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "run" / "checkpoint-7")
    assert find_checkpoint(f"kind/{folder}", "kind/").name == "run/checkpoint-7"
    found = find_checkpoint(str(folder), run_in_name=False)
    assert (found.name, found.folder, found.commit, found.pinned) == ("checkpoint-7", folder, None, True)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no model\.safetensors"):
        find_checkpoint(str(folder))
    assert find_checkpoint(str(folder), check=Path).folder == folder


def test_a_pinned_name_has_the_identity_of_the_same_commit_without_a_pin(monkeypatch, tmp_path: Path):
    folder = write_checkpoint(tmp_path / COMMIT)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(folder))
    assert open_model(f"llave/a/b@{COMMIT}", ModelSettings()).spec == open_model("llave/a/b", ModelSettings()).spec


def test_shards_without_an_index_are_told_apart_from_missing_weights(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "shards")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    for number, part in enumerate((names[:9], names[9:]), start=1):
        save_file({name: weights[name] for name in part}, folder / f"model-0000{number}-of-00002.safetensors")
    for name in (f"llave/{folder}", f"clip/{folder}", f"vlm/e5-v={folder}"):
        with pytest.raises(UserError, match=r"but no model\.safetensors\.index\.json") as caught:
            open_model(name, ModelSettings())
        assert ".bin" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "clip/", "sentence-transformers/"])
def test_a_repository_of_the_hubs_cache_names_its_commits(prefix: str, tmp_path: Path):
    snapshot = tmp_path / "models--acme--tiny" / "snapshots" / COMMIT
    write_checkpoint(snapshot)
    with pytest.raises(UserError, match="is a repository of the hub's cache") as caught:
        open_model(f"{prefix}{tmp_path / 'models--acme--tiny'}", ModelSettings())
    assert str(snapshot) in caught.value.hint
    assert open_model(str(snapshot), ModelSettings()).spec.name == f"llave/{COMMIT}"


@pytest.mark.parametrize(
    ("file", "says"), [("model.gguf", "GGUF"), ("model.onnx", "ONNX"), ("tf_model.h5", "TensorFlow")]
)
@pytest.mark.parametrize("prefix", ["", "clip/"])
def test_a_folder_of_another_format_says_what_it_holds(prefix: str, file: str, says: str, tmp_path: Path):
    (tmp_path / file).write_text("x")
    with pytest.raises(UserError, match=f"{tmp_path} holds no model.*{says}"):
        open_model(f"{prefix}{tmp_path}", ModelSettings())


def test_a_config_alone_of_a_generative_model_asks_for_a_recipe(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_vl"}')
    with pytest.raises(UserError, match="has model_type qwen2_vl") as caught:
        open_model(str(tmp_path), ModelSettings())
    assert f"vlm/RECIPE={tmp_path}" in caught.value.hint


@pytest.mark.parametrize("prefix", ["", "clip/"])
def test_an_adapter_names_its_base_and_how_to_merge_it(prefix: str, tmp_path: Path):
    (tmp_path / ADAPTER_CONFIG).write_text('{"base_model_name_or_path": "acme/base"}')
    with pytest.raises(UserError, match="is an adapter of acme/base") as caught:
        open_model(f"{prefix}{tmp_path}", ModelSettings())
    assert "merges the adapter into its base, acme/base" in caught.value.hint


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100 + "1" + "}" * 100, "{", "\ud800"])
@pytest.mark.parametrize("prefix", ["", "llave/", "clip/", "vlm/e5-v=", "sentence-transformers/"])
def test_a_config_that_is_no_json_is_named(prefix: str, text: str, tmp_path: Path):
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    (tmp_path / "model.safetensors").write_text("")
    with pytest.raises(UserError, match=r"config\.json is not "):
        open_model(f"{prefix}{tmp_path}", ModelSettings())
