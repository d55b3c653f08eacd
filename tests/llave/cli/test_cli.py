"""The command line as a person meets it: flags, messages, exit codes, tables and progress."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.encoding.store_file import FORMAT
from harness.results.verified import read_result
from harness.scoring.metrics import Score
from llave.cli import run as command
from llave.cli.main import build_parser
from tests.helpers.mmeb_files import columns, table, write_subset
from tests.helpers.result_values import result

ROOT = Path(__file__).resolve().parents[3]
HASHED = "tests.helpers.embedders:Hashed"

SAID = {"-q", "--quiet", "-v", "--verbose"}
TASKS = {"-s", "--suite", "-t", "--tasks", "-d", "--data", "--images", "--columns", "--allow-root"}
MODEL = {"--device", "--dtype", "--seed", "--model-option", "--trust-remote-code"}
ENGINE = {"--store", "--budget", "--workers"}
COMMANDS = {
    "": {"--version"},
    "run": {
        *("--dry-run", "--patience", "--rerank", "--top"),
        *("MODEL", "-o", "--out", "--limit", "--protocol", "--on-bad-media", "--json", "--config"),
        *(*TASKS, *MODEL, *ENGINE),
    },
    "board": {
        *("RESULTS", "--published", "-s", "--suite", "--rank-by", "--columns", "--datasets", "--by", "--mix"),
        *(
            "-f",
            "--format",
            "--html",
            "--html-queries",
            "--html-pictures",
            "--images",
            "--top",
            "--intervals",
            "--no-intervals",
        ),
    },
    "serve": {"RESULTS", "--published", "-s", "--suite", "--rank-by", "--mix", "--images", "--port", "--host"},
    "compare": {
        *("MODEL", "--results", "-s", "--suite", "--queries", "--images", "--fail-on-regression", "-f", "--format"),
    },
    "diagnose": {"MODEL", "--recipe", "--pairs", "--alpha", "--plot", "--json", *TASKS, *MODEL, *ENGINE},
    "curves": {
        *("RESULT", "--widths", "--plot", "-f", "--format", "-d", "--data", "--images", "--columns", "--allow-root"),
        *("--store", "--save"),
    },
    "sensitivity": {
        *("MODEL", "--limit", "--switch", "-o", "--out", "-f", "--format", "--save", *TASKS, *MODEL, *ENGINE),
    },
    "contamination": {
        *("--train", "--train-images", "--limit", "--exact", "--results", "--most", "--workers", "-f", "--format"),
        *(*TASKS, "--save"),
    },
    "agree": {"MODEL", "--results", "--queries", "-f", "--format", "--save"},
    "power": {"--baseline", "--difference", "--power", "--against", "--runs", "-f", "--format", "--save"},
    "seeds": {"A", "B", "--plot", "-f", "--format", "--save"},
    "train": {
        "RECIPE",
        "--allow-root",
        "-d",
        "--data",
        "--images",
        "-o",
        "--out",
        "--set",
        "--seeds",
        "--resume",
        "--dry-run",
        "--patience",
    },
    "mine": {
        *("MODEL", "-d", "--data", "--images", "--dataset", "-o", "--output", "--allow-root"),
        *("--negatives", "--margin", "--group", *MODEL, *ENGINE),
    },
    "export": {
        *("RESULTS", "-f", "--format", "-o", "--output", "--model", "--protocol", "-s", "--suite", "--meta"),
    },
    "import": {"FILE", "-o", "--out", "--model"},
    "bundle": {
        *("RESULTS", "-o", "--output", "--pictures", "--images", "--vectors", "--store"),
        *("-d", "--data", "--columns", "--allow-root"),
    },
    "push": {"RESULTS", "--repo", "--open", "--model", "--protocol", "--meta"},
    "validate": {"DIR", "-s", "--suite", "--most"},
    "doctor": {"MODEL", "--against", "--keep", "--known-answers", "--json", *MODEL},
    "embed": {
        "MODEL",
        "ITEMS.JSONL",
        "-o",
        "--output",
        "--root",
        "--on-bad-media",
        "--allow-root",
        "--patience",
        *MODEL,
        *ENGINE,
    },
    "tasks": {"TASK", "-s", "--suite", "--meta-task", "--split", "--modality", "--json"},
    "suites": {"--json"},
    "models": {"--json"},
    "store": {"ACTION", "MODEL", "--store", "--dry-run", "--json"},
    "show": {"RESULT", "--worst"},
    "completion": {"SHELL"},
    "help": {"TOPIC"},
}
"""Every command and flag there is, without those of messages. What is not in here is not there; what is in here stays.

