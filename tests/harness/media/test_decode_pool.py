"""Files that are no video, and decoders that crash or hang: each costs one video, named, and never the run."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.errors import BadMedia, UserError
from harness.media import decode_pool
from harness.media.containers import check_video
from harness.media.decode_pool import end_idle
from harness.media.frame_index import index_frames
from harness.media.readers import PyavReader
from harness.media.video import read_frames
from harness.types import Media
from tests.helpers.clips import every_frame, whole_frames, write_clip, write_sound

pytest.importorskip("av", reason="needs PyAV to write videos")

FORMATS = ("clip.mp4", "clip.avi", "clip.mkv", "clip.webm", "clip.gif")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    codecs = {".avi": "mpeg4", ".webm": "libvpx-vp9", ".gif": "gif"}
    for name in FORMATS:
        codec = codecs.get(Path(name).suffix, "libx264")
        if codec == "gif":
            from PIL import Image

            frames = [Image.new("RGB", (32, 32), (9 * number, 0, 0)) for number in range(20)]
            frames[0].save(folder / name, save_all=True, append_images=frames[1:])
        else:
            write_clip(folder / name, codec)
    return {name: (folder / name).read_bytes() for name in FORMATS}


@pytest.fixture(autouse=True)
def _fresh_processes() -> Iterator[None]:
    end_idle()
    yield
    end_idle()


def first(total: int, rate: float) -> list[int]:
    return [0]


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_file_passes_and_a_cut_one_is_found_without_decoding(
    tmp_path: Path, whole: dict[str, bytes], name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(whole[name])
    check_video(path)
    for share in (0.3, 0.6, 0.95):
        path.write_bytes(whole[name][: int(len(whole[name]) * share)])
        with pytest.raises(BadMedia, match=rf"(?s)clip.*{'cut off' if share > 0.3 else ''}"):
            check_video(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b'{"error": "quota"}', "a JSON file"),
        (b"\0" * 400, "zeros alone"),
        (b"\xff\xd8\xff\xe0", "a JPEG image"),
        (b"id,caption\n", "a text"),
        (b"\x01\x02x", r"data of an unknown kind, which begins with b'\\x01\\x02x'"),
    ],
)
def test_what_is_no_video_says_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(BadMedia, match=rf"clip\.mp4 is not a video: it is {said}") as caught:
        check_video(path)
    assert caught.value.hint


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    for name, codec in (("talk.m4a", "aac"), ("talk.mkv", "aac"), ("talk.webm", "libopus"), ("talk.wav", "pcm_s16le")):
        path = write_sound(tmp_path / name, codec)
        with pytest.raises(BadMedia, match=rf"{name} has no video in it, only sound"):
            check_video(path)
        with pytest.raises(BadMedia, match=rf"{name} cannot be decoded"):
            whole_frames(path, first)


def missing(content: bytes) -> bytes | None:
    return None


def lying(content: bytes) -> bytes:
    """The table of frames' durations tells of ten times as many."""
    start = content.find(b"stts") + 12
    (count,) = struct.unpack(">I", content[start : start + 4])
    return content[:start] + struct.pack(">I", count * 10) + content[start + 4 :]


def unknown_codec(content: bytes) -> bytes:
    return content.replace(b"avc1", b"zzz9").replace(b"avcC", b"zzzC")


def rotten(content: bytes) -> bytes:
    start = content.find(b"mdat") + 8
    noise = np.random.default_rng(1).integers(0, 256, len(content) - start - 1500, dtype=np.uint8).tobytes()
    return content[:start] + noise + content[start + len(noise) :]


