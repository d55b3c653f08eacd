"""Rows of video tasks become the texts of the public evaluator, and bad rows are named."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.types import MEDIA_TOKEN, Task, TaskData
from tasks.catalog import resolve_tasks
from tasks.mmeb_v2.parts import VIDEO
from tests.helpers.frame_files import write_frames
from tests.helpers.v2_files import (
    FRAMES,
    write_classification,
    write_moments,
    write_questions,
    write_retrieval,
    write_rows,
)

QUESTION = (
    "Given a video and a question, select the most accurate answer from the provided candidates. "
    "Return only the exact text of your chosen answer. Question:  "
)


def loaded(folder: Path) -> dict[str, tuple[Task, TaskData]]:
    return {task.name: (task, task.source.load(task)) for task in resolve_tasks("all", data=folder)}


def texts(data: TaskData, number: int = 0) -> tuple[str, list[str], list[str]]:
    """The full text of a query, of its candidates, and of the right ones."""
    query = data.queries[number]
    candidates = [data.targets[each].full_text for each in query.candidates]
    return query.item.full_text, candidates, [data.targets[each].full_text for each in query.positives]


def test_a_clip_is_classified_among_all_labels_or_those_of_its_row(tmp_path: Path) -> None:
    write_classification(tmp_path)
    tasks = loaded(tmp_path)
    text, candidates, right = texts(tasks["Breakfast"][1])
    assert text == f"{MEDIA_TOKEN} Recognize the breakfast type that the person is cooking in the video. "
    assert (candidates, right, len(tasks["Breakfast"][1].targets)) == ([], ["friedegg"], 10)
    text, candidates, right = texts(tasks["SmthSmthV2"][1], 1)
    assert (candidates, right) == (["holding pen", "moving pen", "dropping a cup"], ["moving pen"])
    assert len(tasks["K700"][1].targets) == 700


def test_questions_are_written_as_the_public_evaluator_writes_them(tmp_path: Path) -> None:
    write_questions(tmp_path)
    data = {name: texts(each) for name, (_, each) in loaded(tmp_path).items()}
    lead = f"{MEDIA_TOKEN} {QUESTION}"
    assert data["MVBench"] == (
        f"{lead}Which 0?\nOptions:\n(A) red\n(B) green\n(C) blue",
        ["(A) red", "(B) green", "(C) blue"],
        ["(B) green"],
    )
    assert data["Video-MME"] == (
        f"{lead}What colour?\nA. It is red.\nB. It is green.\nC. It is blue.\nD. It is grey.",
        ["It is red", "It is green", "It is blue", "It is grey"],
        ["It is green"],
    )
    assert data["NExTQA"] == (
        f"{lead}why\nOptions:\n(A) red\n(B) green\n(C) blue\n(D) grey\n(E) black",
        ["red", "green", "blue", "grey", "black"],
        ["red"],
    )
    assert data["EgoSchema"][0] == f"{lead}What is done?red green blue grey black"
    assert data["ActivityNetQA"] == (f"{lead}is it red? (A) yes; (B) no.", ["yes", "no"], ["yes"])


def test_mvbench_is_its_twenty_parts_in_their_order(tmp_path: Path) -> None:
    write_questions(tmp_path)
    task, data = loaded(tmp_path)["MVBench"]
    folders = [query.item.media[0].name.partition("/")[0] for query in data.queries]
    assert list(dict.fromkeys(folders)) == [Path(each).name for each in task.source.rows]  # type: ignore[attr-defined]
    assert len({query.id for query in data.queries}) == len(data.queries) == 40


def test_retrieval_takes_the_first_caption_and_the_frames_of_its_video(tmp_path: Path) -> None:
    write_retrieval(tmp_path)
    tasks = loaded(tmp_path)
    assert list(tasks) == list(VIDEO["video-retrieval"])
    for name, (task, data) in tasks.items():
        assert len(data.queries) == len(data.targets) == 3, name
        assert "not comparable" in task.notes[-1]
        folders = {item.media[0].root / item.media[0].name for item in data.targets}
        assert all(folder.is_dir() for folder in folders)
        assert len(folders) == 3
        assert {item.full_text for item in data.targets} == {
            f"{MEDIA_TOKEN} Understand the content of the provided video."
        }
    assert [query.item.text for query in tasks["VATEX-v2"][1].queries] == ["first 0", "first 1", "first 2"]
    assert tasks["YouCook2-v2"][1].queries[1].item.full_text == (
        "Find a video that demonstrates the following action while making a recipe: step 1"
    )


def test_moments_are_the_clips_in_the_folder_of_the_video(tmp_path: Path) -> None:
    write_moments(tmp_path)
    tasks = loaded(tmp_path)
    text, candidates, _ = texts(tasks["Charades-STA"][1], 1)
    assert text == (
        f"{MEDIA_TOKEN} Find the clip that corresponds to the described scene in the given video: someone waves 1"
    )
    assert set(candidates) == {f"{MEDIA_TOKEN} Understand the content of the provided video."}
    query = tasks["QVHighlight"][1].queries[0]
    names_of = [tasks["QVHighlight"][1].targets[each].media[0].name for each in query.candidates]
    assert names_of[query.positives[0]] == "QVHighlight_0/positive_clip"
    assert sorted(names_of) == sorted(
        ["QVHighlight_0/positive_clip", *(f"QVHighlight_0/negative_clip_{number}" for number in range(9))]
    )


def test_a_query_for_a_moment_is_a_text_with_nothing_a_picture_or_a_clip(tmp_path: Path) -> None:
    write_moments(tmp_path)
    data = loaded(tmp_path)["MomentSeeker"][1]
    assert [(query.item.full_text, [each.kind for each in query.item.media]) for query in data.queries] == [
        ("Find the clip that corresponds to the given text: a scene 0", []),
        (f"{MEDIA_TOKEN} Select the video clip that aligns with the given text and image: a scene 1", ["image"]),
        (f"{MEDIA_TOKEN} Find the clip that corresponds to the given sentence and video segment: a scene 2", ["video"]),
    ]
    assert [len(query.positives) for query in data.queries] == [1, 2, 3]
    assert [len(query.candidates) for query in data.queries] == [10, 11, 12]


def test_videos_may_be_files_instead_of_frames(tmp_path: Path) -> None:
    write_rows(tmp_path, "ucf101.jsonl", [{"video_id": "clip", "pos_text": "PlayingDaf"}])
    folder = tmp_path / "video-tasks" / "videos" / "video_cls" / "UCF101"
    folder.mkdir(parents=True)
    (folder / "clip.avi").write_bytes(b"RIFF")
    _, data = loaded(tmp_path)["UCF101"]
    assert data.queries[0].item.media[0].name == "clip.avi"


def test_the_order_of_rows_is_that_of_the_file_and_none_is_lost(tmp_path: Path) -> None:
    labels = ["PlayingDaf", "Archery", "Diving", "Billiards"]
    for seed in range(10):
        rows = [
            {"video_id": f"{number}", "pos_text": random.Random(seed + number).choice(labels)} for number in range(30)
        ]
        write_rows(tmp_path, "ucf101.jsonl", rows)
        (tmp_path / FRAMES / "video_cls" / "UCF101").mkdir(parents=True, exist_ok=True)
        _, data = loaded(tmp_path)["UCF101"]
        found = [(query.item.media[0].name, data.targets[query.positives[0]].text) for query in data.queries]
        assert found == [(row["video_id"], row["pos_text"]) for row in rows]


BAD: list[tuple[str, Mapping[str, object], str]] = [
    ("ucf101.jsonl", {"video_id": "0", "pos_text": "Cooking"}, "not among the 101 labels"),
    ("ucf101.jsonl", {"pos_text": "Archery"}, "no column video_id"),
    ("ssv2.jsonl", {"video_id": "0", "pos_text": "holding", "neg_text": []}, "neg_text is not a list of texts"),
    ("nextqa.jsonl", {"video": 1, "question": "q", "answer": 5, **{f"a{n}": "x" for n in range(5)}}, "none of the 5"),
    ("nextqa.jsonl", {"video": 1, "question": " ", "answer": 1, **{f"a{n}": "x" for n in range(5)}}, "question is not"),
    ("video-mme.jsonl", {"videoID": "v", "question": "q", "options": ["A. x"], "answer": "B"}, "letter of 0 options"),
    ("egoschema.jsonl", {"video_idx": "v", "question": "q", "option": ["x"], "answer": "one"}, "none of the 1"),
    ("activitynetqa.jsonl", {"video_name": "v", "question": "q", "answer": "maybe"}, "neither yes nor no"),
    ("activitynetqa.jsonl", {"video_name": "v", "question": f"q {MEDIA_TOKEN}", "answer": "yes"}, "reserved"),
    ("qvhighlight.jsonl", {"query": "q", "video_path": "v.mp4"}, "0 right and 0 wrong clips"),
    ("momentseeker_1k6.jsonl", {"query": "q", "input_frames": "a.gif"}, "neither empty nor a .jpg or .mp4"),
    ("momentseeker_1k6.jsonl", {"query": "q", "input_frames": "", "positive_frames": [{}]}, "no list of clips"),
]


@pytest.mark.parametrize(("file", "row", "message"), BAD)
def test_a_bad_row_is_named(tmp_path: Path, file: str, row: Mapping[str, object], message: str) -> None:
    write_rows(tmp_path, file, [row])
    _write_folders(tmp_path)
    (task,) = resolve_tasks("all", data=tmp_path)
    with pytest.raises(UserError, match=message) as error:
        task.source.load(task)
    assert f"{file}, line 1" in error.value.what


def _write_folders(folder: Path) -> None:
    for place in ("video_cls/UCF101", "video_cls/SSv2", "video_qa/NExTQA", "video_qa/Video-MME", "video_qa/EgoSchema"):
        (folder / FRAMES / place).mkdir(parents=True)
    for place in ("video_qa/ActivityNetQA", "video_mret/QVHighlight", "video_mret/MomentSeeker"):
        (folder / FRAMES / place).mkdir(parents=True)


def test_rows_without_frames_say_what_to_unpack(tmp_path: Path) -> None:
    write_rows(tmp_path, "ucf101.jsonl", [{"video_id": "clip", "pos_text": "PlayingDaf"}])
    with pytest.raises(UserError, match=r"(?s)no folder video-tasks/frames/video_cls/UCF101.*video_cls.tar.gz"):
        resolve_tasks("all", data=tmp_path)


def test_a_clip_too_few_is_an_error(tmp_path: Path) -> None:
    write_moments(tmp_path)
    folder = tmp_path / FRAMES / "video_mret" / "QVHighlight" / "QVHighlight_1" / "negative_clip_3"
    for frame in folder.iterdir():
        frame.unlink()
    folder.rmdir()
    task = next(each for each in resolve_tasks("all", data=tmp_path) if each.name == "QVHighlight")
    with pytest.raises(UserError, match="1 right and 8 wrong clips"):
        task.source.load(task)


def test_the_old_set_of_moments_is_refused_with_the_reason(tmp_path: Path) -> None:
    write_frames(tmp_path / FRAMES / "video_mret" / "MomentSeeker" / "video_frames" / "a", 1)
    clip = [{"output_path": "a.mp4"}]
    row = {"query": "q", "input_frames": "", "positive_frames": clip, "negative_frames": clip}
    path = write_rows(tmp_path, "momentseeker_1k6.jsonl", [{**row, "query": f"q{number}"} for number in range(1800)])
    (task,) = resolve_tasks("MomentSeeker", data=tmp_path)
    with pytest.raises(UserError, match=r"(?s)1,800 rows.*not 1,602.*repeated pairs"):
        task.source.load(task)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:1602]))
    assert len(task.source.load(task).queries) == 1602


def test_a_suite_takes_only_whole_sets(tmp_path: Path) -> None:
    write_classification(tmp_path)
    (task,) = (each for each in resolve_tasks(suite="mmeb-v2-v-cls", data=tmp_path) if each.name == "UCF101")
    with pytest.raises(UserError, match=r"(?s)3 rows of UCF101, not 1,000.*--tasks all"):
        task.source.load(task)
    assert {each.name for each in resolve_tasks(suite="mmeb-v2-video", data=tmp_path)} == {
        *VIDEO["video-classification"]
    }
