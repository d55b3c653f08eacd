"""One reader: what it takes follows from the rows, what it refuses it names, and both ways to read a row agree."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.results.figures import _columns, _recognised, _row, read_figures
from harness.results.files import read_record, rows_path, write_result
from harness.results.rows import parse_rows, read_rows, row_bytes
from harness.results.verified import Contradiction, find_result, read_result
from tests.helpers.record_values import counted_from, row, row_at, write, write_honest
from tests.helpers.result_values import result

ROOT = Path(__file__).resolve().parents[3]
WITHOUT_ROWS = {
    "harness/results/verified.py",
    "leaderboards/submission/choose.py",
    "llave/words/paths.py",
    "llave/api/results.py",
    "llave/api/doctor.py",
}
"""Modules that recognise, choose or find a file by its record alone."""


def _edit(path: Path, lines: list[str]) -> None:
    """Other rows, with their digest in the record."""
    text = "".join(f"{line}\n" for line in lines)
    record = json.loads(path.read_text(encoding="utf-8"))
    rows_path(path, read_record(path)).write_text(text, encoding="utf-8")
    record["queries"]["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(record), encoding="utf-8")


def _lines(path: Path) -> list[str]:
    return rows_path(path, read_record(path)).read_text(encoding="utf-8").splitlines()


LINES: Mapping[str, tuple[str, str]] = {
    "no JSON": ('{"query": ', "line 2: it is not valid JSON"),
    "a control character": ('{"te\x01xt": 1}', "line 2: it is not valid JSON"),
    "a number": ("2147483648", "line 2: it holds a number, not a JSON object"),
    "nested": ("[" * 100_000 + "]" * 100_000, "line 2"),
    "a key twice": ('{"query": "1", "query": "2"}', "line 2: it is not valid JSON: the key 'query' occurs twice"),
    "no query": (json.dumps({"right": True}), "line 2 is no row of a result: it lacks query"),
    "no top": (json.dumps({**row("1", 0.0, 1), "top": 0}), "line 2 is no row of a result: top is not a list"),
    "no content": (json.dumps({**row("1", 0.0, 1), "content": [[]]}), "content is not an object"),
    "no rank": (json.dumps({**row("1", 0.0, 1), "best_rank": [0]}), "a part of best_rank is not a rank from 1"),
    "a rank too far": (json.dumps({**row("1", 0.0, 1), "worst_rank": [99]}), "a rank lies outside its candidates"),
    "a huge integer": (json.dumps({**row("1", 0.0, 1), "candidates": 10**30}), "does not fit 64 bits"),
    "many candidates": (json.dumps({**row("1", 0.0, 1), "candidates": 10**15}), "more candidates than there are"),
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_is_no_row_is_named_by_file_and_line(tmp_path, name):
    """Also by whoever wants only figures, and though the digest fits."""
    path = write(tmp_path, "A", "m", [1, 0, 1])
    line, said = LINES[name]
    lines = _lines(path)
    _edit(path, [lines[0], line, lines[2]])
    for read in (read_result, lambda path: read_rows(path, read_record(path))):
        with pytest.raises(UserError) as caught:
            read(path)
        assert "A.queries.jsonl, line 2" in caught.value.what
        assert said in caught.value.what


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_row_is_read_alike_by_its_pattern_and_field_by_field(tmp_path, data):
    """Rows are recognised as they are written. What one way refuses after an edit, the other refuses too."""
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
    numbers = st.integers(1, 4)
    rows = []
    for at in range(data.draw(st.integers(1, 4))):
        best = data.draw(numbers)
        made = row_at(f"{at}", best, best + data.draw(st.integers(0, 3)), cluster=at)
        content = {"text": data.draw(text), "media": data.draw(st.lists(text, max_size=2))}
        made |= {"content": content, "positives": [{"target": 0, "text": data.draw(text)}]}
        made |= data.draw(st.sampled_from([{}, {"bad_media": data.draw(text)}]))
        rows.append(made)
    written = write_honest(tmp_path, result("Task"), rows)
    path = tmp_path / "Task.json"
    whole = row_bytes(path, written)
    assert _recognised(whole, written) is not None, "what is written is recognised"
    start = data.draw(st.integers(0, len(whole) - 1))
    edited = whole[:start] + data.draw(st.binary(max_size=3)) + whole[start + data.draw(st.integers(0, 3)) :]
    for content in (whole, edited):
        fast = _recognised(content, written)
        if fast is None:
            continue
        slow = _columns([_row(each, "hit@1") for each in parse_rows(path, written, content)], written)
        assert (fast.rankings, fast.clusters, fast.repeats, fast.odd) == (
            slow.rankings,
            slow.clusters,
            slow.repeats,
            slow.odd,
        )
        assert fast.values.tolist() == slow.values.tolist()
        assert fast.right.tolist() == slow.right.tolist()


def test_rows_in_another_order_of_fields_are_the_same_rows(tmp_path):
    path = write(tmp_path, "A", "m", [1, 0.5, 0])
    before = read_figures(path, read_record(path))
    _edit(path, [json.dumps(json.loads(line), sort_keys=True, indent=None) for line in _lines(path)] + [""])
    after = read_figures(path, read_record(path))
    assert (before.values.tolist(), before.rankings) == (after.values.tolist(), after.rankings)
    assert read_result(path).result.tied_queries == 1


def test_texts_that_our_reader_would_refuse_are_written_so_that_it_takes_them(tmp_path):
    """A name of a file that is not UTF-8, and a caption with NUL; a backslash before `u0000` is only a text."""
    made = {**row("q", 1.0), "content": {"text": "a\0b \\u0000 \udcff", "media": ["\udc80.png"]}}
    base = result("Task")
    base = replace(base, dataset={**base.dataset, "places": [{"kind": "image", "folder": "/data/\udcff"}]})
    write_honest(tmp_path, base, [made])
    found = read_result(tmp_path / "Task.json").result
    (kept,) = read_rows(tmp_path / "Task.json", found)
    assert kept["content"] == {"text": "a\ufffdb \\u0000 \ufffd", "media": ["\ufffd.png"]}
    assert found.dataset["places"] == [{"kind": "image", "folder": "/data/\ufffd"}]


def test_an_edited_score_is_refused_with_both_figures(tmp_path):
    path = write(tmp_path, "A", "m", [1, 1, 0, 0])
    record = json.loads(path.read_text())
    for part in ("metrics", "strict"):
        record[part]["hit@1"]["value"] += 0.1
    path.write_text(json.dumps(record))
    with pytest.raises(Contradiction) as caught:
        read_result(path)
    assert caught.value.said[0] == "hit@1 (strict) is stated as 0.600000; its rows give 0.500000."
    assert str(path) in caught.value.what


def test_rows_that_are_lost_or_of_another_record_are_named(tmp_path):
    path = write(tmp_path, "A", "m", [1, 0])
    rows = rows_path(path, read_record(path))
    rows.write_text("{}\n")
    with pytest.raises(UserError, match="one of the two was changed"):
        read_result(path)
    rows.unlink()
    with pytest.raises(UserError, match=r"its rows are missing, .*A\.queries\.jsonl"):
        read_result(path)


def test_rows_of_the_first_version_have_no_clusters(tmp_path):
    path = write(tmp_path, "A", "m", [1, 0])
    record = json.loads(path.read_text())
    del record["dataset"]["clusters"]
    path.write_text(json.dumps(record))
    with pytest.raises(Contradiction):
        read_result(path)
    lines = [json.loads(line) for line in _lines(path)]
    _edit(path, [json.dumps({key: value for key, value in each.items() if key != "cluster"}) for each in lines])
    assert read_result(path).outcomes.clusters is None


@pytest.mark.parametrize("name", ["", ".", "..", "x/", "é" * 5000, "other.jsonl"])
def test_a_record_that_names_no_file_of_rows_is_refused(tmp_path, name):
    path = write(tmp_path, "A", "m", [1, 0])
    record = json.loads(path.read_text())
    record["queries"]["file"] = name
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match="its rows are missing"):
        read_result(path)


@pytest.mark.parametrize("damage", ["score", "rows", "truncated"])
def test_a_result_that_cannot_be_used_is_not_found_and_the_user_hears_of_it(tmp_path, damage):
    rows = [row("0", 1.0, 0), row("1", 0.0, 1)]
    written = write_result(tmp_path, counted_from(result("Task", identity="a" * 64), rows), rows)
    path, heard = tmp_path / "Task.json", []
    assert find_result(tmp_path, "Task", "a" * 64, heard.append) == written
    assert find_result(tmp_path, "Task", "b" * 64, heard.append) is None
    assert heard == [], "one of other settings is no reason to speak"
    text = path.read_text()
    if damage == "score":
        path.write_text(text.replace('"value": 0.5', '"value": 0.6'))
    elif damage == "rows":
        rows_path(path, written).write_text("{}\n")
    else:
        path.write_text(text[:100])
    assert find_result(tmp_path, "Task", "a" * 64, heard.append) is None
    (said,) = heard
    assert "Task" in said
    assert said.endswith("Task is scored anew.")


def test_a_run_scores_a_contradicted_result_anew(llave, tiny, place):
    asked = ("run", "classical", "--data", tiny.data, "--tasks", "Find", *place.flags)
    assert llave(*asked).code == 0
    path = place.path("Find", "classical")
    honest = json.loads(path.read_text())
    edited = json.loads(path.read_text())
    for part in ("metrics", "strict"):
        edited[part]["hit@5"]["low"] -= 0.05
    path.write_text(json.dumps(edited))
    assert llave("show", path).code == 2
    done = llave(*asked)
    assert done.code == 0
    assert "contradicts its rows. The interval of hit@5 (strict)" in done.err
    assert "0 encodings" in done.err, "the vectors are in the store"
    assert json.loads(path.read_text())["strict"] == honest["strict"]
    assert "1 result skipped because finished" in llave(*asked).err


def test_only_named_modules_read_a_record_without_its_rows():
    found = set()
    for package in ("harness", "tasks", "leaderboards", "trainers", "llave"):
        for path in (ROOT / package).rglob("*.py"):
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            ours = [each for each in nodes if getattr(each, "module", "") == "harness.results.files"]
            if any(alias.name == "read_record" for each in ours for alias in each.names):
                found.add(path.relative_to(ROOT).as_posix())
    assert found == WITHOUT_ROWS


def test_grades_of_relevance_are_counted_too(tmp_path):
    """A row holds the grades that nDCG needs: another grade is another score."""
    positives = [{"target": 0, "text": "x"}, {"target": 1, "text": "y"}]
    ranks = {name: [2, 3] for name in ("best_rank", "worst_rank", "official_rank")}
    rows = [{**row_at("a", 2, 2), "grades": [3, 1], "positives": positives, **ranks}, row("b", 1.0, 1)]
    rows[0]["top"] = [{**each, "right": each["target"] == 0} for each in rows[0]["top"]]
    scores = dict.fromkeys(("hit@1", "ndcg@10", "ndcg-exp@10"), result().strict["hit@1"])
    write_honest(tmp_path, result("Task", strict=scores, official=scores), rows)
    path = tmp_path / "Task.json"
    found = read_result(path).result
    assert found.strict["ndcg@10"].value != found.strict["ndcg-exp@10"].value
    _edit(path, [line.replace("[3, 1]", "[1, 1]") for line in _lines(path)])
    with pytest.raises(Contradiction, match="ndcg@10"):
        read_result(path)
    _edit(path, [line.replace("[1, 1]", "[5000, 1]") for line in _lines(path)])
    with pytest.raises(UserError, match="one is too high"):
        read_result(path)
