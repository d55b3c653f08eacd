"""Pairs from files: in the layout of MMEB-train, and in a user's own lines; and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tokenizers import Tokenizer

from harness.errors import UserError
from harness.media.digests import Digests
from harness.results.numbers import percent
from harness.types import MEDIA_TOKEN, Item, Media
from tasks.demo.suite import demo_vocabulary
from tests.helpers.training_files import BASE, write_pairs, write_table
from trainers.config import override
from trainers.data.bad_media import check_media
from trainers.data.mmeb_train import RowChoice, load_subsets
from trainers.data.pairs import Pair, PairFile, content_key
from trainers.data.sampler import BatchPlan
from trainers.data.training_data import TrainingData, check_matryoshka, check_shares, load_training_data, remarks
from trainers.engine.scratch import write_scratch


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "data")


def training_data(data: Path, *settings: str):
    return load_training_data(override(BASE, [f"data={data}", "batch=4", *settings]))


def lines(path: Path, *pairs: object) -> Path:
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return path


def rows(count: int, **columns: list[str]) -> dict[str, list[str]]:
    usual = {"qry": ["a"] * count, "qry_image_path": [""] * count, "pos_text": ["b"] * count}
    return {**usual, "pos_image_path": [""] * count, **columns}


def test_a_row_becomes_a_pair_as_evaluation_would_read_it(data: Path):
    ask, find = load_subsets(data, None, RowChoice())
    root = data / "images"
    assert [ask.name, find.name] == ["ask", "find"]
    query = Item(f"{MEDIA_TOKEN}\nwhat colour ?\n", (Media("image", "1.png", root),))
    assert ask.pair(1) == Pair(query, Item("green"))
    image = Item(f"{MEDIA_TOKEN}\nan image\n", (Media("image", "0.png", root),))
    assert find.pair(0).target == image
    assert find.pair(0).negatives == (Item(image.text, (Media("image", "1.png", root),)),)


@pytest.mark.parametrize("cap", [1, 5, 12, 50])
def test_a_cap_takes_the_first_rows_or_some_at_random(data: Path, cap: int):
    first = load_subsets(data, None, RowChoice(max_rows=cap))[1]
    assert [first.pair(at).query.text for at in range(len(first))] == [f"number {n}" for n in range(min(cap, 12))]
    drawn = load_subsets(data, None, RowChoice(max_rows=cap, at_random=True, seed=3))[1]
    texts = [drawn.pair(at).query.text for at in range(len(drawn))]
    assert len(set(texts)) == min(cap, 12)
    again = load_subsets(data, None, RowChoice(max_rows=cap, at_random=True, seed=3))[1]
    assert [again.pair(at).query.text for at in range(len(again))] == texts


def test_splits_and_datasets_are_chosen_by_name(data: Path):
    write_table(data, "ask", rows(3), split="diverse_instruction")
    assert [each.name for each in load_subsets(data, None, RowChoice("diverse_instruction"))] == ["ask"]
    assert [each.name for each in load_subsets(data, None, RowChoice(datasets=("find",)))] == ["find"]
    with pytest.raises(UserError, match="Did you mean find"):
        load_subsets(data, None, RowChoice(datasets=("fin",)))
    with pytest.raises(UserError, match="original"):
        load_subsets(data, None, RowChoice("train"))


@pytest.mark.parametrize(("column", "what"), [("pos_text", "positive"), ("qry", "query")])
@pytest.mark.parametrize("text", ["", "  \n", "<|image_1|>\n"])
def test_an_empty_side_names_its_row(data: Path, column: str, what: str, text: str):
    write_table(data, "bad", rows(3, **{column: ["x", text, text]}))
    with pytest.raises(
        UserError,
        match=rf"bad/.*parquet, row 1 .*the {what} has neither text nor image.*2 such rows of 3",
    ):
        training_data(data)


def test_missing_columns_are_named(data: Path):
    write_table(data, "bad", {"qry": ["a"], "pos_text": ["b"]})
    with pytest.raises(UserError, match="lacks qry_image_path and pos_image_path"):
        training_data(data)


def test_missing_images_stop_before_training_and_are_listed(data: Path):
    (data / "images" / "3.png").unlink()
    (data / "images" / "4.png").write_bytes(b"")
    with pytest.raises(UserError, match="2 media files") as refused:
        training_data(data)
    assert "3.png" in str(refused.value)
    assert f"{data / 'ask' / 'original-00000-of-00001.parquet'}, row 3 (the first is row 0)" in str(refused.value)
    assert "on_bad_media=skip" in refused.value.hint


def test_bad_images_are_left_out_on_request_counted_and_listed(data: Path):
    (data / "images" / "3.png").unlink()
    (data / "images" / "4.png").write_bytes(b"no image")
    found = training_data(data, "on_bad_media=skip")
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
    (subset,) = load_subsets(path, None, RowChoice())
    image = Item("", (Media("image", "a.png", tmp_path),), "See:")
    assert subset.pair(0) == Pair(Item("a"), image, (Item("c"), Item("d")))
    assert subset.pair(1).query.full_text == "Find e"
    assert subset.where(1) == f"{path}, line 2"


def test_an_item_may_have_several_images_and_a_video(tmp_path: Path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    item = {"image": ["a.png", "b.png"], "video": "c.mp4", "text": f"{MEDIA_TOKEN} and {MEDIA_TOKEN}, {MEDIA_TOKEN}"}
    path = lines(tmp_path / "mine.jsonl", {"query": item, "positive": "two"})
    (subset,) = load_subsets(path, None, RowChoice())
    query = subset.pair(0).query
    assert query.full_text == item["text"]
    assert [(each.kind, each.name) for each in query.media] == [
        ("image", "a.png"),
        ("image", "b.png"),
        ("video", "c.mp4"),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"query": "a"}, "keys query and positive"),
        ({"query": "a", "positive": ""}, "positive: it has no text"),
        ({"query": {"txt": "a"}, "positive": "b"}, "query: an item has no key txt"),
        ({"query": "a", "positive": "b", "negatives": "c"}, "must be a list"),
        ({"query": "a", "positive": {"text": MEDIA_TOKEN + "x"}}, "positive: .* stands 1 time "),
        ([], "line 2"),
        ({"query": {"text": "<|image_1|> x", "image": "a.png"}, "positive": "b"}, "an image token is written"),
        ({"query": "a", "positive": "b", "negative": "c"}, "keys query and positive"),
        ({"query": {"image": 3}, "positive": "b"}, "a path or a list of paths"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, said: str):
    path = lines(tmp_path / "mine.jsonl", {"query": "a", "positive": "b"}, line)
    with pytest.raises(UserError, match=said) as refused:
        load_subsets(path, None, RowChoice())
    assert f"{path}, line 2" in str(refused.value)


def test_a_line_that_is_not_json_is_named(tmp_path: Path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"query": "a", "positive": "b"}\n\n{"query": "a" "positive": "b"}\n')
    with pytest.raises(UserError, match=r"mine\.jsonl, line 3: it is not valid JSON: expecting"):
        load_subsets(path, None, RowChoice())


def test_missing_images_of_a_users_own_lines_are_named_with_their_line(tmp_path: Path):
    path = lines(tmp_path / "mine.jsonl", *({"query": {"image": f"{at}.png"}, "positive": "b"} for at in (3, 5, 3, 5)))
    Image.new("RGB", (8, 8)).save(tmp_path / "3.png")
    with pytest.raises(UserError, match=r"5\.png does not exist. It is named in .*mine\.jsonl, line 2\."):
        training_data(path)


def test_places_that_hold_no_data_say_so(tmp_path: Path):
    for wrong, said in ((tmp_path / "none", "does not exist"), (tmp_path, "has no dataset")):
        with pytest.raises(UserError, match=said):
            load_subsets(wrong, None, RowChoice())
    with pytest.raises(UserError, match="has no pairs"):
        load_subsets(lines(tmp_path / "empty.jsonl"), None, RowChoice())


def test_which_pairs_have_negatives_is_as_the_pairs_say(data: Path, tmp_path: Path):
    blank = ["", " \n", "<|image_1|>\n", "no", "<|image_1|>\n"]
    write_table(data, "some", rows(5, neg_text=blank, neg_image_path=["", "", "", "", "1.png"]))
    write_table(data, "images", rows(3, neg_image_path=["", "1.png", "2.png"]))
    (data / "images" / "2.png").unlink()
    mine = lines(
        tmp_path / "mine.jsonl", *({"query": "a", "positive": "b", "negatives": ["c"] * at} for at in (0, 2, 1, 0))
    )
    for subset in (*training_data(data, "on_bad_media=skip").subsets, *training_data(mine).subsets):
        assert list(subset.has_negatives()) == [bool(subset.pair(at).negatives) for at in range(len(subset))]
    counts = {
        subset.name: int(subset.has_negatives().sum()) for subset in training_data(data, "on_bad_media=skip").subsets
    }
    assert counts == {"ask": 0, "find": 10, "images": 1, "some": 2}


def test_negatives_that_are_not_used_are_spoken_of(data: Path):
    def said(*settings: str) -> tuple[str, ...]:
        made = override(BASE, [f"data={data}", "batch=4", *settings])
        return remarks(made, load_training_data(made))

    (line,) = said()
    assert line.startswith("12 pairs with negatives, which are not used")
    assert said("hard_negatives=true") == said("datasets=ask") == ()


@given(st.lists(st.lists(st.sampled_from(["red", "Circle,", "golden", "retriever's", "?"]), min_size=1), min_size=2))
def test_the_share_of_unknown_words_is_that_of_the_tokenizer(
    tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory, texts: list[list[str]]
):
    folder = tmp_path_factory.mktemp("mine")
    path = lines(folder / "mine.jsonl", *({"query": " ".join(text), "positive": "red"} for text in texts))
    made = override(BASE, [f"data={path}", "model=scratch", "batch=2"])
    tokens = [token for text in texts for token in tokenizer.encode(" ".join([*text, "red"])).tokens]
    share = tokens.count("<unk>") / len(tokens)
    found = remarks(made, load_training_data(made))
    assert [line.partition(" ")[0] for line in found] == ([percent(share)] if share else [])
    assert remarks(override(BASE, [f"data={path}", "model=mine", "batch=2"]), load_training_data(made)) == ()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """The tokenizer of `model=scratch`."""
    folder = tmp_path_factory.mktemp("scratch")
    write_scratch(folder, demo_vocabulary(), 0)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@given(st.lists(st.integers(1, 1500), min_size=1, max_size=4))
def test_a_sample_is_of_all_pairs_or_spread_over_them(sizes: list[int]):
    whole = [Pair(Item(str(at)), Item("b")) for at in range(sum(sizes))]
    ends = np.cumsum(sizes)
    cut = [whole[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    subsets = tuple(PairFile("mine", Path(), list(enumerate(each))) for each in cut)
    plan = BatchPlan(("mine",), (2,), (1.0,), batch=2, parts=1, single=False, seed=0)
    places = [int(pair.query.text) for pair in TrainingData(subsets, plan, 1, {}).sample()]
    assert len(places) == min(1000, len(whole))
    assert (places[0], places[-1]) == (0, len(whole) - 1)
    assert all(0 < step <= 1 + len(whole) // 999 for step in np.diff(places))


def test_matryoshka_dims_beyond_the_networks_are_refused():
    check_matryoshka(override(BASE, ["matryoshka_dims=8,128"]), 128)
    with pytest.raises(UserError, match=r"128 dimensions; matryoshka_dims has 129"):
        check_matryoshka(override(BASE, ["matryoshka_dims=8,129"]), 128)


def test_shares_and_micro_batches_must_divide():
    made = override(BASE, ["batch=24", "gradient_accumulation_steps=2"])
    check_shares(override(made, ["micro_batch=3"]), 2)
    with pytest.raises(UserError, match="over 5 processes"):
        check_shares(made, 5)
    with pytest.raises(UserError, match="micro-batches of 4"):
        check_shares(override(made, ["micro_batch=4"]), 2)


def test_images_in_rows_are_the_files_of_the_same_bytes(data: Path, tmp_path: Path):
    name = next(each.name for each in data.iterdir() if any(each.glob("original-*")))
    plain = pq.read_table(data / name)
    columns = plain.to_pydict()
    for column in (each for each in columns if each.endswith("image_path")):
        given = [(data / "images" / each).read_bytes() if each else None for each in columns[column]]
        columns[column] = [each and {"bytes": each, "path": None} for each in given]
    (tmp_path / "inside" / name).mkdir(parents=True)
    pq.write_table(pa.table(columns), tmp_path / "inside" / name / "original-0.parquet")
    (wanted,) = load_subsets(data, None, RowChoice(datasets=(name,)))
    (found,) = load_subsets(tmp_path / "inside", None, RowChoice())
    digests = Digests()
    for at in range(len(wanted)):
        for one, other in zip(wanted.pair(at).items, found.pair(at).items, strict=True):
            assert (one.text, content_key(one, digests)) == (other.text, content_key(other, digests))
    assert check_media([found], 1) == {}


def test_a_row_is_named_by_its_file_and_its_number_there(tmp_path: Path):
    whole = rows(5, qry=["a", "b", "c", "d", ""])
    for number, (start, end) in enumerate(((0, 2), (2, 5))):
        part = {name: values[start:end] for name, values in whole.items()}
        write_table(tmp_path, "own", part).rename(tmp_path / "own" / f"original-{number}.parquet")
    with pytest.raises(UserError, match=r"original-1\.parquet, row 2 \(the first is row 0\): the query has neither"):
        load_subsets(tmp_path, None, RowChoice())


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("qry", pa.array([1] * 3), r"original-00000-of-00001\.parquet: column qry must hold strings, but holds int64"),
        ("pos_image_path", pa.array([1.0] * 3), "column pos_image_path must hold images, as paths or {bytes, path}"),
        ("pos_text", pa.array(["a", "b", "c\0"]), r"parquet, row 2 .*: pos_text: a string holds the character NUL"),
    ],
)
def test_a_column_that_cannot_be_used_is_named(tmp_path: Path, column: str, values: pa.Array, said: str):
    path = write_table(tmp_path, "own", rows(3))
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(column), column, values), path)
    with pytest.raises(UserError, match=said):
        load_subsets(tmp_path, None, RowChoice())


def test_a_column_in_one_file_of_two_is_named(tmp_path: Path):
    write_table(tmp_path, "own", rows(3)).rename(tmp_path / "own" / "original-0.parquet")
    write_table(tmp_path, "own", rows(3, neg_text=["n"] * 3, neg_image_path=[""] * 3))
    with pytest.raises(UserError, match="it lacks neg_text and neg_image_path"):
        load_subsets(tmp_path, None, RowChoice())


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.JSONL", "mine.ndjson"])
def test_every_extension_of_json_lines_is_a_dataset(tmp_path: Path, name: str):
    path = lines(tmp_path / name, {"query": "a", "positive": "b"})
    (found,) = load_subsets(path, None, RowChoice())
    assert (found.name, len(found)) == ("mine", 1)
