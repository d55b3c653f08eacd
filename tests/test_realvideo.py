"""Real clips and real annotations, from the command to the table: text to video, video to text."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from harness import video_process
from harness.errors import BadMedia
from tests.mmeb_files import shared

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
        (f"{MSVD}_v2t", 17, 51),
        (f"{MSRVTT}_t2v", 318, 318),
        (f"{MSRVTT}_v2t", 318, 318),
    ):
        result = place.result(task, "null/constant")
        assert result.num_queries == queries
        assert {row["candidates"] for row in place.rows(task, "null/constant")} == {pool}
        assert {metric: score.value for metric, score in result.metrics.items()} == dict(result.chance)
        assert result.official["hit@1"].value == 1
    assert place.result(f"{MSVD}_v2t", "null/constant").chance["hit@1"] == pytest.approx(3 / 51)


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
    assert "4 results stood" in again.err or "2 results stood" in again.err


def test_each_clip_is_decoded_once_for_all_its_captions(llave, place, monkeypatch):
    """In both directions."""
    opened: list[str] = []
    decode = video_process.decode
    monkeypatch.setattr(
        "harness.video.decode", lambda path, choose: (opened.append(path.name), decode(path, choose))[1]
    )
    data = shared("realdata", "video")
    assert llave("run", "classical", "--tasks", f"{MSVD}_t2v,{MSVD}_v2t", "--data", data, *place.flags).code == 0
    assert len(opened) == len(set(opened)) == 17


@pytest.mark.parametrize("harm", ["missing", "empty", "cut", "text"])
def test_a_bad_clip_is_named_before_encoding_or_counts_as_wrong(llave, place, clips, harm):
    video = clips / "videos" / "clip_pool.mp4"
    content = {"empty": b"", "cut": video.read_bytes()[:20_000], "text": b"<html>gone</html>"}.get(harm)
    video.unlink()
    if content is not None:
        video.write_bytes(content)
    line = ("run", "classical", "--tasks", f"{MSVD}_t2v", "--data", clips.parent, *place.flags)
    stopped = llave(*line)
    assert stopped.code in (1, 2)
    assert "clip_pool.mp4" in stopped.err
    assert llave(*line, "--on-bad-media", "count-as-wrong").code == 0
    rows = {row["query"]: row for row in place.rows(f"{MSVD}_t2v", "classical")}
    assert {name.partition("#")[0] for name, row in rows.items() if "bad_media" in row} == {"clip_pool"}
    assert {row["candidates"] for row in rows.values()} == {16}
    assert all(not rows[f"clip_pool#{number}"]["right"] for number in range(3))


def test_a_decoder_that_crashes_on_one_clip_costs_that_clip(llave, place, clips, monkeypatch):
    decode = video_process.decode

    def fragile(path, choose):
        if path.name == "clip_pool.mp4":
            raise BadMedia(f"{path} cannot be decoded: the decoder crashed (signal 11).", "Fetch the video again.")
        return decode(path, choose)

    monkeypatch.setattr("harness.video.decode", fragile)
    line = ("run", "classical", "--tasks", f"{MSVD}_t2v", "--data", clips.parent, *place.flags)
    assert llave(*line).code == 1
    assert llave(*line, "--on-bad-media", "count-as-wrong").code == 0
    bad = [row["query"] for row in place.rows(f"{MSVD}_t2v", "classical") if "bad_media" in row]
    assert sorted(bad) == [f"clip_pool#{number}" for number in range(3)]


def test_the_reference_checkpoint_runs_in_both_directions(llave, place, clips):
    pytest.importorskip("torch")
    names = sorted(path.stem for path in (clips / "videos").iterdir())[:3]
    (clips / "test_list.txt").write_text("\n".join(names))
    checkpoint = shared("golden", "checkpoint")
    done = llave(
        "run", checkpoint, "--suite", "text-video", "--data", clips.parent, "--model-option", "frames=2", *place.flags
    )
    assert done.code == 0
    (folder,) = (place.out / "llave--checkpoint").iterdir()
    for direction, queries in (("t2v", 9), ("v2t", 3)):
        result = place.result(f"{MSVD}_{direction}", "llave/checkpoint", folder.name)
        assert result.num_queries == queries
        assert result.tied_queries == 0
