"""What a run begins with: a network of whole words, or a released checkpoint adapted to the recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.models.llave.prompt import read_prompter, user_turn
from tasks.demo.datasets import words_of
from tests.helpers.llave_files import change_config, write_checkpoint
from tests.helpers.training_files import BASE, write_start
from trainers.config import override
from trainers.engine.initial_checkpoint import open_initial_checkpoint
from trainers.engine.scratch import write_scratch


def test_a_scratch_start_is_the_same_for_the_same_seed(tmp_path: Path):
    folders = [tmp_path / name for name in "abc"]
    for folder, seed in zip(folders, (0, 0, 1), strict=True):
        write_scratch(folder, ("red", "blue"), seed)
    first, again, other = ((folder / "model.safetensors").read_bytes() for folder in folders)
    assert first == again != other


def test_its_tokenizer_has_the_words_that_the_demo_has(tmp_path: Path):
    text = "What COLOUR is it? a red one, an image."
    write_scratch(tmp_path / "start", words_of(text), 0)
    size = json.loads((tmp_path / "start" / "config.json").read_text())["vocab_size"]
    tokenizer = read_prompter(tmp_path / "start", size).tokenizer.tokenizer
    tokens = tokenizer.encode(f"{text}\n", add_special_tokens=False).tokens
    assert tokens == words_of(text)
    assert "<unk>" not in tokenizer.encode(user_turn(text, 0), add_special_tokens=False).tokens
    assert tokenizer.encode("zebra", add_special_tokens=False).tokens == ["<unk>"]


def test_a_start_becomes_what_the_recipe_says_and_needs_no_tower_folder_of_its_own(tmp_path: Path):
    folder = change_config(write_checkpoint(tmp_path / "released"), model_type="llava", delay_load=True)
    changes = ["max_length=128", "grid=3x2", f"model={folder}"]
    initial = open_initial_checkpoint(override(BASE, changes), tmp_path / "template")
    size = initial.config.tower.image_size
    assert initial.config.max_length == 128
    assert max(initial.config.resolutions) == (3 * size, 2 * size)
    assert initial.config.own_tower
    # delay_load: the tower's own folder has the vision weights, which is in the initial checkpoint
    assert any((folder / "tower") in each.file.parents for each in initial.weights.values())
    assert not list((tmp_path / "template").rglob("*.safetensors"))


def test_a_start_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="no folder"):
        open_initial_checkpoint(override(BASE, [f"model={tmp_path / 'none'}"]), tmp_path / "template")


def test_a_start_on_the_hub_may_be_pinned_to_a_full_commit_only(tmp_path: Path):
    with pytest.raises(UserError, match="no full commit"):
        open_initial_checkpoint(override(BASE, ["model=someone/llave@main"]), tmp_path / "template")


def test_a_start_without_weights_is_refused_before_training(tmp_path: Path):
    folder = write_start(tmp_path / "begin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no model\.safetensors"):
        open_initial_checkpoint(override(BASE, [f"model={folder}"]), tmp_path / "template")


def test_a_start_opens_as_it_was_written(tmp_path: Path):
    folder = write_start(tmp_path / "begin")
    network = open_initial_checkpoint(override(BASE, [f"model={folder}"]), tmp_path / "template").network()
    assert all(parameter.requires_grad for parameter in network.parameters())
