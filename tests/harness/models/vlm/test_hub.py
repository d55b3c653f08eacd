"""Tests of models by name: which files and commits are fetched from the hub, and their identity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.errors import UserError
from harness.models.vlm.recipes import RECIPES
from harness.types import Item
from tests.harness.models.vlm.test_lora import write_adapter
from tests.helpers import llave_files, vlm_files
from tests.helpers.llave_files import copied
from tests.helpers.vlm_files import embed, opened

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
TEXT = [Item("a dog")]


class Hub:
    """Snapshots in folders named after their commits; weights come only where they are asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.commits: dict[str, str] = {}
        self.asked: list[str | None] = []

    def add(self, name: str, folder: Path) -> str:
        commit = self.commits[name] = f"{len(self.commits):040x}"
        for kind in ("settings", "whole"):
            (self.root / kind).mkdir(exist_ok=True)
            copied(folder, self.root / kind / commit)
        for path in (self.root / "settings" / commit).glob("*.safetensors"):
            path.unlink()
        return commit

    def snapshot_download(self, name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        self.asked.append(revision)
        whole = any(pattern.endswith(".safetensors") for pattern in allow_patterns)
        return str(self.root / ("whole" if whole else "settings") / self.commits[name])


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Hub:
    (tmp_path / "hub").mkdir()
    hub = Hub(tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.snapshot_download)
    return hub


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory) -> Path:
    return vlm_files.write_qwen2(tmp_path_factory.mktemp("hub") / "qwen2")


def test_a_whole_checkpoint(hub, qwen2):
    commit = hub.add("Alibaba-NLP/gme-Qwen2-VL-2B-Instruct", qwen2)
    handle = opened("gme-qwen2-vl-2b")
    assert (handle.spec.name, handle.spec.revision) == ("gme-qwen2-vl-2b", commit)
    found = embed(handle.load(), TEXT)
    np.testing.assert_array_equal(found, embed(opened(f"vlm/gme-qwen2-vl-2b={qwen2}").load(), TEXT))
    assert hub.asked == [None, commit]  # found as it is now; loaded as it was then


def test_an_adapter_and_its_base(hub, qwen2, tmp_path):
    write_adapter(tmp_path / "adapter", qwen2, dora=True)
    base = hub.add("Qwen/Qwen2-VL-2B-Instruct", qwen2)
    adapter = hub.add("TIGER-Lab/VLM2Vec-Qwen2VL-2B", tmp_path / "adapter")
    handle = opened("vlm2vec-qwen2-vl-2b")
    assert handle.spec.revision == adapter
    assert handle.spec.options["base"] == handle.spec.options["processor"] == base
    local = opened(f"vlm/vlm2vec-qwen2-vl-2b={tmp_path / 'adapter'}", base=str(qwen2)).load()
    np.testing.assert_array_equal(embed(handle.load(), TEXT), embed(local, TEXT))


def test_a_pickled_adapter_is_refused_before_its_base_is_fetched(hub, qwen2, tmp_path):
    write_adapter(tmp_path / "adapter", qwen2, dora=False)
    (tmp_path / "adapter" / "adapter_model.safetensors").rename(tmp_path / "adapter" / "adapter_model.bin")
    hub.add("Qwen/Qwen2-VL-2B-Instruct", qwen2)
    hub.add("TIGER-Lab/VLM2Vec-Qwen2VL-2B", tmp_path / "adapter")
    handle = opened("vlm2vec-qwen2-vl-2b")
    before = len(hub.asked)
    with pytest.raises(UserError, match=r"no adapter_model\.safetensors"):
        handle.load()
    assert len(hub.asked) == before + 1


def test_a_processor_that_the_recipe_takes_from_elsewhere(hub, tmp_path):
    recipe = next(each for each in RECIPES if each.name == "vlm2vec-llava-next")
    folder = vlm_files.write_llava_next(tmp_path / "llava")
    hub.add(recipe.hub, folder)
    processor = hub.add(recipe.processor, folder)
    assert opened(recipe.name).spec.options["processor"] == processor
    own = opened(f"vlm/{recipe.name}={folder}").spec
    assert own.options["processor"] == own.revision  # a folder that has its own is enough by itself
