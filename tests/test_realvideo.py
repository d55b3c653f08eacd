"""Real clips and real annotations, from the command to the table: text to video, video to text."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.media import decode_pool
from harness.media.decode_pool import end_idle
from tests.helpers.clips import write_sound
from tests.helpers.mmeb_files import shared

MSVD, MSRVTT = "RealClips-MSVDstyle", "MSRVTT-1kA-frames"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """The small set, old enough to be remembered, in a folder of its own."""
    folder = tmp_path / "data" / MSVD
    shutil.copytree(shared("realdata", "video") / MSVD, folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return folder


def test_every_clip_decodes_and_a_constant_scores_exactly_chance(llave, place):
    data = shared("realdata", "video")
    done = llave("run", "null/constant", "--suite", "text-video", "--data", data, *place.flags)
    assert done.code == 0
    assert "incomplete" in done.out
    for task, queries, pool in (
        (f"{MSVD}_t2v", 51, 17),
        (f"{MSVD}_v2t", 17, 17),
        (f"{MSRVTT}_t2v", 318, 318),
        (f"{MSRVTT}_v2t", 318, 318),
    ):
        result = place.result(task, "null/constant")
        assert result.num_queries == queries
        assert {row["candidates"] for row in place.rows(task, "null/constant")} == {pool}
        assert {metric: score.value for metric, score in result.metrics.items()} == dict(result.chance)
        assert result.official["hit@1"].value == 1
    assert place.result(f"{MSVD}_v2t", "null/constant").chance["hit@1"] == pytest.approx(1 / 17)


def test_the_oracle_is_perfect_in_both_directions(llave, place):
    data = shared("realdata", "video")
    assert llave("run", "null/oracle", "--tasks", f"{MSVD}_t2v,{MSVD}_v2t", "--data", data, *place.flags).code == 0
    for direction in ("t2v", "v2t"):
        (folder,) = (place.out / "null--oracle").iterdir()
        result = place.result(f"{MSVD}_{direction}", "null/oracle", folder.name)
        assert [result.metrics[name].value for name in ("hit@1", "median_rank", "mean_rank")] == [1, 1, 1]


def test_the_floor_sees_the_clips_and_says_that_it_cannot_tell_them_by_text(llave, place):
    data = shared("realdata", "video")
    line = ("run", "classical", "--suite", "text-video", "--data", data / MSVD, *place.flags)
    done = llave(*line)
    assert done.code == 0
    result = place.result(f"{MSVD}_t2v", "classical")
    assert result.main.value == result.chance["hit@1"]
    assert result.tied_queries == result.num_queries
    assert "ties" in done.out
    again = llave(*line)
    assert again.out == done.out
    assert re.search("[42] results skipped because finished", again.err)


def test_each_clip_is_decoded_once_for_all_its_captions(llave, place, monkeypatch):
    """In both directions."""
    opened: list[str] = []
    decode = decode_pool.decode
    monkeypatch.setattr(
        "harness.media.video.decode", lambda path, *how: (opened.append(path.name), decode(path, *how))[1]
    )
    data = shared("realdata", "video")
    assert llave("run", "classical", "--tasks", f"{MSVD}_t2v,{MSVD}_v2t", "--data", data, *place.flags).code == 0
    assert len(opened) == len(set(opened)) == 17


BEFORE, WHILE = 2, 1
"""What the command returns if a bad clip is found before anything is encoded, and if only decoding finds it."""
HARMS = {
    "missing": BEFORE,
    "empty": BEFORE,
    "cut": BEFORE,
    "text": BEFORE,
    "sound": BEFORE,
    "rotten": WHILE,
    "codec": WHILE,
    "crash": WHILE,
    "hang": WHILE,
}
DECODER = """import os, sys, time; sys.path.insert(0, {home!r})
from harness.media import decode_worker
class OpenVideo(decode_worker.OpenVideo):
    def __init__(self, path, **options):
        if path.name == "clip_pool.mp4":
            {body}
        super().__init__(path, **options)
