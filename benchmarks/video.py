"""Measures frames per second of video decoding, and memory over many videos. See README.md for the baselines."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import lib.common as common
import numpy as np
from PIL import Image

from harness.identity import library_version
from harness.media import decode_pool
from harness.media.frame_policy import FramePolicy

CAPTIONS = 41
"""Average number of captions of a video in MSVD: 27,763 captions of 670 videos."""
POLICY = FramePolicy("fps", 32, 3.0)
"""The frames that LLaVE sees."""
LONG_SECONDS, LONG_SIZE, LONG_RATE, LONG_KEYS = 180, (640, 360), 25, 250


def ours(paths: Sequence[Path]) -> int:
    """Decodes the frames of each video once, in another process. Returns the number of frames."""
    return sum(len(decode_pool.decode(path, POLICY.choose, _same)) for path in paths)


def per_caption(paths: Sequence[Path]) -> int:
    """Decodes the frames of each video once for each caption, with decord in this process."""
    return sum(_by_decord(path) for path in paths for _ in range(CAPTIONS)) // CAPTIONS


def every_frame(paths: Sequence[Path]) -> int:
    """Decodes every frame in order, with decord in this process, and makes images of those that the policy names."""
    return sum(_by_decord(path, in_a_row=True) for path in paths)


def every_frame_opencv(paths: Sequence[Path]) -> int:
    """Does the same with OpenCV, which has a newer FFmpeg than decord."""
    return sum(_by_opencv(path) for path in paths)


def speed(
    paths: Sequence[Path], repeats: int, others: Sequence[Callable[[Sequence[Path]], int]], at_least: float
) -> dict[str, object]:
    """Measures frames per second, and how many times as long the other sides take. The aim is for the first of them."""
    seconds = common.in_turns(repeats, {side.__name__: partial(side, paths) for side in (ours, *others)})
    frames = ours(paths)
    ratios = {side.__name__: common.ratio(seconds[side.__name__], seconds["ours"]) for side in others}
    return {
        "videos": len(paths),
        "frames": frames,
        "frames_a_second": {name: round(frames / value, 1) for name, value in common.medians(seconds).items()},
        "times_as_fast": {
            name: common.aim(value, at_least=None if number else at_least)
            for number, (name, value) in enumerate(ratios.items())
        },
    }


def _same(frame: Image.Image) -> Image.Image:
    return frame


def memory(paths: Sequence[Path], videos: int) -> dict[str, object]:
    """Measures the memory of the decoder and of this process, after a tenth of the videos and after all."""
    points = {}
    decode_pool.end_idle()
    for number in range(videos):
        decode_pool.decode(paths[number % len(paths)], POLICY.choose, _same)
        if number + 1 in (videos // 10, videos):
            child = decode_pool._idle[0]._process.pid
            points[number + 1] = {"decoder": _resident(child), "engine": _resident("self")}
    first, last = points.values()
    growth = {name: round((last[name] - first[name]) / 2**20, 1) for name in last}
    return {
        "megabytes_after": {
            count: {name: round(value / 2**20, 1) for name, value in point.items()} for count, point in points.items()
        },
        "growth_megabytes": {name: common.aim(value, at_most=16) for name, value in growth.items()},
    }


def _by_decord(path: Path, *, in_a_row: bool = False) -> int:
    import decord

    reader = decord.VideoReader(str(path), num_threads=1)
    chosen = POLICY.choose(len(reader), float(reader.get_avg_fps()))
    if in_a_row:
        every = [reader.next().asnumpy() for _ in range(len(reader))]
        frames = [every[number] for number in chosen]
    else:
        frames = list(reader.get_batch(chosen).asnumpy())
    return len([Image.fromarray(frame) for frame in frames])


def _by_opencv(path: Path) -> int:
    import cv2

    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])  # as many as the others have
    every = []
    while (read := video.read())[0]:
        every.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    chosen = POLICY.choose(len(every), video.get(cv2.CAP_PROP_FPS))
    video.release()
    return len([Image.fromarray(every[number]) for number in chosen])


def _resident(process: int | str) -> int:
    """Returns the memory in use in bytes on Linux; 0 elsewhere."""
    status = Path(f"/proc/{process}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


def write_clip(path: Path, seconds: float, size: tuple[int, int], keys: int = 12) -> None:
    """Writes a clip of a moving pattern, with a key frame every `keys` frames."""
    import av

    width, height = size
    base = np.random.default_rng(0).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    picture = base.repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=LONG_RATE, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = width, height, "yuv420p", keys
        for number in range(round(seconds * LONG_RATE)):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, 2 * number, axis=1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@contextmanager
def clips(folder: Path | None, number: int) -> Iterator[list[Path]]:
    """Yields the user's clips, or drawn ones of about the same length and size as in MSVD."""
    if folder is not None:
        yield sorted(path for path in folder.rglob("*") if path.suffix in (".mp4", ".avi", ".webm", ".mkv"))[:number]
        return
    drawn = Path(tempfile.mkdtemp())
    try:
        for index in range(number):
            write_clip(drawn / f"{index}.mp4", 6 + index % 5, (320, 240))
        yield sorted(drawn.iterdir())
    finally:
        shutil.rmtree(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=Path, help="a folder of clips (default: drawn ones)")
    parser.add_argument("--clips", type=int, default=6, help="number of clips (6)")
    parser.add_argument("--long-seconds", type=float, default=LONG_SECONDS)
    parser.add_argument("--memory-videos", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=common.RESULTS / "video.json")
    options = parser.parse_args()
    with clips(options.videos, options.clips) as short, tempfile.TemporaryDirectory() as place:
        long = Path(place) / "long.mp4"
        code = f"import sys; sys.path[:0] = {sys.path[:2]!r}; from pathlib import Path; import video"
        code += f"; video.write_clip(Path({str(long)!r}), {options.long_seconds}, {LONG_SIZE}, {LONG_KEYS})"
        subprocess.run([sys.executable, "-c", code], check=True)  # where decord has not been loaded
        rows = [every_frame, every_frame_opencv]
        held = memory(short, options.memory_videos)  # first, before this process has held a long clip
        figures = {
            "short clips, once for each caption": speed(short, options.repeats, [per_caption], at_least=20),
            "short clips, every frame": speed(short, options.repeats, rows, at_least=1),
            "a long clip, every frame": speed([long], options.repeats, rows, at_least=1),
            "memory": held,
        }
    settings = {key: value for key, value in vars(options).items() if key not in ("out", "videos")}
    settings["clips_are"] = "real" if options.videos else "drawn"
    settings |= {name: library_version(name) for name in ("decord", "av", "opencv-python-headless")}
    common.write_report(options.out, {**settings, "policy": str(POLICY), "captions": CAPTIONS}, figures)


if __name__ == "__main__":
    main()
