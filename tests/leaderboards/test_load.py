"""Results from folders: what can be used is, and what cannot is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.results.files import rows_path
from harness.results.verified import read_result
from leaderboards import load as loading
from leaderboards.exchange.files import Imported, write_imported
from leaderboards.load import RecordMemory, load, was_renamed
from tests.helpers.page_values import page_board
from tests.helpers.record_values import write


def _edit(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def _set_score(value):
    def change(record):
        for part in ("metrics", "strict"):
            record[part]["hit@1"]["value"] = value

    return change


DAMAGE = {
    "truncated": (lambda path: path.write_text(path.read_text()[:300]), "is not valid JSON"),
    "empty": (lambda path: path.write_text(""), "is not valid JSON"),
    "not finite": (lambda path: _edit(path, _set_score(float("nan"))), "NaN is not JSON"),
    "edited score": (
        lambda path: _edit(path, _set_score(0.9)),
        "hit@1 (strict) is stated as 0.900000",
    ),
    "a newer version": (lambda path: _edit(path, lambda record: record.update(format=99)), "newer version (format 99"),
    "not finished": (lambda path: _edit(path, lambda record: record.update(status="running")), "is not finished"),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE)
def test_what_cannot_be_used_is_named_and_the_rest_is_there(tmp_path, damage, said):
    good, bad = (write(tmp_path, task, "m", [1, 0, 1]) for task in "AB")
    damage(bad)
    loaded = load([tmp_path])
    assert [record.path for record in loaded.records] == [good]
    assert len(loaded.warnings) == 1
    assert str(bad) in loaded.warnings[0]
    assert said in loaded.warnings[0]
    with pytest.raises(UserError) as caught:
        load([bad])
    assert said in caught.value.what
    assert caught.value.hint


def test_scores_are_those_of_the_rows_in_their_order(tmp_path):
    write(tmp_path, "A", "m", [1, 0, 0.25, 1])
    assert load([tmp_path]).records[0].outcomes.scores.tolist() == [1, 0, 0.25, 1]


@pytest.mark.parametrize(
    ("damage", "said"),
    [(lambda path: path.unlink(), "are missing"), (lambda path: path.write_text("{}\n"), "one of the two was changed")],
    ids=["lost", "changed"],
)
def test_without_its_rows_nothing_says_that_a_result_is_right(tmp_path, damage, said):
    write(tmp_path, "B", "m", [1, 0])
    path = write(tmp_path, "A", "m", [1, 0])
    damage(path.with_suffix(".queries.jsonl"))
    loaded = load([tmp_path])
    assert [record.result.task for record in loaded.records] == ["B"]
    assert "A.queries.jsonl" in loaded.warnings[0]
    assert said in loaded.warnings[0]


def test_two_claims_to_one_identity_with_different_scores_are_both_refused(tmp_path):
    write(tmp_path / "x", "A", "m", [1, 0])
    write(tmp_path / "y", "A", "m", [1, 1])
    write(tmp_path / "y", "B", "m", [1, 1])
    loaded = load([tmp_path])
    assert [record.result.task for record in loaded.records] == ["B"]
    assert "same identity but different scores" in loaded.warnings[0]


def test_a_copy_is_one_result(tmp_path):
    write(tmp_path / "x", "A", "m", [1, 0])
    shutil.copytree(tmp_path / "x", tmp_path / "y")
    assert len(load([tmp_path / "x", tmp_path / "y", tmp_path]).records) == 1


def test_folders_without_results_and_paths_to_nothing(tmp_path):
    with pytest.raises(UserError, match="holds no results"):
        load([tmp_path])
    with pytest.raises(UserError, match="does not exist"):
        load([tmp_path / "nothing"])
    (tmp_path / "other.json").write_text('{"lr": 1e-5}')
    write(tmp_path, "A", "m", [1])
    assert "1 other JSON file, such as other.json: ignored" in load([tmp_path]).warnings[0]


def _import(folder, model, **scores):
    image = {task: {"hit@1": score} for task, score in scores.items()}
    content = {"metadata": {"model_name": model}, "metrics": {"image": image}}
    return write_imported(folder, Imported("mmeb", (f"{model}.json",), content))


def test_imported_scores_are_rows_and_bad_ones_are_named(tmp_path):
    good, bad = _import(tmp_path, "theirs", GQA=0.5, CIRR=0.25), _import(tmp_path, "other", GQA=0.5)
    bad.write_text(bad.read_text().replace("0.5", "50"))
    write(tmp_path, "A", "m", [1, 0])
    loaded = load([tmp_path, good])
    assert [(row.model, row.kind, row.scores) for row in loaded.imported] == [
        ("theirs", "imported", {"GQA": 0.5, "CIRR": 0.25})
    ]
    assert [record.result.task for record in loaded.records] == ["A"]
    assert len(loaded.warnings) == 1
    assert f"{bad}: hit@1 of GQA is not a fraction" in loaded.warnings[0]
    assert load([good]).records == ()
    with pytest.raises(UserError, match="not a fraction"):
        load([bad])


def test_a_record_that_made_way_is_known(tmp_path):
    """An answer to an older question, which `llave run` moved; not a task whose name has dots."""
    for identity, hits in (("a" * 64, [1, 0]), ("b" * 64, [1, 1])):
        path = write(tmp_path, "A.b", "m", hits, identity=identity)
    aside = path.with_name(f"A.b.{'a' * 12}.json")
    assert aside.exists()
    assert (was_renamed(aside), was_renamed(path)) == (True, False)
    aside.rename(path.with_name(f"C.{'a' * 12}.json"))
    assert not was_renamed(path.with_name(f"C.{'a' * 12}.json"))


def test_many_files_of_a_folder_are_read(tmp_path):
    path = write(tmp_path, "A", "m", [1, 0] * 50)
    record, rows = json.loads(path.read_text()), path.with_suffix(".queries.jsonl").read_bytes()
    for number in range(20):
        record |= {"identity": f"{number:064}", "queries": {**record["queries"], "file": f"{number}.queries.jsonl"}}
        (tmp_path / f"{number}.json").write_text(json.dumps(record))
        (tmp_path / f"{number}.queries.jsonl").write_bytes(rows)
    assert len(load([tmp_path]).records) == 21


def test_a_memory_reads_again_what_was_written_and_only_that(tmp_path, monkeypatch):
    folder = tmp_path / "results"
    page_board(folder)
    memory, before = RecordMemory(), load([folder]).records
    reads: list[Path] = []
    monkeypatch.setattr(loading, "read_result", lambda path: (reads.append(path), read_result(path))[1])
    for _ in range(2):
        assert [each.result for each in load([folder], memory).records] == [each.result for each in before]
    assert reads == [each.path for each in before]
    changed = before[0].path
    changed.write_bytes(changed.read_bytes() + b"\n")
    assert len(load([folder], memory).records) == len(before)
    assert reads[len(before) :] == [changed]
    rows = rows_path(before[1].path, before[1].result)
    rows.write_bytes(rows.read_bytes().replace(b"right one", b"wrong one"))  # behind the record
    assert len(load([folder], memory).records) == len(before) - 1
