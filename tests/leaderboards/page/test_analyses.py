"""Analyses on the page: found among results whatever they hold, and shown as text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from leaderboards.analysis.agreement import agreement
from leaderboards.analysis.report import read_report, report_json, report_view
from leaderboards.board.board import Board
from leaderboards.load import load
from leaderboards.page.analyses import analyses_of
from leaderboards.page.data import page_data
from leaderboards.page.page import write_page
from tests.helpers.browser import Page
from tests.helpers.json_faults import MISSING, VALUES
from tests.helpers.page_values import HOSTILE, PLAIN, page_board, saved_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def board(folder) -> Board:
    return page_board(folder)


def test_a_saved_analysis_is_found_again_whole(tmp_path):
    report = saved_report(HOSTILE)
    (tmp_path / "mine.json").write_text(report_json(report))
    assert read_report(tmp_path / "mine.json") == report_view(report)


def test_the_page_has_what_lies_among_its_results_and_no_command_takes_it_for_a_result(board, folder):
    (folder / "curves.json").write_text(report_json(saved_report()))
    (folder / "agree.json").write_text(report_json(replace(saved_report(), analysis="agree")))
    (folder / "broken.json").write_text(report_json(saved_report())[:-40])
    found, warnings = analyses_of(board, [folder])
    assert [(each["analysis"], each["origin"]) for each in found] == [("agree", ""), ("curves", "curves.json")]
    assert ["broken.json" in each for each in warnings] == [True]
    assert load([folder]).warnings == ()
    assert len(analyses_of(board, [folder / "curves.json"])[0]) == 2


def test_the_list_of_the_page_has_every_query_that_all_models_get_wrong(board):
    found, _ = analyses_of(board, ())
    listed = [(row[0][0], row[1][0]) for row in found[0]["tables"][1]["rows"]]
    missed = agreement([each.entry for each in board.standings() if each.entry.records]).missed
    assert sorted(listed) == sorted((each.task, each.query) for each in missed)
    assert listed


def test_one_model_has_no_agreement(board):
    alone = replace(board, entries=tuple(entry for entry in board.entries if entry.label == PLAIN))
    assert analyses_of(alone, ()) == ([], [])
    assert page_data(alone)["analyses"] == []


def test_whatever_is_wrong_in_a_file_is_said(board, tmp_path):
    """Each value of the file, down to the cells, replaced by each of many that may be wrong."""
    whole = json.loads(report_json(saved_report()))
    path = tmp_path / "curves.json"
    table, line = whole["tables"][0], whole["plot"][0]
    parents = [(whole, key) for key in whole if key != "figures"]
    parents += [(part, key) for part in (table, line, whole["axes"]) for key in part]
    parents += [(table["rows"], 0), (table["rows"][0], 1), (table["rows"][0][1], 0), (line["points"], 0)]
    for parent, key in parents:
        kept = parent[key]
        for name, value in VALUES.items():
            if name == MISSING and isinstance(parent, dict):
                del parent[key]
            elif name != MISSING:
                parent[key] = value
            path.write_text(json.dumps(whole))
            found, warnings = analyses_of(replace(board, entries=()), [path])
            assert len(found) + len(warnings) <= 1
            for each in found:  # what is of the right type is shown
                assert set(each) == {"analysis", "sentences", "tables", "plot", "axes", "origin"}
                assert all(len(row) == len(table["columns"]) for table in each["tables"] for row in table["rows"])
            parent[key] = kept


def test_a_newer_file_is_said(board, tmp_path):
    newer = json.loads(report_json(saved_report())) | {"llave_analysis": 99}
    (tmp_path / "curves.json").write_text(json.dumps(newer))
    assert "newer version" in analyses_of(board, [tmp_path])[1][0]


def test_a_browser_shows_it_as_text(driver, board, tmp_path):
    analyses = [*analyses_of(board, ())[0], {**report_view(saved_report(HOSTILE)), "origin": HOSTILE}]
    write_page(tmp_path / "board.html", board, queries=10, analyses=analyses)
    driver.get_log("browser")
    driver.get((tmp_path / "board.html").as_uri())
    page = Page(driver)
    assert page.texts("nav a")[-3:] == ["Agreement", "Curves", "Notes"]
    assert page.find("#analysis-1 td:nth-child(3) .best").text == " ".join(
        f"-1.0{HOSTILE}".replace("\u2028", "\\u2028").split()
    )
    assert page.run("return document.querySelectorAll('#analysis-1 .line:not([d*=\"H\"])').length") == 2
    assert page.run("return [window.pwned ?? null, document.images.length ? 1 : 0]")[0] is None
    number = page.texts("#analysis-0 .link")[0]
    page.click("#analysis-0 .link", number)
    assert page.texts(".turn[aria-expanded=true] .id") == [f"query {number}"]
    assert driver.get_log("browser") == []
