"""Items with texts and media in any order are the same item in every layout, and through every front door."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import llave
from harness.data.items import in_order, parse_item
from harness.errors import UserError
from harness.media.images import open_image
from harness.types import MEDIA_TOKEN, Item, Media, TaskData
from tasks.corpus.source import corpus_tasks
from tasks.jsonl import jsonl_task, read_items
from tests.helpers.corpus_files import embedded, picture, write_mrmr
from trainers.data.pairs import read_pairs

M = MEDIA_TOKEN
PARTS = ["Fill the pot.", {"image": "0.png"}, {"video": "clip.mp4"}, "Boil it.", {"image": "1.png"}]
TEXT = f"Fill the pot.\n{M}\n{M}\nBoil it.\n{M}"
KINDS = [("image", "0.png"), ("video", "clip.mp4"), ("image", "1.png")]

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("LLAVE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def lines(path: Path, *rows: Mapping[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def load(folder: Path) -> TaskData:
    (task,) = corpus_tasks(folder)
    return task.source.load(task)


def through_run(folder: Path) -> Item:
    query = {"query": "q", "text": "which?", "positives": ["t"]}
    task = jsonl_task(lines(folder / "mine.jsonl", query, {"target": "t", "content": PARTS}))
    return task.source.load(task).targets[0]


def through_corpus(folder: Path) -> Item:
    lines(folder / "corpus.jsonl", {"_id": "t", "content": PARTS})
    lines(folder / "queries.jsonl", {"_id": "q", "text": "which?"})
    lines(folder / "qrels.jsonl", {"query-id": "q", "corpus-id": "t", "score": 1})
    return load(folder).targets[0]


def through_train(folder: Path) -> Item:
    path = lines(folder / "pairs.jsonl", {"query": "which?", "positive": {"content": PARTS}})
    return read_pairs(path, folder, lambda count, _: [*range(count)]).pair(0).target


def through_task(folder: Path) -> Item:
    made = llave.task("mine", queries=["which?"], candidates=[{"content": PARTS}], positives=[0], root=folder)
    return made.source.load(made).targets[0]


DOORS: dict[str, Callable[[Path], Item]] = {
    "llave run": through_run,
    "a corpus": through_corpus,
    "llave train": through_train,
    "llave.task": through_task,
    "llave embed": lambda folder: read_items(lines(folder / "own.jsonl", {"id": "a", "content": PARTS}))[0].item,
}


@pytest.mark.parametrize("door", DOORS)
def test_every_front_door_reads_the_same_item(door: str, tmp_path: Path) -> None:
    item = DOORS[door](tmp_path)
    assert (item.text, [(each.kind, each.name) for each in item.media]) == (TEXT, KINDS)
    assert {each.root for each in item.media} == {tmp_path}


words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(lambda text: M not in text)
media = st.builds(lambda kind, name: {kind: name}, st.sampled_from(("image", "video")), st.sampled_from("abc"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(words | media, min_size=1))
def test_places_and_media_say_the_order_of_the_parts(parts: list[object]) -> None:
    """The parts can be told from the item: a token is the next medium, and the lines between are texts."""
    if not any(isinstance(part, dict) or part.strip() for part in parts):
        return
    item = parse_item({"content": [*parts]}, Path("here"))
    found = iter(item.media)
    pieces: list[object] = []
    for number, text in enumerate(item.text.split(M)):
        pieces += [next(found)] if number else []
        pieces.append(text)
    assert next(found, None) is None
    assert "".join(each if isinstance(each, str) else f"[{each.kind} {each.name}]" for each in pieces) == "\n".join(
        part if isinstance(part, str) else next(f"[{kind} {name}]" for kind, name in part.items()) for part in parts
    )


def test_a_message_of_a_chat_is_an_item(tmp_path: Path) -> None:
    message = [{"type": "image", "image": "0.png"}, {"type": "text", "text": "What is this?"}]
    item = parse_item({"role": "user", "content": message}, tmp_path)
    assert item == Item(f"{M}\nWhat is this?", (Media("image", "0.png", tmp_path),))


def test_pictures_made_in_python_keep_their_order(tmp_path: Path) -> None:
    red, blue = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    made = llave.task(
        "mine", queries=[{"content": [red, "then", {"image": blue}]}], candidates=["a", "b"], positives=[0]
    )
    item = made.source.load(made).queries[0].item
    assert item.text == f"{M}\nthen\n{M}"
    assert [open_image(each).getpixel((0, 0)) for each in item.media] == [(255, 0, 0), (0, 0, 255)]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"content": []}, "not empty"),
        ({"content": "a text"}, "must be a list"),
        ({"content": ["a"], "text": "b"}, "must be left out"),
        ({"content": ["a"], "image": "b.png"}, "must be left out"),
        ({"content": [{"image": "a.png", "text": "b"}]}, "a part of content is"),
        ({"content": [{"type": "video", "image": "a.png"}]}, "a part of content is"),
        ({"content": [{"sound": "a.wav"}]}, "a part of content is"),
        ({"content": [{"image": 3}]}, "neither text nor path"),
        ({"content": [f"see {M}"]}, "says where media belong"),
        ({"content": [" "]}, "it has no text"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(fields: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_item(fields, Path())


# MRMR: https://huggingface.co/MRMRbenchmark, as ../shared/retrieval_layouts.md describes it


@pytest.mark.parametrize("ids", [("query_id", "corpus_id"), ("query-id", "corpus-id")])
def test_placeholders_give_the_order_of_mrmr(ids: tuple[str, str], tmp_path: Path) -> None:
    data = load(write_mrmr(tmp_path / "knowledge", ids))
    first, second = data.targets
    assert first.text == second.text == f"first {M}, then {M}"
    assert first.media == second.media[::-1] != second.media
    (query,) = data.queries
    assert (query.item.text, query.item.instruction) == (f"Which {M}?", "Retrieve a page. ")
    assert query.positives.tolist() == [1]


@pytest.mark.parametrize(
    ("text", "columns", "seen", "order"),
    [
        ("<image 2> and <image 2>", (1, 2), f"{M}\n{M} and ", [1, 2]),  # 1 has no place; a second mention is none
        ("<image 3>, <image 1>", (1, 3), f"{M}, {M}", [3, 1]),
        ("<image 1>, <image 9>", (1,), f"{M}, ", [1]),  # there is no image 9
        ("no mark", (1, 2), "no mark", [1, 2]),  # the model decides
    ],
)
def test_marks_that_do_not_fit_lose_no_image(
    text: str, columns: tuple[int, ...], seen: str, order: list[int], tmp_path: Path
) -> None:
    row = {"id": "k2", "text": text, **{f"image {each}": embedded(each) for each in columns}}
    (target,) = load(write_mrmr(tmp_path / "m", targets=[row])).targets
    alone = [parse_picture(tmp_path, each) for each in order]
    assert (target.text, [open_image(each).getpixel((0, 0)) for each in target.media]) == (seen, alone)


def parse_picture(folder: Path, number: int) -> object:
    (folder / f"{number}.png").write_bytes(picture(number))
    return open_image(Media("image", f"{number}.png", folder)).getpixel((0, 0))


def test_a_text_without_images_keeps_what_looks_like_a_mark(tmp_path: Path) -> None:
    row = {"id": "k2", "text": "write <image 1> in your page"}
    assert load(write_mrmr(tmp_path / "m", targets=[row])).targets[0].text == row["text"]


def test_negation_ranks_four_documents_for_each_query(tmp_path: Path) -> None:
    folder = tmp_path / "negation"
    lines(folder / "corpus.jsonl", *({"_id": f"d{number}", "text": f"page {number}"} for number in range(9)))
    lines(folder / "queries.jsonl", *({"_id": f"q{number}", "text": f"not {number}"} for number in range(2)))
    lines(folder / "qrels.jsonl", {"query-id": "q0", "corpus-id": "d1"}, {"query-id": "q1", "corpus-id": "d8"})
    pools = {"q0": ["d3", "d1", "d0", "d2"], "q1": ["d5", "d6", "d7", "d8"]}
    lines(folder / "top_ranked.jsonl", *({"query-id": name, "corpus-ids": ids} for name, ids in pools.items()))
    (task,) = corpus_tasks(folder)
    assert (task.scope, task.metrics[0]) == ("local", "hit@1")
    data = task.source.load(task)
    assert [query.candidates.tolist() for query in data.queries] == [[3, 1, 0, 2], [5, 6, 7, 8]]
    result = llave.evaluate("null/constant", task, progress=False, out=tmp_path / "out", store=tmp_path / "s")
    assert result["negation"].score.value == 0.25

    lines(folder / "top_ranked.jsonl", {"query-id": "q0", "corpus-ids": ["d1"]})
    with pytest.raises(UserError, match="names no candidates of the query q1"):
        task.source.load(task)
    lines(folder / "top_ranked.jsonl", {"query-id": "q0", "corpus-ids": ["d1", "x"]})
    with pytest.raises(UserError, match="the corpus has no 'x'"):
        task.source.load(task)


def test_a_judgement_of_wikihow_without_a_query_is_that_of_the_same_row(tmp_path: Path) -> None:
    (tmp_path / "doc_images").mkdir()
    lines(tmp_path / "docs.jsonl", *({"id": each, "data": [f"step {each}", "a1.png"]} for each in range(3)))
    lines(tmp_path / "queries.jsonl", *({"qid": each, "data": ["how do I", "q.png", str(each)]} for each in (7, 8)))
    lines(tmp_path / "qrels.jsonl", {"qid": None, "did": 2}, {"qid": None, "did": 0})
    data = load(tmp_path)
    assert [(query.id, query.positives.tolist()) for query in data.queries] == [("7", [2]), ("8", [0])]
    assert {each.root for target in data.targets for each in target.media} == {tmp_path / "doc_images"}
    lines(tmp_path / "qrels.jsonl", *[{"qid": None, "did": 2}] * 3)
    with pytest.raises(UserError, match="there is no query number 2"):
        load(tmp_path)


def test_parts_in_order_are_lines() -> None:
    medium = Media("image", "a.png", Path())
    assert in_order(["x", medium, medium]) == (f"x\n{M}\n{M}", (medium, medium))
