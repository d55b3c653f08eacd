"""A checkpoint that transformers writes again, whole or in shards, under old or new names, has the same vectors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tests.helpers import vlm_files
from tests.helpers.vlm_files import VOCABULARY, WRITERS, change_json, mmeb_items, opened

folders = vlm_files.folders

RECIPES = {
    "qwen2_vl": "vlm2vec-qwen2-vl-2b",
    "qwen2_5_vl": "moca-qwen2.5-vl-3b",
    "qwen3_vl": "qwen3-vl-embedding-2b",
    "llava_next": "vlm2vec-llava-next",
    "mllama": "mme5-mllama-11b",
}


def _whole(model: transformers.PreTrainedModel, folder: Path) -> None:
    """The layout of transformers 5: nested configs, `dtype`, and weights under the names of its classes."""
    model.save_pretrained(folder)


def _sharded(model: transformers.PreTrainedModel, folder: Path) -> None:
    model.save_pretrained(folder, max_shard_size="30KB")
    assert len(list(folder.glob("*.safetensors"))) > 2


def _torch_dtype(model: transformers.PreTrainedModel, folder: Path) -> None:
    """The layout of transformers 4 has `torch_dtype`, and versions between have both."""
    model.save_pretrained(folder)
    change_json(folder / "config.json", dtype=..., torch_dtype="float32")


def _resized(model: transformers.PreTrainedModel, folder: Path) -> None:
    """A larger vocabulary than that of the tokenizer, as training pads it to a multiple of 64.

    Mllama is left out: transformers forgets its eight extra rows, and cannot read what it wrote.
    """
    model.resize_token_embeddings(VOCABULARY + 64)
    model.save_pretrained(folder)


CASES = [(kind, write) for kind in WRITERS for write in (_whole, _sharded, _torch_dtype, _resized)]


@pytest.mark.parametrize(("kind", "write"), [case for case in CASES if case != ("mllama", _resized)])
def test_written_again_it_is_the_same_model(
    kind: str, write: Callable[[transformers.PreTrainedModel, Path], None], folders: dict[str, Path], tmp_path: Path
) -> None:
    new = tmp_path / "new"
    shutil.copytree(folders[kind], new, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    (name,) = json.loads((folders[kind] / "config.json").read_text())["architectures"]
    write(getattr(transformers, name).from_pretrained(folders[kind], dtype=torch.float32), new)
    vectors = []
    for folder in (folders[kind], new):
        model = opened(f"vlm/{RECIPES[kind]}={folder}", dtype="float32").load()
        items = mmeb_items(tmp_path).values()
        vectors.append(np.concatenate([model.embed([model.prepare(item, "query")]) for item in items]))
    np.testing.assert_allclose(vectors[1], vectors[0], atol=1e-5)
