"""Tests of reading config.json: a missing key or an unsupported setting is an error that names it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.models.llave.config import grid_resolutions, read_config
from tests.helpers.llave_files import CONFIG, change_config, write_checkpoint

MAY_BE_MISSING = {
    "architectures",
    "rope_scaling",
    "mm_newline_position",
    "mm_spatial_pool_mode",
    "tokenizer_model_max_length",
}


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_checkpoint(tmp_path / "tiny")


@pytest.mark.parametrize("key", sorted(set(CONFIG) - MAY_BE_MISSING))
def test_a_missing_key_is_named(folder, key):
    with pytest.raises(UserError, match=key):
        read_config(change_config(folder, **{key: ...}))


@pytest.mark.parametrize("key", sorted(MAY_BE_MISSING))
def test_what_has_a_meaning_when_missing_may_be(folder, key):
    found = read_config(change_config(folder, **{key: ...}))
    assert found.newline == ("one_token" if key == "mm_newline_position" else "grid")
    assert found.max_length == (None if key == "tokenizer_model_max_length" else 4096)
    assert found.sees_video == (key != "mm_spatial_pool_mode")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "qwen2"),
        ("hidden_size", "32"),
        ("hidden_size", 0),
        ("num_hidden_layers", 2.5),
        ("num_hidden_layers", True),
        ("rope_theta", -1),
        ("rope_scaling", {"type": "linear", "factor": 2}),
        ("use_sliding_window", True),
        ("hidden_act", "gelu"),
        ("image_aspect_ratio", "pad"),
        ("image_grid_pinpoints", []),
        ("image_grid_pinpoints", "all of them"),
        ("image_grid_pinpoints", [[56, 57]]),
        ("image_grid_pinpoints", [[56]]),
        ("mm_newline_position", "everywhere"),
        ("mm_patch_merge_type", "flat"),
        ("mm_projector_type", "linear"),
        ("mm_use_im_start_end", True),
        ("add_faster_video", True),
        ("tokenizer_model_max_length", 0),
    ],
)
def test_a_setting_that_is_not_computed_is_named(folder, key, value):
    with pytest.raises(UserError, match=re.escape(key)):
        read_config(change_config(folder, **{key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [("image_size", ...), ("num_attention_heads", None), ("hidden_act", "gelu"), ("model_type", "clip")],
)
def test_the_towers_config_is_read_as_strictly(folder, key, value):
    change_config(folder / "tower", **{key: value})
    with pytest.raises(UserError, match=rf"tower/config\.json.*{key}"):
        read_config(folder)


def test_a_whole_siglip_config_says_the_same_as_its_vision_part(folder):
    alone = read_config(folder)
    path = folder / "tower" / "config.json"
    path.write_text(json.dumps({"model_type": "siglip", "vision_config": json.loads(path.read_text())}))
    assert read_config(folder) == alone


@pytest.mark.parametrize("content", [None, "", "{", "[1]", '"text"', "\udc80"])
def test_a_file_that_is_no_json_object_is_named(folder, content):
    path = folder / "config.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"config\.json"):
        read_config(folder)


def test_grids_are_written_as_a_list_or_as_corners(folder):
    corners = read_config(folder).resolutions
    pixels = [[56 * i, 56 * j] for i in (1, 2) for j in (1, 2)]
    assert read_config(change_config(folder, image_grid_pinpoints=pixels)).resolutions == corners
    assert grid_resolutions(2, 2, 56) == corners
    assert grid_resolutions(1, 3, 10) == ((10, 10), (10, 20), (10, 30))
