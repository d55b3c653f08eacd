"""Pairs from files: in the layout of MMEB-train, and in a user's own lines; and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from harness.errors import UserError
from harness.types import MEDIA_TOKEN, Item, Media
from tests.trainers.training_files import BASE, write_pairs, write_table
from trainers.config import override
from trainers.data import Choice, load_subsets
from trainers.material import check_shares, find_material
from trainers.pairs import Pair


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "data")


def material(data: Path, *settings: str):
    return find_material(override(BASE, [f"data={data}", "batch=4", *settings]))


def lines(path: Path, *pairs: object) -> Path:
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return path


def rows(count: int, **columns: list[str]) -> dict[str, list[str]]:
    usual = {"qry": ["a"] * count, "qry_image_path": [""] * count, "pos_text": ["b"] * count}
    return {**usual, "pos_image_path": [""] * count, **columns}


def test_a_row_becomes_a_pair_as_evaluation_would_read_it(data: Path):
    ask, find = load_subsets(data, None, Choice())
    root = data / "images"
    assert [ask.name, find.name] == ["ask", "find"]
    query = Item(f"{MEDIA_TOKEN}\nwhat colour ?\n", (Media("image", "1.png", root),))
    assert ask.pair(1) == Pair(query, Item("green"))
    image = Item(f"{MEDIA_TOKEN}\nan image\n", (Media("image", "0.png", root),))
    assert find.pair(0).target == image
    assert find.pair(0).negatives == (Item(image.text, (Media("image", "1.png", root),)),)


@pytest.mark.parametrize("cap", [1, 5, 12, 50])
def test_a_cap_takes_the_first_rows_or_some_at_random(data: Path, cap: int):
    first = load_subsets(data, None, Choice(cap=cap))[1]
    assert [first.pair(at).query.text for at in range(len(first))] == [f"number {n}" for n in range(min(cap, 12))]
    drawn = load_subsets(data, None, Choice(cap=cap, at_random=True, seed=3))[1]
    texts = [drawn.pair(at).query.text for at in range(len(drawn))]
    assert len(set(texts)) == min(cap, 12)
    again = load_subsets(data, None, Choice(cap=cap, at_random=True, seed=3))[1]
    assert [again.pair(at).query.text for at in range(len(again))] == texts


def test_splits_and_datasets_are_chosen_by_name(data: Path):
    write_table(data, "ask", rows(3), split="diverse_instruction")
    assert [each.name for each in load_subsets(data, None, Choice("diverse_instruction"))] == ["ask"]
    assert [each.name for each in load_subsets(data, None, Choice(datasets=("find",)))] == ["find"]
    with pytest.raises(UserError, match="Did you mean find"):
        load_subsets(data, None, Choice(datasets=("fin",)))
    with pytest.raises(UserError, match="original"):
        load_subsets(data, None, Choice("train"))


@pytest.mark.parametrize(("column", "what"), [("pos_text", "positive"), ("qry", "query")])
@pytest.mark.parametrize("text", ["", "  \n", "<|image_1|>\n"])
def test_an_empty_side_names_its_row(data: Path, column: str, what: str, text: str):
    write_table(data, "bad", rows(3, **{column: ["x", text, text]}))
    with pytest.raises(UserError, match=rf"bad, row 1 .*the {what} is empty.*2 of 3"):
        material(data)


def test_missing_columns_are_named(data: Path):
    write_table(data, "bad", {"qry": ["a"], "pos_text": ["b"]})
    with pytest.raises(UserError, match="lacks qry_image_path and pos_image_path"):
        material(data)


def test_missing_images_stop_before_training_and_are_listed(data: Path):
    (data / "images" / "3.png").unlink()
    (data / "images" / "4.png").write_bytes(b"")
    with pytest.raises(UserError, match="2 media files") as refused:
        material(data)
    assert "3.png" in str(refused.value)
    assert "on_bad_media=skip" in refused.value.hint


def test_bad_images_are_left_out_on_request_counted_and_listed(data: Path):
    (data / "images" / "3.png").unlink()
    (data / "images" / "4.png").write_bytes(b"no image")
    found = material(data, "on_bad_media=skip")
    left = {subset.name: len(subset) for subset in found.subsets}
    # of `find`, row 2 has image 3 as its negative
    assert left == {"ask": 10, "find": 9}
    assert {name: len(lost) for name, lost in found.skipped.items()} == {"ask": 2, "find": 3}
    assert any("row 3" in line and "3.png" in line for line in found.skipped["ask"])
    assert not {"3.png", "4.png"} & {
        m.name for s in found.subsets for n in range(len(s)) for m in s.pair(n).query.media
    }


def test_lines_of_a_users_own_pairs(tmp_path: Path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    path = lines(
        tmp_path / "mine.jsonl",
        {"query": "a", "positive": {"image": "a.png", "instruction": "See:"}, "negatives": ["c", {"text": "d"}]},
        {"query": {"text": "e", "instruction": "Find"}, "positive": "f"},
    )
    (subset,) = load_subsets(path, None, Choice())
    image = Item("", (Media("image", "a.png", tmp_path),), "See:")
    assert subset.pair(0) == Pair(Item("a"), image, (Item("c"), Item("d")))
    assert subset.pair(1).query.full_text == "Find e"
    assert subset.where(1) == f"{path}, line 2"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"query": "a"}, "keys query and positive"),
        ({"query": "a", "positive": ""}, "positive is empty"),
        ({"query": {"txt": "a"}, "positive": "b"}, "out of text"),
        ({"query": "a", "positive": "b", "negatives": "c"}, "must be a list"),
        ({"query": "a", "positive": {"text": MEDIA_TOKEN + "x"}}, "places for media"),
        ([], "keys query and positive"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, said: str):
    path = lines(tmp_path / "mine.jsonl", {"query": "a", "positive": "b"}, line)
    with pytest.raises(UserError, match=said) as refused:
        load_subsets(path, None, Choice())
    assert f"{path}, line 2" in str(refused.value)


def test_places_that_hold_no_data_say_so(tmp_path: Path):
    for wrong, said in ((tmp_path / "none", "does not exist"), (tmp_path, "holds no dataset")):
        with pytest.raises(UserError, match=said):
            load_subsets(wrong, None, Choice())
    with pytest.raises(UserError, match="has no pairs"):
        load_subsets(lines(tmp_path / "empty.jsonl"), None, Choice())


def test_shares_and_micro_batches_must_divide():
    made = override(BASE, ["batch=24", "accumulate=2"])
    check_shares(override(made, ["micro_batch=3"]), 2)
    with pytest.raises(UserError, match="over 5 processes"):
        check_shares(made, 5)
    with pytest.raises(UserError, match="micro-batches of 4"):
        check_shares(override(made, ["micro_batch=4"]), 2)
