"""Which frame of a video is number n. This is the one place that decides it, for every container and every reader.

The frames of a video are those that FFmpeg gives when it decodes the file in a row. In most files the packets prove
their number and times without decoding. In the others they are counted by decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from harness.media.bitstream import Start, syntax_of

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

TOO_LARGE = "it is too large"
FRAME_PIXELS = 35_651_584
"""Frames with more pixels are refused before they are decoded. It is the limit of level 6.2 of H.265: 8192 x 4352."""

_TIMED = {"mov", "matroska", "webm", "mpegts", "flv"}
"""Containers that say when a frame is shown. AVI, for example, says only in which order frames are decoded."""
_JUMPED_IN = {"mov", "matroska", "webm"}
"""Containers in which readers jump to a time. In others they read from the beginning."""
_DECORD_FRAME = 8_912_896
"""decord keeps many frames, so it reads none with more pixels. It is the limit of level 5 of H.265: 4096 x 2176."""
_DECORD_CODECS = {"h264", "hevc"}
_DECORD_PIXELS = {"yuv420p", "yuvj420p", "yuv444p", "yuvj444p", "gbrp"}
"""Formats of pixels from which decord makes the same RGB as PyAV and FFmpeg, to the last bit."""


Beat: TypeAlias = Callable[[], None]
"""It is called before each packet is decoded, so that a long video is told from a decoder that hangs."""


def no_beat() -> None:
    """Does nothing, for a short video or one that nobody waits for."""


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """The frames of a video, in the order in which a player shows them."""

    total: int
    """Number of frames."""
    rate: float
    """Average frames per second; 0 if it is not known."""
    early: int = 0
    """Number of packets before the first key frame. What cannot be decoded of them is passed over, as FFmpeg does."""
    times: Sequence[int] = ()
    """The time of each frame, in units of the stream. Empty if the frames were counted by decoding."""
    unit: float = 0.0
    """The unit of `times` in seconds."""
    entries: Sequence[tuple[int, int]] = ()
    """The ascending numbers of frames at which decoding may begin, each with the time to seek for it.

    Empty if frames must be read in a row.
    """
    suits_decord: bool = False
    """Whether decord reaches the same frames when it jumps, and makes the same pixels of them."""


class _Packet(NamedTuple):
    pts: int | None
    dts: int | None
    key: bool
    shown: bool
    start: Start


def index_frames(path: Path, *, by_decoding: bool = False, beat: Beat = no_beat) -> FrameIndex:
    """Finds the frames of a video, with `by_decoding` whatever the packets prove.

    Raises: ImportError without PyAV; one of `readers.FAILURES` if the file is no video or is damaged.
    """
    container, stream = open_picture(path)
    with container:
        packets = _packets(container, stream)
        proved = FrameIndex(0, 0) if by_decoding else _proved(container, stream, packets)
        rate, unit = float(stream.average_rate or 0), float(stream.time_base or 0)
    early = next((number for number, packet in enumerate(packets) if packet.key), 0)
    times = proved.times or _times_by_decoding(path, early, beat)
    return replace(proved, total=len(times), rate=rate or _rate(times, unit), early=early, unit=unit)


def open_picture(path: Path) -> tuple[InputContainer, VideoStream]:
    """Opens a video with PyAV, and chooses the stream that players show.

    This is no cover or thumbnail. It is the default stream, then the largest one, then the first one.

    Raises: ImportError without PyAV; ValueError if the file has no video that can be decoded; one of PyAV's errors.
    """
    import av
    from av.stream import Disposition

    av.logging.set_level(None)
    container = av.open(str(path), metadata_errors="replace")  # titles in Latin-1, for example, are no fault
    streams = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
    if not streams:
        raise ValueError("it has no video, only sound")
    streams = [each for each in streams if each.codec_context is not None]
    if not streams:
        raise ValueError("its codec is not known")
    stream = max(streams, key=lambda each: (bool(each.disposition & Disposition.default), each.width * each.height))
    check_size(stream.width, stream.height)
    stream.codec_context.options = {"max_pixels": str(FRAME_PIXELS)}  # the frames may be larger than the container says
    stream.codec_context.thread_count = 1
    return container, stream


def check_size(width: int, height: int) -> None:
    """Raises ValueError for a frame of more than `FRAME_PIXELS` pixels."""
    if width * height > FRAME_PIXELS:
        raise ValueError(f"{TOO_LARGE}: a frame has {width:,} x {height:,} pixels, more than {FRAME_PIXELS:,}")


def frames_in_a_row(
    container: InputContainer, stream: VideoStream, early: int = 0, beat: Beat = no_beat
) -> Iterator[VideoFrame]:
    """Decodes from where the container stands to its end. The first `early` packets may fail."""
    from av import FFmpegError

    for number, packet in enumerate(packet for packet in container.demux(stream) if packet.size):
        beat()
        try:
            frames = packet.decode()
        except FFmpegError:
            if number >= early:
                raise
        else:
            yield from frames
    yield from stream.decode(None)


def _packets(container: InputContainer, stream: VideoStream) -> list[_Packet]:
    codec = stream.codec_context
    syntax = syntax_of(codec.codec.canonical_name, codec.extradata or b"")
    found = []
    for packet in container.demux(stream):
        if packet.size:
            start = syntax.start(bytes(packet)) if syntax and packet.is_keyframe else "none"
            shown = not packet.is_discard and (syntax is None or syntax.shows(memoryview(packet)))
            found.append(_Packet(packet.pts, packet.dts, packet.is_keyframe, shown, start))
    return found


def _proved(container: InputContainer, stream: VideoStream, packets: Sequence[_Packet]) -> FrameIndex:
    """Returns what the packets prove: `times`, `entries` and `suits_decord`. They are empty without a proof."""
    kinds = set(container.format.name.split(","))
    times = _times(packets) if kinds & _TIMED else []
    if not times or not kinds & _JUMPED_IN:
        return FrameIndex(0, 0, times=times)
    places = {time: place for place, time in enumerate(times)}
    codec = stream.codec_context
    by_dts = "mov" in kinds
    starts = [
        (packet.pts, packet.dts if by_dts else packet.pts)
        for packet in packets
        if packet.start != "none" and packet.shown
    ]
    return FrameIndex(
        total=0,
        rate=0,
        times=times,
        entries=sorted((places[pts], sought) for pts, sought in starts if pts is not None and sought is not None),
        suits_decord=len(container.streams.video) == 1
        and codec.codec.canonical_name in _DECORD_CODECS
        and codec.pix_fmt in _DECORD_PIXELS
        and codec.width * codec.height <= _DECORD_FRAME
        and _closed(packets, places)
        and (not by_dts or _found_by_dts(packets)),
    )


def _times(packets: Sequence[_Packet]) -> list[int]:
    """Returns the times of the frames in order. Empty if the packets do not prove that each of them is one frame.

    They prove it if decoding begins at the first one, no frame is shown before it, and no two have the same time.
    """
    shown = [packet.pts for packet in packets if packet.shown and packet.pts is not None]
    decoded = [packet.dts for packet in packets if packet.dts is not None]
    if not shown or packets[0].start == "none" or packets[0].pts is None or min(shown) < packets[0].pts:
        return []
    complete = len(set(shown)) == sum(packet.shown for packet in packets)
    return sorted(shown) if complete and decoded == sorted(decoded) else []


def _closed(packets: Sequence[_Packet], places: dict[int, int]) -> bool:
    """Whether every key frame closes what comes before it, in the order of packets and in the order of frames."""
    highest = -1
    for number, packet in enumerate(packets):
        if not packet.shown or packet.pts is None:
            return False
        place = places[packet.pts]
        if packet.key and not (packet.start == "closed" and number == place == highest + 1):
            return False
        highest = max(highest, place)
    return True


def _found_by_dts(packets: Sequence[_Packet]) -> bool:
    """Whether a search for the time of a key frame finds it, although the container's index has times of decoding."""
    keys = [(packet.pts, packet.dts) for packet in packets if packet.key]
    shown, decoded = [pts for pts, _ in keys], [dts for _, dts in keys[1:]]
    return all(pts is not None and dts is not None and pts < dts for pts, dts in zip(shown, decoded, strict=False))


def _times_by_decoding(path: Path, early: int, beat: Beat) -> list[int | None]:
    container, stream = open_picture(path)
    with container:
        return [frame.pts for frame in frames_in_a_row(container, stream, early, beat)]


def _rate(times: Sequence[int | None], unit: float) -> float:
    """Returns the average rate of frames at these times; 0 if it cannot be known."""
    known = [time for time in times if time is not None]
    seconds = (max(known) - min(known)) * unit if known else 0.0
    return (len(known) - 1) / seconds if seconds > 0 else 0.0
