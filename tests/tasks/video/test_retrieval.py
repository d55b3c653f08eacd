"""Text-video tasks: protocols, directions, counts, and which file is which video."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.scoring.metrics import Metric
from harness.types import MEDIA_TOKEN, Task
from tasks.catalog import all_tasks, resolve_tasks
from tasks.suites import find_suite
from tasks.video.files import EXTENSIONS, find_videos, video_sets
from tests.helpers.mmeb_files import shared

COUNTS = {"MSR-VTT": (1000, 1000), "MSVD": (670, 27_763), "DiDeMo": (1004, 1004)}


def names(tasks: Sequence[Task]) -> list[str]:
    return [task.name for task in tasks]


def write(folder: Path, name: str, rows: Sequence[tuple[str, str]], videos: Sequence[str] = ()) -> Path:
    """A table of captions, and files that stand for videos."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("video_id,sentence\n" + "".join(f"{video},{text}\n" for video, text in rows))
    for video in videos:
        (folder / video).parent.mkdir(parents=True, exist_ok=True)
        (folder / video).write_bytes(b"video")
    return folder


def test_the_suites_are_the_two_protocols() -> None:
    suite = find_suite("text-video")
    assert suite.tasks == ("MSR-VTT_t2v", "MSVD_t2v", "MSR-VTT_v2t", "MSVD_v2t")
    assert dict(suite.groups) == {"t2v": suite.tasks[:2], "v2t": suite.tasks[2:]}
    assert find_suite("video-retrieval-v2").tasks == tuple(
        f"{name}-v2" for name in ("DiDeMo", "MSR-VTT", "MSVD", "VATEX", "YouCook2")
    )
    for task in (all_tasks()[name] for name in (*suite.tasks, *find_suite("video-retrieval-v2").tasks)):
        assert task.scope == "global"
        assert [str(Metric.parse(name)) for name in task.metrics] == list(task.metrics)
        assert task.metrics[0] == "hit@1"


@pytest.mark.parametrize("suite", ["text-video", "video-retrieval-v2"])
def test_without_data_it_is_said_what_to_fetch(suite: str) -> None:
    for task in resolve_tasks(suite=suite):
        with pytest.raises(UserError, match=r"(?s)--data") as error:
            task.source.info(task)
        assert task.name in error.value.what


def test_the_published_files_have_their_counts_and_prompts() -> None:
    data = shared("realdata", "annotations")
    tasks = {task.name: task for task in resolve_tasks(suite="text-video", data=data)}
    assert list(tasks) == list(find_suite("text-video").tasks)
    for name in ("MSR-VTT", "MSVD"):
        videos, captions = COUNTS[name]
        texts = tasks[f"{name}_t2v"].source.load(tasks[f"{name}_t2v"])
        assert (len(texts.queries), len(texts.targets)) == (captions, videos)
        assert len({query.id for query in texts.queries}) == captions
        clips = tasks[f"{name}_v2t"].source.load(tasks[f"{name}_v2t"])
        assert len(clips.queries) == videos
        assert len(clips.targets) == len({query.item.text for query in texts.queries})
        assert {query.item for query in texts.queries} == set(clips.targets)
        assert [query.item for query in clips.queries] == list(texts.targets)
        assert {query.item.instruction for query in texts.queries} == {
            "Find me an video that matches the given caption: "
        }
        assert {item.full_text for item in texts.targets} == {f"{MEDIA_TOKEN}\nRepresent the given video."}
        right = {(texts.targets[query.positives[0]], query.item) for query in texts.queries}
        assert right == {(query.item, clips.targets[each]) for query in clips.queries for each in query.positives}
        assert {members.tobytes() for members in clips.groups} == (
            {query.positives.tobytes() for query in clips.queries} if name == "MSVD" else set()
        )
        assert {tasks[f"{name}_{way}"].num_candidates for way in ("t2v", "v2t")} == {videos}


def test_the_other_protocol_takes_one_caption_and_its_own_prompts() -> None:
    data = shared("realdata", "annotations")
    tasks = {task.name: task for task in resolve_tasks(suite="video-retrieval-v2", data=data)}
    assert list(tasks) == ["DiDeMo-v2", "MSR-VTT-v2", "MSVD-v2"]
    captions = json.loads((data / "MSVD" / "test_captions.json").read_text())
    for name, task in tasks.items():
        dataset = name.removesuffix("-v2")
        loaded = task.source.load(task)
        assert len(loaded.queries) == len(loaded.targets) == COUNTS[dataset][0]
        assert {item.full_text for item in loaded.targets} == {
            f"{MEDIA_TOKEN} Understand the content of the provided video."
        }
        assert all(query.item.full_text == task.query_instruction + query.item.text for query in loaded.queries)
        if dataset == "MSVD":
            assert [query.item.text for query in loaded.queries] == [captions[query.id][0] for query in loaded.queries]


