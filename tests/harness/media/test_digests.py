"""Digests are remembered, and a memory is never believed over a file."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from harness.errors import BadMedia, UserError
from harness.media import digests as digests_module
from harness.media.digests import Digests, files_digest, folder_digest
from harness.media.images import MediaInfo
from harness.types import Media
from tests.helpers.image_files import as_media, deep_png, encoded, good_images, picture, rotated_exif, without_rights

GOOD = good_images()


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all files had been written long ago."""
    monkeypatch.setattr(digests_module, "_FRESH_NS", 0)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read, as they are read."""
    found: list[Path] = []

    def watched(work: Callable[[Path], object]) -> Callable[[Path], object]:
        return lambda path: (found.append(path), work(path))[1]

    for name in ("_sha256", "_inspected"):
        monkeypatch.setattr(digests_module, name, watched(getattr(digests_module, name)))
    return found


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "digests.db"


@pytest.mark.usefixtures("settled")
def test_a_second_run_reads_no_file_again(tmp_path: Path, memory: Path, reads: list[Path]) -> None:
    path = write(tmp_path / "a.bin", b"abc")
    media = as_media(tmp_path, "a.png", GOOD["turned.png"])
    found = []
    for _ in range(2):
        digests = Digests(memory)
        found += [(digests.file(path), digests.image(media)) for _ in range(2)]
        digests.flush()
    wanted = (digest(b"abc"), MediaInfo(digest(GOOD["turned.png"]), 60, 40, ("exif_turn_not_applied",)))
    assert found == [wanted] * 4
    assert len(reads) == 2


@pytest.mark.usefixtures("settled")
def test_a_file_by_another_name_is_the_same_file(tmp_path: Path, memory: Path, reads: list[Path]) -> None:
    path = write(tmp_path / "deep" / "a.bin", b"abc")
    (tmp_path / "link").symlink_to("deep")
    digests = Digests(memory)
    assert digests.file(path) == digests.file(tmp_path / "link" / "a.bin") == digest(b"abc")
    assert len(reads) == 1


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", ["size", "bytes", "bytes, and its time set back"])
def test_a_change_in_place_is_noticed(tmp_path: Path, memory: Path, change: str) -> None:
    path = write(tmp_path / "a.bin", b"abc")
    before = path.stat()
    digests = Digests(memory)
    assert digests.file(path) == digest(b"abc")
    time.sleep(0.02)  # longer than a tick of the file system's clock
    path.write_bytes(b"abcd" if change == "size" else b"xyz")
    if "back" in change:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_mtime_ns == before.st_mtime_ns
    for each in (digests, Digests(memory)):
        assert each.file(path) == digest(path.read_bytes())


def test_a_file_is_not_remembered_while_its_times_may_be_too_coarse_to_show_a_change(
    tmp_path: Path, memory: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, now = write(tmp_path / "a.bin", b"abc"), time.time_ns()
    os.utime(path, ns=(1, 1))  # as an unpacked archive or a copy does
    for seconds, read in [(0, 1), (1, 2), (1.5, 3), (3, 4), (3, 4), (9, 4)]:
        clock = SimpleNamespace(time_ns=lambda seconds=seconds: now + int(seconds * 1e9))
        monkeypatch.setattr(digests_module, "time", clock)
        digests = Digests(memory)
        assert digests.file(path) == digest(b"abc")
        digests.flush()
        assert len(reads) == read


@pytest.mark.usefixtures("settled")
def test_a_changed_file_takes_the_place_of_what_was_known(tmp_path: Path, memory: Path) -> None:
    digests = Digests(memory)
    for number in range(5):
        digests.file(write(tmp_path / "a.bin", bytes(number)))
    digests.flush()
    assert sqlite3.connect(memory).execute("SELECT count(*) FROM known").fetchone() == (1,)


def _a_folder(path: Path) -> None:
    path.mkdir(parents=True)


def _garbage(path: Path) -> None:
    write(path, b"garbage " * 1000)


def _another_database(path: Path) -> None:
    path.parent.mkdir()
    sqlite3.connect(path).execute("CREATE TABLE known (other)").connection.commit()


def _a_file_for_a_folder(path: Path) -> None:
    write(path.parent, b"")


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("spoil", [_a_folder, _garbage, _another_database, _a_file_for_a_folder])
def test_an_unusable_memory_costs_time_and_not_truth(
    tmp_path: Path, memory: Path, reads: list[Path], spoil: Callable[[Path], None]
) -> None:
    spoil(memory)
    path = write(tmp_path / "a.bin", b"abc")
    digests = Digests(memory)
    for _ in range(2):
        assert digests.file(path) == digest(b"abc")
        digests.flush()
    assert len(reads) == 1, "within the run it is remembered all the same"


@pytest.mark.usefixtures("settled")
def test_a_memory_damaged_on_the_way_costs_time_and_not_truth(tmp_path: Path, memory: Path) -> None:
    paths = [write(tmp_path / f"{n}.bin", bytes([n])) for n in range(50)]
    digests = Digests(memory)
    for path in paths:
        digests.file(path)
    digests.flush()
    with memory.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 100_000)
    later = Digests(memory)
    assert [later.file(path) for path in paths] == [digest(bytes([n])) for n in range(50)]
    later.flush()


@pytest.mark.usefixtures("settled")
def test_a_memory_that_may_only_be_read_is_read(public_folder: Path, reads: list[Path]) -> None:
    memory = public_folder / "cache" / "digests.db"
    old, new = (write(public_folder / name, name.encode()) for name in ("old", "new"))
    first = Digests(memory)
    first.file(old)
    first.flush()
    with without_rights(memory.parent):
        later = Digests(memory)
        for _ in range(2):
            assert (later.file(old), later.file(new)) == (digest(b"old"), digest(b"new"))
            later.flush()
    assert reads == [old, new]


@pytest.mark.usefixtures("settled")
def test_somebody_who_holds_the_memory_is_not_waited_for_again_and_again(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests_module, "_TIMEOUT", 0.3)
    paths = [write(tmp_path / f"{n}.bin", bytes([n])) for n in range(100)]
    digests = Digests(memory)
    holder = sqlite3.connect(memory, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    start = time.monotonic()
    assert [digests.file(path) for path in paths] == [digest(bytes([n])) for n in range(100)]
    digests.flush()
    assert time.monotonic() - start < 10
    holder.close()


@pytest.mark.usefixtures("settled")
def test_runs_at_the_same_time_share_what_they_learn(tmp_path: Path, memory: Path, reads: list[Path]) -> None:
    paths = [write(tmp_path / f"{n}.bin", bytes([n])) for n in range(40)]

    def learn(mine: list[Path]) -> None:
        digests = Digests(memory)
        for path in mine:
            digests.file(path)
            digests.flush()

    runs = [threading.Thread(target=learn, args=(paths[start::2],)) for start in (0, 1)]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    later = Digests(memory)
    assert [later.file(path) for path in paths] == [digest(bytes([n])) for n in range(40)]
    assert len(reads) == len(paths)


@pytest.mark.usefixtures("settled")
def test_threads_may_share_a_memory(tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests_module, "_UNSAVED", 7)
    paths = [write(tmp_path / f"{n}.bin", str(n).encode()) for n in range(300)]
    digests = Digests(memory)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(digests.file, paths * 2))
    assert found == [digest(path.read_bytes()) for path in paths] * 2
    digests.flush()
    assert sqlite3.connect(memory).execute("SELECT count(*) FROM known").fetchone() == (300,)


@pytest.mark.usefixtures("settled")
def test_a_bad_image_is_remembered_with_its_reason(tmp_path: Path, memory: Path, reads: list[Path]) -> None:
    media = as_media(tmp_path, "cut.png", GOOD["plain.png"][:500])
    messages = []
    for _ in range(2):
        digests = Digests(memory)
        with pytest.raises(BadMedia, match=r"cut\.png is damaged") as caught:
            digests.image(media)
        messages.append((caught.value.what, caught.value.hint))
        assert caught.value.medium == media
        digests.flush()
    assert messages[0] == messages[1]
    assert len(reads) == 1


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("kind", ["image", "video"])
def test_what_cannot_be_read_just_now_is_bad_and_not_remembered(public_folder: Path, kind: str) -> None:
    as_media(public_folder, "a.png", GOOD["plain.png"])
    media = Media("video" if kind == "video" else "image", "a.png", public_folder)
    digests = Digests(public_folder / "digests.db")
    with without_rights(public_folder, files=0), pytest.raises(BadMedia, match="Permission denied") as caught:
        digests.media(media)
    assert caught.value.medium is media
    assert digests.media(media).digest == digest(GOOD["plain.png"])


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("read_bytes", BadMedia("a.png cannot be read: Input/output error.", "Check the disk.")),
        ("inspect_image", UserError("There is not enough memory.", "Get more.")),
    ],
)
def test_trouble_that_passes_is_not_remembered(
    tmp_path: Path, memory: Path, step: str, error: UserError, monkeypatch: pytest.MonkeyPatch
) -> None:
    media, digests = as_media(tmp_path, "a.png", GOOD["plain.png"]), Digests(memory)

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(digests_module, step, fail)
        with pytest.raises(type(error)) as caught:
            digests.image(media)
    assert caught.value is error
    assert digests.image(media).width == 60


@pytest.mark.usefixtures("settled")
def test_another_pillow_looks_for_itself(
    tmp_path: Path, memory: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    media, digests = as_media(tmp_path, "a.jpg", encoded(picture(), "JPEG", exif=rotated_exif())), Digests(memory)
    for version in ("1", "2", "1"):
        monkeypatch.setattr(digests_module, "library_version", lambda name, version=version: f"{name} {version}")
        assert digests.image(media).notes == ("exif_turn_not_applied",)
    assert len(reads) == 2


@pytest.mark.parametrize(
    ("name", "why"), [("gone.mp4", "does not exist"), ("empty.mp4", "0 bytes"), ("../x", "leaves")]
)
def test_a_video_that_is_not_there_is_bad_media(tmp_path: Path, memory: Path, name: str, why: str) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(BadMedia, match=why):
        Digests(memory).media(Media("video", name, tmp_path))


def test_a_video_is_known_by_its_bytes(tmp_path: Path, memory: Path) -> None:
    write(tmp_path / "a.mp4", b"FLV frames")
    assert Digests(memory).media(Media("video", "a.mp4", tmp_path)).digest == digest(b"FLV frames")


def test_what_is_lost_of_an_animation_is_noted(tmp_path: Path, memory: Path) -> None:
    frames = [Image.new("RGBA", (20, 20), (0, 0, 0, alpha)) for alpha in (0, 90)]
    for name, notes in (("clear.webp", ("alpha_content_dropped",)), ("plain.webp", ())):
        shown = [frame if notes else frame.convert("RGB") for frame in frames]
        shown[0].save(tmp_path / name, save_all=True, append_images=shown[1:], lossless=True)
        info = Digests(memory).media(Media("video", name, tmp_path))
        assert (info.digest, info.width, info.notes) == (digest((tmp_path / name).read_bytes()), 0, notes)


def test_an_animation_of_deep_greys_is_known_to_have_other_frames_than_before(tmp_path: Path, memory: Path) -> None:
    media = as_media(tmp_path, "deep.png", deep_png(np.full((4, 4), 60_000)))
    info = Digests(memory).media(replace(media, kind="video"))
    assert (info.version, info.identity) == ("2", f"{info.digest};pixels=2")


def test_a_file_that_is_not_there_is_named(tmp_path: Path, memory: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.bin cannot be read: No such file"):
        Digests(memory).file(tmp_path / "gone.bin")


def test_receipts_last(memory: Path) -> None:
    digests = Digests(memory)
    assert digests.receipt("key") is None
    digests.leave_receipt("key", {"media": [["image", "é\ud800", "root"]]})
    digests.leave_receipt("key", {"media": [["image", "b", "root"]]})
    digests.flush()
    for each in (digests, Digests(memory)):
        assert each.receipt("key") == {"media": [["image", "b", "root"]]}
        assert each.receipt("other") is None


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    for name, data in {"config.json": b"{}", "weights.bin": b"123", "1_Pooling/config.json": b"{1}"}.items():
        write(folder / name, data)
    return folder


CHANGES: dict[str, Callable[[Path], object]] = {
    "bytes": lambda folder: write(folder / "weights.bin", b"124"),
    "rename": lambda folder: (folder / "weights.bin").rename(folder / "weights2.bin"),
    "move": lambda folder: (folder / "1_Pooling" / "config.json").rename(folder / "1_Pooling.json"),
    "swap": lambda folder: (write(folder / "config.json", b"{1}"), write(folder / "1_Pooling/config.json", b"{}")),
    "add": lambda folder: write(folder / "extra" / "file", b""),
    "remove": lambda folder: (folder / "config.json").unlink(),
    "add by a link": lambda folder: (folder / "more").symlink_to(folder / "1_Pooling"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_folder_is_known_by_the_names_and_bytes_of_its_files(
    model: Path, memory: Path, change: Callable[[Path], object]
) -> None:
    before = folder_digest(model, Digests(memory))
    change(model)
    assert folder_digest(model, Digests(memory)) != before


def test_a_folder_is_the_same_wherever_it_lies_and_whatever_is_hidden_in_it(model: Path, memory: Path) -> None:
    before = folder_digest(model, Digests(memory))
    for hidden in (".DS_Store", ".git/config", "1_Pooling/.cache/x", ".x/deep/er"):
        write(model / hidden, b"x")
    (model / "empty").mkdir()
    assert folder_digest(model, Digests(memory)) == before
    moved = model.rename(model.with_name("other"))
    assert folder_digest(moved, Digests(memory)) == before
    os.utime(moved / "config.json", (1, 1))
    assert folder_digest(moved, Digests(memory)) == before


def test_links_are_followed_and_rounds_are_not_gone(model: Path, memory: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "blobs" / "data", b"old")
    (model / "file").symlink_to(outside)
    (model / "folder").symlink_to(outside.parent)
    (model / "round").symlink_to(model)
    (model / "1_Pooling" / "up").symlink_to("..")
    (model / "self").symlink_to("self")
    before = folder_digest(model, Digests(memory))
    write(tmp_path / "blobs" / "data", b"new")
    after = folder_digest(model, Digests(memory))
    write(tmp_path / "blobs" / "more", b"")
    assert len({before, after, folder_digest(model, Digests(memory))}) == 3


def test_what_is_no_folder_or_cannot_be_read_is_refused(model: Path, memory: Path, public_folder: Path) -> None:
    for path in (model / "config.json", model / "gone"):
        with pytest.raises(UserError, match="is not a folder"):
            folder_digest(path, Digests(memory))
    write(public_folder / "a", b"x")
    write(public_folder / "deep" / "b", b"x")
    for modes in ({"files": 0}, {"folders": 0}):
        with without_rights(public_folder, **modes), pytest.raises(UserError, match="Permission denied"):
            folder_digest(public_folder, Digests(memory))


def test_files_are_known_by_their_bytes_in_order(tmp_path: Path, memory: Path) -> None:
    one, two, copy = (write(tmp_path / name, data) for name, data in [("1", b"a"), ("2", b"b"), ("deep/3", b"a")])
    digests = Digests(memory)
    assert files_digest([one, two], digests) == files_digest([copy, two], digests)
    assert len({files_digest(paths, digests) for paths in ([one, two], [two, one], [one], [one, one], [])}) == 5
