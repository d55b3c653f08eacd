"""What is decoded is what was digested, or the run stops: no vector of another picture is stored under a key."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.embed import Embedded, EmbedSettings, OwnItem, embed_items
from harness.encoding.distributed import World
from harness.encoding.store import Store
from harness.errors import BadMedia, UserError
from harness.identity import item_key, model_fingerprint
from harness.media import unchanged as module
from harness.media.decode_pool import end_idle
from harness.media.digests import Digests
from harness.media.images import open_image
from harness.media.video import map_frames, read_frames
from harness.models.common import handle
from harness.progress import NoProgress
from harness.types import Item, Media
from tests.helpers.embedders import Hashed
from tests.helpers.image_files import encoded, picture

OLD = (1_700_000_000_000_000_000, 1_700_000_000_000_000_000)
Change = Callable[[Path, bytes], object]


def in_place(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def with_its_old_time(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    os.utime(path, ns=OLD)


def by_a_rename(path: Path, data: bytes) -> None:
    other = path.with_name("other")
    other.write_bytes(data)
    os.utime(other, ns=OLD)
    other.replace(path)


def through_a_map(path: Path, data: bytes) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file, mmap.mmap(file.fileno(), size) as memory:
        memory[:] = data[:size].ljust(size, b"\0")
    os.utime(path, ns=OLD)


def cut(path: Path, data: bytes) -> None:
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path, data: bytes) -> None:
    os.truncate(path, 0)


def removed(path: Path, data: bytes) -> None:
    path.unlink()


def a_folder(path: Path, data: bytes) -> None:
    path.unlink()
    path.mkdir()


CHANGES: Mapping[str, Change] = {
    change.__name__: change
    for change in (in_place, with_its_old_time, by_a_rename, through_a_map, cut, emptied, removed, a_folder)
}


def animation(seed: int) -> bytes:
    first, *rest = (picture(seed + number).quantize(32) for number in range(3))
    return encoded(first, "GIF", save_all=True, append_images=rest, duration=100)


FILES = {"image": (encoded(picture(0), "BMP"), encoded(picture(1), "BMP")), "video": (animation(0), animation(9))}
"""A medium of each kind, and another one."""


@pytest.fixture(autouse=True)
def _fresh_processes() -> Iterator[None]:
    yield
    end_idle()


@pytest.fixture(params=["image", "video"])
def checked(request: pytest.FixtureRequest, tmp_path: Path) -> Media:
    """A medium that was checked before."""
    path = tmp_path / "a.bin"
    path.write_bytes(FILES[request.param][0])
    os.utime(path, ns=OLD)
    media = Media(request.param, path.name, tmp_path)
    return replace(media, seen=Digests(tmp_path / "digests.db").media(media).seen)


def use(media: Media) -> list[Image.Image]:
    return [open_image(media)] if media.kind == "image" else read_frames(media, lambda total, _: range(total))


def refused(error: pytest.ExceptionInfo[UserError], media: Media) -> None:
    assert not isinstance(error.value, BadMedia), "what can be skipped follows from the data alone"
    assert str(media.root / media.name) in error.value.what
    assert "again" in error.value.hint


def test_what_did_not_change_is_used_as_without_a_check(checked: Media) -> None:
    for one, other in zip(use(checked), use(replace(checked, seen=None)), strict=True):
        assert one.tobytes() == other.tobytes()
    os.utime(checked.root / checked.name)  # other times, and the same bytes
    assert use(checked)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changed_since_its_check_is_refused_and_named(checked: Media, change: Change) -> None:
    change(checked.root / checked.name, FILES[checked.kind][1])
    with pytest.raises(UserError) as error:
        use(checked)
    refused(error, checked)


@pytest.mark.parametrize("limit", [0, module.DIGESTED])
@pytest.mark.parametrize("checked", ["video"], indirect=True)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_video_that_changes_while_it_is_decoded_is_refused(
    checked: Media, change: Change, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a large one, which is not digested again."""
    monkeypatch.setattr(module, "DIGESTED", limit)
    changes = iter([change])

    def keep(frame: Image.Image) -> Image.Image:
        for each in changes:
            each(checked.root / checked.name, FILES["video"][1])
        return frame

    with pytest.raises(UserError) as error:
        map_frames(checked, lambda total, _: range(total), keep)
    refused(error, checked)


@pytest.mark.parametrize("checked", ["video"], indirect=True)
def test_a_large_video_is_digested_again_only_if_its_times_changed(
    checked: Media, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DIGESTED", 0)
    read: list[Path] = []
    check = module._check_bytes
    monkeypatch.setattr(module, "_check_bytes", lambda path, seen: (read.append(path), check(path, seen)))
    assert use(checked)
    assert not read
    os.utime(checked.root / checked.name)
    assert use(checked)
    assert len(read) == 1
    in_place(checked.root / checked.name, FILES["video"][1])
    with pytest.raises(UserError) as error:
        use(checked)
    refused(error, checked)


def embedded(folder: Path, before_loading: Callable[[], object], *, skip: bool = False) -> Embedded | None:
    """Embeds eight pictures, and does something between their digests and their use."""
    items = [OwnItem(name, Item("", (Media("image", name, folder),)), "target", name) for name in NAMES]
    model = handle(Hashed.spec, lambda: (before_loading(), Hashed())[1])
    how = EmbedSettings(folder / "store", budget=64, workers=1, skip_bad_media=skip)
    return embed_items(items, model, how, NoProgress(), World(0, 1))


def key_of(data: bytes) -> bytes:
    item = Item("", (Media("image", "", Path()),))
    return item_key(model_fingerprint(Hashed.spec), item, "target", [sha256(data).hexdigest()])


NAMES = [f"{number}.bmp" for number in range(8)]


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_no_vector_of_another_picture_is_stored(tmp_path: Path, change: Change, skip: bool) -> None:
    """And when the file is what it was, or is taken as it is now, the same command gives the right vectors."""
    folder, right = tmp_path / "data", tmp_path / "right"
    for where in (folder, right):
        where.mkdir()
        for seed, name in enumerate(NAMES):
            (where / name).write_bytes(encoded(picture(seed), "BMP"))
            os.utime(where / name, ns=OLD)
    victim, other = folder / NAMES[5], encoded(picture(99), "BMP")
    wanted = embedded(right, lambda: None)
    assert wanted is not None
    with pytest.raises(UserError, match=NAMES[5]) as error:
        embedded(folder, lambda: change(victim, other), skip=skip)
    assert not isinstance(error.value, BadMedia)
    keys = [key_of(encoded(picture(seed), "BMP")) for seed in range(8)]
    with Store(folder / "store", Hashed.spec) as stored, Store(right / "store", Hashed.spec) as truth:
        kept = [key for key in keys if not stored.missing([key])]
        assert all(np.array_equal(stored.get([key]), truth.get([key])) for key in kept)
    if victim.is_dir():
        victim.rmdir()
    victim.write_bytes(encoded(picture(5), "BMP"))
    found = embedded(folder, lambda: None)
    assert found is not None
    assert np.array_equal(found.vectors, wanted.vectors)
