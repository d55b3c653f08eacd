"""The leaderboard as people and programs read it."""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from harness.errors import UserError
from harness.scoring.metrics import Score
from leaderboards.board.board import Board
from leaderboards.board.files import board_csv, board_json
from leaderboards.board.scope import every_published, rows_for, suite_for
from leaderboards.board.tables import leaderboard_table
from leaderboards.board.training_curve import training_curve
from leaderboards.exchange.files import Imported, write_imported
from leaderboards.latex import latex
from leaderboards.page.data import page_data
from leaderboards.published.rows import Citation, MeanMismatch, PublishedRow
from leaderboards.tables import Cell, Table, fitted, html_table, markdown
from llave.cli import board as command
from tasks.suites import Suite, find_suite
from tests.helpers.record_values import in_memory, write

SUITE = Suite("these", "2 tasks", ("A", "B"), (("OOD", ("B",)),))
HOSTILE = "=1+1|[x](y)<script>&_$%#{}~^\\\x1b[31m\u202e\n"


def _hits(right: int) -> list[float]:
    return [1.0] * right + [0.0] * (100 - right)


def _board(models: dict[str, int], *rows: PublishedRow, **fields: object) -> Board:
    records = [in_memory(task, model, _hits(right), **fields) for model, right in models.items() for task in "AB"]
    return Board.of_records(records, SUITE, rows)


def _column(table: Table, name: str) -> list[Cell]:
    return [row[table.columns.index(name)] for row in table.rows]


