"""A submission that was changed anywhere is not verified, and what was changed is named."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UserError
from leaderboards.analysis.report import report_json
from leaderboards.submission.validate import Verdict, validate
from llave.cli.share import validate as command
from tasks.catalog import all_tasks, resolve_tasks
from tasks.suites import Suite, suite_of
from tests.helpers.page_values import saved_report
from tests.helpers.record_values import write

Edit = Callable[[dict, list[dict]], None]


@pytest.fixture
def tasks(tiny):
    """As a registry has them, which knows how many rows each must have."""
    every = resolve_tasks(data=tiny.data)
    return {task.name: replace(task, num_queries=len(tiny.rows[task.name])) for task in every}


@pytest.fixture
def suite(tasks) -> Suite:
    return suite_of("tiny", "", tasks.values())


@pytest.fixture
def submission(tiny, place, llave) -> Path:
    """Three tasks of a model whose scores are tied now and then, in one folder."""
    assert llave("run", "null/random", "--data", tiny.data, *place.flags).code == 0
    return place.out / "null--random" / "1"


@pytest.fixture
def check(submission, tasks, suite) -> Callable[..., list[str]]:
    """What is wrong after a record and its rows were edited, and the digest of the rows made to fit again."""

    def call(edit: Edit, task: str = "Find") -> list[str]:
        path = submission / f"{task}.json"
        record = json.loads(path.read_text())
        lines = submission / record["queries"]["file"]
        rows = [json.loads(line) for line in lines.read_text().splitlines()]
        edit(record, rows)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        lines.write_text(text)
        record["queries"]["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        path.write_text(json.dumps(record))
        return said(validate(submission, tasks, suite))

    return call


def said(verdict: Verdict) -> list[str]:
    return [f"{problem.where}: {problem.what}" for problem in verdict.problems]


def test_what_the_engine_writes_is_verified(submission, tasks, suite):
    verdict = validate(submission, tasks, suite)
    assert said(verdict) == []
    assert (verdict.results, verdict.queries) == (3, 32)


def test_a_saved_analysis_among_the_results_is_no_result(submission, tasks, suite):
    before = validate(submission, tasks, suite)
    (submission / "curves.json").write_text(report_json(saved_report()))
    assert validate(submission, tasks, suite) == before


@pytest.mark.parametrize("model", ["null/constant", "null/oracle"])
@pytest.mark.parametrize("protocol", ["strict", "official"])
def test_ties_and_repeats_are_verified_under_both_protocols(tiny, place, llave, suite, tasks, model, protocol):
    llave("run", model, "--data", tiny.data, "--protocol", protocol, *place.flags)
    problems = said(validate(place.out, tasks, suite))
    assert [each for each in problems if "fingerprints" not in each] == [], "but an oracle is another model a task"


def test_bad_media_that_count_as_wrong_are_verified(tiny, place, llave, tasks, suite):
    (tiny.images / "shapes" / "03.png").write_bytes(b"no image")
    flags = ("--on-bad-media", "count-as-wrong")
    for rule in ("strict", "official"):
        llave("run", "null/random", "--data", tiny.data, *flags, "--protocol", rule, *place.flags)
        assert place.result("Find", "null/random").bad_media
        newest = [path for path in place.out.rglob("*.json") if path.name.count(".") == 1]
        alone = place.folder / rule
        for path in newest:
            alone.mkdir(exist_ok=True)
            shutil.copy(path, alone)
            shutil.copy(path.with_name(f"{path.stem}.queries.jsonl"), alone)
        assert said(validate(alone, tasks, suite)) == []


def _score(record, rows):
    for part in ("metrics", "strict"):
        record[part]["mrr"]["value"] += 0.01


def _interval(record, rows):
    for part in ("metrics", "strict"):
        record[part]["hit@1"]["low"] += 0.001


def _rank(record, rows):
    worst = next(row for row in rows if row["best_rank"][0] > 1)
    for name in ("best_rank", "worst_rank", "official_rank"):
        worst[name] = [1]
    worst["hit@1"], worst["right"] = 1.0, True


EDITS: dict[str, tuple[Edit, str]] = {
    "a score": (_score, "mrr (strict) is stated as"),
    "an interval": (_interval, "The interval of hit@1 (strict) is stated as"),
    "a rank, well disguised": (_rank, "ranks that contradict `right` or its top candidates"),
    "a query's value": (lambda record, rows: rows[3].update({"hit@1": 0.5}), "Row 3 states hit@1 0.5"),
    "a query's verdict": (
        lambda record, rows: rows[3].update(right=not rows[3]["right"]),
        "Row 3 has ranks that contradict `right`",
    ),
    "an impossible rank": (
        lambda record, rows: rows[3].update(worst_rank=[99]),
        "line 4 is no row",
    ),
    "a row's place": (
        lambda record, rows: rows[3].pop("candidates"),
        "it lacks candidates",
    ),
    "a dropped row": (lambda record, rows: rows.pop(), "states 12 queries but has 11 rows"),
    "a dropped row, disguised": (
        lambda record, rows: (rows.pop(), record.update(num_queries=11)),
        "It has 11 queries; Find has 12",
    ),
    "a repeated row": (lambda record, rows: rows.__setitem__(1, rows[0]), "A query appears twice in its rows"),
    "a count of ties": (lambda record, rows: record.update(tied_queries=1), "states 1 tied query; its rows have 0"),
    "chance": (
        lambda record, rows: record["chance"].update({"hit@1": 0.9}),
        "The chance of hit@1 is stated as 0.900000",
    ),
    "a misspelt dataset": (
        lambda record, rows: record.update(task="Fnid"),
        "no dataset of tiny named 'Fnid'. Did you mean Find?",
    ),
    "the scope": (lambda record, rows: record.update(scope="global"), "scope differs from that of Find"),
    "the model's name": (lambda record, rows: record["model"].update(name="mine"), "do not match its fingerprint"),
    "the data": (
        lambda record, rows: record["dataset"].update(digest="0" * 64),
        "identity does not match its task, data",
    ),
    "the limit": (lambda record, rows: record["settings"].update(limit=12), "only the first queries (--limit 12)"),
    "the revision": (lambda record, rows: record["dataset"].update(revision="main"), "several revisions of the data"),
}


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_is_caught_and_named(check, name):
    edit, complaint = EDITS[name]
    problems = check(edit)
    assert any(complaint in each for each in problems), problems


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (lambda text: text[: len(text) // 2], "is not valid JSON"),
        (lambda text: text.replace('"format": 1', '"format": 9'), "written by a newer version"),
        (lambda text: text.replace('"value": ', '"value": NaN, "x": ', 1), "NaN is not JSON"),
        (lambda text: text.replace('"Find.queries.jsonl"', '"lost.jsonl"'), "its rows are missing"),
        (lambda text: "[]", "not a JSON object"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_checked(submission, suite, tasks, text, complaint):
    path = submission / "Find.json"
    path.write_text(text(path.read_text()))
    problems = said(validate(submission, tasks, suite))
    assert any(each.startswith("Find.json: ") and complaint in each for each in problems), problems
    assert any("1 of 3 datasets missing: Find" in each for each in problems)


def test_rows_that_were_changed_behind_the_record_are_named(submission, tasks, suite):
    rows = submission / "Find.queries.jsonl"
    rows.write_text(rows.read_text().replace('"right": false', '"right": true'))
    assert any("one of the two was changed" in each for each in said(validate(submission, tasks, suite)))


def test_the_same_identity_with_other_scores_is_named(submission, tasks, suite):
    for name in ("Find.json", "Find.queries.jsonl"):
        (submission / "again").mkdir(exist_ok=True)
        shutil.copy(submission / name, submission / "again" / name)
    assert any("several results of Find" in each for each in said(validate(submission, tasks, suite)))
    record = json.loads((submission / "again" / "Find.json").read_text())
    _score(record, [])
    (submission / "again" / "Find.json").write_text(json.dumps(record))
    assert any("has the identity of" in each for each in said(validate(submission, tasks, suite)))


def test_answers_to_older_questions_are_noted_and_do_not_fail(tiny, place, llave, suite, tasks, capsys):
    for more in (["--limit", "5"], []):
        assert llave("run", "null/random", "--data", tiny.data, *place.flags, *more).code == 0
    verdict = validate(place.out, tasks, suite)
    assert (said(verdict), verdict.results) == ([], 3)
    assert {Path(name).name.split(".")[0] for names in verdict.apart.values() for name in names} == {
        "Colour",
        "Find",
        "Match",
    }
    assert "Ignored: 3 files with only the first queries (--limit): " in llave("validate", place.out).out


def test_an_empty_folder_is_an_error(tmp_path, tasks, suite):
    with pytest.raises(UserError, match="holds no results"):
        validate(tmp_path, tasks, suite)


def test_a_folder_of_many_runs_is_checked(submission, tasks, suite):
    for number in range(9):
        shutil.copytree(submission, submission.parent / f"copy{number}")
    verdict = validate(submission.parent, tasks, suite)
    assert verdict.results == 30


def test_the_command_says_verified_or_not(submission, place, capsys):
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args([str(place.out), "--suite", "demo", "--most", "2"])) == 1
    out = capsys.readouterr().out
    assert "no dataset of demo named 'Colour'" in out
    assert "Not verified" in out
    assert "more" in out


def test_a_result_of_a_part_or_of_another_scope_never_spoils_whole_ones(llave, place):
    """Whichever came first: the record of a whole dataset counts, under whatever name it lies."""
    flags = ("--tasks", "demo-object,demo-shape", *place.flags)
    assert llave("run", "classical", *flags).code == 0
    assert llave("run", "classical", *flags, "--limit", "3").code == 0
    assert llave("run", "classical", "--tasks", "demo-object@global", *place.flags).code == 0
    said = llave("validate", place.out, "--suite", "demo")
    assert "22 of 24 datasets missing" in said.out
    assert said.out.count("classical") == 4, "nothing else is wrong, and three lines say what was ignored"
    assert "Ignored: 2 files with only the first queries (--limit): " in said.out
    assert "Ignored: 1 file of another scope, such as @global: " in said.out
    assert "Not verified: 1 problem in 2 results, 200 queries." in said.out


def test_the_suite_follows_from_the_results(llave, place, tiny):
    assert llave("run", "classical", "--suite", "demo", *place.flags, "--limit", "2").code == 0
    assert "only the first queries (--limit 2)" in llave("validate", place.out).out
    verdict = validate(place.out, all_tasks())
    assert verdict.suite is not None
    assert verdict.suite.name == "demo"


def test_results_of_no_suite_are_checked_by_their_numbers(submission, place, llave):
    said = llave("validate", place.out)
    assert said.code == 0
    assert "Verified: 3 results, 32 queries. Every score follows from its rows. They are of no suite" in said.out


def test_results_of_several_suites_are_named(tmp_path):
    write(tmp_path, "GQA", "m", [1.0, 0.0])
    write(tmp_path, "demo-object", "m", [1.0, 0.0])
    with pytest.raises(UserError, match=r"several suites: .*demo \(1 dataset\)") as caught:
        validate(tmp_path, all_tasks())
    assert "--suite" in caught.value.hint


def test_a_folder_without_results_of_the_suite_is_never_verified(llave, place):
    assert llave("run", "classical", "--tasks", "demo-object", *place.flags, "--limit", "2").code == 0
    said = llave("validate", place.out, "--suite", "mmeb")
    assert (said.code, said.out) == (2, "")
    assert "holds no results of mmeb" in said.err
    assert "demo (1 dataset)" in said.err
