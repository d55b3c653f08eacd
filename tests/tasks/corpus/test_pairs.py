"""A table with labels or captions gives the same tasks in every format, and one command runs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import UserError
from harness.media.images import open_image
from harness.types import TaskData
from tasks.catalog import resolve_tasks
from tests.helpers.corpus_files import picture
from tests.helpers.table_files import FORMATS, LABELS, NAMES, ROWS, as_array, draw, write_evidence


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("LLAVE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def load(data: Path, columns: dict[str, str] | None = None) -> dict[str, TaskData]:
    return {task.name: task.source.load(task) for task in resolve_tasks(data=data, columns=columns)}


def right(data: TaskData) -> list[list[str]]:
    return [[data.targets[each].text for each in query.positives.tolist()] for query in data.queries]


def colours(items: Sequence[object]) -> list[object]:
    return [open_image(medium).getpixel((0, 0)) for item in items for medium in item.media]  # type: ignore[attr-defined]


def colour_of(number: int) -> tuple[int, int, int]:
    return 40 * number, 10, 200 - 30 * number


@pytest.mark.parametrize("write", FORMATS)
def test_labels_are_the_candidates_of_each_row(write: Callable[[Path], Path], tmp_path: Path) -> None:
    (data,) = load(write(tmp_path / "animals")).values()
    assert {target.text for target in data.targets} == set(NAMES)
    assert right(data) == [[NAMES[label]] for label in LABELS]
    assert colours([query.item for query in data.queries]) == [colour_of(number) for number in range(len(LABELS))]


def test_captions_are_two_tasks_that_mirror_each_other(tmp_path: Path) -> None:
    rows = [{"image": f"{number}.png", "captions": [f"one {number}", f"two {number}"]} for number in range(4)]
    rows[3]["captions"] = []
    (draw(tmp_path) / "mini.json").write_text(json.dumps(rows))
    found = load(tmp_path / "mini.json")
    assert list(found) == ["mini-i2t", "mini-t2i"]
    forward, back = found.values()
    assert right(forward) == [[f"one {number}", f"two {number}"] for number in range(3)]
    assert [query.item.text for query in back.queries] == [text for each in right(forward) for text in each]
    assert [query.positives.tolist() for query in back.queries] == [[0], [0], [1], [1], [2], [2]]
    assert back.targets == tuple(query.item for query in forward.queries)
    assert forward.notes == back.notes == {"rows_left_out": 1}
    assert forward.left_out == {"rows_left_out": ("3",)}
    one, other = resolve_tasks(data=tmp_path / "mini.json")
    assert (one.query_role, other.query_role) == ("query", "target"), "the two share their vectors"


def test_evidence_of_several_images_is_a_task_in_the_columns_of_mrag_bench(tmp_path: Path) -> None:
    """The pool is the evidence of all rows, and what a retriever found. The answers and their letters are not read."""
    folder = write_evidence(tmp_path / "mrag")
    (data,) = load(folder).values()
    assert [query.item.text for query in data.queries] == ["Which bird is it?", "And this?"]
    assert [colours([query.item]) for query in data.queries] == [[colour_of(0)], [colour_of(1)]]
    assert colours(data.targets) == [colour_of(number) for number in (2, 3, 4)]
    assert [query.positives.tolist() for query in data.queries] == [[0, 1], [1]]
    (task,) = resolve_tasks(data=folder)
    assert {"recall@5", "all-recall@5", "ndcg@10"} <= {*task.metrics}


def test_evidence_may_have_a_column_of_another_name(tmp_path: Path) -> None:
    rows = [{"question": "what?", "proof": "0.png"}, {"question": "and?", "proof": ["1.png", "0.png"]}, {"proof": None}]
    (draw(tmp_path) / "own.json").write_text(json.dumps(rows))
    (data,) = load(tmp_path / "own.json", {"evidence": "proof"}).values()
    assert [query.positives.tolist() for query in data.queries] == [[0], [1, 0]]
    assert data.notes == {"rows_left_out": 1}


def test_columns_with_names_of_their_own_give_the_same_task(tmp_path: Path) -> None:
    (plain,) = load(as_array(tmp_path)).values()
    renamed = [{"file": row["image"], "species": row["label"], "label": 7} for row in ROWS]
    (tmp_path / "other.json").write_text(json.dumps(renamed))
    (data,) = load(tmp_path / "other.json", {"image": "file", "label": "species"}).values()
    assert data.targets == plain.targets
    assert right(data) == right(plain)
    assert [query.item for query in data.queries] == [query.item for query in plain.queries]
    digests = {
        task.source.info(task).content
        for columns in ({"image": "file", "label": "species"}, {"image": "file", "label": "file"})
        for task in resolve_tasks(data=tmp_path / "other.json", columns=columns)
    }
    assert len(digests) == 2, "the choice of columns is part of the data's identity"


def test_a_clustering_takes_numbers_as_labels_in_the_columns_of_mieb(tmp_path: Path) -> None:
    rows = [{"img": {"bytes": picture(at), "path": None}, "fine_label": label} for at, label in enumerate(LABELS)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "cifar100.parquet")
    (task,) = resolve_tasks("all@clustering", data=tmp_path / "cifar100.parquet")
    assert (task.name, task.metrics) == ("cifar100@clustering", ("ami", "v_measure", "ari"))
    data = task.source.load(task)
    assert right(data) == [[str(label)] for label in LABELS]
    assert all(query.item.media for query in data.queries)


def test_queries_that_are_left_out_are_named(llave, place, tmp_path: Path) -> None:
    rows = [*ROWS, *({"image": "0.png", "label": None, "id": f"odd{number}"} for number in range(7))]
    (draw(tmp_path) / "animals.json").write_text(json.dumps(rows))
    done = llave("run", "classical", "--data", tmp_path / "animals.json", *place.flags)
    assert done.code == 0
    assert "animals, rows left out: odd0, odd1, odd2, odd3, odd4 and 2 more." in " ".join(done.err.split())
    dataset = place.result("animals", "classical").dataset
    assert (dataset["notes"]["rows_left_out"], len(dataset["left_out"]["rows_left_out"])) == (7, 7)


@pytest.mark.parametrize(
    ("rows", "columns", "said"),
    [
        ([{"image": "0.png", "label": 1}], None, "label is 1, which is no text"),
        ([{"image": "0.png", "kind": "cat"}], None, "has no labels, captions or evidence"),
        ([{"text": "a", "caption": "b"}], None, "has no labels, captions or evidence"),
        ([{"image": "0.png", "label": "cat"}], {"label": "species"}, "there is no column 'species'"),
        ([{"image": "0.png", "label": None}], None, "has no row with label"),
        ([{"label": "cat"}], None, "neither text nor media"),
        ([["0.png", "cat"]], None, "it is no JSON object"),
        ({"image": "0.png"}, None, "holds no JSON array"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(
    rows: object, columns: dict[str, str] | None, said: str, tmp_path: Path
) -> None:
    (draw(tmp_path) / "animals.json").write_text(json.dumps(rows))
    with pytest.raises(UserError) as caught:
        load(tmp_path / "animals.json", columns)
    assert said in caught.value.what
    assert caught.value.hint


def test_a_corpus_takes_columns_with_names_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"key": "d0", "body": "alpha"}\n{"key": "d1", "body": "bravo"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q0", "text": "first"}\n')
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\n")
    (data,) = load(tmp_path, {"id": "key", "text": "body"}).values()
    assert [target.text for target in data.targets] == ["alpha", "bravo"]
    assert data.queries[0].item.text == "first"
    with pytest.raises(UserError, match="has no column 'content'"):
        load(tmp_path, {"text": "content"})
