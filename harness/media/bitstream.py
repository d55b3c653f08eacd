"""What the bytes of packets prove about their pictures, in H.264, H.265, VP8, VP9 and AV1.

A container marks the packets at which decoding may begin. Some marks are wrong, and none of them tells an open group of
pictures from a closed one. The packets tell both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

Start: TypeAlias = Literal["none", "open", "closed"]
"""Whether decoding may begin at a packet. If it is `open`, frames that are shown before it may need earlier packets."""
Packet: TypeAlias = bytes | memoryview

_HIGH_PROFILES = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}
"""Profiles of H.264 whose parameter sets hold the format of chroma."""
_IDR, _SUPPLEMENT, _PARAMETERS = 5, 6, 7
_RECOVERY_POINT, _AT_ONCE_AND_EXACT = 6, 0xC0
_IDR_H265, _RANDOM_ACCESS_H265 = {19, 20}, {16, 17, 18, 19, 20, 21}
_AV1_FRAMES, _SHOWN_KEY = {3, 6}, 0b0001


class Syntax(NamedTuple):
    """The rules of a codec."""

    start: Callable[[bytes], Start]
    """Returns whether decoding may begin at a packet."""
    shows: Callable[[Packet], bool]
    """Returns whether a packet holds a frame that is shown. No packet holds two of them."""


def syntax_of(codec: str, header: bytes) -> Syntax | None:
    """Returns the rules of a codec, or None for one that is not understood.

    Args:
        codec: the name that FFmpeg gives it.
        header: the bytes that the container holds for the decoder, before any packet.
    """
    if codec == "h264":
        width, whole = _prefix(header, 4), _has_whole_frames(_h264_parameters(header))
        return Syntax(partial(_h264_start, width=width, whole=whole), _always)
    if codec == "hevc":
        return Syntax(partial(_h265_start, width=_prefix(header, 21)), _always)
    return {"vp8": _VP8, "vp9": _VP9, "av1": _AV1}.get(codec)


def _always(_: Packet) -> bool:
    return True


def _prefix(header: bytes, place: int) -> int:
    """Returns how many bytes hold the length of a unit. It is 0 where start codes separate units (Annex B)."""
    packed = len(header) > place and header[:3] not in (b"\0\0\0", b"\0\0\1")
    return (header[place] & 3) + 1 if packed else 0


def _units(packet: bytes, width: int) -> Iterator[bytes]:
    """Yields the NAL units of H.264 and H.265."""
    if not width:
        yield from (unit for unit in packet.split(b"\0\0\1")[1:] if unit)
        return
    start = 0
    while start + width < len(packet):
        end = start + width + int.from_bytes(packet[start : start + width], "big")
        if unit := packet[start + width : end]:
            yield unit
        start = end


def _h264_start(packet: bytes, *, width: int, whole: bool) -> Start:
    """Decoding begins at an IDR picture, or where a recovery point says that all that follows is exact."""
    units = list(_units(packet, width))
    inside = [unit for unit in units if unit[0] & 31 == _PARAMETERS]
    if not (all(map(_has_whole_frames, inside)) if inside else whole):
        return "none"
    if any(unit[0] & 31 == _IDR for unit in units):
        return "closed"
    return "open" if any(_recovers_at_once(unit) for unit in units if unit[0] & 31 == _SUPPLEMENT) else "none"


def _recovers_at_once(unit: bytes) -> bool:
    """Whether the messages of an SEI unit hold a recovery point with a count of 0 and an exact match."""
    at = 1
    while at + 2 < len(unit):
        values = []
        for _ in ("kind", "length"):
            value = 0
            while at < len(unit) - 1 and unit[at] == 0xFF:
                value, at = value + 0xFF, at + 1
            values.append(value + unit[at])
            at += 1
        if values[0] == _RECOVERY_POINT:
            return at < len(unit) and unit[at] & _AT_ONCE_AND_EXACT == _AT_ONCE_AND_EXACT
        at += values[1]
    return False


def _h264_parameters(header: bytes) -> bytes:
    """Returns the first sequence parameter set of a decoder's header; empty if it has none."""
    if _prefix(header, 4):
        return header[8 : 8 + int.from_bytes(header[6:8], "big")] if header[5:6] and header[5] & 31 else b""
    return next((unit for unit in _units(header, 0) if unit[0] & 31 == _PARAMETERS), b"")


