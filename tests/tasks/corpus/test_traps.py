"""Several sets at once: ids that start from 0 in each, and languages that share tables.

The other traps are damages and layouts, which test_corpus.py and test_mbeir.py have.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.catalog import resolve_tasks
from tests.helpers.corpus_files import WORDS, judgements, write_mteb, write_vidore

LANGUAGES = ("en", "fr")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("LLAVE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_equal_ids_of_two_sets_stay_two_targets_in_their_union(tmp_path: Path) -> None:
    for name, words in (("one", WORDS), ("two", [word[::-1] for word in WORDS])):
        write_vidore(tmp_path / name)
        pages = [{"corpus-id": number, "text": word} for number, word in enumerate(words)]
        pq.write_table(pa.Table.from_pylist(pages), tmp_path / name / "corpus/test-00000-of-00001.parquet")
    one, two = (task.source.load(task) for task in resolve_tasks("all@union", data=tmp_path))
    assert len(one.targets) == len(two.targets) == 2 * len(WORDS)
    for data, words in ((one, WORDS), (two, [word[::-1] for word in WORDS])):
        assert [data.targets[index].text for index in data.queries[3].positives] == [words[3], words[4]]


@pytest.mark.parametrize("shared", [("corpus",), ("default",), ("corpus", "default")])
def test_languages_share_tables_and_each_keeps_its_own_queries(shared: tuple[str, ...], tmp_path: Path) -> None:
    """Judgements of all languages may stand in one table, and each language may repeat those of all."""
    write_mteb(tmp_path)
    judged = [{**row, "query-id": f"{row['query-id']}{each}"} for each in LANGUAGES for row in judgements()]
    pq.write_table(pa.Table.from_pylist(judged), tmp_path / "default/test-00000-of-00001.parquet")
    asked = pa.concat_tables(pq.read_table(file) for file in sorted((tmp_path / "queries").iterdir())).to_pylist()
    for each in LANGUAGES:
        (tmp_path / f"{each}-queries").mkdir()
        rows = [{**row, "_id": f"{row['_id']}{each}"} for row in asked]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{each}-queries/test.parquet")
    for table in {"corpus", "queries", "default"} - {*shared}:
        for each in LANGUAGES:
            if table != "queries":
                shutil.copytree(tmp_path / table, tmp_path / f"{each}-{table}")
        shutil.rmtree(tmp_path / table)
    tasks = resolve_tasks(data=tmp_path)
    assert [task.name.rpartition("-")[2] for task in tasks] == list(LANGUAGES)
    for task, each in zip(tasks, LANGUAGES, strict=True):
        data = task.source.load(task)
        assert [query.id for query in data.queries] == [f"q{number}{each}" for number in range(4)]
        assert len(data.targets) == len(WORDS)
        assert data.notes["judgements_of_no_query"] == len(judgements())


def test_queries_of_several_languages_are_counted_by_language(tmp_path: Path) -> None:
    write_vidore(tmp_path)
    file = tmp_path / "queries/test-00000-of-00001.parquet"
    rows = pq.read_table(file).to_pylist()
    (task,) = resolve_tasks(data=tmp_path)
    assert "queries_in_english" not in task.source.load(task).notes
    rows[1]["language"] = "french"
    pq.write_table(pa.Table.from_pylist(rows), file)
    notes = task.source.load(task).notes
    assert (notes["queries_in_english"], notes["queries_in_french"]) == (3, 1)
