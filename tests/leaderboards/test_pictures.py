"""Pictures are found where the record says; moved ones by a folder; what is not found is counted and said."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from harness.errors import UserError
from leaderboards.contents import NamedMedium, Place
from leaderboards.pictures import FRAMES, Pictures
from tests.helpers.clips import write_clip


def _saved(path: Path, colour: str = "teal") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 32), colour).save(path)
    return path


def _medium(name: str, *folders: Path, kind: str = "image") -> NamedMedium:
    return NamedMedium(name, tuple(Place(kind, folder) for folder in folders))


def test_the_record_is_enough(tmp_path):
    _saved(tmp_path / "there" / "a.png")
    pictures = Pictures()
    [image] = pictures.open(_medium("a.png", tmp_path / "gone", tmp_path / "there"))
    assert image.size == (64, 32)
    assert (pictures.notes(), pictures.absent) == ([], 0)


def test_one_name_in_two_folders_is_two_pictures(tmp_path):
    for folder, colour in (("red", "#ff0000"), ("blue", "#0000ff")):
        _saved(tmp_path / folder / "a.png", colour)
    found = [Pictures().open(_medium("a.png", tmp_path / each))[0].getpixel((0, 0)) for each in ("red", "blue")]
    assert found == [(255, 0, 0), (0, 0, 255)]


def test_a_named_folder_comes_before_the_record(tmp_path):
    _saved(tmp_path / "old" / "a.png", "#000000")
    _saved(tmp_path / "new" / "a.png", "#ffffff")
    pictures = Pictures.of([tmp_path / "new"])
    assert pictures.open(_medium("a.png", tmp_path / "old"))[0].getpixel((0, 0)) == (255, 255, 255)
    assert pictures.open(NamedMedium("a.png"))[0].getpixel((0, 0)) == (255, 255, 255)
    with pytest.raises(UserError, match="is not a folder"):
        Pictures.of([tmp_path / "nowhere"])


def test_a_video_gives_frames_by_its_kind_or_its_name(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    clip.rename(tmp_path / "clip")
    assert len(Pictures().open(_medium("clip", tmp_path, kind="video"))) == FRAMES
    write_clip(tmp_path / "clip.mp4")
    assert len(Pictures.of([tmp_path]).open(NamedMedium("clip.mp4"))) == FRAMES


@pytest.mark.parametrize("name", ["none.png", "../secret.png", "/etc/passwd", "a.png\0", "none.mp4"])
def test_what_is_missing_or_leaves_its_folder_is_said_with_the_folder(tmp_path, name):
    _saved(tmp_path / "secret.png")
    _saved(tmp_path / "root" / "a.png")
    pictures = Pictures()
    assert pictures.open(_medium(name, tmp_path / "root")) == []
    assert pictures.notes() == [
        f"1 picture not found: looked in {tmp_path / 'root'}. --images DIR names another folder."
    ]


def test_media_are_counted_once_and_folders_are_named(tmp_path):
    pictures = Pictures.of([tmp_path])
    for number in (*range(20), 3, 4):
        pictures.open(_medium(f"{number}.png", Path("/gone/\x1b[31m")))
    [said] = pictures.notes()
    assert said.startswith(f"20 pictures not found: looked in {tmp_path}, /gone/")
    assert "\x1b" not in said


def test_an_older_result_says_nothing_of_folders():
    pictures = Pictures()
    pictures.open(NamedMedium("a.png"))
    assert pictures.notes() == [
        "1 picture not found: their results do not say where they were. --images DIR names another folder."
    ]


def test_what_is_damaged_is_said(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    pictures = Pictures()
    assert pictures.open(_medium("broken.png", tmp_path)) == []
    assert pictures.open(_medium("broken.mp4", tmp_path, kind="video")) == []
    [said] = pictures.notes()
    assert said.startswith(f"2 pictures cannot be opened, such as: {tmp_path / 'broken.png'}")
