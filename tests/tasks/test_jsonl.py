"""JSON Lines files of tasks and of items."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.types import MEDIA_TOKEN, Item, Media, TaskData
from tasks.catalog import resolve_tasks
from tasks.jsonl import jsonl_task, read_items

A, B = {"target": "a", "text": "a dog"}, {"target": "b", "image": "cat.png"}
Q = {"query": "q", "text": "which?", "positives": ["b"], "candidates": ["a", "b", "a"]}
R = {"query": "r", "text": "who?", "positives": ["a"]}


def write(folder: Path, *lines: object) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines), encoding="utf-8")
    return path


def said(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(path)
    return str(caught.value)


def load(path: Path, images: Path | None = None) -> TaskData:
    task = jsonl_task(path, images)
    return task.source.load(task)


def test_queries_and_targets_may_stand_in_any_order(tmp_path: Path) -> None:
    task = jsonl_task(write(tmp_path, Q, A, "", R, B, "  "))
    data = task.source.load(task)
    assert (task.name, task.scope) == ("mine", "local")
    assert data.targets == (Item("a dog"), Item(media=(Media("image", "cat.png", tmp_path),)))
    assert [(q.id, q.candidates.tolist(), q.positives.tolist()) for q in data.queries] == [
        ("q", [0, 1, 0], [1]),
        ("r", [], [0]),
    ]
    assert data.notes == {"duplicate_candidates": 1}


def test_without_lists_of_candidates_the_scope_is_global(tmp_path: Path) -> None:
    said_so = {**A, "text": 'it says "candidates": none'}
    assert jsonl_task(write(tmp_path, said_so, R)).scope == "global"
    assert jsonl_task(write(tmp_path, A, B, R, Q)).scope == "local"


def test_targets_of_equal_content_are_one(tmp_path: Path) -> None:
    path = write(tmp_path, A, {**A, "target": "again"}, B, {**R, "positives": ["again", "a", "b"]})
    data = load(path)
    assert len(data.targets) == 2
    assert data.queries[0].positives.tolist() == [0, 1]
    assert data.notes == {"duplicate_candidates": 1}


def both(folder: Path, fields: Mapping[str, object]) -> list[Item | str]:
    """The item that `llave run` and `llave embed` read, or the reason why they refuse it."""
    task = write(folder, {"target": "c", **fields}, {"query": "q", "text": "q", "positives": ["c"]})
    (folder / "items.jsonl").write_text(json.dumps({"id": "c", **fields}))
    found: list[Item | str] = []
    for read in (lambda: load(task).targets[0], lambda: read_items(folder / "items.jsonl")[0].item):
        try:
            found.append(read())
        except UserError as error:
            found.append(error.what.partition(", line 1: ")[2])
    return found


def test_an_item_with_two_images_is_read_by_run_and_by_embed(tmp_path: Path) -> None:
    fields = {"image": ["i.png", "j.png"], "video": ["v.mp4"], "text": f"{MEDIA_TOKEN} or {MEDIA_TOKEN}: {MEDIA_TOKEN}"}
    run, embed = both(tmp_path, fields)
    media = (("image", "i.png"), ("image", "j.png"), ("video", "v.mp4"))
    assert run == embed == Item(fields["text"], tuple(Media(kind, name, tmp_path) for kind, name in media))
    assert run.media[1].where == f"{tmp_path / 'mine.jsonl'}, line 1"


def test_a_numbered_token_is_refused_by_run_and_by_embed(tmp_path: Path) -> None:
    run, embed = both(tmp_path, {"text": "<|image_1|> a", "image": "i.png"})
    assert run == embed == "in this layout an image token is written <|media|>."


texts = st.lists(st.sampled_from([MEDIA_TOKEN, "<|image_2|>", "a", " ", "\n", "é"])).map("".join)
paths = st.one_of(
    st.none(), st.sampled_from(["", "i.png", "a/ü.png"]), st.lists(st.sampled_from(["i.png", "v", 3, ""]))
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.fixed_dictionaries({}, optional={"text": texts, "image": paths, "video": paths, "instruction": texts}))
def test_run_and_embed_read_equal_items(tmp_path: Path, fields: dict[str, object]) -> None:
    run, embed = both(tmp_path, fields)
    assert run == embed


def test_an_item_has_its_image_before_its_video(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    query = {**R, "video": "v.mp4", "image": "i.png", "text": f"{MEDIA_TOKEN} then {MEDIA_TOKEN}", "instruction": None}
    path = write(tmp_path, A, query)
    item = load(path, tmp_path / "media").queries[0].item
    assert item.media == (Media("image", "i.png", tmp_path / "media"), Media("video", "v.mp4", tmp_path / "media"))


@pytest.mark.parametrize(
    ("instruction", "text", "full"),
    [
        ("Find:", "x", "Find: x"),
        ("Find: ", "x", "Find: x"),
        ("Find:\n", "x", "Find:\nx"),
        ("Find", "", "Find"),
        ("", "x", "x"),
    ],
)
def test_an_instruction_is_joined_with_a_space_unless_it_ends_in_one(
    tmp_path: Path, instruction: str, text: str, full: str
) -> None:
    path = write(tmp_path, {**A, "instruction": instruction, "text": text}, R)
    assert load(path).targets[0].full_text == full


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "it is not valid JSON"),
        ("[1]", "it holds an array, not a JSON object.\nWrite one JSON object on each line"),
        ({"text": "a"}, "neither a target"),
        ({**A, "target": "c", "txet": "a"}, "a target has no key txet"),
        ({**A, "positives": ["a"]}, "a target has no key positives"),
        ({**R, "target": "c"}, "a target has no key query"),
        ({**A, "target": ""}, "must be a string that is not empty"),
        ({**A, "target": 3}, "target must be a string"),
        (A, "line 1 has the target 'a' too"),
        (R, "line 4 has the query 'r' too"),
        ({**A, "target": "c", "text": 3}, "text must be a string"),
        ({"target": "c"}, "no text, no image and no video"),
        ({**A, "target": "c", "text": "<|image_1|> a"}, MEDIA_TOKEN),
        ({**A, "target": "c", "text": MEDIA_TOKEN}, "no text, no image and no video"),
        ({**A, "target": "c", "text": f"{MEDIA_TOKEN} a"}, "the item has 0 images"),
        ({"target": "c", "image": ["a.png", 3]}, "image must be a path or a list of paths"),
        ({"query": "s", "text": "x"}, "no positives"),
        ({"query": "s", "text": "x", "positives": "a"}, "positives must be a list"),
        ({"query": "s", "text": "x", "positives": []}, "positives is an empty list"),
        ({"query": "s", "text": "x", "positives": ["a"], "candidates": []}, "candidates is an empty list"),
        ({"query": "s", "text": "x", "positives": ["z"]}, "no target 'z'"),
        ({"query": "s", "text": "x", "positives": ["a"], "candidates": ["b", "z"]}, "no target 'z'"),
        ({"query": "s", "text": "x", "positives": ["a"], "candidates": ["b"]}, "'a' is among the positives"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: object, words: str) -> None:
    path = write(tmp_path, A, "", B, R, line)
    text = said(path)
    assert text.startswith(f"{path}, line 5: ")
    assert words in text


def test_a_line_of_another_layout_is_told_its_keys_and_those_that_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, {"_id": "1", "text": "a"})
    assert all(part in said(path) for part in ("Its keys: '_id', 'text'.", '{"target": ID', '{"query": ID'))
    assert "BEIR" not in said(path)
    for name in ("corpus.jsonl", "queries.jsonl"):
        path.with_name(name).write_bytes(path.read_bytes())
    assert "part of a dataset in BEIR's layout" in said(path.with_name("queries.jsonl"))


def test_a_file_needs_queries_and_targets(tmp_path: Path) -> None:
    assert "has no query" in said(write(tmp_path, A))
    assert "has no target" in said(write(tmp_path, R))
    assert "is not a file" in said(tmp_path)


def test_a_file_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(json.dumps(A).encode() + b'\n{"target": "\xff"}')
    assert f"{path}, line 2: it is not in UTF-8" in said(path)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path, A, R)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(load(path).targets) == 1


def test_an_image_root_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        jsonl_task(write(tmp_path, A, R), tmp_path / "typo")


def test_the_example_in_the_documentation_loads(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
    data = load(write(tmp_path, text.partition("```json\n")[2].partition("```")[0]))
    assert (len(data.targets), data.queries[0].item.full_text) == (2, "Answer the question. What is this?")


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.JSONL", "mine.ndjson", "mine.NDJson"])
def test_every_extension_of_json_lines_is_a_task(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, A, R).rename(tmp_path / name)
    (task,) = resolve_tasks(data=path)
    assert (task.name, len(task.source.load(task).queries)) == ("mine", 1)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([A, R]),
        json.dumps([A, R], indent=1),
        json.dumps(A, indent=2),
        "[\n" + json.dumps(A) + ",\n" + json.dumps(R) + "\n]\n",
        "[" + json.dumps(A) + ",\n" + json.dumps(R) + "]\n",
    ],
)
def test_json_that_is_not_one_object_a_line_says_so(tmp_path: Path, text: str) -> None:
    assert "Write one JSON object on each line" in said(write(tmp_path, text))


def test_a_line_that_is_wrong_otherwise_does_not(tmp_path: Path) -> None:
    for text in ('{"target": a}', '{"target": "a" "text": "b"}', '{"target": "a', '{"target": "a", "target": "b"}'):
        found = said(write(tmp_path, A, text))
        assert "line 2: it is not valid JSON: " in found
        assert "on each line" not in found


def test_a_doubled_key_is_named(tmp_path: Path) -> None:
    assert "line 2: it is not valid JSON: the key 'text' occurs twice" in said(
        write(tmp_path, R, '{"target": "a", "text": "b", "text": "c"}')
    )


@pytest.mark.parametrize(("positives", "main"), [(["a"], "hit@1"), ({"a": 2}, "ndcg@10")])
def test_grades_decide_the_main_metric(tmp_path: Path, positives: object, main: str) -> None:
    path = write(tmp_path, {"target": "a", "text": "x"}, {"query": "q", "text": "y", "positives": positives})
    (task,) = resolve_tasks(data=path)
    assert task.metrics[0] == main
    assert len(set(task.metrics)) == len(task.metrics)