A short flag means the same in every command.
"""


def test_commands_and_flags_are_frozen():
    whole = build_parser()
    found = {}
    for name, parser in {"": whole, **whole.commands}.items():
        own = [each for each in parser.actions() if each.dest != "command"]
        found[name] = {flag for each in own for flag in each.option_strings or [(each.metavar or each.dest).upper()]}
    assert found == {name: flags | (SAID if name else set()) for name, flags in COMMANDS.items()}


def _child(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "llave", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


class TestWrongNames:
    @pytest.mark.parametrize(
        ("line", "said"),
        [
            (
                ("run", "classicl", "--suite", "demo"),
                ("There is no model named 'classicl'.", "Did you mean classical?"),
            ),
            (("run", "classical", "--tasks", "MSCOC"), ("There is no task named 'MSCOC'.", "Did you mean MSCOCO")),
            (("run", "classical", "--suite", "mmebb"), ("There is no suite named 'mmebb'.", "Did you mean mmeb")),
            (("run", "classical"), ("There is nothing to run.", "--suite or --tasks")),
            (("run", "classical", "--tasks", " , "), ("There is nothing to run.",)),
            (("run", "classical", "--tasks", "all"), ("`all` means every subset of a folder.", "--data")),
            (("run", "tests.helpers.embedders:Hashd", "--suite", "demo"), ("'Hashd'", "Did you mean Hashed")),
            (("run", "no_such_module:Model", "--suite", "demo"), ("There is no module 'no_such_module'",)),
            (("run", "sentence-transformers/./nowhere", "--suite", "demo"), ("There is no folder './nowhere'.",)),
            (("run", "classical", "--data", "nowhere"), ("nowhere does not exist.", "--data")),
            (("run", "classical", "--data", "README.md"), ("neither a folder nor a table or JSON Lines",)),
            (("run", "classical", "--suite", "demo", "--device", "cuda"), ("runs in cpu only",)),
            (
                ("run", "classical", "--suite", "demo", "--trust-remote-code"),
                ("--trust-remote-code means nothing to classical", "Leave it out."),
            ),
            (("run", "classical", "--suite", "demo", "--protocol", "lax"), ("--protocol", "strict", "official")),
            (("run", "classical", "--suite", "demo", "--limit", "0"), ("--limit", "not a whole number from 1")),
            (("run", "classical", "--suite", "demo", "--budget", "x"), ("--budget", "not a whole number")),
            (
                ("run", "classical", "--suite", "demo", "--limi", "3"),
                ("unrecognized arguments: --limi", "Did you mean --limit?", "llave run --help"),
            ),
            (("run", "--suite", "demo"), ("required: MODEL",)),
            (("walk",), ("There is no command named 'walk'.", "`llave help`")),
            (("compar",), ("There is no command named 'compar'.", "Did you mean compare?")),
            (("help", "walk"), ("There is no command named 'walk'.", "`llave help`")),
            (("tasks", "MSCOC"), ("There is no task named 'MSCOC'.", "MSCOCO")),
            (("tasks", "--suite", "demoo"), ("There is no suite named 'demoo'.", "Did you mean demo?")),
            (("tasks", "--meta-task", "vqaa"), ("There is no meta-task named 'vqaa'.", "Did you mean vqa?")),
            (("tasks", "--modality", "sound"), ("There is no modality named 'sound'.", "image+text")),
            (("show", "nowhere.json"), ("nowhere.json does not exist.", "OUT/<model>/<revision>/<task>.json")),
            (("show", "docs"), ("docs holds no results.", "OUT/<model>/<revision>/<task>.json")),
            (("show", "llave-2b"), ("llave-2b is a model, not results.", "`llave run llave-2b --suite SUITE`")),
            (("show", "pyproject.toml"), ("pyproject.toml is not valid JSON", "Name a .json file")),
            (("show",), ("required: RESULT",)),
        ],
        ids=lambda value: " ".join(value) if value and value[0] in COMMANDS else "",
    )
    def test_what_is_wrong_and_what_to_do(self, llave, monkeypatch, line, said):
        monkeypatch.chdir(ROOT)
        done = llave(*line)
        assert (done.code, done.out) == (2, "")
        for part in said:
            assert part in done.err


class TestBadData:
    def test_everything_wrong_is_listed_before_anything_is_embedded(self, llave, tiny, place):
        (tiny.images / "shapes/01.png").write_bytes(b"")
        (tiny.images / "shapes/02.png").write_bytes((tiny.images / "shapes/03.png").read_bytes()[:60])
        (tiny.images / "shapes/04.png").unlink()
        done = llave("run", HASHED, "null/nan", "--data", tiny.data, *place.flags)
        assert (done.code, done.out) == (2, "")
        for task in ("Colour", "Find", "Match"):
            assert re.search(rf"{task}: 3 \D+ cannot be used\.", done.err)
        for said in ("01.png is empty", "02.png is damaged", "04.png does not exist", "--on-bad-media count-as-wrong"):
            assert said in done.err
        assert done.err.count("--on-bad-media count-as-wrong") == 1
        assert not place.folder.exists()

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda rows: {key: rows[key] for key in rows if key != "tgt_text"}, "lacks tgt_text"),
            (lambda rows: {**rows, "extra": ["x"] * 12}, "has extra, which no layout has"),
            (lambda rows: {**rows, "tgt_text": [["a"]] * 12}, "row 0"),
            (lambda rows: {**rows, "tgt_text": [[]] * 12, "tgt_img_path": [[]] * 12}, "empty"),
            (lambda rows: {key: [] for key in rows}, "has no rows"),
            (lambda rows: {**rows, "qry_text": [None, *rows["qry_text"][1:]]}, "qry_text"),
        ],
        ids=["column missing", "column too many", "lists differ", "no candidates", "no rows", "null"],
    )
    def test_wrong_files_are_named(self, llave, tiny, place, change, said):
        write_subset(tiny.data, "Find", table(change(columns(tiny.rows["Find"]))))
        done = llave("run", HASHED, "--data", tiny.data, *place.flags)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
        assert "Find" in done.err
        assert not place.store.exists()

    def test_a_registered_name_with_other_rows_is_refused_unless_all_is_asked_for(self, llave, tiny, place):
        (tiny.data / "Find").rename(tiny.data / "GQA")
        done = llave("run", HASHED, "--data", tiny.data, "--tasks", "GQA", *place.flags)
        assert done.code == 2
        assert "has 12 rows, but GQA has 1000" in done.err
        assert llave("run", HASHED, "--data", tiny.data, "--tasks", "all", *place.flags).code == 0
        assert place.result("GQA").meta_task is None

    def test_close_names_of_a_folder_are_offered_and_spaces_do_not_matter(self, llave, tiny, place):
        done = llave("run", HASHED, "--data", tiny.data, "--tasks", "Finde", *place.flags)
        assert done.code == 2
        assert "Did you mean Find" in done.err
        assert llave("run", HASHED, "--data", tiny.data, "--tasks", " Find , Match,", *place.flags).code == 0

    def test_a_suites_means_count_no_other_task(self, llave, tiny, place):
        write_subset(tiny.data, "GQA", columns([tiny.rows["Colour"][0]] * 1000))
        line = ("run", "null/constant", "--data", tiny.data, "--limit", 3, "--json", *place.flags)
        alone = json.loads(llave(*line, "--suite", "mmeb-vqa").out)
        done = llave(*line, "--suite", "mmeb-vqa", "--tasks", "GQA@global", "GQA")
        more = json.loads(done.out)
        assert [each["task"] for each in more["results"]] == ["GQA@global", "GQA"]
        assert more["means"] == alone["means"]
        assert "suite mmeb-vqa, narrowed to 2 of 10 tasks" in done.err
        done = llave(*line, "--suite", "mmeb-vqa", "--tasks", "Match")
        assert (done.code, done.out) == (2, "")
        assert "Match is not in suite mmeb-vqa." in done.err

    def test_a_suite_of_which_some_is_there_has_incomplete_means_that_say_so(self, llave, tiny, place):
        write_subset(tiny.data, "GQA", columns([tiny.rows["Colour"][0]] * 1000))
        done = llave("run", "null/constant", "--data", tiny.data, "--suite", "mmeb-vqa", "--limit", "3", *place.flags)
        assert done.code == 0
        assert "incomplete: 1 of 10" in done.out
        assert "Missing for null/constant: OK-VQA, A-OKVQA, DocVQA" in done.out
        assert "--limit: only the first queries" in done.out


class TestPlaces:
    def test_an_out_that_is_a_file_is_refused_before_anything_is_embedded(self, llave, tiny, tmp_path):
        (tmp_path / "file").touch()
        for out in (tmp_path / "file", tmp_path / "file" / "below"):
            done = llave("run", HASHED, "--data", tiny.data, "--out", out, "--store", tmp_path / "s")
            assert (done.code, done.out) == (2, "")
            assert "a file of that name is in the way" in done.err
            assert not (tmp_path / "s").exists()

    def test_a_store_that_is_a_file_is_refused_before_the_model_is_loaded(self, llave, tiny, tmp_path, monkeypatch):
        monkeypatch.setenv("EMBEDDER_FORBIDDEN", "1")
        (tmp_path / "file").touch()
        done = llave("run", HASHED, "--data", tiny.data, "--out", tmp_path / "o", "--store", tmp_path / "file")
        assert done.code == 2
        assert "a file of that name is in the way" in done.err

    def test_a_store_of_a_newer_version_is_left_alone(self, llave, tiny, place):
        asked = ("run", HASHED, "--data", tiny.data, *place.flags)
        assert llave(*asked, "--tasks", "Find").code == 0
        (database,) = place.store.rglob("*.db")
        with sqlite3.connect(database) as connection:
            (mark,) = connection.execute("PRAGMA application_id").fetchone()
            connection.execute(f"PRAGMA application_id = {mark - FORMAT + 99}")
            connection.execute("PRAGMA user_version = 99")
        done = llave(*asked)
        assert done.code == 2
        assert "was written by a newer version of llave-bench" in done.err
        assert "another --store" in done.err

    def test_results_and_store_on_another_disk(self, llave, tiny):
        place = Path("/dev/shm")
        if not os.access(place, os.W_OK) or place.stat().st_dev == tiny.data.stat().st_dev:
            pytest.skip("there is no other disk")
        folder = place / f"llave-test-{os.getpid()}"
        try:
            flags = ("--data", tiny.data, "--out", folder / "out", "--store", folder / "store")
            assert llave("run", HASHED, *flags).code == 0
            assert "3 results skipped because finished" in llave("run", HASHED, *flags).err
        finally:
            subprocess.run(["rm", "-r", str(folder)], check=True)


class TestShow:
    def test_a_result_and_its_worst_queries(self, llave, tiny, place):
        llave("run", HASHED, "--data", tiny.data, *place.flags)
        done = llave("show", place.path("Find"), "--worst", "3")
        assert (done.code, done.err) == (0, "")
        assert "hashed on Find" in done.out
        assert "The 3 worst queries" in done.out
        worst = max(place.rows("Find"), key=lambda row: row["worst_rank"])
        assert f"{worst['worst_rank'][0]} of 5" in done.out
        assert worst["content"]["text"].strip() in done.out
        assert worst["positives"][0]["media"][0] in done.out
        for name in place.result("Find").metrics:
            assert name in done.out

    @pytest.mark.parametrize(
        ("damage", "said"),
        [
            (lambda text: text[: len(text) // 2], "is not valid JSON"),
            (lambda text: text.replace('"format": 1', '"format": 2'), "newer version"),
            (lambda text: text.replace('"task": "Find"', '"job": "Find"'), "lacks task"),
            (lambda text: text.replace('"num_queries": 12', '"num_queries": "12"'), "damaged: num_queries"),
            (lambda text: re.sub(r'"value": [\d.]+', '"value": 0.123', text, count=1), "damaged: its metrics"),
            (lambda text: re.sub(r'"sha256": "\w', '"sha256": "x', text), "one of the two was changed"),
            (lambda text: "{}", "has no format number"),
        ],
        ids=["cut", "newer", "field gone", "wrong kind", "value edited", "rows edited", "empty"],
    )
    def test_a_file_that_was_harmed_is_named(self, llave, tiny, place, damage, said):
        llave("run", HASHED, "--data", tiny.data, *place.flags)
        path = place.path("Find")
        path.write_text(damage(path.read_text()))
        done = llave("show", path)
        assert done.code == 2
        assert said in done.err
        assert "Find" in done.err


class TestOutput:
    def test_json_holds_the_records_and_nothing_else(self, llave, tiny, place):
        done = llave("run", HASHED, "null/constant", "--data", tiny.data, "--json", *place.flags)
        found = json.loads(done.out)
        assert [(each["model"]["name"], each["task"]) for each in found["results"]] == [
            (model, task) for model in ("hashed", "null/constant") for task in ("Colour", "Find", "Match")
        ]
        assert found["results"][1] == json.loads(place.path("Find").read_text())
        overall = found["means"]["hashed"][0]
        values = [place.result(task).main.value for task in ("Colour", "Find", "Match")]
        assert (overall["name"], overall["missing"]) == ("overall", [])
        assert overall["value"] == pytest.approx(sum(values) / 3)

    def test_what_a_model_prints_is_a_message(self, llave, tiny, place):
        talkative = "tests.helpers.embedders:Talkative"
        done = llave("run", talkative, "--data", tiny.data, "--tasks", "Find", "--json", "--workers", 2, *place.flags)
        assert len(json.loads(done.out)["results"]) == 1
        assert {"loading weights", "preparing", "embedding"} <= {*done.err.splitlines()}
        assert json.loads(llave("doctor", talkative, "--json").out)["findings"]

    def test_lists_as_json(self, llave):
        tasks = json.loads(llave("tasks", "--suite", "mmeb", "--json").out)
        assert len(tasks) == 36
        ood = json.loads(llave("tasks", "--suite", "mmeb", "--split", "OOD", "--meta-task", "vqa", "--json").out)
        assert ood == [each for each in tasks if (each["split"], each["meta_task"]) == ("OOD", "vqa")]
        assert json.loads(llave("tasks", "GQA", "--json").out) == [each for each in tasks if each["name"] == "GQA"]
        assert [each["name"] for each in json.loads(llave("tasks", "GQA,MSCOCO", "--json").out)] == ["GQA", "MSCOCO"]
        assert "classical" in {each["name"] for each in json.loads(llave("models", "--json").out)}

    def test_away_from_a_terminal_progress_is_lines_and_the_table_is_alone(self, tiny, place):
        child = _child("run", HASHED, "null/random", "--data", tiny.data, *place.flags)
        out, err = child.communicate(timeout=60)
        assert child.returncode == 0
        assert "\x1b" not in out + err
        assert "\r" not in err
        assert out.startswith("3 tasks: hit@1 in percent, protocol strict")
        assert "loading hashed\n" in err
        assert f"Results: {place.out}\n" in err
        assert "hashed: not above chance on " in err
        assert len(err.splitlines()) == 6, "for each model when it loads and is done, a warning, and where it is"
        for line in out.splitlines():
            assert len(line.rstrip()) < 160
        assert all(name not in out for name in ("meta-task", "loading")), "nobody has a meta-task here"

    @pytest.mark.parametrize(("value", "low", "high", "said"), [(0, 0, 0, 1), (0.2, 0.1, 0.3, 1), (0.5, 0.3, 0.7, 0)])
    def test_a_score_that_is_not_above_chance_is_said_below_it_too(self, value, low, high, said):
        scores = {"hit@1": Score(value, low, high)}
        warnings = list(command._warnings("m", [result("T", metrics=scores, strict=scores)]))
        assert ["not above chance on 1 of 1 task (T)" in warning for warning in warnings] == [True] * said

    def test_in_a_terminal_a_bar_names_the_task_at_hand(self, tiny, place):
        command = [sys.executable, "-m", "llave", "run", HASHED, "--data", str(tiny.data), "--budget", "256"]
        shown = _in_terminal([*command, *place.flags], EMBEDDER_SECONDS="0.02")
        assert "hashed, Find (2 of 3)" in shown
        assert "items/s" in shown
        assert re.search(r"\d+/24", shown)
        assert "3 tasks: hit@1 in percent" in shown

    def test_a_narrow_terminal_drops_the_intervals_rather_than_breaking_cells(self, llave, tiny, place, monkeypatch):
        asked = ("run", HASHED, "null/random", "null/constant", "--data", tiny.data, *place.flags)
        assert "95 % CI" in llave(*asked).out
        monkeypatch.setenv("COLUMNS", "60")
        narrow = llave(*asked).out
        assert "95 % CI" not in narrow
        assert max(map(len, narrow.splitlines())) <= 60
        assert sum(line.startswith("│ Find ") for line in narrow.splitlines()) == 1

    def test_an_old_encoding_costs_characters_not_the_table(self, tiny, place):
        child = _child("run", "null/constant", "--data", tiny.data, *place.flags, PYTHONIOENCODING="ascii")
        out, err = child.communicate(timeout=60)
        assert (child.returncode, "Traceback" in err) == (0, False)
        assert "Colour" in out

    def test_a_reader_that_goes_away_is_no_error(self):
        child = _child("tasks", "--json")
        assert child.stdout is not None
        child.stdout.read(10)
        child.stdout.close()
        assert child.stderr is not None
        assert child.stderr.read() == ""
        assert child.wait(timeout=60) == 0


class TestStopping:
    def test_ctrl_c_keeps_what_is_done(self, llave, tiny, place, log):
        asked = ("run", "tests.helpers.embedders:Interrupted", "--data", tiny.data, "--budget", "256", *place.flags)
        done = llave(*asked)
        assert done.code == 130
        assert "Finished work is kept" in done.err
        assert len(log()) == 1
        first = log()[0]
        llave(*asked)
        again, new = log()[1:3]
        assert len(again) == 1, "a run embeds one stored item again, to see that the model is still the same"
        assert set(again) < set(first)
        assert not set(first) & set(new)

    def test_a_real_interrupt_in_the_middle(self, tiny, place, tmp_path):
        log = tmp_path / "log"
        flags = ("--data", tiny.data, "--budget", "64", *place.flags)
        child = _child("run", HASHED, *flags, EMBEDDER_SECONDS="0.2", EMBEDDER_LOG=str(log))
        for _ in range(300):
            if log.exists():
                break
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
        assert child.returncode == 130
        assert err.rstrip().endswith("Stopped. Finished work is kept: the same command continues from here.")
        assert "Traceback" not in err


def test_a_task_with_an_unknown_metric_is_refused_before_anything_is_embedded(llave, tiny, place, monkeypatch):
    from tasks.mmeb import local as sources

    real = sources._local_task
    monkeypatch.setattr(sources, "_local_task", lambda *given: replace(real(*given), metrics=("hit@1", "ndgc@10")))
    done = llave("run", HASHED, "--data", tiny.data, *place.flags)
    assert done.code == 2
    assert "There is no metric named 'ndgc@10'." in done.err
    assert "Did you mean ndcg@10" in done.err
    assert not place.store.exists()


def test_records_of_a_run_can_be_shown(llave, tiny, place):
    llave("run", HASHED, "--data", tiny.data, *place.flags)
    for path in place.out.rglob("*.json"):
        assert read_result(path).result.status == "done"
        assert llave("show", path, "--worst", "0").code == 0


def _in_terminal(command: list[str], **environment: str) -> str:
    """What a command shows on a terminal of 100 columns."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        command,
        stdin=child,
        stdout=child,
        stderr=child,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **environment},
    )
    os.close(child)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([parent], [], [], 1)[0]:
            continue
        try:
            data = os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
        shown += data
    os.close(parent)
    assert process.wait(timeout=10) == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
