"""Folders of subsets."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.types import Media, Task
from tasks.mmeb.datasets import NUM_QUERIES, mmeb_tasks
from tasks.mmeb.folder import FolderSource, subsets
from tasks.mmeb.local import local_tasks
from tests.helpers.mmeb_files import columns, shared, write_subset

TEXT = columns([("q", "", [("a", ""), ("b", "")])] * 3)
IMAGE = columns([("<|image_1|>\nq", "a.png", [("a", ""), ("b", "")])] * 3)


def task(source: FolderSource, name: str = "Own") -> Task:
    return Task(name, None, None, None, None, source)


def said(source: FolderSource, name: str = "Own") -> str:
    with pytest.raises(UserError) as caught:
        source.load(task(source, name))
    return str(caught.value)


@pytest.mark.parametrize("given", [("elsewhere",), ()])
def test_the_image_root_is_the_first_there_is(tmp_path: Path, given: tuple[str, ...]) -> None:
    data = tmp_path / "data"
    write_subset(data, "Own", IMAGE)
    places = [data / "images", data / "eval_images", tmp_path / "images", tmp_path / "eval_images"]
    if given:
        places.insert(0, tmp_path / given[0])
    for place in reversed(places):
        place.mkdir()
        source = FolderSource(data, place if place.name == "elsewhere" else None)
        assert source.info(task(source)).media_root == place
        (query, *_) = source.load(task(source)).queries
        assert query.item.media == (Media("image", "a.png", place),)


def test_an_image_root_is_asked_for_only_where_there_are_images(tmp_path: Path) -> None:
    write_subset(tmp_path / "data", "Own", TEXT)
    source = FolderSource(tmp_path / "data")
    assert source.info(task(source)).media_root is None
    assert len(source.load(task(source)).queries) == 3
    write_subset(tmp_path / "data", "Pictures", IMAGE)
    text = said(source, "Pictures")
    for place in ("data/images", "data/eval_images", "images", "eval_images", "--images"):
        assert str(tmp_path / place) in text or place == "--images" in text


def test_an_image_root_that_is_none_is_an_error(tmp_path: Path) -> None:
    write_subset(tmp_path, "Own", TEXT)
    assert "is not a folder" in said(FolderSource(tmp_path, tmp_path / "typo"))


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("test-00002-of-00003.parquet", "test-00000-of-00003.parquet", "test-00001-of-00003.parquet"):
        write_subset(tmp_path, "Own", columns([(name, "", [("a", "")])]), name)
    source = FolderSource(tmp_path)
    queries = source.load(task(source)).queries
    assert [query.item.text[:10] for query in queries] == ["test-00000", "test-00001", "test-00002"]
    assert [query.id for query in queries] == ["0", "1", "2"]
    assert [file.name[:10] for file in source.info(task(source)).files] == ["test-00000", "test-00001", "test-00002"]


def test_a_scope_in_the_name_reads_the_same_rows(tmp_path: Path) -> None:
    write_subset(tmp_path, "Own", TEXT)
    source = FolderSource(tmp_path)
    plain, scoped = source.load(task(source)), source.load(task(source, "Own@global"))
    assert [query.item for query in plain.queries] == [query.item for query in scoped.queries]
    assert plain.targets == scoped.targets


def test_subsets_are_the_folders_with_test_files(tmp_path: Path) -> None:
    write_subset(tmp_path, "B", TEXT)
    write_subset(tmp_path, "A", TEXT)
    write_subset(tmp_path, "Train", TEXT, "original-00000-of-00001.parquet")
    (tmp_path / "images").mkdir()
    (tmp_path / "README.md").touch()
    assert subsets(tmp_path) == ("A", "B")
    assert "A, B" in said(FolderSource(tmp_path), "Train")


def test_a_folder_that_holds_no_subset_says_so(tmp_path: Path) -> None:
    for folder, words in [
        (tmp_path / "gone", "does not exist"),
        (tmp_path, "has no subset"),
        (write_subset(tmp_path / "up", "Own", TEXT).parent, f"--data {tmp_path / 'up'}."),
    ]:
        with pytest.raises(UserError, match=re.escape(words)):
            subsets(folder)


def test_a_registered_dataset_must_have_its_rows(tmp_path: Path) -> None:
    write_subset(tmp_path, "GQA", TEXT)
    source = FolderSource(tmp_path)
    (gqa,) = (each for each in mmeb_tasks(source) if each.name == "GQA")
    for name in ("GQA", "GQA@global"):
        with pytest.raises(UserError, match=rf"has 3 rows, but {name} has 1000"):
            source.info(replace(gqa, name=name))
    with pytest.raises(UserError, match="has 3 rows"):
        source.load(gqa)


def test_a_subset_is_mmeb_only_if_name_and_rows_are(tmp_path: Path) -> None:
    row = ("<|image_1|>\nRepresent the given image with the following question: x?\n", "a.png", [("a", "")])
    (tmp_path / "images").mkdir()
    write_subset(tmp_path, "GQA", columns([row] * NUM_QUERIES))
    write_subset(tmp_path, "TextVQA", columns([row] * 3))
    write_subset(tmp_path, "Own", columns([row] * 3))
    whole, own, part = local_tasks(tmp_path)
    assert [whole.name, own.name, part.name] == ["GQA", "Own", "TextVQA"]
    assert (whole.meta_task, whole.split, whole.num_queries, whole.notes) == ("vqa", "OOD", NUM_QUERIES, ())
    assert (own.meta_task, own.split, own.num_queries, own.notes) == (None, None, None, ())
    assert (part.meta_task, part.split, part.num_queries) == (None, None, None)
    assert part.notes == ("not MMEB's own rows: 3 queries here, 1000 there; scores are not comparable",)
    for each in (whole, own, part):
        item = each.source.load(each).queries[0].item
        assert item.full_text.endswith("question: x?\n")
        assert item.text == ("x?\n" if each is not own else item.full_text)


def test_the_real_folder_runs_under_its_own_names() -> None:
    folder = shared("realdata", "mmeb")
    tasks = local_tasks(folder)
    assert len(tasks) == 21
    for each in tasks:
        info = each.source.info(each)
        data = each.source.load(each)
        media = {medium for item in (*data.targets, *(q.item for q in data.queries)) for medium in item.media}
        assert info.media_root == folder.parent / "images"
        assert all((medium.root / medium.name).is_file() for medium in media)
        assert len(set(data.targets)) == len(data.targets)
        assert all(query.item.media or query.item.text for query in data.queries)
    odd = {each.name for each in tasks if each.notes}
    assert odd == {"ImageNet-1K", "MSCOCO", "MSCOCO_i2t", "MSCOCO_t2i"}
