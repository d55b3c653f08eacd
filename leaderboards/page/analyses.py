"""The analyses that a page shows: those that were saved among its results, and the agreement of its models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from leaderboards.analysis.agreement import agreement, agreement_report
from leaderboards.analysis.report import AnalysisView, read_report, report_view
from leaderboards.board.board import Board
from leaderboards.load import analysis_files
from leaderboards.page.pairs import COMPARED

MISSED = 500
"""Most queries that all models get wrong which a page lists."""


class PageAnalysis(AnalysisView):
    """An analysis, and the name of the file that it is from; empty if it was made with the page."""

    origin: str


def analyses_of(board: Board, places: Sequence[Path]) -> tuple[list[PageAnalysis], list[str]]:
    """The analyses of a board and of the files in `places`, with a warning for each damaged file.

    Agreement is that of the first thirty measured models. There is none if they share no dataset.
    """
    found, warnings = _agreement(board), []
    for path in analysis_files(places):
        try:
            view = read_report(path)
        except UserError as error:
            warnings.append(f"{error.what} {error.hint}".rstrip())
            continue
        if view["analysis"] != "agree":  # which the page has from the results as they are now
            found.append({**view, "origin": path.name})
    return found, warnings


def _agreement(board: Board) -> list[PageAnalysis]:
    entries = [standing.entry for standing in board.standings()]
    measured = [
        entry
        for entry in entries
        if entry.records and all(each.outcomes is not None for each in entry.records.values())
    ][:COMPARED]
    try:
        report = agreement_report(agreement(measured), MISSED)
    except UserError:  # fewer than two models, or no dataset that all have
        return []
    return [{**report_view(report), "origin": ""}]
