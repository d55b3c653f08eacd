"""What a folder holds, by the names in it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.files.folder_kinds import BEIR, EMPTY, FOLDER, MMEB, RESULTS, SAVED, SHUT, STORE
from harness.files.kinds import what_is
from tests.helpers.image_files import without_rights


def files(*names: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"x")

    return make


def config(**values: object) -> Callable[[Path], None]:
    return lambda folder: (folder / "config.json").write_text(json.dumps(values)) and None


MADE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "nothing": (EMPTY.name, files()),
    "others": (FOLDER.name, files("a.xyz", "b/c.xyz")),
    "checkpoint": (
        "a checkpoint with model_type qwen2_vl",
        config(model_type="qwen2_vl", text_config={"model_type": "a"}),
    ),
    "inner": (FOLDER.name, config(text_config={"model_type": "a"})),
    "sentences": ("a checkpoint of sentence-transformers", files("modules.json", "model.safetensors")),
    "adapter": (
        "an adapter of a checkpoint (adapter_config.json)",
        files("adapter_config.json", "adapter.safetensors"),
    ),
    "weights": ("a folder of weights without a config.json", files("model.safetensors", "README.md")),
    "gguf": ("a folder with GGUF weights, which are for llama.cpp", files("model.gguf")),
    "onnx": ("a folder with an ONNX model", files("onnx/model.onnx")),
    "saved": (SAVED.name, files("state.json", "dataset_info.json", "data-00000-of-00001.arrow")),
    "saved splits": (SAVED.name, files("dataset_dict.json", "test/state.json", "test/data-0.arrow")),
    "beir": (BEIR.name, files("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")),
    "webdataset": ("a webdataset (tar files)", files("test/0.tar", "test/1.tar", "classnames.txt")),
    "shards": ("a webdataset (tar files)", files("00000.tar", "00001.tar")),
    "mmeb": (MMEB.name, files("Own/test-00000-of-00001.parquet", "images/a.png")),
    "parquet": ("a folder of Parquet files", files("data/train-0.parquet")),
    "images": ("a folder of images", files("cat/1.JPG", "cat/2.jpg", "dog/1.png", "labels.txt")),
    "videos": ("a folder of videos", files("a.mp4", "b.MKV", "c.webm")),
    "lines": ("a folder of JSON Lines files", files("a.jsonl", "b.jsonl")),
}


@pytest.mark.parametrize("name", MADE)
def test_a_folder_is_named_by_what_it_holds(tmp_path: Path, name: str) -> None:
    said, make = MADE[name]
    make(tmp_path)
    kind = what_is(tmp_path)
    assert (kind.name, kind.sort) == (said, "folder")
    assert kind.remedy
    (tmp_path.parent / f"{tmp_path.name}-link").symlink_to(tmp_path)
    assert what_is(tmp_path.parent / f"{tmp_path.name}-link") == kind


@pytest.mark.parametrize("sort", ["model", "dataset"])
def test_the_hubs_cache_is_named_with_the_snapshot_to_use(tmp_path: Path, sort: str) -> None:
    folder = tmp_path / f"{sort}s--acme--tiny"
    for commit in ("0a", "9f"):
        files(f"snapshots/{commit}/config.json", f"blobs/{commit}")(folder)
    assert what_is(folder).name == f"the hub's cache of the {sort} acme/tiny"
    assert what_is(folder).remedy == f"Name its snapshot: {folder / 'snapshots' / '0a'}"
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("9f")
    assert what_is(folder).remedy == f"Name its snapshot: {folder / 'snapshots' / '9f'}"


def test_what_a_run_reads_and_writes_is_known(tiny, tmp_path, llave) -> None:
    out, store = tmp_path / "out", tmp_path / "store"
    done = llave("run", "classical", "--data", tiny.data, "--out", out, "--store", store)
    assert done.code == 0, done.err
    assert what_is(tiny.data) == MMEB
    assert what_is(out) == RESULTS
    assert what_is(store) == STORE


def test_a_folder_of_many_files_takes_no_time(tmp_path: Path) -> None:
    for folder in range(40):
        files(*(f"{folder}/{number}.jpg" for number in range(200)))(tmp_path)
    start = time.perf_counter()
    assert what_is(tmp_path).name == "a folder of images"
    assert time.perf_counter() - start < 0.5


def test_a_folder_that_may_not_be_listed_says_so(public_folder: Path) -> None:
    (public_folder / "shut").mkdir()
    with without_rights(public_folder, folders=0):
        assert what_is(public_folder / "shut") == SHUT