def test_captions_that_a_protocol_does_not_use_are_counted(tmp_path: Path) -> None:
    rows = [("v1", "a dog"), ("v1", "one dog"), ("v2", "a cat"), ("v1", "a hound")]
    write(tmp_path / "mine", "MSRVTT_JSFUSION_test.csv", rows, ["videos/v1.mp4"])
    left_out = {
        task.name: task.source.load(task).notes.get("captions_left_out") for task in resolve_tasks(data=tmp_path)
    }
    assert left_out == {"mine_t2v": None, "mine_v2t": None, "mine-v2": 2}


def test_fewer_rows_are_a_set_of_their_own_unless_they_bear_the_name(tmp_path: Path) -> None:
    rows = [("v1", "a dog"), ("v2", "a cat")]
    write(tmp_path / "mine", "MSRVTT_JSFUSION_test.csv", rows, ["videos/v1.mp4"])
    tasks = resolve_tasks(suite="text-video", data=tmp_path)
    assert names(tasks) == ["mine_t2v", "mine_v2t"]
    assert all("not MSR-VTT's own rows" in task.notes[-1] for task in tasks)
    assert len(tasks[0].source.load(tasks[0]).queries) == 2
    assert names(resolve_tasks(data=tmp_path)) == ["mine_t2v", "mine_v2t", "mine-v2"]
    (asked,) = resolve_tasks("MSR-VTT_t2v", data=tmp_path)
    with pytest.raises(UserError, match=r"mine has 2 videos and 2 captions, but MSR-VTT_t2v has 1,000 and 1,000"):
        asked.source.load(asked)
    (tmp_path / "mine").rename(tmp_path / "MSR-VTT")
    for task in resolve_tasks(suite="text-video", data=tmp_path):
        with pytest.raises(UserError, match="a name of your own"):
            task.source.load(task)


def test_a_set_of_ones_own_is_a_table_of_captions(tmp_path: Path) -> None:
    write(
        tmp_path / "pets", "captions.csv", [("v1", "a dog"), ("v1", "one dog"), ("v2", "a dog")], ["v1.mp4", "v2.avi"]
    )
    texts, clips = resolve_tasks(data=tmp_path)
    assert names([texts, clips]) == ["pets_t2v", "pets_v2t"]
    loaded = texts.source.load(texts)
    assert [query.id for query in loaded.queries] == ["v1#0", "v1#1", "v2#0"]
    assert [query.positives.tolist() for query in loaded.queries] == [[0], [0], [1]]
    assert [item.media[0].name for item in loaded.targets] == ["v1.mp4", "v2.avi"]
    (tmp_path / "pets" / "v9.mp4").write_bytes(b"of no row, and left alone")
    loaded = clips.source.load(clips)
    assert [item.media[0].name for item in texts.source.load(texts).targets] == ["v1.mp4", "v2.avi"]
    assert [query.positives.tolist() for query in loaded.queries] == [[0, 1], [0]]
    assert [members.tolist() for members in loaded.groups] == [[0, 1], [0]]
    assert loaded.notes == {"duplicate_candidates": 1}
    with pytest.raises(UserError, match="nothing of suite"):
        resolve_tasks(suite="text-video", data=tmp_path)
    with pytest.raises(UserError, match="MSVD_t2v"):
        resolve_tasks("MSVD_t2v", data=tmp_path)


def test_videos_with_the_same_captions_are_one_candidate(tmp_path: Path) -> None:
    rows = [("v1", "a dog"), ("v1", "one dog"), ("v2", "one dog"), ("v2", "a dog"), ("v3", "a dog"), ("v2", "a dog")]
    write(tmp_path / "pets", "captions.csv", rows)
    _, clips = resolve_tasks(data=tmp_path)
    loaded = clips.source.load(clips)
    assert [members.tolist() for members in loaded.groups] == [[0, 1], [0]]
    assert [query.positives.tolist() for query in loaded.queries] == [[0, 1], [0, 1], [0]]
    assert loaded.notes == {"duplicate_candidates": 4}


