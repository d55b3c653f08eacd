"""Checks of a video file's structure: whether it is a video, and whether it was cut off. Decodes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from harness.errors import BadMedia
from harness.files.kinds import what_is
from harness.media.frame_index import check_size

_HEAD = 64
_MP4_FIRST = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}
_MP4_NEEDED = {b"moov", b"mdat", b"moof"}
"""The boxes without which no frame is found. What follows them, such as stray bytes, does not matter."""
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", re.compile(b"\x18S\x80g")
_TRACKS = re.compile(rb"(?<!S\xab\x84)\x16T\xaek")
"""The element `Tracks`, but not the entry for it in the file's index (`SeekHead`)."""
_TRACK_IS_VIDEO, _TRACK_IS_SOUND = b"\x83\x81\x01", b"\x83\x81\x02"
_ANIMATIONS = (b"GIF87a", b"GIF89a", b"\x89PNG\r\n\x1a\n")
_OTHERS = (b"FLV", b"0&\xb2u", b"OggS", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b".RMF", b"DKIF")
"""Flash, Windows Media, Ogg, MPEG program streams and video, RealMedia, IVF. Only their first bytes are checked."""
_VIDEO_TRACK = re.compile(rb"hdlr.{8}vide", re.DOTALL)
_ONLY_SOUND, _NO_VIDEO = "has no video in it, only sound", "is not a video"


class Box(NamedTuple):
    """A part of an MP4 or AVI file. `start` and `end` are the offsets at which its content starts and should end."""

    kind: bytes
    start: int
    end: int


def check_video(path: Path) -> None:
    """Checks a file's structure.

    Raises: BadMedia if the file is not a video, has only sound, was cut off, or cannot be read. Also if it is an
        animation with larger frames than are decoded.
    """
    try:
        with path.open("rb") as file:
            why = _fault(file, os.fstat(file.fileno()).st_size)
            file.seek(0)
            check_size(*_claimed_size(file.read(_HEAD)))
    except OSError as error:
        raise BadMedia(f"{path} cannot be read: {error.strerror}.", "Check the file and its permissions.") from None
    except ValueError as error:
        raise BadMedia(f"{path} cannot be decoded: {error}.", "Make its frames smaller.") from None
    if why == _NO_VIDEO:
        kind = what_is(path)
        raise BadMedia(f"{path} {why}: it is {kind.name}.", kind.remedy)
    if why:
        raise BadMedia(f"{path} {why}.", "Fetch the video again.")


def is_animation(path: Path) -> bool:
    """Returns whether a file is an animated image, by its first bytes. Raises: OSError."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return head.startswith(_ANIMATIONS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def _claimed_size(head: bytes) -> tuple[int, int]:
    """The width and height that an animated image claims; 0 if the start of the file does not tell."""
    if head.startswith(b"GIF8"):
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    if head.startswith(b"\x89PNG"):
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if head[8:16] == b"WEBPVP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    return 0, 0


def _fault(file: BinaryIO, size: int) -> str:
    """Describes what is wrong; empty if nothing is."""
    head = file.read(_HEAD)
    if head[4:8] in _MP4_FIRST:
        return _mp4_fault(file, size)
    if head.startswith(_EBML):
        return _matroska_fault(head + file.read(4096), size)
    if head.startswith(b"RIFF"):
        return _ONLY_SOUND if head[8:12] == b"WAVE" else _cut(_riff_boxes(file, size), size)
    if head.startswith(b"GIF8"):
        return "" if _gif_ends(file, head) else "is cut off: a GIF ends in a semicolon"
    is_stream = b"\x47" in (head[:1], head[4:5])
    if not is_stream and not head.startswith((*_ANIMATIONS, *_OTHERS)):
        return _NO_VIDEO
    return ""


def _mp4_fault(file: BinaryIO, size: int) -> str:
    boxes = [box for box in _mp4_boxes(file, size) if box.kind in _MP4_NEEDED]
    index = next((box for box in boxes if box.kind == b"moov"), None)
    if cut := _cut(boxes, size):
        return cut
    if index is None:
        return "is cut off: it has no index (no moov box)"
    file.seek(index.start)
    content = file.read(index.end - index.start)
    return "" if _VIDEO_TRACK.search(content) else _ONLY_SOUND


def _gif_ends(file: BinaryIO, head: bytes) -> bool:
    """Whether the blocks of a GIF (GIF89a, sections 17 to 27) lead to its end mark. Bytes after it do not matter."""

    def table(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    file.seek(13 + table(head[10]))
    while mark := file.read(1):
        if mark == b";":
            return True
        if mark == b",":
            description = file.read(9)
            if len(description) < 9:
                return False
            file.seek(table(description[8]) + 1, os.SEEK_CUR)
        elif mark == b"!":
            file.seek(1, os.SEEK_CUR)
        while (length := file.read(1)) and length != b"\0":
            file.seek(length[0], os.SEEK_CUR)
    return False


def _cut(boxes: Iterator[Box] | list[Box], size: int) -> str:
    late = next((box for box in boxes if box.end > size), None)
    return f"is cut off: it should have {late.end:,} bytes, and has {size:,}" if late else ""


def _mp4_boxes(file: BinaryIO, size: int) -> Iterator[Box]:
    """Yields the top-level boxes (ISO/IEC 14496-12, section 4.2).

    A box begins with its length, header included, and four letters. A length of 1 means that a 64-bit length follows,
    and 0 means that the box extends to the end of the file.
    """
    start = 0
    while start + 8 <= size:
        file.seek(start)
        head = file.read(16)
        length, content = int.from_bytes(head[:4], "big"), start + 8
        if length == 1:
            length, content = int.from_bytes(head[8:16], "big"), start + 16
        end = size if length == 0 else start + length
        yield Box(head[4:8], content, end)
        start = max(end, content)


def _riff_boxes(file: BinaryIO, size: int) -> Iterator[Box]:
    """Yields the top-level chunks: one, or several in large AVI files.

    A chunk begins with four letters and the length of its content, which is padded to an even length.
    """
    start = 0
    while start + 8 <= size:
        file.seek(start)
        head = file.read(8)
        if not head.startswith(b"RIFF"):
            return
        length = int.from_bytes(head[4:], "little")
        yield Box(head[:4], start + 8, start + 8 + length)
        start += 8 + length + length % 2


def _matroska_fault(head: bytes, size: int) -> str:
    """Checks the segment's length of Matroska and WebM (RFC 9559), and the tracks if they lie near the start."""
    segment, tracks = _element(head, _SEGMENT), _element(head, _TRACKS)
    if segment and (cut := _cut([segment], size)):
        return cut
    if tracks and tracks.end <= len(head):
        content = head[tracks.start : tracks.end]
        return _ONLY_SOUND if _TRACK_IS_SOUND in content and _TRACK_IS_VIDEO not in content else ""
    return ""


def _element(head: bytes, name: re.Pattern[bytes]) -> Box | None:
    """Finds an element whose length is known (RFC 8794, section 4).

    The length follows the element's ID, as an integer of variable size. All ones mean that it is not known.
    """
    found = name.search(head)
    if found is None or found.end() + 8 > len(head) or not head[found.end()]:
        return None
    start = found.end()
    width = 9 - head[start].bit_length()
    length = int.from_bytes(head[start : start + width], "big") & ((1 << 7 * width) - 1)
    unknown = length == (1 << 7 * width) - 1
    return None if unknown else Box(found[0], start + width, start + width + length)
