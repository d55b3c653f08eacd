"""Parts of a checkpoint that do not fit are refused before a run, with both files and both values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from harness.errors import UserError
from tests.helpers import llave_files
from tests.helpers.checkpoints import WRITERS, opened

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
pytestmark = pytest.mark.usefixtures("offline_cache")
SMALL = {"height": 24, "width": 24}
FIXED = "makes pixels of the shape 3 x 24 x 24"
MISFITS = [
    ("clip", {"crop_size": SMALL}, FIXED, "takes 3 x 32 x 32"),
    (
        "clip",
        {"do_center_crop": False},
        "makes pixels of the shape 3 x 32 x 48 from an image of 60 x 40",
        "3 x 32 x 32",
    ),
    ("siglip", {"size": SMALL}, FIXED, "takes 3 x 32 x 32"),
    ("siglip2", {"patch_size": 4}, "makes pixels of the shape 48", "takes 192"),
    ("blip2", {"size": SMALL}, FIXED, "takes 3 x 32 x 32"),
    ("qwen2_vl", {"patch_size": 16}, "patch_size = 16", "vision_config.patch_size = 14"),
    ("qwen2_5_vl", {"merge_size": 4}, "merge_size = 4", "vision_config.spatial_merge_size = 2"),
    ("qwen3_vl", {"temporal_patch_size": 1}, "temporal_patch_size = 1", "vision_config.temporal_patch_size = 2"),
    ("llava_next", {"image_grid_pinpoints": [[28, 56]]}, "image_grid_pinpoints = [[28, 56]]", "[84, 28]"),
    ("llava_next", {"crop_size": SMALL, "size": {"shortest_edge": 24}}, FIXED, "takes 3 x 28 x 28"),
    ("mllama", {"max_image_tiles": 2}, "max_image_tiles = 2", "vision_config.max_num_tiles = 4"),
    ("mllama", {"size": SMALL}, FIXED, "takes 3 x 28 x 28"),
]


def _processor(folder: Path, **changes: object) -> None:
    separate, joint = folder / "preprocessor_config.json", folder / "processor_config.json"
    path = separate if separate.is_file() else joint
    fields = json.loads(path.read_text())
    fields.get("image_processor", fields).update(changes)
    path.write_text(json.dumps(fields))


@pytest.mark.parametrize(("family", "changes", "had", "due"), MISFITS, ids=[f"{each[0]} {each[1]}" for each in MISFITS])
def test_a_processor_that_does_not_fit_its_network_is_refused(family, changes, had, due, tmp_path):
    folder = WRITERS[family](tmp_path / family)
    opened(family, folder).load()
    _processor(folder, **changes)
    with pytest.raises(UserError) as caught:
        opened(family, folder).load()
    said = caught.value.what
    for part in (had, due, "processor_config.json", str(folder / "config.json")):
        assert part in said


@pytest.mark.parametrize("family", WRITERS)
def test_a_tokenizer_with_more_ids_than_embeddings_is_refused(family, tmp_path):
    folder = WRITERS[family](tmp_path / family)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens([f"word{number}" for number in range(300)])
    most = max(tokenizer.get_vocab(with_added_tokens=True).values())
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(UserError) as caught:
        opened(family, folder).load()
    for part in (f"ids up to {most:,}", str(folder / "tokenizer.json"), str(folder / "config.json"), "embeddings for"):
        assert part in caught.value.what


def test_a_network_of_one_channel_is_refused(tmp_path):
    folder = WRITERS["clip"](tmp_path / "clip")
    name = "vision_model.embeddings.patch_embedding.weight"
    weights = load_file(folder / "model.safetensors")
    weights[name] = weights[name][:, :1].contiguous()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    llave_files.change_config(folder, vision_config={**config["vision_config"], "num_channels": 1})
    with pytest.raises(UserError, match=r"pixels of the shape 3 x 32 x 32 .* takes 1 x 32 x 32"):
        opened("clip", folder).load()


@pytest.mark.parametrize("kind", ["text", "image"])
def test_what_only_a_trial_can_find_is_named_with_the_files(kind, tmp_path, monkeypatch):
    folder = WRITERS["clip"](tmp_path / "clip")
    monkeypatch.setattr(torch, "cat" if kind == "image" else "full", lambda *_, **__: 1 / 0)
    with pytest.raises(UserError, match="ZeroDivisionError") as caught:
        opened("clip", folder).load()
    assert ("a blank image" if kind == "image" else "a short text") in caught.value.what
    assert str(folder / "config.json") in caught.value.hint
