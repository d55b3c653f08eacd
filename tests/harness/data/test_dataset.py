"""Which data a score is about: found again without reading it, different as soon as it is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data import dataset
from harness.data.dataset import Dataset, first_queries, known_digest, load_dataset
from harness.errors import UserError
from harness.media import digests as digests_module
from harness.media.digests import Digests
from harness.media.images import MediaInfo
from harness.progress import NoProgress
from harness.types import DataInfo, Item, Media, MediaKind, Query, Task, TaskData
from tests.helpers.image_files import encoded, picture, rotated_exif


@dataclass(frozen=True)
class Folder:
    """Rows in `rows.json`, each a query's image and its candidates' images, the first of them right."""

    root: Path
    loads: list[str] = field(default_factory=list, compare=False)

    def describe(self) -> str:
        return "a test"

    def info(self, task: Task) -> DataInfo:
        return DataInfo("test", "1", (self.root / "rows.json",), self.root / "images")

    def load(self, task: Task) -> TaskData:
        self.loads.append(task.name)
        rows: list[list[str]] = json.loads((self.root / "rows.json").read_text())
        names = list(dict.fromkeys(name for row in rows for name in row[1:]))
        queries = (
            Query(str(number), self._item(row[0]), indexes([names.index(name) for name in row[1:]]), indexes([0]))
            for number, row in enumerate(rows)
        )
        return TaskData(tuple(queries), tuple(self._item(name) for name in names), {"seen": 1})

    def _item(self, name: str) -> Item:
        return Item("<|media|>", (Media("image", name, self.root / "images"),))


def indexes(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int32)


ROWS = [["q0.png", "a.png", "b.png"], ["q1.png", "b.png", "c.png"], ["q2.png", "d.png", "a.png"]]
NAMES = ["q0.png", "q1.png", "q2.png", "a.png", "b.png", "c.png", "d.png"]


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all files had been written long ago."""
    monkeypatch.setattr(digests_module, "_FRESH_NS", 0)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (root / "images" / name).write_bytes(encoded(picture(number, (8, 8)), "PNG"))
    (root / "rows.json").write_text(json.dumps(ROWS))
    return Task("toy", None, None, "image", "image", Folder(root))


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "digests.db"


def folder_of(task: Task) -> Path:
    assert isinstance(task.source, Folder)
    return task.source.root


def image_of(task: Task, name: str) -> Path:
    return folder_of(task) / "images" / name


def load(
    task: Task, digests: Digests, limit: int | None = None, *, skip_bad: bool = False, workers: int = 2
) -> Dataset:
    info = task.source.info(task)
    return load_dataset(task, info, digests, NoProgress(), limit=limit, workers=workers, skip_bad=skip_bad)


def known(task: Task, digests: Digests, limit: int | None = None) -> str | None:
    return known_digest(task, task.source.info(task), limit, digests)


@pytest.mark.parametrize("limit", [None, 1, 2])
def test_what_was_loaded_once_is_known_without_reading_a_row(task: Task, memory: Path, limit: int | None) -> None:
    assert known(task, Digests(memory), limit) is None
    digest = load(task, Digests(memory), limit).digest
    assert isinstance(task.source, Folder)
    assert known(task, Digests(memory), limit) == digest
    assert task.source.loads == ["toy"]
    assert load(task, Digests(memory), limit).digest == digest