@pytest.mark.parametrize("harm", [missing, lambda _: b"", lambda data: data[: len(data) // 2], unknown_codec, rotten])
def test_what_cannot_be_decoded_is_bad_media_that_names_the_file(
    tmp_path: Path, whole: dict[str, bytes], harm: Callable[[bytes], bytes | None]
) -> None:
    content = harm(whole["clip.mp4"])
    if content is not None:
        (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(BadMedia, match=r"clip\.mp4") as error:
        read_frames(Media("video", "clip.mp4", tmp_path), lambda total, _: list(range(total)))
    assert error.value.hint
    assert error.value.medium == Media("video", "clip.mp4", tmp_path)


def test_a_file_that_lies_about_its_length_has_the_frames_that_it_has(tmp_path: Path, whole: dict[str, bytes]) -> None:
    """Whichever library reads it."""
    (tmp_path / "true.mp4").write_bytes(whole["clip.mp4"])
    right = [frame.tobytes() for frame in every_frame(tmp_path / "true.mp4")]
    path = tmp_path / "clip.mp4"
    path.write_bytes(lying(whole["clip.mp4"]))
    frames = whole_frames(path, lambda total, _: list(range(total)))
    assert [np.asarray(frame).tobytes() for frame in frames] == right
    assert [frame.tobytes() for frame in PyavReader(path, index_frames(path)).read(range(len(right)))] == right


def stand_in(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Another program in the decoder's place."""
    monkeypatch.setattr(decode_pool, "_START", f"import json, os, sys, time\nfor line in sys.stdin:\n    {body}")


CRASHES = [
    "os.abort()",
    "os._exit(3)",
    "os.kill(os.getpid(), 9)",
    "print('half an answer', end=''); sys.stdout.flush(); os._exit(0)",
    """print('{"total": 9, "rate": 1.0}' if 'open' in line else '{"shape": [1, 64, 64]}', flush=True)
    if 'read' in line: os.write(1, b'x' * 100); os._exit(0)""",
]


@pytest.mark.parametrize("body", CRASHES)
def test_a_decoder_that_crashes_costs_one_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, bytes], body: str
) -> None:
    (tmp_path / "clip.mp4").write_bytes(whole["clip.mp4"])
    with monkeypatch.context() as patch:
        stand_in(patch, body)
        with pytest.raises(BadMedia, match=r"clip\.mp4 cannot be decoded: the decoder crashed"):
            whole_frames(tmp_path / "clip.mp4", first)
    assert whole_frames(tmp_path / "clip.mp4", first)[0].size == (128, 64)


@pytest.mark.parametrize("body", ["time.sleep(60)", "print('{\"total\"', end='', flush=True); time.sleep(60)"])
def test_a_decoder_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, bytes], body: str
) -> None:
    (tmp_path / "clip.mp4").write_bytes(whole["clip.mp4"])
    with monkeypatch.context() as patch:
        stand_in(patch, body)
        patch.setattr(decode_pool, "PATIENCE", 0.3)
        start = time.monotonic()
        with pytest.raises(BadMedia, match=r"clip\.mp4 .*did not answer within 0\.3 seconds"):
            whole_frames(tmp_path / "clip.mp4", first)
        assert time.monotonic() - start < 10
    assert len(whole_frames(tmp_path / "clip.mp4", first)) == 1


def test_a_decoder_that_gets_on_is_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long video without an index, read to its last frame. It takes longer than the patience for silence."""
    path = write_clip(tmp_path / "clip.avi", "mpeg4")
    slow = "import time; from harness.media import decode_worker as w; w._BEAT = 0.02; "
    slow += "beats = w._beats; w._beats = lambda out: (lambda beat: lambda: (time.sleep(0.1), beat()))(beats(out)); "
    monkeypatch.setattr(decode_pool, "_START", decode_pool._START.replace("serve()", f"{slow}w.serve()"))
    (first_frame,) = whole_frames(path, first)  # with all patience, because the process has to start
    monkeypatch.setattr(decode_pool, "PATIENCE", 2.0)
    (last_frame,) = whole_frames(path, lambda total, _: [total - 1])
    right = every_frame(path)
    assert [np.asarray(each).tobytes() for each in (first_frame, last_frame)] == [
        right[0].tobytes(),
        right[-1].tobytes(),
    ]


def test_too_little_memory_is_no_fault_of_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, """print('{"error": "no memory"}', flush=True)""")
    with pytest.raises(UserError, match="not enough memory") as error:
        whole_frames(tmp_path / "clip.mp4", first)
    assert not isinstance(error.value, BadMedia)


def test_one_process_serves_video_after_video_and_threads_do_not_mix(tmp_path: Path) -> None:
    paths = [
        write_clip(tmp_path / f"{number}.mp4", length=10 + number, size=(64 + 16 * number, 64)) for number in range(4)
    ]
    right = {path: [frame.tobytes() for frame in every_frame(path)] for path in paths}
    started: list[object] = []
    wrong: list[Path] = []

    def work(path: Path) -> None:
        for _ in range(5):
            frames = whole_frames(path, lambda total, _: [total - 1, 0, 3, 0])
            numbers = (len(right[path]) - 1, 0, 3, 0)
            if [np.asarray(frame).tobytes() for frame in frames] != [right[path][number] for number in numbers]:
                wrong.append(path)

    threads = [threading.Thread(target=work, args=(path,)) for path in paths[:2]]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    started = [decoder._process.pid for decoder in decode_pool._idle]
    assert wrong == []
    assert len(started) <= 2
    for path in paths:
        work(path)
    assert {decoder._process.pid for decoder in decode_pool._idle} == set(started)


def test_no_decoder_outlives_its_parent(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    code = f"""import os; from pathlib import Path; from harness.media import decode_pool
decode_pool.decode(Path({str(tmp_path / "clip.mp4")!r}), lambda total, rate: [0], lambda frame: frame)
print(decode_pool._idle[0]._process.pid, flush=True); os._exit(0)"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    pid = int(done.stdout)
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("it is still there")
