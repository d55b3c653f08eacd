"""Tables as the hub keeps them: cards, splits in folders, webdataset shards, and folders of classes."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import datasets
import pytest

from harness.errors import UserError
from harness.media.images import open_image
from harness.types import TaskData
from tasks.catalog import resolve_tasks
from tests.helpers.corpus_files import WORDS, picture, write_mteb

CARD = """---
configs:
- config_name: corpus
  data_files: data/pages.parquet
- config_name: queries
  data_files: data/asked.parquet
- config_name: qrels
  data_files:
  - {split: test, path: data/judged.parquet}
  - {split: dev, path: data/other.parquet}
---
"""


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory) -> None:
    """Keeps embedded images out of the user's cache."""
    monkeypatch.setenv("LLAVE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def load(folder: Path, turn: int = 0) -> TaskData:
    task = resolve_tasks(data=folder)[turn]
    return task.source.load(task)


def labels(data: TaskData) -> list[str]:
    return [data.targets[query.positives[0]].text for query in data.queries]


def shard(path: Path, entries: list[tuple[str, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def samples(numbers: range) -> list[tuple[str, bytes]]:
    return [
        entry
        for number in numbers
        for entry in ((f"{number:04}.png", picture(number)), (f"{number:04}.cls", str(number % 2).encode()))
    ]


def test_a_card_says_which_files_are_which_table(tmp_path: Path) -> None:
    write_mteb(tmp_path / "plain")
    there, plain = tmp_path / "card" / "data", tmp_path / "plain"
    there.mkdir(parents=True)
    (there.parent / "README.md").write_text(CARD)
    for old, new in (
        ("corpus/corpus-00000-of-00001", "pages"),
        ("default/test-00000-of-00001", "judged"),
        ("default/test-00000-of-00001", "other"),
    ):
        (there / f"{new}.parquet").write_bytes((plain / f"{old}.parquet").read_bytes())
    (there / "asked.parquet").write_bytes((plain / "queries/queries-00000-of-00002.parquet").read_bytes())
    data = load(tmp_path / "card")
    assert len(data.targets) == len(WORDS)
    assert [query.id for query in data.queries] == ["q0", "q1"]


def test_a_saved_dict_of_splits_is_read(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_list([{"text": f"t{number}", "label": "ab"[number % 2]} for number in range(4)])
    datasets.DatasetDict({"train": rows, "test": rows.select([0])}).save_to_disk(str(tmp_path / "own"))
    assert labels(load(tmp_path / "own")) == ["a"]


@pytest.mark.parametrize("below", ["", "test"])
def test_shards_are_one_table_and_their_classes_have_names(below: str, tmp_path: Path) -> None:
    shard(tmp_path / below / "0.tar", samples(range(2)))
    shard(tmp_path / below / "1.tar", samples(range(2, 3)))
    (tmp_path / "classnames.txt").write_text("cat\ndog\n")
    data = load(tmp_path)
    assert labels(data) == ["cat", "dog", "cat"]
    colours = [open_image(query.item.media[0]).getpixel((0, 0)) for query in data.queries]
    assert colours == [(40 * number, 10, 200 - 30 * number) for number in range(3)]


def test_each_line_of_a_text_in_a_shard_is_a_caption(tmp_path: Path) -> None:
    shard(tmp_path / "a-000000.tar", [("k.png", picture(1)), ("k.txt", b"one\n\ntwo\n"), ("k.json", b'{"url": "x"}')])
    assert [target.text for target in load(tmp_path).targets] == ["one", "two"]
    assert [query.item.text for query in load(tmp_path, 1).queries] == ["one", "two"]


def test_what_is_wrong_with_a_shard_is_named(tmp_path: Path) -> None:
    path = tmp_path / "0.tar"
    shard(path, samples(range(2)))
    (tmp_path / "classnames.txt").write_text("cat\ndog\n")
    whole = path.read_bytes()
    for size, said in ((1500, "0.tar"), (4096, "cut off")):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError) as caught:
            load(tmp_path)
        assert said in caught.value.what
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("a.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(UserError, match="is a link"):
        load(tmp_path)


def test_entries_that_name_places_above_are_never_written_there(tmp_path: Path) -> None:
    shard(tmp_path / "in/0.tar", [("../../out.png", picture(1)), ("../../out.cls", b"cat")])
    before = sorted(tmp_path.rglob("*"))
    assert labels(load(tmp_path / "in")) == ["cat"]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("below", ["", "test", "train"])
def test_images_in_folders_of_classes_are_read(below: str, tmp_path: Path) -> None:
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / below / name).mkdir(parents=True)
        (tmp_path / below / name / "1.png").write_bytes(picture(number))
    assert labels(load(tmp_path)) == ["cat", "dog"]


def test_a_renamed_class_is_another_dataset(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(picture(1))
    (task,) = resolve_tasks(data=tmp_path)
    before = task.source.info(task).content
    (tmp_path / "dog").rename(tmp_path / "eel")
    (task,) = resolve_tasks(data=tmp_path)
    assert task.source.info(task).content != before


def test_images_described_by_a_table_beside_them_are_captions(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test/1.png").write_bytes(picture(1))
    (tmp_path / "test/metadata.csv").write_text("file_name,text\n1.png,a square\n")
    assert [target.text for target in load(tmp_path).targets] == ["a square"]