def _has_whole_frames(parameters: bytes) -> bool:
    """Whether no picture is a single field, by a sequence parameter set (ITU-T H.264, 7.3.2.1.1). False if unsure.

    Two fields may lie in two packets, and they make one frame.
    """
    bits = _Bits(parameters.replace(b"\0\0\3", b"\0\0")[1:])
    try:
        profile = bits.take(8)
        bits.take(16)
        bits.golomb()
        if profile in _HIGH_PROFILES:
            if bits.golomb() == 3:
                bits.take(1)
            bits.golomb(), bits.golomb(), bits.take(1)
            if bits.take(1):
                return False  # scaling lists, which are rare, lie before what is looked for
        bits.golomb()
        order = bits.golomb()
        if order == 0:
            bits.golomb()
        elif order == 1:
            bits.take(1), bits.golomb(), bits.golomb()
            for _ in range(bits.golomb()):
                bits.golomb()
        bits.golomb(), bits.take(1), bits.golomb(), bits.golomb()
        return bits.take(1) == 1
    except ValueError:
        return False


class _Bits:
    """Reads numbers from bits. Raises: ValueError after the last one."""

    def __init__(self, data: bytes) -> None:
        self._bits, self._at = "".join(f"{byte:08b}" for byte in data), 0

    def take(self, count: int) -> int:
        """Returns an unsigned number of `count` bits."""
        self._at += count
        return int(self._bits[self._at - count : self._at], 2)

    def golomb(self) -> int:
        """Returns a number in Exp-Golomb code, without its sign."""
        zeros = self._bits.index("1", self._at) - self._at
        self._at += zeros
        return self.take(zeros + 1) - 1


def _h265_start(packet: bytes, *, width: int) -> Start:
    kinds = {unit[0] >> 1 & 63 for unit in _units(packet, width)}
    if kinds & _IDR_H265:
        return "closed"
    return "open" if kinds & _RANDOM_ACCESS_H265 else "none"


def _vp9_bits(packet: Packet) -> int:
    """Returns three bits: an earlier frame is shown (8), it is no key frame (4), it is shown (2)."""
    return (packet[0] << 1 if packet[0] & 0x30 == 0x30 else packet[0]) & 0b1110


def _vp9_shows(packet: Packet) -> bool:
    """Hidden frames lie in one packet with a shown one, and its last byte marks this."""
    return packet[-1] & 0xE0 == 0xC0 or bool(_vp9_bits(packet) & 0b1010)


def _av1_start(packet: bytes) -> Start:
    """Decoding begins at a key frame that is shown (AV1, 5.3 and 5.9.2)."""
    at = 0
    while at < len(packet):
        kind, extended, sized = packet[at] >> 3 & 15, packet[at] >> 2 & 1, packet[at] & 2
        at += 1 + extended
        size, shift = 0 if sized else len(packet), 0
        while sized and at < len(packet):
            size |= (packet[at] & 127) << shift
            sized, shift, at = packet[at] & 128, shift + 7, at + 1
        if kind in _AV1_FRAMES:
            return "closed" if at < len(packet) and packet[at] >> 4 == _SHOWN_KEY else "none"
        at += size
    return "none"


_VP8 = Syntax(lambda packet: "none" if packet[0] & 1 else "closed", lambda packet: bool(packet[0] & 0x10))
_VP9 = Syntax(lambda packet: "none" if _vp9_bits(packet) & 0b1100 else "closed", _vp9_shows)
_AV1 = Syntax(_av1_start, _always)
