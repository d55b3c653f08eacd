"""A path that is there, but does not hold what was wanted, is called what it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers.corpus_files import write_beir

LAYOUTS: dict[str, tuple[Sequence[str], str, str]] = {
    "saved": (("dataset_dict.json", "test/state.json"), "a dataset that `save_to_disk`", "to_parquet"),
    "images": (("1.jpg", "2.jpg"), "a folder of images", "a folder for each class"),
    "gguf": (("model.gguf",), "a folder with GGUF weights", "config.json"),
    "onnx": (("model.onnx",), "a folder with an ONNX model", "docs/add-a-model.md"),
    "models--acme--tiny": (("snapshots/0a/README.md",), "the hub's cache", "snapshots/0a"),
    "none": ((), "an empty folder", "name another"),
}


@pytest.mark.parametrize("flags", [("run", "classical", "--data", "{}"), ("run", "{}", "--suite", "demo")])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_of_another_layout_is_named_with_what_to_do(
    tmp_path: Path, llave, name: str, flags: Sequence[str]
) -> None:
    files, said, remedy = LAYOUTS[name]
    (tmp_path / name).mkdir()
    for each in files:
        (tmp_path / name / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name / each).write_text("x")
    done = llave(*(flag.format(tmp_path / name) for flag in flags))
    assert done.code == 2
    assert said in done.err
    assert remedy in done.err


def test_shards_where_a_model_is_wanted_are_named(tmp_path: Path, llave) -> None:
    (tmp_path / "set" / "test").mkdir(parents=True)
    (tmp_path / "set" / "test" / "0.tar").write_text("x")
    done = llave("run", tmp_path / "set", "--suite", "demo")
    assert done.code == 2
    assert "a webdataset (tar files)" in done.err
    assert "JSON Lines" in done.err


def test_data_where_a_model_is_wanted_is_named(tmp_path: Path, llave) -> None:
    write_beir(tmp_path / "mini")
    done = llave("run", tmp_path / "mini", "--suite", "demo")
    assert done.code == 2
    assert f"{tmp_path / 'mini'} is data, not a model." in done.err
    assert "--data" in done.err


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\x1f\x8b\x08\0", "a gzip archive"), (b"<html></html>", "a web page"), (b"PAR1\x15\x04", "a Parquet file")],
)
def test_a_file_that_is_no_task_is_named(tmp_path: Path, llave, content: bytes, said: str) -> None:
    (tmp_path / "a.data").write_bytes(content)
    done = llave("run", "classical", "--data", tmp_path / "a.data")
    assert done.code == 2
    assert f"It is {said}" in done.err
