"""A corpus gives the same task in every layout, and what is wrong with one is named by file and row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import UserError
from harness.media.images import open_image
from harness.types import MEDIA_TOKEN, Task, TaskData
from tasks.catalog import resolve_tasks
from tasks.corpus.source import corpus_tasks
from tests.helpers.corpus_files import (
    JUDGED,
    PAGE_LAYOUTS,
    TEXT_LAYOUTS,
    WORDS,
    judgements,
    write_beir,
    write_interleaved,
    write_mieb,
    write_vidore,
)

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def own_cache(monkeypatch, tmp_path_factory) -> None:
    """Keeps embedded images out of the user's cache."""
    monkeypatch.setenv("LLAVE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def only(folder: Path) -> Task:
    (task,) = corpus_tasks(folder)
    return task


def load(folder: Path) -> TaskData:
    task = only(folder)
    return task.source.load(task)


def grades(data: TaskData) -> list[dict[int, int]]:
    return [
        dict(zip(query.positives.tolist(), query.grades or [1] * len(query.positives), strict=True))
        for query in data.queries
    ]


RIGHT = [{target: grade for target, grade in found.items() if grade > 0} for found in JUDGED.values()]


@pytest.mark.parametrize("layout", TEXT_LAYOUTS)
def test_a_corpus_of_texts_is_the_same_task_in_every_layout(layout: str, tmp_path: Path) -> None:
    TEXT_LAYOUTS[layout](tmp_path / "mini")
    data = load(tmp_path / "mini")
    assert [target.text for target in data.targets] == [f"{word.title()} about {word}" for word in WORDS]
    assert [query.item.text for query in data.queries] == [f"what is {word}" for word in WORDS[:4]]
    assert grades(data) == RIGHT
    assert data.notes == {"queries_not_judged": 1}


@pytest.mark.parametrize("layout", PAGE_LAYOUTS)
def test_a_corpus_of_pages_is_the_same_task_in_every_layout(layout: str, tmp_path: Path) -> None:
    PAGE_LAYOUTS[layout](tmp_path / "mini")
    data = load(tmp_path / "mini")
    colours = [open_image(medium).getpixel((0, 0)) for target in data.targets for medium in target.media]
    assert colours == [(40 * number, 10, 200 - 30 * number) for number in range(len(WORDS))]
    assert [query.item.text for query in data.queries] == [f"what is {word}" for word in WORDS[:4]]
    assert grades(data) == RIGHT


def test_texts_and_images_keep_their_order(tmp_path: Path) -> None:
    write_interleaved(tmp_path)
    data = load(tmp_path)
    first, second = data.targets
    assert first.text == f"Fill the pot.\n{MEDIA_TOKEN}\nBoil it.\n{MEDIA_TOKEN}" == second.text
    assert [medium.name for medium in first.media] == ["0.png", "1.png"]
    assert [medium.name for medium in second.media] == ["1.png", "0.png"]
    assert data.queries[0].item.text == f"how do I\n{MEDIA_TOKEN}\nboil this"
    assert grades(data) == [{1: 1}]


def test_numbered_places_give_the_order_of_numbered_images(tmp_path: Path) -> None:
    write_beir(tmp_path)
    for name in ("x.png", "y.png"):
        (tmp_path / name).write_bytes(b"")
    row = {
        "_id": "d9",
        "text": "first <image 2>, then <image 1>",
        "image 1": "x.png",
        "image 2": "y.png",
        "image": None,
    }
    with (tmp_path / "corpus.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    last = load(tmp_path).targets[-1]
    assert last.text == f"first {MEDIA_TOKEN}, then {MEDIA_TOKEN}"
    assert [medium.name for medium in last.media] == ["y.png", "x.png"]


def test_a_folder_of_corpora_has_a_task_for_each(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_beir(tmp_path / name)
    assert [task.name for task in resolve_tasks(data=tmp_path)] == ["one", "two"]
    assert [task.name for task in resolve_tasks("two", data=tmp_path)] == ["two"]


def edited(folder: Path, name: str, change: Callable[[str], str]) -> Path:
    write_beir(folder)
    (folder / name).write_text(change((folder / name).read_text()))
    return folder


LINE = "query-id\tcorpus-id\tscore\n"
DAMAGES: dict[str, tuple[str, Callable[[str], str], str]] = {
    "a grade of 0.5": ("qrels/test.tsv", lambda text: text.replace("\t2\r", "\t0.5\r"), "the grade is '0.5'"),
    "no grade": ("qrels/test.tsv", lambda text: text.replace("\t2\r", "\t\r"), "the grade is ''"),
    "a word as grade": ("qrels/test.tsv", lambda text: text.replace("\t2\r", "\tgood\r"), "the grade is 'good'"),
    "two grades": ("qrels/test.tsv", lambda text: text + "q0\td0\t1\n", "have the grade 1 here and 2 before"),
    "a column too few": ("qrels/test.tsv", lambda text: text + "q0\td0\n", "it has 2 cells"),
    "another column": ("qrels/test.tsv", lambda text: text.replace("corpus-id", "page"), "corpus-id, corpus_id"),
    "another corpus": ("qrels/test.tsv", lambda text: text.replace("\td", "\tx"), "no query has a right target"),
    "a number as text": ("corpus.jsonl", lambda text: text.replace('"about alpha"', "3"), "text is int"),
    "an id that is a float": ("corpus.jsonl", lambda text: text.replace('"d0"', "0.0"), "_id is 0.0"),
    "an id that is null": ("corpus.jsonl", lambda text: text.replace('"d0"', "null"), "_id is None"),
    "no id": ("corpus.jsonl", lambda text: text.replace('"_id"', '"key"'), "there is no id"),
    "an id twice": ("corpus.jsonl", lambda text: text.replace('"d1"', '"d0"'), "the id d0 is that of another"),
    "a query twice": ("queries.jsonl", lambda text: text.replace('"q1"', '"q0"'), "the query q0 is there twice"),
    "no content": ("corpus.jsonl", lambda text: text + '{"_id": "d9", "text": " "}\n', "neither text nor media"),
    "a list of lists": ("corpus.jsonl", lambda text: text + '{"_id": "d9", "image": [[1]]}\n', "neither a path nor"),
    "another encoding": ("corpus.jsonl", lambda text: text.replace("about alpha", "\ud800"), "UTF-8"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage_is_named_with_its_place(damage: str, tmp_path: Path) -> None:
    name, change, said = DAMAGES[damage]
    write_beir(tmp_path)
    text = change((tmp_path / name).read_bytes().decode())
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError) as caught:
        load(tmp_path)
    assert said in caught.value.what
    assert str(tmp_path) in caught.value.what
    assert caught.value.hint


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    extra = "q0\td77\t1\nq9\td0\t1\nq4\td88\t1\nq1\td1\t1\n"
    data = load(edited(tmp_path, "qrels/test.tsv", lambda text: text + extra))
    assert data.notes == {
        "judgements_outside_the_pool": 2,
        "judgements_of_no_query": 1,
        "queries_without_right_target": 1,
        "repeated_judgements": 1,
    }
    assert len(data.queries) == 4
    assert data.left_out == {"queries_without_right_target": ("q4",)}


def test_targets_of_equal_content_are_one_with_the_highest_grade(tmp_path: Path) -> None:
    write_beir(tmp_path)
    with (tmp_path / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "d9", "title": "Alpha", "text": "about alpha"}\n')
    with (tmp_path / "qrels/test.tsv").open("a") as file:
        file.write("q1\td9\t3\nq0\td9\t3\n")
    data = load(tmp_path)
    assert data.notes == {"queries_not_judged": 1, "targets_of_equal_content": 1}
    assert grades(data)[:2] == [{0: 3, 1: 1}, {1: 1, 0: 3}]


def test_grades_that_are_whole_floats_and_ids_that_are_numbers_are_read(tmp_path: Path) -> None:
    write_vidore(tmp_path)
    file = tmp_path / "qrels/test-00000-of-00001.parquet"
    table = pq.read_table(file)
    pq.write_table(table.set_column(2, "score", table["score"].cast(pa.float64())), file)
    assert grades(load(tmp_path)) == RIGHT


def test_of_several_splits_that_for_validation_is_taken_and_others_are_named(tmp_path: Path) -> None:
    write_beir(tmp_path)
    (tmp_path / "qrels/test.tsv").rename(tmp_path / "qrels/extra.tsv")
    with pytest.raises(UserError, match="has the splits extra, train, and none is named test"):
        load(tmp_path)
    (tmp_path / "qrels/extra.tsv").rename(tmp_path / "qrels/dev.tsv")
    assert grades(load(tmp_path)) == RIGHT
    (tmp_path / "qrels/train.tsv").unlink()
    assert grades(load(tmp_path)) == RIGHT


@pytest.mark.parametrize("missing", ["corpus", "qrels"])
def test_a_missing_table_is_named(missing: str, tmp_path: Path) -> None:
    write_mieb(tmp_path)
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"but no (corpus|judgements)") as caught:
        load(tmp_path)
    assert missing in caught.value.hint


def test_judgements_of_a_file_without_a_header_lose_no_line(tmp_path: Path) -> None:
    rows = judgements()
    text = "".join(f"{row['query-id']}\t{row['corpus-id']}\t{row['score']}\n" for row in rows)
    assert grades(load(edited(tmp_path, "qrels/test.tsv", lambda _: text))) == RIGHT


def test_a_query_does_not_rank_itself(tmp_path: Path) -> None:
    write_beir(tmp_path)
    with (tmp_path / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "q0", "title": "A title", "text": "what is alpha"}\n{"_id": "q1", "text": "more"}\n')
    data = load(tmp_path)
    assert [query.excluded.tolist() for query in data.queries] == [[5], [], [], []]
    assert data.notes == {"queries_not_judged": 1, "queries_left_out_of_their_pools": 1}


def test_a_folder_that_is_only_named_like_queries_is_no_corpus(tmp_path: Path) -> None:
    (tmp_path / "image-query").mkdir()
    (tmp_path / "other/queries").mkdir(parents=True)
    assert corpus_tasks(tmp_path) == ()