def test_a_video_knows_which_row_names_it_first(tmp_path: Path) -> None:
    write(tmp_path / "pets", "captions.csv", [("v1", "a dog"), ("v2", "a cat"), ("v1", "one dog")])
    for task in resolve_tasks(data=tmp_path):
        loaded = task.source.load(task)
        shown = [*loaded.targets, *(query.item for query in loaded.queries)]
        where = {medium.name: medium.where for item in shown for medium in item.media}
        assert where == {f"v{n}.mp4": f"{tmp_path}/pets/captions.csv, line {n + 1}" for n in (1, 2)}


def test_msvd_is_its_list_of_test_videos(tmp_path: Path) -> None:
    (tmp_path / "raw-captions.json").write_text(json.dumps({"a": [["x", "y"]], "b": [["z"]], "c": [["w"]]}))
    assert video_sets(tmp_path) == ()
    (tmp_path / "test_list.txt").write_text("c\na\n")
    (found,) = video_sets(tmp_path)
    assert [(each.video, each.text) for each in found.captions()] == [("c", "w"), ("a", "x y")]
    (tmp_path / "test_list.txt").write_text("c\nno such\na\nnor this\n")
    with pytest.raises(UserError, match=r"lists 2 videos without a caption in raw-captions\.json: no such, nor this"):
        found.captions()


@pytest.mark.parametrize("suffix", [*EXTENSIONS, ".MP4"])
def test_a_video_is_found_by_its_id_wherever_it_lies(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / "all" / "deep" / f"a.b_1{suffix}"
    file.parent.mkdir(parents=True)
    file.touch()
    (tmp_path / "a.b_1.txt").touch()
    for video in ("a.b_1", f"a.b_1{suffix}", f"clips/val/a.b_1{suffix}", "a.b_1.mp4"):
        assert find_videos(tmp_path, [video]) == {video: f"all/deep/a.b_1{suffix}"}


def test_a_letter_may_be_composed_in_the_captions_and_decomposed_on_disk_or_the_other_way(tmp_path: Path) -> None:
    composed, decomposed = "v\u00e9", "ve\u0301"
    for here, there in ((composed, decomposed), (decomposed, composed)):
        root = tmp_path / here
        root.mkdir()
        (root / f"{there}.mp4").touch()
        assert find_videos(root, [here]) == {here: f"{there}.mp4"}
        (root / f"{here}.mp4").touch()
        if len(list(root.iterdir())) > 1:  # some systems take them for one
            assert find_videos(root, [here, there]) == {here: f"{here}.mp4", there: f"{there}.mp4"}


def test_an_id_without_a_file_is_expected_among_the_others(tmp_path: Path) -> None:
    for name in ("videos/v1.avi", "videos/v2.avi", "v3.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_videos(tmp_path, ["v9"]) == {"v9": "videos/v9.avi"}
    assert find_videos(tmp_path / "nowhere", ["v9"]) == {"v9": "v9.mp4"}


def test_two_files_of_one_id_are_an_error(tmp_path: Path) -> None:
    for name in ("v1.mp4", "v1.webm"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"v1: v1\.mp4 and v1\.webm"):
        find_videos(tmp_path, ["v1"])
    assert find_videos(tmp_path, ["v1.webm"]) == {"v1.webm": "v1.webm"}


def test_videos_may_lie_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "data/notes", "captions.csv", [("v1", "a")])
    (tmp_path / "data/films").mkdir()
    (tmp_path / "data/films/v1.mkv").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/v1.mov").touch()
    for images, wanted in ((None, "data/films/v1.mkv"), (tmp_path / "other", "other/v1.mov")):
        (task, _) = resolve_tasks(data=tmp_path / "data", images=images)
        (item,) = task.source.load(task).targets
        assert (item.media[0].root / item.media[0].name) == tmp_path / wanted


def test_annotations_are_read_again_when_they_change(tmp_path: Path) -> None:
    write(tmp_path, "captions.csv", [("v1", "a")])
    (found,) = video_sets(tmp_path)
    assert len(found.captions()) == 1
    write(tmp_path, "captions.csv", [("v1", "a"), ("v2", "b")])
    os.utime(tmp_path / "captions.csv", (1, 1))
    assert len(found.captions()) == 2


def test_one_name_for_two_folders_is_an_error(tmp_path: Path) -> None:
    for place in ("a/pets", "b/pets"):
        write(tmp_path / place, "captions.csv", [("v1", "a")])
    with pytest.raises(UserError, match="pets_t2v twice"):
        resolve_tasks(data=tmp_path)
