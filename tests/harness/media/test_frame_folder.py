"""A folder of frames is a video: its frames are in natural order, and it changes whenever one of them does."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.errors import BadMedia, UserError
from harness.media.digests import Digests
from harness.media.frame_folder import frame_names
from harness.media.video import read_frames, spread_frames
from harness.types import Media
from tests.helpers.frame_files import write_frames


def video(folder: Path, **fields: object) -> Media:
    return Media("video", folder.name, folder.parent, **fields)  # type: ignore[arg-type]


def digest(tmp_path: Path, folder: Path) -> str:
    return Digests(tmp_path / "digests.db").media(video(folder)).digest


@given(st.lists(st.integers(0, 10**6), min_size=1, unique=True))
def test_numbers_decide_the_order(numbers: list[int]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            (Path(folder) / f"frame_{number}.jpg").touch()
        assert frame_names(Path(folder)) == [f"frame_{number}.jpg" for number in sorted(numbers)]


@pytest.mark.parametrize("count", [1, 3, 12])
def test_frames_are_those_of_the_folder(tmp_path: Path, count: int) -> None:
    folder = write_frames(tmp_path / "clip", count, name="{}.png")
    (folder / "notes.txt").write_text("not a frame")
    found = read_frames(video(folder), lambda total, _rate: range(total))
    assert [np.asarray(frame).tolist() for frame in found] == [
        np.asarray(Image.open(folder / f"{number}.png")).tolist() for number in range(count)
    ]
    assert len(spread_frames(video(folder), 8)) == min(count, 8)
    assert len(read_frames(video(folder), lambda total, _rate: [0, total - 1, total - 1])) == 3


def test_the_digest_follows_content_and_order_and_nothing_else(tmp_path: Path) -> None:
    first = write_frames(tmp_path / "first", 4, name="{}.png")
    same = write_frames(tmp_path / "same", 4, name="frame_{:04}.png")
    (same / "thumbs.db").write_bytes(b"x")
    shorter, turned = write_frames(tmp_path / "shorter", 3), write_frames(tmp_path / "turned", 4, name="{}.png")
    (turned / "0.png").rename(turned / "9.png")
    assert digest(tmp_path, first) == digest(tmp_path, same)
    assert len({digest(tmp_path, each) for each in (first, shorter, turned)}) == 3


@pytest.mark.parametrize("change", ["rewrite", "add", "remove", "same times"])
def test_a_change_between_check_and_use_stops_the_run(tmp_path: Path, change: str) -> None:
    folder = write_frames(tmp_path / "clip", 4, name="{}.png")
    seen = Digests(tmp_path / "digests.db").media(video(folder)).seen
    frame = folder / "2.png"
    assert read_frames(video(folder, seen=seen), lambda total, _rate: range(total))
    status = frame.stat()
    if change == "add":
        Image.new("RGB", (8, 8)).save(folder / "7.png")
    elif change == "remove":
        frame.unlink()
    else:
        Image.new("RGB", (8, 8)).save(frame)
    if change == "same times":
        os.utime(frame, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(UserError, match=r"changed while this run used it|does not exist"):
        read_frames(video(folder, seen=seen), lambda _total, _rate: [0, 1])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: [each.unlink() for each in folder.iterdir()], "without a frame"),
        (lambda folder: (folder / "1.jpg").write_bytes(b""), r"1.jpg is empty"),
        (lambda folder: (folder / "1.jpg").write_text("<html>"), "1.jpg"),
        (lambda folder: (folder / "1.jpg").write_bytes((folder / "1.jpg").read_bytes()[:200]), "1.jpg"),
    ],
)
def test_a_bad_frame_is_named_before_a_model_sees_it(tmp_path: Path, spoil: object, message: str) -> None:
    folder = write_frames(tmp_path / "clip", 3, name="{}.jpg")
    spoil(folder)  # type: ignore[operator]
    medium = video(folder)
    with pytest.raises(BadMedia, match=message) as caught:
        Digests(tmp_path / "digests.db").media(medium)
    assert caught.value.medium == medium


def test_a_frame_that_leads_out_of_the_data_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(secret)
    folder = write_frames(tmp_path / "data" / "clip", 2)
    (folder / "5.png").symlink_to(secret)
    with pytest.raises(BadMedia, match="outside of"):
        Digests(tmp_path / "digests.db").media(video(folder))
    with pytest.raises(BadMedia, match="outside of"):
        read_frames(video(folder), lambda total, _rate: range(total))


def test_an_image_is_no_folder(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip", 2)
    with pytest.raises(BadMedia, match="folder"):
        Digests(tmp_path / "digests.db").media(Media("image", "clip", tmp_path))