def test_another_choice_of_frames_makes_other_data_of_videos_alone(
    task: Task, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest(kind: MediaKind) -> str:
        looks = {Media(kind, "a", memory): MediaInfo("1" * 64, 0, 0)}
        return dataset._digest(task, task.source.info(task), None, looks, Digests(memory))

    before = [digest(kind) for kind in ("image", "video")]
    monkeypatch.setattr(dataset, "FRAMES", dataset.FRAMES + 1)
    assert [digest(kind) == old for kind, old in zip(("image", "video"), before, strict=True)] == [True, False]


def _new_pixels(task: Task) -> Task:
    image_of(task, "c.png").write_bytes(encoded(picture(99, (8, 8)), "PNG"))
    return task


def _new_bytes(task: Task) -> Task:
    image_of(task, "c.png").write_bytes(image_of(task, "c.png").read_bytes() + b"\0")
    return task


def _swapped_images(task: Task) -> Task:
    one, two, aside = (image_of(task, name) for name in ("a.png", "b.png", "aside"))
    one.rename(aside)
    two.rename(one)
    aside.rename(two)
    return task


def _new_rows(task: Task) -> Task:
    (folder_of(task) / "rows.json").write_text(json.dumps(ROWS, indent=1))
    return task


CHANGES: dict[str, Callable[[Task], Task]] = {
    "pixels": _new_pixels,
    "bytes": _new_bytes,
    "swap": _swapped_images,
    "rows": _new_rows,
    "scope": lambda task: replace(task, scope="global"),
    "query role": lambda task: replace(task, query_role="target"),
    "target modality": lambda task: replace(task, target_modality="text"),
    "query instruction": lambda task: replace(task, query_instruction="Find: "),
    "target instruction": lambda task: replace(task, target_instruction="Find: "),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_of_the_data_changes_the_digest(task: Task, memory: Path, change: Callable[[Task], Task]) -> None:
    before = load(task, Digests(memory)).digest
    changed = change(task)
    assert known(changed, Digests(memory)) != before
    after = load(changed, Digests(memory)).digest
    assert after != before
    assert known(changed, Digests(memory)) == after


def test_every_limit_has_a_digest_of_its_own(task: Task, memory: Path) -> None:
    assert len({load(task, Digests(memory), limit).digest for limit in (None, 1, 2, 3)}) == 4


def test_where_the_data_lies_and_when_it_was_written_do_not_matter(task: Task, memory: Path, tmp_path: Path) -> None:
    before = load(task, Digests(memory)).digest
    moved = replace(task, source=Folder(shutil.copytree(folder_of(task), tmp_path / "elsewhere")))
    shutil.rmtree(folder_of(task))
    for name in NAMES:
        os.utime(image_of(moved, name), (1, 1))
    for each in (memory, tmp_path / "another.db"):
        assert load(moved, Digests(each), workers=1).digest == before


def test_media_of_one_name_in_two_folders_are_two(task: Task, memory: Path, tmp_path: Path) -> None:
    """Else a change of one of them would go unseen."""
    other = tmp_path / "other"
    shutil.copytree(folder_of(task) / "images", other)

    class Two(Folder):
        def load(self, task: Task) -> TaskData:
            data = super().load(task)
            elsewhere = tuple(Item(item.text, (replace(item.media[0], root=other),)) for item in data.targets)
            return TaskData(data.queries, data.targets + elsewhere)

    two = replace(task, source=Two(folder_of(task)), scope="global")
    digests = {load(two, Digests(memory)).digest}
    for folder in (other, folder_of(task) / "images"):
        (folder / "a.png").write_bytes(encoded(picture(77, (8, 8)), "PNG"))
        digests.add(load(two, Digests(memory)).digest)
    assert len(digests) == 3


def spoil(task: Task, *names: str) -> None:
    for name in names:
        image_of(task, name).write_bytes(image_of(task, name).read_bytes()[:60])


def test_bad_media_are_listed_all_at_once(task: Task, memory: Path) -> None:
    spoil(task, *NAMES)
    image_of(task, "q0.png").unlink()
    for _ in range(2):
        with pytest.raises(UserError, match="toy: 7 media files cannot be used") as caught:
            load(task, Digests(memory))
        lines = caught.value.what.splitlines()
        assert len(lines) == 7
        assert "q0.png does not exist. It is needed by query 0." in lines[1]
        assert all(" It is n" in line for line in lines[1:6])
        assert all("damaged" in line or "not an image" in line for line in lines[2:6])
        assert lines[6].strip() == "and 2 more"
        assert "--on-bad-media count-as-wrong" in caught.value.hint
        assert "--images" in caught.value.hint
    assert known(task, Digests(memory)) is None


def test_one_bad_file_is_one(task: Task, memory: Path) -> None:
    spoil(task, "b.png")
    with pytest.raises(UserError, match="toy: 1 media file cannot be used") as caught:
        load(task, Digests(memory))
    assert len(caught.value.what.splitlines()) == 2


def test_bad_media_can_be_kept_apart(task: Task, memory: Path) -> None:
    whole = load(task, Digests(memory)).digest
    spoil(task, "q1.png", "d.png")
    dataset = load(task, Digests(memory), skip_bad=True)
    assert {medium.name for medium in dataset.bad} == {"q1.png", "d.png"}
    assert {medium.name for medium in dataset.media} == set(NAMES) - {"q1.png", "d.png"}
    assert [bool(dataset.why_bad(query.item)) for query in dataset.data.queries] == [False, True, False]
    assert [bool(dataset.why_bad(target)) for target in dataset.data.targets] == [False, False, False, True]
    assert dataset.digest != whole
    assert known(task, Digests(memory)) == dataset.digest
    with pytest.raises(UserError, match="2 media files"):
        load(task, Digests(memory))


def test_a_repaired_image_changes_the_digest_back(task: Task, memory: Path) -> None:
    whole, good = load(task, Digests(memory)).digest, image_of(task, "d.png").read_bytes()
    spoil(task, "d.png")
    assert load(task, Digests(memory), skip_bad=True).digest != whole
    image_of(task, "d.png").write_bytes(good)
    assert load(task, Digests(memory), skip_bad=True).digest == whole


def test_a_limit_keeps_what_the_first_queries_need_and_looks_at_nothing_else(task: Task, memory: Path) -> None:
    spoil(task, "q1.png", "q2.png", "c.png", "d.png")
    dataset = load(task, Digests(memory), 1)
    assert {medium.name for medium in dataset.media} == {"q0.png", "a.png", "b.png"}
    assert [query.id for query in dataset.data.queries] == ["0"]
    with pytest.raises(UserError, match="2 media files"):
        load(replace(task, scope="global"), Digests(memory), 1)


def test_turned_images_are_counted(task: Task, memory: Path) -> None:
    assert dict(load(task, Digests(memory)).data.notes) == {"seen": 1}
    for name in ("a.png", "q0.png"):
        image_of(task, name).write_bytes(encoded(picture(0, (8, 8)), "PNG", exif=rotated_exif()))
    assert dict(load(task, Digests(memory)).data.notes) == {"seen": 1, "exif_turn_not_applied": 2}


def test_each_medium_is_looked_at_once_and_told(task: Task, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests, looked, told = Digests(memory), list[str](), list[tuple[str, int]]()
    plain = digests.media
    monkeypatch.setattr(digests, "media", lambda medium: (looked.append(medium.name), plain(medium))[1])

    class Listening(NoProgress):
        steps = 0

        def phase(self, name: str, total: int) -> None:
            told.append((name, total))

        def advance(self, steps: int = 1) -> None:
            self.steps += steps

    listener = Listening()
    load_dataset(task, task.source.info(task), digests, listener, limit=None, workers=3, skip_bad=False)
    assert sorted(looked) == sorted(NAMES)
    assert told == [("checking toy", len(NAMES))]
    assert listener.steps == len(NAMES)


@st.composite
def task_data(draw: st.DrawFn) -> TaskData:
    targets = tuple(Item(f"target {n}") for n in range(draw(st.integers(1, 8))))
    numbers = st.integers(0, len(targets) - 1)
    candidates = st.lists(numbers, min_size=draw(st.sampled_from([0, 1, 1])), max_size=5).map(indexes)
    pairs = draw(st.lists(st.tuples(candidates, st.lists(numbers, max_size=3).map(indexes)), max_size=5))
    return TaskData(
        tuple(Query(str(n), Item(f"query {n}"), *pair) for n, pair in enumerate(pairs)), targets, {"noted": 3}
    )


@given(task_data(), st.integers(0, 6), st.booleans())
def test_the_first_queries_ask_the_same_as_before(data: TaskData, limit: int, whole_pool: bool) -> None:
    found = first_queries(data, limit, whole_pool=whole_pool)
    assert len(found.queries) == min(limit, len(data.queries))
    assert found.notes == data.notes
    grouped = first_queries(replace(data, groups=(indexes([0]),)), limit, whole_pool=whole_pool)
    assert (grouped.targets, len(grouped.groups)) == (data.targets, 1)
    for old, new in zip(data.queries, found.queries, strict=False):
        assert (old.id, old.item) == (new.id, new.item)
        assert [data.targets[n] for n in old.candidates] == [found.targets[n] for n in new.candidates]
        assert [data.targets[n] for n in old.positives] == [found.targets[n] for n in new.positives]
    if whole_pool or not all(len(query.candidates) for query in found.queries):
        assert found.targets == data.targets
    else:
        needed = {n for query in found.queries for part in (query.candidates, query.positives) for n in part.tolist()}
        assert len(found.targets) == len(needed)
        assert [item for item in data.targets if item in found.targets] == list(found.targets), "in their order"