def _shown(table: Table, columns: int = 200) -> str:
    console = Console(file=io.StringIO(), width=columns)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class TestGrid:
    def test_figures_are_percent_with_intervals_and_the_best_are_marked(self):
        table = leaderboard_table(_board({"m": 90, "n": 50, "o": 10}))
        assert [(cell.text, cell.style) for cell in _column(table, "overall")] == [
            ("90.0", "best"),
            ("50.0", ""),
            ("10.0", ""),
        ]
        assert all(cell.extra.startswith("[") for cell in _column(table, "overall"))
        assert not any(cell.extra for cell in _column(leaderboard_table(_board({"m": 90}), intervals=False), "overall"))
        assert table.title == "2 tasks: hit@1 in percent; protocol strict"

    def test_columns_are_those_that_something_is_known_of_or_that_are_asked_for(self):
        board = _board({"m": 90})
        assert {"official", "size", "protocol", "missing", "A"}.isdisjoint(leaderboard_table(board).columns)
        assert {"A", "B"} <= set(leaderboard_table(board, datasets=True).columns)
        assert leaderboard_table(board, ["size", "B"]).columns == ("rank", "group", "model", "size", "B")
        with pytest.raises(UserError, match="Did you mean overall"):
            leaderboard_table(board, ["overal"])

    def test_what_the_public_rule_adds_is_shown_where_it_adds_something(self):
        board = Board.of_records([in_memory(task, "m", _hits(10), public=1.0) for task in "AB"], SUITE)
        table = leaderboard_table(board)
        assert [cell.text for cell in _column(table, "official")] == ["+90.0"]
        assert "where ties count as won" in " ".join(table.notes)

    def test_incomplete_rows_have_counts_for_means_and_say_what_they_lack(self):
        records = [in_memory("A", "m", _hits(9)), *(in_memory(task, "n", _hits(9)) for task in "AB")]
        table = leaderboard_table(Board.of_records(records, SUITE))
        assert [cell.text for cell in _column(table, "overall")] == ["9.0", "1 of 2"]
        assert [cell.text for cell in _column(table, "missing")] == ["", "B"]
        assert [cell.text for cell in _column(table, "rank")] == ["1", "~1"]

    def test_published_rows_and_the_marks_of_the_audit(self):
        row = PublishedRow(
            "paper", "self-reported", Citation("T2", "t"), "these", "hit@1", "v1", means={"overall": 0.666},
            size=7_060_000_000, marks=(MeanMismatch("overall", 0.666, 0.636, "a mean of means"),),
        )  # fmt: skip
        table = leaderboard_table(_board({"m": 50}, row))
        assert [cell.text for cell in _column(table, "model")] == ["paper (self-reported)", "m"]
        assert _column(table, "overall")[0].text == "66.6*"
        assert [cell.text for cell in _column(table, "size")] == ["7.1B", ""]
        assert "printed as 66.6, its parts give 63.6 (a mean of means)" in " ".join(table.notes)
        assert table.title.endswith("protocol strict; published rows official")

    def test_what_is_mixed_in_is_marked_and_never_the_best(self):
        records = [in_memory(task, "m", _hits(50)) for task in "AB"]
        records += [in_memory(task, "n", _hits(90), protocol="official") for task in "AB"]
        board = Board.of_records(records, SUITE, mix=True)
        table = leaderboard_table(board, datasets=True)
        for name in ("overall", "A"):
            assert [(cell.text, cell.style) for cell in _column(table, name)] == [("90.0‡", ""), ("50.0", "best")]
        assert "marked ‡" in " ".join(table.notes)
        (overall,) = (column for column in page_data(board)["columns"] if column["name"] == "overall")
        assert overall["texts"] == ["90.0‡", "50.0"]

    def test_recall_at_1_5_and_10_of_video_tasks(self):
        record = in_memory("MSVD_t2v", "m", _hits(40))
        metrics = {f"hit@{k}": Score(share, share, share) for k, share in ((1, 0.4), (5, 0.7), (10, 0.8))}
        made = replace(record, result=replace(record.result, metrics=metrics, strict=metrics, official=metrics))
        suite = find_suite("text-video")
        board = Board.of_records([made], suite, rows_for(suite, every_published()))
        table = leaderboard_table(board, [f"MSVD_t2v R@{k}" for k in (1, 5, 10)])
        shown = {row[2].text: [cell.text for cell in row[3:]] for row in table.rows}
        assert shown["m"] == ["40.0", "70.0", "80.0"]
        assert shown["LLaVE-7B (self-reported)"] == ["52.9", "80.1", "87.0"]

    def test_recalls_of_video_tasks_of_ones_own(self):
        made_of = {"source": "text-video folder", "revision": "local", "digest": "d" * 64}
        records = [in_memory("pets_t2v", "m", _hits(40), dataset=made_of), in_memory("cats_t2v", "m", _hits(40))]
        suite = suite_for(None, records)
        assert set(suite.recall_columns("pets_t2v")) == {f"pets_t2v R@{k}" for k in (1, 5, 10)}
        assert not suite.recall_columns("cats_t2v")

    def test_cost_is_summed_over_datasets(self):
        fields = {"cost": {"seconds": 1800.0, "items_embedded": 100, "items_per_second": 50.0, "processes": 2}}
        frame = _board({"m": 5}, environment={"device": "cuda"}, **fields).frame()
        assert (frame["seconds"][0], frame["items_per_second"][0], frame["gpu_hours"][0]) == (3600, 50, 2)

    def test_columns_without_room_go_and_are_named(self):
        table = leaderboard_table(_board({"model": 90}), datasets=True)
        less, _ = fitted(table, 60)
        assert set(less.columns) < set(table.columns)
        assert {"rank", "model", "overall"} <= set(less.columns)
        named = less.notes[-1].removeprefix("No room for ").partition(":")[0].split(", ")
        assert {*less.columns, *named} == set(table.columns)
        assert max(map(len, _shown(table, 60).splitlines())) <= 60
        assert fitted(table, 500)[0] == table

    def test_facts_go_before_means_and_the_group_before_them_too(self):
        table = leaderboard_table(_board({"model": 90}))
        seen = [set(fitted(table, most)[0].columns) for most in range(40, 140)]
        assert all(fewer <= more for fewer, more in pairwise(seen))
        assert any("OOD" in columns and "seconds" not in columns for columns in seen)
        assert all("OOD" in columns for columns in seen if "seconds" in columns or "group" in columns)

    def test_the_first_rows_and_how_many_there_are(self):
        board = _board({"m": 90, "n": 50, "o": 10})
        table = leaderboard_table(board, top=2)
        assert [cell.text for cell in _column(table, "model")] == ["m", "n"]
        assert table.notes[0] == "The first 2 of 3 rows (--top 2)."
        assert len(board_csv(board, top=2).splitlines()) == 3
        record = json.loads(board_json(board, top=2))
        assert (len(record["rows"]), record["notes"][0]) == (2, "The first 2 of 3 rows (--top 2).")
        assert leaderboard_table(board, top=3) == leaderboard_table(board)


