"""Records and their rows: what they hold, how they step aside, and that no file can harm a run."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from harness.errors import UserError
from harness.results.files import read_record, write_result
from harness.results.result import FORMAT, Result
from harness.results.rows import read_rows
from harness.results.verified import find_result, read_result
from harness.scoring.metrics import Score
from leaderboards.board.board import Board
from leaderboards.run_table import board_table, result_table
from tasks.suites import Suite
from tests.conftest import Place
from tests.helpers.record_values import counted_from, row
from tests.helpers.result_values import result

ROOT = Path(__file__).resolve().parents[3]
SUITE = Suite("these", "one task", ("Task",), ())
ROWS = [row("0", 1.0, 0), {**row("1", 0.0, 1), "content": {"text": "naïve 猫\n"}}]


def _result(identity: str = "a" * 64, rows: Sequence[Mapping[str, object]] = ROWS, **changes: object) -> Result:
    scores = dict.fromkeys(("hit@1", "mean_rank"), Score(0.0, 0.0, 0.0))
    made = result("Task", identity=identity, strict=scores, official=scores)
    return replace(counted_from(made, rows), **changes)


def _found(folder: Path, identity: str) -> Result | None:
    return find_result(folder, "Task", identity, lambda _: None)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


class TestRecord:
    def test_what_is_written_is_what_is_read(self, tmp_path):
        written = write_result(tmp_path, _result(), ROWS)
        assert read_record(tmp_path / "Task.json") == read_result(tmp_path / "Task.json").result == written
        assert read_rows(tmp_path / "Task.json", written) == ROWS
        assert _found(tmp_path, "a" * 64) == written
        assert _found(tmp_path, "b" * 64) is None
        assert set(_files(tmp_path)) == {"Task.json", "Task.queries.jsonl"}

    def test_a_run_writes_every_field_that_is_promised(self, llave, tiny, place):
        assert llave("run", "classical", "--data", tiny.data, "--tasks", "Find", *place.flags).code == 0
        path = place.path("Find", "classical")
        assert path == place.out / "classical" / "1" / "Find.json"
        record = json.loads(path.read_text())
        assert list(record) == [each.name for each in fields(Result)]
        assert (record["format"], record["status"], record["task"]) == (FORMAT, "done", "Find")
        assert {"name", "revision", "options"} <= record["model"].keys()
        assert record["protocol"] == "strict"
        assert record["metrics"].keys() == record["official"].keys() == record["chance"].keys()
        assert all(score.keys() == {"value", "low", "high"} for score in record["metrics"].values())
        low, value, high = (record["metrics"]["hit@1"][each] for each in ("low", "value", "high"))
        assert 0 <= low <= value <= high <= 1
        assert (record["num_queries"], record["num_targets"]) == (12, 12)
        assert {"source", "revision", "digest"} <= record["dataset"].keys()
        assert record["environment"]["libraries"]["pillow"]
        assert record["cost"]["items_embedded"] == record["cost"]["items_needed"] == 24
        assert record["queries"]["file"] == "Find.queries.jsonl"
        rows = place.rows("Find", "classical")
        assert [row["query"] for row in rows] == [str(number) for number in range(12)]
        assert record["metrics"]["hit@1"]["value"] == pytest.approx(sum(row["hit@1"] for row in rows) / 12)
        assert record["tied_queries"] == sum(row["best_rank"] != row["worst_rank"] for row in rows)

    def test_the_page_documents_every_field_of_record_and_row(self, llave, tiny, place):
        llave("run", "classical", "--data", tiny.data, "--tasks", "Find", *place.flags)
        page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
        named = set(re.findall(r"`([^`\n]+)`", page))
        record = json.loads(place.path("Find", "classical").read_text())
        row = place.rows("Find", "classical")[0]
        nested = ("model", "dataset", "settings", "environment", "cost", "queries")
        wanted = [*record, *(name for part in nested for name in record[part]), *row, *row["top"][0]]
        assert [name for name in wanted if name not in named] == []

    @pytest.mark.parametrize(
        "changes",
        [
            {"main_metric": "mrr"},
            {"official": {}},
            {"chance": {}},
            {"protocol": "lenient"},
            {"metrics": {"hit@1": Score(0.4, 0.2, 0.6), "mean_rank": Score(1.5, 1.0, 2.0)}},
            {"strict": {"hit@1": Score(float("nan"), 0.2, 0.6)}},
            {"chance": {"hit@1": 1.5, "mean_rank": 5.0}},
            {"tied_queries": 3},
            {"model": {"name": "m"}},
            {"dataset": {}},
            {"num_queries": "2"},
        ],
        ids=str,
    )
    def test_a_record_that_breaks_an_invariant_is_never_written(self, tmp_path, changes):
        with pytest.raises(ValueError, match=r"\w"):
            write_result(tmp_path, _result(**changes), ROWS)
        assert _files(tmp_path) == {}

    @given(data=st.data())
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_an_edited_record_is_refused_or_read_but_never_a_crash(self, tmp_path, data):
        write_result(tmp_path, _result(), ROWS)
        path = tmp_path / "Task.json"
        record = json.loads(path.read_text())
        place, key = record, data.draw(st.sampled_from(list(record)))
        while isinstance(place[key], dict) and place[key] and data.draw(st.booleans()):
            place = place[key]
            key = data.draw(st.sampled_from(list(place)))
        if data.draw(st.booleans()):
            del place[key]
        else:
            scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
            place[key] = data.draw(
                scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=3), scalars)
            )
        path.write_text(json.dumps(record))
        _found(tmp_path, "a" * 64)
        with contextlib.suppress(UserError):
            result = read_result(path).result
            Console(quiet=True).print(result_table(result), board_table(Board.of([result], SUITE)))
            read_rows(path, result)

    def test_a_record_with_a_number_that_is_not_json_steps_aside(self, tmp_path):
        path = tmp_path / "Task.json"
        write_result(tmp_path, _result(), ROWS)
        path.write_text(path.read_text().replace('"cost": {', '"cost": {"x": NaN, ', 1))
        with pytest.raises(UserError, match="NaN is not JSON"):
            read_result(path)
        assert write_result(tmp_path, _result(), ROWS) == read_result(path).result
        assert len(list(tmp_path.glob("Task.*.json"))) == 1

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', '{"format": "x"}', "\x00\xff", "{}"])
    def test_what_is_no_record_is_named(self, tmp_path, text):
        path = tmp_path / "Task.json"
        path.write_text(text, encoding="latin-1")
        with pytest.raises(UserError, match=r"Task\.json"):
            read_result(path)
        assert _found(tmp_path, "a" * 64) is None

    def test_a_truncated_record_is_no_record(self, tmp_path):
        write_result(tmp_path, _result(), ROWS)
        whole = (tmp_path / "Task.json").read_bytes()
        for size in range(0, len(whole) - 2, 97):
            (tmp_path / "Task.json").write_bytes(whole[:size])
            with pytest.raises(UserError, match="is not valid JSON"):
                read_result(tmp_path / "Task.json")

    def test_rows_lie_beside_the_record_whatever_it_says(self, tmp_path):
        (tmp_path / "secret").write_text("{}\n")
        written = write_result(tmp_path / "results", _result(), ROWS)
        sneaky = replace(written, queries={**written.queries, "file": "../secret"})
        with pytest.raises(UserError):
            read_rows(tmp_path / "results" / "Task.json", sneaky)


class TestSteppingAside:
    def test_all_answers_are_kept_and_found(self, tmp_path):
        identities = [letter * 64 for letter in "abcab"]
        for identity in identities:
            if _found(tmp_path, identity) is None:
                write_result(tmp_path, _result(identity, rows := [row(identity, 1.0)]), rows)
        for identity in set(identities):
            found = _found(tmp_path, identity)
            assert found is not None
            (kept,) = read_rows(tmp_path / found.queries["file"].replace(".queries.jsonl", ".json"), found)
            assert kept["query"] == identity
        assert read_record(tmp_path / "Task.json").identity == "c" * 64, "the newest has the plain name"

    @pytest.mark.parametrize(
        "text", [json.dumps({"format": 2, "identity": "z" * 64, "new": []}), '{"format": 99}', "garbage"]
    )
    def test_what_cannot_be_read_is_moved_not_overwritten(self, tmp_path, text):
        (tmp_path / "Task.json").write_text(text)
        write_result(tmp_path, _result(), ROWS)
        assert text.encode() in _files(tmp_path).values()
        assert _found(tmp_path, "a" * 64) is not None

    def test_a_newer_record_keeps_its_rows(self, tmp_path):
        newer = {"format": 2, "identity": "z" * 64, "queries": {"file": "Task.queries.jsonl", "sha256": "0"}}
        (tmp_path / "Task.json").write_text(json.dumps(newer))
        (tmp_path / "Task.queries.jsonl").write_text("rows of tomorrow")
        write_result(tmp_path, _result(), ROWS)
        assert (tmp_path / f"Task.{'z' * 12}.queries.jsonl").read_text() == "rows of tomorrow"
        kept = json.loads((tmp_path / f"Task.{'z' * 12}.json").read_text())
        assert kept["queries"]["file"] == f"Task.{'z' * 12}.queries.jsonl"

    @pytest.mark.parametrize("step", range(1, 8))
    def test_killed_at_any_step_nothing_is_lost(self, tmp_path, monkeypatch, step):
        """A kill leaves what was on the disk before one of the steps that change it."""
        rows = {letter: [row(letter, 1.0)] for letter in "ab"}
        write_result(tmp_path, _result("a" * 64, rows["a"]), rows["a"])
        count = 0

        class Killed(BaseException):
            pass

        def counted(function):
            def call(*arguments, **options):
                nonlocal count
                count += 1
                if count == step:
                    raise Killed
                return function(*arguments, **options)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", counted(os.replace))
            patch.setattr(Path, "unlink", counted(Path.unlink))
            try:
                write_result(tmp_path, _result("b" * 64, rows["b"]), rows["b"])
            except Killed:
                assert step <= 5
            else:
                assert step > 5, "there are five steps"
        for letter in "ba":
            if _found(tmp_path, letter * 64) is None:
                write_result(tmp_path, _result(letter * 64, rows[letter]), rows[letter])
        assert all(_found(tmp_path, letter * 64) for letter in "ab")
        for path in tmp_path.glob("Task*.json"):
            result = read_result(path).result
            assert read_rows(path, result) == rows[result.identity[0]]

    def test_foreign_files_are_left_alone(self, llave, tiny, place):
        folder = place.out / "classical" / "1"
        folder.mkdir(parents=True)
        foreign = {"Match.json": '{"some": "thing"}', "notes.json": "[]", "Find.queries.jsonl": "mine", "x.txt": ""}
        for name, text in foreign.items():
            (folder / name).write_text(text)
        assert llave("run", "classical", "--data", tiny.data, *place.flags).code == 0
        now = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
        assert foreign["Match.json"] in now.values()
        assert (now["notes.json"], now["x.txt"]) == ("[]", "")


def test_a_path_component_is_safe_and_never_shared(tmp_path):
    names = ["a/b", "a--b", "..", ".", "", "a b", "a_b", "ä", "x" * 300, "x" * 301, "a\\b", "a:b", "a/../b"]
    places = [Place(tmp_path).path("Task", name, revision) for name in names for revision in ("r/1", "r--1")]
    assert len(set(places)) == len(places)
    for path in places:
        assert path.resolve().parents[2] == (tmp_path / "out").resolve(), "two folders deep, whatever the name"
        assert Path(os.path.normpath(path)) == path
        path.parent.mkdir(parents=True)
