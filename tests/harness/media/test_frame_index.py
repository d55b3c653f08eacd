"""Frame number n is the n-th that a player shows, whatever the codec, groups, cut, container and reader."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.media.decode_worker import OpenVideo
from harness.media.frame_index import index_frames
from harness.media.readers import DecordReader, PyavReader
from tests.helpers.numbered import CUTS, ENCODERS, LENGTH, RATE, cut, encode, number_of, shown

BOXES = {
    "h264": ("mp4", "mkv", "avi", "ts", "mov", "flv"),
    "h265": ("mp4", "mkv", "ts", "mov"),
    "vp9": ("webm", "mp4", "mkv"),
    "av1": ("mp4", "webm", "mkv"),
    "mpeg4": ("avi", "mp4", "mkv", "mov", "ts"),
}
"""Containers of each codec."""
QUICK = {("whole", 0), ("whole", 1), ("edit list", 0), ("edit list", 1), ("mid-group", 0)}
"""Cuts that the suite tries, each with the place of the container in `BOXES`. `make exhaustive` tries all."""
OTHER_PLAYERS = {
    ("av1", "closed", "edit list", "mp4"): 13,
    ("av1", "intra", "edit list", "mp4"): 13,
    ("h264", "open", "next key", ""): 24,
    ("h264", "open", "mid-group", ""): 24,
    ("h265", "closed", "mid-group", ""): 16,
    ("h265", "open", "mid-group", ""): 24,
}
"""Cuts that FFmpeg 5 shows otherwise than FFmpeg 8: it ignores the edit list of AV1, drops a frame after the first
group, or shows grey ones before it. The number is that of the first frame shown; an empty container is any but AVI."""


@pytest.fixture(scope="module")
def reel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which each clip is encoded once."""
    return tmp_path_factory.mktemp("reel")


def encoded(reel: Path, codec: str, group: str, box: str) -> Path:
    path = reel / f"{codec}-{group}.{box}"
    return path if path.exists() else encode(path, codec, group)


def frames(path: Path, wanted: Sequence[int] | None = None, *, by_decoding: bool = False) -> list[np.ndarray]:
    video = OpenVideo(path, by_decoding=by_decoding)
    return [frame for few in video.read(wanted or range(video.total)) for frame in few]


def assert_jumps_are_right(path: Path, right: Sequence[np.ndarray], rng: random.Random) -> None:
    """Any choice of frames is a choice of those in a row."""
    for count in (1, 2, 4):
        wanted = sorted(rng.sample(range(len(right)), min(count, len(right))))
        found = frames(path, wanted)
        assert [number_of(frame) for frame in found] == [number_of(right[number]) for number in wanted], wanted
        assert all((frame == right[number]).all() for number, frame in zip(wanted, found, strict=True)), wanted


def cases() -> Iterator[object]:
    for codec, boxes in BOXES.items():
        for group in ENCODERS[codec]:
            for place, box in enumerate(boxes):
                for name in CUTS:
                    marks = [] if (name, place) in QUICK or (name, box) == ("whole", "ts") else [pytest.mark.exhaustive]
                    yield pytest.param(codec, group, box, name, id=f"{codec}-{group}-{box}-{name}", marks=marks)


@pytest.mark.parametrize(("codec", "group", "box", "name"), cases())
def test_frames_are_those_that_ffmpeg_shows(
    reel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, group: str, box: str, name: str
) -> None:
    whole = encoded(reel, codec, group, box)
    path = cut(whole, tmp_path / f"cut.{box}", *CUTS[name]) if name != "whole" else whole
    found, right = frames(path), shown(path)
    first = OTHER_PLAYERS.get((codec, group, name, box)) or (
        box != "avi" and OTHER_PLAYERS.get((codec, group, name, ""))
    )
    if first and len(found) != len(right):
        right = shown(whole)[first:]
    assert [number_of(frame) for frame in found] == [number_of(frame) for frame in right]
    assert all((one == other).all() for one, other in zip(found, right, strict=True))
    index, counted = index_frames(path), index_frames(path, by_decoding=True)
    assert (index.total, index.rate) == (counted.total, counted.rate)
    assert name != "whole" or index.rate == pytest.approx(RATE)
    rng = random.Random(f"{codec}{group}{box}{name}")
    assert_jumps_are_right(path, found, rng)
    if index.suits_decord:
        monkeypatch.setitem(sys.modules, "decord", None)
        assert_jumps_are_right(path, found, rng)


@pytest.mark.parametrize(
    ("codec", "group", "box"), [("h264", "open", "mp4"), ("h264", "closed", "mkv"), ("h265", "open", "mp4")]
)
def test_frames_of_any_cut_are_those_that_ffmpeg_shows(reel: Path, codec: str, group: str, box: str) -> None:
    whole = encoded(reel, codec, group, box)

    @settings(max_examples=8, deadline=None, derandomize=True)
    @given(st.integers(0, 200), st.integers(80, 200))
    def law(start: int, length: int) -> None:
        times = ("-ss", str(start / 100), "-t", str(length / 100))
        path = cut(whole, reel / f"any.{box}", times)
        found, right = frames(path), shown(path)
        assert [number_of(frame) for frame in found] == [number_of(frame) for frame in right]
        assert_jumps_are_right(path, found, random.Random(start))

    law()


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_decord_jumps_where_groups_are_closed_and_nowhere_else(reel: Path, tmp_path: Path, codec: str) -> None:
    pytest.importorskip("decord", reason="decord has no wheel for this platform")
    for group, suits in (("closed", True), ("intra", True), ("open", False), ("refresh", False)):
        for box in ("mp4", "mkv") if group in ENCODERS[codec] else ():
            path = encoded(reel, codec, group, box)
            assert index_frames(path).suits_decord is suits, (group, box)
            assert isinstance(OpenVideo(path)._reader, DecordReader if suits else PyavReader)
    closed = encoded(reel, codec, "closed", "mp4")
    assert not index_frames(cut(closed, tmp_path / "cut.mp4", ("-ss", "1.25"))).suits_decord


def test_an_open_group_is_jumped_in_by_pyav(reel: Path) -> None:
    index = index_frames(encoded(reel, "h264", "open", "mp4"))
    assert (index.total, len(index.entries)) == (LENGTH, 4)