class TestTable:
    """What every table has in common, whoever makes it."""

    TABLE = Table(
        "title",
        ("name", "score of model A", "more"),
        ((Cell("one", style="best"), Cell("1.0", "[0.5, 1.5]"), Cell("22")),),
        frozenset({"name"}),
        ("note",),
        ((Cell("mean"), Cell("9.0"), Cell("")),),
        keep=("name", "score of model A"),
        more="--json has all",
    )

    def test_a_foot_is_in_every_form(self):
        for text in (_shown(self.TABLE), markdown(self.TABLE), latex(self.TABLE), html_table(self.TABLE)):
            assert text.index("one") < text.index("mean")
        assert latex(self.TABLE).count(r"\midrule") == 2
        assert "<tfoot>" in html_table(self.TABLE)
        assert self.TABLE._repr_html_() == html_table(self.TABLE)

    def test_headers_are_folded_before_columns_are_left_out_and_numbers_never_are(self):
        for columns in range(25, 36):
            shown = _shown(self.TABLE, columns)
            assert "1.0 [0.5, 1.5]" in shown
            assert ("No room for more: --json has all." in " ".join(shown.split())) == (columns < 32)
            assert ("score of model A" in shown) == (27 <= columns < 32 or columns >= 34)
            assert max(map(len, shown.splitlines())) <= columns

    def test_rich_tables_are_made_in_one_place(self):
        root = Path(__file__).resolve().parents[3]
        found = {
            str(path.relative_to(root))
            for package in ("harness", "tasks", "leaderboards", "trainers", "llave")
            for path in (root / package).rglob("*.py")
            if "from rich.table" in path.read_text(encoding="utf-8")
        }
        assert found == {"leaderboards/tables.py"}


class TestForms:
    def test_hostile_names_do_no_harm(self):
        table = leaderboard_table(_board({HOSTILE: 50}))
        assert "\x1b" not in _shown(table)
        assert "\u202e" not in _shown(table)
        assert "<script" not in html_table(table)
        text = markdown(table)
        line = next(line for line in text.splitlines() if "1+1" in line)
        assert r"\|\[x\](y)\<script\>\&\_\$" in line
        assert line.replace("\\|", "").count("|") == len(table.columns) + 1
        paper = latex(table).replace(r"\allowbreak{}", "")
        assert r"\&\_\$\%\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}" in paper
        assert paper.replace(r"\textbackslash{}", "").count(" \\\\\n") == 2

    def test_latex_has_booktabs_and_marks_the_best(self):
        text = latex(leaderboard_table(_board({"m": 90, "n": 50})))
        for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\textbf{90.0}"):
            assert part in text

    def test_csv_reads_back_as_the_frame_and_is_no_formula(self):
        board = _board({HOSTILE: 50, "m": 90})
        rows = list(csv.DictReader(io.StringIO(board_csv(board))))
        assert [row["model"][:3] for row in rows] == ["m", "'=1"]
        assert not [name for name in rows[0] if not name.isidentifier()]
        assert [name for name in rows[0] if name != name.lower()] == [
            f"{name}{end}" for name in ("OOD", "A", "B") for end in ("", "_low", "_high")
        ]
        assert [float(row["overall"]) for row in rows] == [0.9, 0.5]
        assert [row["rank"] for row in rows] == ["1", "2"]

    def test_json_has_null_for_what_is_not_known(self):
        record = json.loads(board_json(_board({"m": 90})))
        assert (record["rows"][0]["rank"], record["rows"][0]["size"]) == (1, None)
        assert record["ranked_by"] == "overall"


class TestCurve:
    def test_checkpoints_are_in_the_order_of_steps_with_their_scores(self):
        models = {f"run/checkpoint-{step}": right for step, right in ((100, 80), (20, 40), (3, 10))}
        table = training_curve(_board({**models, "other": 99}))
        assert [row[1].text for row in table.rows] == ["3", "20", "100"]
        assert [row[2].text for row in table.rows] == ["10.0", "40.0", "80.0"]
        places = [row[3].text.index("●") for row in table.rows]
        assert places == sorted(places)
        assert table.notes == ("run: ▁▄█",)
        assert training_curve(_board(models), drawn=False).columns == ("run", "step", "overall")
        assert not any(row[2].extra for row in training_curve(_board(models), intervals=False).rows)

    def test_without_checkpoints_there_is_no_curve(self):
        with pytest.raises(UserError, match="checkpoint-STEP"):
            training_curve(_board({"m": 1}))