decode_worker.OpenVideo = OpenVideo
decode_worker.serve()"""


def harmed(video: Path, harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Does to a clip, or to what decodes it, what its name says."""
    content = video.read_bytes()
    if harm in ("crash", "hang"):
        body = "os.abort()" if harm == "crash" else "time.sleep(99)"
        monkeypatch.setattr(decode_pool, "_START", DECODER.format(home=str(decode_pool._HOME), body=body))
        monkeypatch.setattr(decode_pool, "PATIENCE", 120.0 if harm == "crash" else 3.0)
    elif harm == "sound":
        write_sound(video.with_suffix(".m4a")).replace(video)
    elif harm == "missing":
        video.unlink()
    else:
        start = content.find(b"mdat") + 8
        noise = np.random.default_rng(0).integers(0, 256, 2 * len(content) // 3, dtype=np.uint8).tobytes()
        harms = {
            "empty": b"",
            "cut": content[:20_000],
            "text": b"<html>gone</html>",
            "rotten": content[:start] + noise + content[start + len(noise) :],
            "codec": content.replace(b"avc1", b"zzz9").replace(b"avcC", b"zzzC"),
        }
        assert harms[harm] != content
        video.write_bytes(harms[harm])


@pytest.mark.parametrize("harm", HARMS)
def test_a_bad_clip_is_named_or_counts_as_wrong(llave, place, clips, monkeypatch, harm):
    """With its file and the place in the annotations, before anything is encoded where that can be."""
    end_idle()
    harmed(clips / "videos" / "clip_pool.mp4", harm, monkeypatch)
    line = ("run", "classical", "--tasks", f"{MSVD}_t2v,{MSVD}_v2t", "--data", clips.parent, *place.flags)
    stopped = llave(*line)
    assert stopped.code == HARMS[harm]
    message = " ".join(stopped.err.split())
    assert "clip_pool.mp4" in message
    assert "raw-captions.pkl, clip_pool" in message
    assert ("loading" in stopped.err) == (HARMS[harm] == WHILE)
    assert llave(*line, "--on-bad-media", "count-as-wrong").code == 0
    end_idle()
    rows = {row["query"]: row for row in place.rows(f"{MSVD}_t2v", "classical")}
    assert {name.partition("#")[0] for name, row in rows.items() if "bad_media" in row} == {"clip_pool"}
    assert {row["candidates"] for row in rows.values()} == {16}
    assert all(not rows[f"clip_pool#{number}"]["right"] for number in range(3))
    (lost,) = (row for row in place.rows(f"{MSVD}_v2t", "classical") if "bad_media" in row)
    assert (lost["query"], lost["right"]) == ("clip_pool", False)


def test_of_an_item_with_several_media_only_the_one_that_broke_is_bad(llave, place, clips, monkeypatch):
    harmed(clips / "videos" / "clip_pool.mp4", "rotten", monkeypatch)
    whole = sorted(path.name for path in (clips / "videos").iterdir() if path.name != "clip_pool.mp4")[0]
    Image.new("RGB", (32, 32), "red").save(clips / "red.png")
    rows = [
        {"target": "both", "image": "red.png", "video": "videos/clip_pool.mp4"},
        {"target": "alone", "image": "red.png"},
        {"target": "other", "video": f"videos/{whole}"},
        {"query": "q1", "image": "red.png", "positives": ["alone"]},
        {"query": "q2", "text": "a pool", "positives": ["both"]},
    ]
    file = clips / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = ("run", "classical", "--data", file, *place.flags, "--on-bad-media", "count-as-wrong")
    assert llave(*line).code == 0
    assert [each["media"] for each in place.result("rows", "classical").bad_media] == ["videos/clip_pool.mp4"]
    found = {row["query"]: row for row in place.rows("rows", "classical")}
    assert found["q1"]["right"]
    assert (found["q1"]["candidates"], found["q2"]["right"], "bad_media" in found["q2"]) == (2, False, True)


def test_the_reference_checkpoint_runs_in_both_directions(llave, place, clips):
    pytest.importorskip("torch")
    names = sorted(path.stem for path in (clips / "videos").iterdir())[:3]
    (clips / "test_list.txt").write_text("\n".join(names))
    checkpoint = shared("golden", "checkpoint")
    done = llave(
        "run",
        checkpoint,
        "--suite",
        "text-video",
        "--data",
        clips.parent,
        "--model-option",
        "frames=uniform:2",
        *place.flags,
    )
    assert done.code == 0
    (folder,) = (place.out / "llave--checkpoint").iterdir()
    for direction, queries in (("t2v", 9), ("v2t", 3)):
        result = place.result(f"{MSVD}_{direction}", "llave/checkpoint", folder.name)
        assert result.num_queries == queries
        assert result.tied_queries == 0
