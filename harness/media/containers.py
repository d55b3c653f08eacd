"""What a few bytes of a file tell: whether it is a video at all, and whether it was cut off. Decodes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, TypeAlias

from harness.errors import BadMedia

Container: TypeAlias = Literal["mp4", "matroska", "animation", "transport stream", "other"]

_HEAD = 64
_MP4_FIRST = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", re.compile(b"\x18S\x80g")
_TRACKS = re.compile(rb"(?<!S\xab\x84)\x16T\xaek")
"""Not where the index of the file says that there are some."""
_TRACK_IS_VIDEO, _TRACK_IS_SOUND = b"\x83\x81\x01", b"\x83\x81\x02"
_ANIMATIONS = (b"GIF87a", b"GIF89a", b"\x89PNG\r\n\x1a\n")
_OTHERS = (b"FLV", b"0&\xb2u", b"OggS", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b".RMF", b"DKIF")
"""Flash, Windows Media, Ogg, MPEG programme streams and video, RealMedia, IVF: known by their start alone."""
_VIDEO_TRACK = re.compile(rb"hdlr.{8}vide", re.DOTALL)
_ONLY_SOUND = "has no video in it, only sound"


class Box(NamedTuple):
    """A part of an MP4 or AVI file: where its content starts, and where it should end."""

    kind: bytes
    start: int
    end: int


def check_video(path: Path) -> None:
    """Raises BadMedia for what is no video, has no picture, or ends before it should, as far as its structure tells."""
    try:
        with path.open("rb") as file:
            why = _fault(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise BadMedia(f"{path} cannot be read: {error.strerror}.", "Check the file and its permissions.") from None
    if why:
        raise BadMedia(f"{path} {why}.", "Fetch the video again.")


def container_of(path: Path) -> Container:
    """The kind of container, by its first bytes."""
    with path.open("rb") as file:
        return _kind(file.read(_HEAD))


def _kind(head: bytes) -> Container:
    if head[4:8] in _MP4_FIRST:
        return "mp4"
    if head.startswith(_EBML):
        return "matroska"
    if head.startswith(_ANIMATIONS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "animation"
    return "transport stream" if b"\x47" in (head[:1], head[4:5]) else "other"


def _fault(file: BinaryIO, size: int) -> str:
    """What is wrong, or nothing."""
    head = file.read(_HEAD)
    kind = _kind(head)
    if kind == "mp4":
        return _mp4_fault(file, size)
    if kind == "matroska":
        return _matroska_fault(head + file.read(4096), size)
    if head.startswith(b"RIFF"):
        return _ONLY_SOUND if head[8:12] == b"WAVE" else _cut(_riff_boxes(file, size), size)
    if head.startswith(b"GIF8"):
        file.seek(max(0, size - _HEAD))
        return "" if file.read().rstrip(b"\0").endswith(b";") else "is cut off: a GIF ends in a semicolon"
    if kind == "other" and not head.startswith(_OTHERS):
        return f"is not a video: it begins with {head[:16]!r}"
    return ""


def _mp4_fault(file: BinaryIO, size: int) -> str:
    boxes = list(_mp4_boxes(file, size))
    index = next((box for box in boxes if box.kind == b"moov"), None)
    if cut := _cut(boxes, size):
        return cut
    if index is None:
        return "is cut off: it has no index (no moov box)"
    file.seek(index.start)
    content = file.read(index.end - index.start)
    return "" if _VIDEO_TRACK.search(content) else _ONLY_SOUND


def _cut(boxes: Iterator[Box] | list[Box], size: int) -> str:
    late = next((box for box in boxes if box.end > size), None)
    return f"is cut off: it should have {late.end:,} bytes, and has {size:,}" if late else ""


def _mp4_boxes(file: BinaryIO, size: int) -> Iterator[Box]:
    """ISO/IEC 14496-12, 4.2: a length that counts its own header, and four letters. 1: the length follows; 0: all."""
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
    """One chunk, or in large AVI files several: four letters, and the length of what follows, filled up to even."""
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
    """Matroska and WebM (RFC 9559): what its segment's length says, and, where they come early, its tracks."""
    segment, tracks = _element(head, _SEGMENT), _element(head, _TRACKS)
    if segment and (cut := _cut([segment], size)):
        return cut
    if tracks and tracks.end <= len(head):
        content = head[tracks.start : tracks.end]
        return _ONLY_SOUND if _TRACK_IS_SOUND in content and _TRACK_IS_VIDEO not in content else ""
    return ""


def _element(head: bytes, name: re.Pattern[bytes]) -> Box | None:
    """Where one lies, if its length is known (RFC 8794, section 4): the length follows the name; all ones: unknown."""
    found = name.search(head)
    if found is None or found.end() + 8 > len(head) or not head[found.end()]:
        return None
    start = found.end()
    width = 9 - head[start].bit_length()
    length = int.from_bytes(head[start : start + width], "big") & ((1 << 7 * width) - 1)
    unknown = length == (1 << 7 * width) - 1
    return None if unknown else Box(found[0], start + width, start + width + length)