class TestCommand:
    def _run(self, *arguments: object) -> int:
        parser = argparse.ArgumentParser(allow_abbrev=False)
        command.add_arguments(parser)
        return command.run(parser.parse_args([str(each) for each in arguments]))

    def test_every_format_of_results_on_disk(self, tmp_path, capsys):
        for model, right in (("m", 90), ("x/checkpoint-2", 20)):
            for task in "AB":
                write(tmp_path, task, model, _hits(right))
        (tmp_path / "broken.json").write_text('{"format": 1')
        for form in command.FORMATS:
            assert self._run(tmp_path, "--format", form) == 0
            said = capsys.readouterr()
            assert ("0.9" if form in ("csv", "json") else "90.0") in said.out
            assert "warning" in said.err
            assert "broken.json" in said.err
        assert self._run(tmp_path, "--by", "step") == 0
        assert "●" in capsys.readouterr().out
        assert self._run(tmp_path, "--by", "step", "--format", "csv") == 0
        assert len(capsys.readouterr().out.splitlines()) == 2

    @pytest.mark.parametrize("form", command.FORMATS)
    def test_the_first_rows_in_every_format(self, form, capsys):
        assert self._run("--published", "--top", 2, "--format", form) == 0
        said = capsys.readouterr()
        assert "Ovis-VL-Embedding-9B" in said.out
        assert "Qwen3-VL-Embedding-8B" not in said.out
        assert "The first 2 of 140 rows (--top 2)." in (said.err if form == "csv" else said.out.replace("{}", ""))

    def test_intervals_are_a_choice_in_the_formats_that_have_one(self, tmp_path, capsys):
        write(tmp_path, "A", "m", _hits(50))
        for form, flag, shown in (
            *((form, "--intervals", True) for form in ("terminal", "markdown", "latex")),
            *((form, "--no-intervals", False) for form in ("terminal", "markdown", "latex")),
            *((form, "", form != "latex") for form in ("terminal", "markdown", "latex")),
        ):
            assert self._run(tmp_path, "--format", form, *([flag] if flag else [])) == 0
            assert bool(re.search(r", [56]\d\.\d\\?\]", capsys.readouterr().out)) == shown, (form, flag)
        for other in (["--format", "csv"], ["--html", tmp_path / "x.html"]):
            with pytest.raises(UserError, match="--intervals"):
                self._run(tmp_path, "--no-intervals", *other)
        for other in (["--by", "step"], ["--html", tmp_path / "x.html"]):
            with pytest.raises(UserError, match="--top"):
                self._run(tmp_path, "--top", 1, *other)

    def test_only_published_rows(self, capsys):
        assert self._run("--published", "--columns", "overall", "--format", "markdown") == 0
        assert "LLaVE-7B" in capsys.readouterr().out

    def test_imported_scores_are_beside_results_and_are_marked(self, tmp_path, capsys):
        image = {task: {"hit@1": 0.25} for task in find_suite("mmeb-grounding").tasks}
        for model, scores in (("theirs", image), ("elsewhere", {"GQA": {"hit@1": 0.5}})):
            content = {"metadata": {"model_name": model}, "metrics": {"image": scores}}
            write_imported(tmp_path / "imported", Imported("mmeb", ("x.json",), content))
        for task in image:
            write(tmp_path, task, "ours", _hits(90))
        assert self._run(tmp_path, "--format", "markdown") == 0
        said = capsys.readouterr()
        rows = [line.split("|")[3:5] for line in said.out.splitlines() if line.startswith("|")][2:]
        assert [(name.strip(), value.split()[0].strip("_*")) for name, value in rows] == [
            ("ours", "90.0"),
            ("theirs (imported)", "25.0"),
        ]
        assert "imported rows official" in said.out
        assert "have no dataset of mmeb-grounding, so they are not shown: elsewhere." in said.err
        assert self._run(tmp_path / "imported", "--format", "json", "--suite", "mmeb-grounding") == 0
        (row,) = json.loads(capsys.readouterr().out)["rows"]
        assert (row["kind"], row["overall"]) == ("imported", 0.25)
        assert self._run(tmp_path, "--html", tmp_path / "new.html") == 0
        assert '"kind":"imported"' in (tmp_path / "new.html").read_text()

    def test_the_headline_of_the_paper_follows_from_its_rows(self, capsys):
        assert self._run("--published", "--columns", "overall", "--format", "markdown") == 0
        assert "LLaVE-7B has 70.3, 6.2 points above the best earlier 7B row" in capsys.readouterr().out

    def test_what_is_not_there(self, tmp_path):
        with pytest.raises(UserError, match="holds no results"):
            self._run(tmp_path)
        write(tmp_path, "A", "m", [1, 0])
        with pytest.raises(UserError, match="There is no mean or dataset named 'overal'"):
            self._run(tmp_path, "--rank-by", "overal")
