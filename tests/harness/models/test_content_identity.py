"""The law of identity: any changed file of a checkpoint, or of what it refers to, is another revision."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from harness.errors import UserError
from harness.media.digests import folder_files
from harness.models import open_model
from harness.types import ModelSettings
from tests.helpers import llave_files, sentence_files, vlm_files
from tests.helpers.checkpoints import WRITERS, write_dual
from tests.helpers.llave_files import change_config

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
pytestmark = pytest.mark.usefixtures("offline_cache")


def _llave(root: Path) -> list[str]:
    folder = WRITERS["llave"](root / "llave")
    (folder / "tower").rename(root / ".tower")
    change_config(folder, mm_vision_tower="../.tower")
    return [f"llave/{folder}"]


def _llave_with_hidden_tower(root: Path) -> list[str]:
    folder = WRITERS["llave"](root / "llave")
    (folder / "tower").rename(folder / ".tower")
    change_config(folder, mm_vision_tower=".tower")
    return [f"llave/{folder}"]


def _dual(root: Path) -> list[str]:
    return [f"clip/{write_dual('clip')(root / 'clip')}"]


def _vlm(root: Path) -> list[str]:
    """An adapter, its base, and the tokenizer in a third folder."""
    base, adapter = vlm_files.write_qwen2(root / "base"), root / "adapter"
    processor = llave_files.copied(base, root / "processor")
    for name in ("model.safetensors", "config.json"):
        (processor / name).unlink()
    adapter.mkdir()
    names = [f"base_model.model.model.layers.{at}.self_attn.q_proj" for at in range(2)]
    parts = {f"{name}.lora_A.weight": torch.randn(2, 32) for name in names}
    save_file(
        parts | {f"{name}.lora_B.weight": torch.randn(32, 2) for name in names}, adapter / "adapter_model.safetensors"
    )
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": str(base)}))
    return [f"vlm/gme-qwen2-vl-2b={adapter}", f"processor={processor}"]


def _sentence(root: Path) -> list[str]:
    """A model whose tokenizer lies in another folder, and whose network is behind a link."""
    pytest.importorskip("sentence_transformers")
    network, folder = sentence_files.write_clip(root / "network"), root / "model"
    folder.mkdir()
    (folder / "0_Transformer").symlink_to(network)
    kind = "sentence_transformers.models.Transformer"
    (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "0_Transformer", "type": kind}]))
    words = root / "words"
    words.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (words / name).write_bytes((network / name).read_bytes())
    (network / "sentence_bert_config.json").write_text(json.dumps({"tokenizer_name_or_path": str(words)}))
    return [f"sentence-transformers/{folder}"]


def _revision(written: list[str]) -> str:
    options = dict(each.split("=", 1) for each in written[1:])
    return open_model(written[0], ModelSettings("cpu", options=options)).spec.revision


@pytest.mark.parametrize(
    "write", [_llave, _llave_with_hidden_tower, _dual, _vlm, _sentence], ids=lambda write: write.__name__
)
def test_a_change_of_any_file_is_another_revision(write: Callable[[Path], list[str]], tmp_path):
    written = write(tmp_path)
    whole = _revision(written)
    assert _revision(written) == whole
    files = {path.resolve() for place in tmp_path.iterdir() for path in folder_files(place).values()}
    files |= {path.resolve() for path in tmp_path.rglob(".tower/*")}
    assert len(files) >= 5
    for path in sorted(files):
        before = path.read_bytes()
        weights = path.suffix == ".safetensors"  # whose header stays whole
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]) if weights else before + b" ")
        assert _revision(written) != whole, path
        path.write_bytes(before)
    assert _revision(written) == whole


def test_notes_are_content_and_hidden_files_are_not(tmp_path):
    written = _dual(tmp_path)
    whole = _revision(written)
    (tmp_path / "clip" / ".gitattributes").write_text("* -text")
    assert _revision(written) == whole
    (tmp_path / "clip" / "README.md").write_text("notes")
    assert _revision(written) != whole


@pytest.mark.parametrize("key", ["base_model_name_or_path", "tokenizer_name_or_path"])
def test_a_name_on_the_hub_that_can_move_is_refused(key, tmp_path):
    pytest.importorskip("sentence_transformers")
    folder = sentence_files.write_clip(tmp_path)
    file = folder / ("adapter_config.json" if key.startswith("base") else "sentence_bert_config.json")
    file.write_text(json.dumps({key: "acme/base"}))
    with pytest.raises(UserError, match=r"names acme/base under .* can change") as caught:
        _revision([f"sentence-transformers/{folder}"])
    assert "hf download acme/base" in caught.value.hint


def test_a_shard_outside_of_the_folder_is_refused(tmp_path):
    folder = WRITERS["clip"](tmp_path / "clip")
    (folder / "model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    index = {"weight_map": {"logit_scale": "../elsewhere.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"index\.json says weight_map"):
        _revision([f"clip/{folder}"])
