"""Corpora of pages: judgements, images, and the two sets whose judgements were issued again."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness.errors import UserError
from harness.types import MEDIA_TOKEN, TaskData
from tasks.catalog import resolve_tasks
from tasks.mmeb_v2.parts import VISDOC, names
from tests.helpers.v2_files import write_document_set, write_documents

FIXED = ("ViDoSeek-page-fixed", "MMLongBench-page-fixed")


def load(folder: Path, name: str) -> TaskData:
    task = next(each for each in resolve_tasks("all", data=folder) if each.name == name)
    return task.source.load(task)


def test_every_set_is_read_in_its_layout(tmp_path: Path) -> None:
    write_documents(tmp_path)
    tasks = resolve_tasks("all", data=tmp_path)
    assert [task.name for task in tasks] == list(names(VISDOC))
    for task in tasks:
        data = task.source.load(task)
        assert (len(data.queries), len(data.targets)) == (3, 5), task.name
        assert {item.full_text for item in data.targets} == {
            f"{MEDIA_TOKEN} Understand the content of the provided document image."
        }
        assert data.queries[0].item.full_text == (
            "Find a document image that matches the given query: which page has the total 0?"
        )
        assert all((item.media[0].root / item.media[0].name).is_file() for item in data.targets)


def test_the_highest_grade_of_a_page_counts(tmp_path: Path) -> None:
    write_document_set(tmp_path, "ViDoSeek-doc", 3, 5)
    data = load(tmp_path, "ViDoSeek-doc")
    assert [query.grades for query in data.queries] == [(3, 1)] * 3
    assert data.notes["repeated_judgements"] == 3
    write_document_set(tmp_path, "ViDoRe_docvqa", 3, 5)
    assert [query.grades for query in load(tmp_path, "ViDoRe_docvqa").queries] == [()] * 3


def test_the_official_protocol_pairs_grades_as_the_public_code_does(llave, place, tmp_path: Path) -> None:
    write_document_set(tmp_path / "data", "ViDoSeek-doc", 3, 3)
    assert [query.official_grades for query in load(tmp_path / "data", "ViDoSeek-doc").queries] == [(), (), (1, 3)]
    command = ("run", "tests.helpers.embedders:Hashed", "--data", tmp_path / "data", "--tasks", "all", *place.flags)
    for protocol in ("strict", "official"):
        assert llave(*command, "--protocol", protocol).code == 0
        result, row = place.result("ViDoSeek-doc"), place.rows("ViDoSeek-doc")[2]
        assert (result.protocol, row["grades"], row["official_grades"]) == (protocol, [3, 1], [1, 3])
        gains = [0.0, 0.0, 0.0]
        grades = row["official_grades" if protocol == "official" else "grades"]
        for rank, grade in zip(row["best_rank"], grades, strict=True):
            gains[rank - 1] = grade
        expected = sum(gain / math.log2(at + 2) for at, gain in enumerate(gains)) / (3 + 1 / math.log2(3))
        assert row["ndcg@5"] == pytest.approx(expected)
        assert result.strict["ndcg@5"] != result.official["ndcg@5"]


@pytest.mark.parametrize("name", FIXED)
def test_judgements_from_before_the_fix_are_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    write_document_set(tmp_path, name, 3, 5, old=True)
    write_document_set(tmp_path, "VisRAG_ChartQA", 63, 5)
    message = rf"(?s){name.removesuffix('-fixed')} cannot be used for {name}.*before November 2025.*VLM2Vec/{name}"
    for names_ in (name, "all"):
        with pytest.raises(UserError, match=message):
            resolve_tasks(names_, data=tmp_path)
    with pytest.raises(UserError, match=message):
        resolve_tasks(suite="mmeb-v2-visdoc", data=tmp_path)
    assert [task.name for task in resolve_tasks("VisRAG_ChartQA", data=tmp_path)] == ["VisRAG_ChartQA"]
    write_document_set(tmp_path, name, 3, 5)
    assert len(load(tmp_path, name).queries) == 3


def test_pages_may_lie_in_the_table(tmp_path: Path) -> None:
    place = write_document_set(tmp_path, "ViDoRe_tatdqa", 2, 3)
    images = tmp_path / "visdoc-tasks" / "images" / "ViDoRe_tatdqa"
    before = load(tmp_path, "ViDoRe_tatdqa")
    file = place / "corpus" / "test-00000-of-00001.parquet"
    table = pq.read_table(file)
    content = [{"bytes": (images / f"{each}.png").read_bytes(), "path": None} for each in range(3)]
    pq.write_table(table.append_column("image", [content]), file)
    shutil.rmtree(images)
    after = load(tmp_path, "ViDoRe_tatdqa")
    pages = [(item.media[0].root / item.media[0].name).read_bytes() for item in after.targets]
    assert pages == [each["bytes"] for each in content]
    assert [query.positives.tolist() for query in after.queries] == [
        query.positives.tolist() for query in before.queries
    ]


def test_pages_that_are_nowhere_say_what_to_unpack(tmp_path: Path) -> None:
    write_document_set(tmp_path, "ViDoRe_tatdqa", 2, 3)
    shutil.rmtree(tmp_path / "visdoc-tasks" / "images")
    with pytest.raises(UserError, match=r"(?s)0 images, not one.*visdoc-tasks.images.tar.gz"):
        load(tmp_path, "ViDoRe_tatdqa")


def test_the_folder_of_a_repository_will_do(tmp_path: Path) -> None:
    """A set as the hub has it, fetched beside the archive's folders."""
    place = write_document_set(tmp_path, "ViDoSeek-page-fixed", 3, 5)
    place.rename(tmp_path / "ViDoSeek-page-fixed")
    assert len(load(tmp_path, "ViDoSeek-page-fixed").queries) == 3


def test_a_set_with_other_queries_is_not_the_published_one(tmp_path: Path) -> None:
    write_document_set(tmp_path, "VisRAG_ChartQA", 62, 5)
    (task,) = resolve_tasks("VisRAG_ChartQA", data=tmp_path)
    with pytest.raises(UserError, match="62 queries of VisRAG_ChartQA, not 63"):
        task.source.load(task)
    (own,) = resolve_tasks("all", data=tmp_path)
    assert "not MMEB-V2's own rows" in own.notes[-1]
