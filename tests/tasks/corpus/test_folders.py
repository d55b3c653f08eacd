"""Tables that are no table: images in a folder for each class, shards of a webdataset, and a card's configurations."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import datasets
import pytest

from harness.errors import UserError
from harness.types import TaskData
from tasks.catalog import resolve_tasks
from tests.helpers.corpus_files import picture, write_card
from tests.helpers.table_files import CLASSES, write_classes, write_shard


def only(data: Path) -> TaskData:
    [task] = resolve_tasks(data=data)
    return task.source.load(task)


def right(data: TaskData) -> list[str]:
    return [data.targets[int(query.positives[0])].text for query in data.queries]


def bytes_of(data: TaskData) -> list[bytes]:
    return [(each.root / each.name).read_bytes() for query in data.queries for each in query.item.media]


@pytest.mark.parametrize("below", ["", "test", "validation"])
def test_a_folder_for_each_class_is_a_table_of_labels(tmp_path: Path, below: str) -> None:
    write_classes(tmp_path / "birds" / below)
    if below:
        write_classes(tmp_path / "birds" / "train")
    data = only(tmp_path / "birds")
    assert right(data) == ["bird", "bird", "cat", "cat"]
    assert bytes_of(data) == [picture(number) for number in range(4)]


def test_metadata_beside_images_names_them(tmp_path: Path) -> None:
    place = tmp_path / "birds"
    place.mkdir()
    for number in range(2):
        (place / f"{number}.png").write_bytes(picture(number))
    (place / "metadata.csv").write_text("file_name,label\n0.png,bird\n1.png,cat\n")
    assert right(only(place)) == list(CLASSES)


def test_shards_with_classes_are_a_table_of_labels(tmp_path: Path) -> None:
    for shard in range(2):
        entries = {}
        for number in (2 * shard, 2 * shard + 1):
            entries |= {f"{number:03}.png": picture(number), f"{number:03}.cls": str(number % 2).encode()}
        write_shard(tmp_path / "wds" / f"test-{shard:06}.tar", entries)
    (tmp_path / "wds" / "classnames.txt").write_text("bird\ncat\n")
    data = only(tmp_path / "wds")
    assert right(data) == ["bird", "cat", "bird", "cat"]
    assert bytes_of(data) == [picture(number) for number in range(4)]
    assert len({query.id for query in data.queries}) == 4


def test_shards_with_captions_are_two_tasks(tmp_path: Path) -> None:
    entries = {}
    for number in range(3):
        fields = json.dumps({"width": 16, "caption": "of the file"}).encode()
        entries |= {f"a/{number}.png": picture(number), f"a/{number}.txt": f"shape {number}\n".encode()}
        entries |= {f"a/{number}.json": fields}
    write_shard(tmp_path / "wds" / "000000.tar", entries)
    tasks = resolve_tasks(data=tmp_path / "wds")
    assert [task.name for task in tasks] == ["wds-i2t", "wds-t2i"]
    data = tasks[0].source.load(tasks[0])
    assert right(data) == ["shape 0", "shape 1", "shape 2"]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"0.png": b"x", "0.txt": b"\xff\xfe"}, "is not in UTF-8"),
        ({"0.png": b"x", "0.json": b"{"}, "is not valid JSON"),
        ({"0.mp4": b"x", "0.txt": b"a"}, "videos inside of tar files are not read"),
    ],
)
def test_what_an_entry_cannot_be_is_named_with_its_shard(tmp_path: Path, entries: dict[str, bytes], said: str) -> None:
    write_shard(tmp_path / "wds" / "000000.tar", entries)
    with pytest.raises(UserError, match=said) as caught:
        [task.source.load(task) for task in resolve_tasks(data=tmp_path / "wds")]
    assert "000000.tar" in str(caught.value)


@pytest.mark.parametrize("name", ["/etc/passwd", "../../outside.png"])
def test_an_entry_leaves_no_folder(tmp_path: Path, name: str) -> None:
    """Names of entries are ids and no places. Images lie in the cache under names of their own."""
    write_shard(tmp_path / "wds" / "000000.tar", {f"{name}.png": picture(0), f"{name}.txt": b"a"})
    before = set(tmp_path.rglob("*"))
    tasks = resolve_tasks(data=tmp_path / "wds")
    assert bytes_of(tasks[0].source.load(tasks[0])) == [picture(0)]
    assert set(tmp_path.rglob("*")) == before


def test_links_in_a_shard_are_refused(tmp_path: Path) -> None:
    (tmp_path / "wds").mkdir()
    with tarfile.open(tmp_path / "wds" / "000000.tar", "w") as archive:
        entry = tarfile.TarInfo("0.png")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(UserError, match=r"the entry 0\.png is a link"):
        resolve_tasks(data=tmp_path / "wds")


def test_a_shard_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "wds" / "000000.tar"
    write_shard(path, {"0.png": picture(0), "0.txt": b"a" * 2000})
    path.write_bytes(path.read_bytes()[:2048])
    with pytest.raises(UserError, match=r"000000\.tar"):
        [task.source.load(task) for task in resolve_tasks(data=tmp_path / "wds")]


def test_a_card_names_tables_of_any_file_name(tmp_path: Path) -> None:
    write_card(tmp_path / "nano")
    assert len(only(tmp_path / "nano").queries) == 4


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("config_name: queries", "name: queries", "config_name"),
        ("path: data/part0.parquet", "path: https://example.org/x.parquet", "names files elsewhere"),
    ],
)
def test_a_card_that_cannot_be_read_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    write_card(tmp_path / "nano")
    card = tmp_path / "nano" / "README.md"
    card.write_text(card.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=said) as caught:
        resolve_tasks(data=tmp_path / "nano")
    assert "README.md" in str(caught.value)


def test_a_saved_dict_of_splits_is_read(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_list([{"text": f"t{number}", "label": "ab"[number % 2]} for number in range(4)])
    datasets.DatasetDict({"train": rows, "test": rows.select([0])}).save_to_disk(str(tmp_path / "own"))
    assert right(only(tmp_path / "own")) == ["a"]


def test_a_renamed_class_is_another_dataset(tmp_path: Path) -> None:
    write_classes(tmp_path / "birds")
    [task] = resolve_tasks(data=tmp_path / "birds")
    before = task.source.info(task).content
    (tmp_path / "birds" / "cat").rename(tmp_path / "birds" / "eel")
    [task] = resolve_tasks(data=tmp_path / "birds")
    assert task.source.info(task).content != before
