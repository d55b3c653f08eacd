"""What lies in a folder of results, and what a thing is that is no result."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from leaderboards.result_list import check_is_result, result_list
from tests.helpers.record_values import write


def test_every_result_is_listed_with_model_task_score_and_date(tmp_path: Path):
    write(tmp_path, "B", "m/n", [1.0, 0.0])
    write(tmp_path, "A", "m/n", [1.0, 1.0], settings={"limit": 2})
    write(tmp_path, "A", "a", [1.0, 0.0, 0.0], protocol="official")
    (tmp_path / "other.json").write_text("{}")
    table = result_list(tmp_path)
    assert [[str(cell) for cell in row[:5]] for row in table.rows] == [
        ["a", "A", "33.3", "hit@1, official", "2026-01-01"],
        ["m/n", "A (--limit 2)", "100.0", "hit@1", "2026-01-01"],
        ["m/n", "B", "50.0", "hit@1", "2026-01-01"],
    ]
    listed, refused = table.notes
    assert listed == "3 results"
    assert refused.startswith("1 other JSON file not listed. The first: ")
    assert "other.json is not a result of llave-bench" in refused


@pytest.mark.parametrize(
    ("file", "said", "remedy"),
    [
        ("config.json", "is a model, and holds no results", "llave run"),
        ("checkpoint-3/x", "is a training run, and holds no results", "checkpoint-3"),
        ("notes.txt", "holds no results", "OUT/<model>"),
    ],
)
def test_a_folder_without_results_is_called_what_it_is(tmp_path: Path, file: str, said: str, remedy: str):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    with pytest.raises(UserError, match=said) as caught:
        result_list(tmp_path)
    assert remedy in caught.value.hint


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("A.queries.jsonl", "the queries of a result"),
        ("m.0a.imported.json", "imported scores"),
        ("board.html", "a page"),
        ("v.safetensors", "vectors"),
        ("test-0.parquet", "a file of data"),
        ("mine.jsonl", "a file of lines"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path: Path, name: str, said: str):
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=f"is .*{said}.*, not a result"):
        check_is_result(tmp_path / name)
