"""`llave.board` and `llave.compare`: what results mean, from Python."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from harness.errors import UserError, counted
from harness.files.paths import RESULTS
from llave.api.results import EvalResults, short
from llave.words.answer import answering

if TYPE_CHECKING:
    import pandas as pd

    from leaderboards.board.board import Board
    from leaderboards.compare.compare import Comparison

Results: TypeAlias = str | Path | EvalResults
"""A result file, a folder of results, or what `evaluate` returned."""


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Models ranked by their results, with 95 % CIs and ranges of ranks."""

    board: Board = field(repr=False)
    """The board as the package `leaderboards` has it."""

    def frame(self) -> pd.DataFrame:
        """One row for each model, in the order of the board. Scores are fractions.

        Columns: rank, rank_best, rank_worst, group, model, kind, run, step. Then each mean of the suite and each
        dataset, with its `NAME_low` and `NAME_high`. Then facts, such as missing, tied_queries, size, source and costs.
        """
        return self.board.frame()

    def html(
        self,
        path: str | Path,
        *,
        queries: int = 0,
        images: str | Path | Sequence[str | Path] = (),
        beside: bool = False,
    ) -> Path:
        """Writes the board as one HTML page with plots, which opens without network. Returns its path.

        Args:
            path: the file to write.
            queries: number of the most telling queries of each dataset that the page shows.
            images: folders of the queries' pictures, if they were moved since the evaluation.
            beside: whether pictures are files in a folder beside the page, and larger, instead of within it.

        Pictures that are not found are counted in a warning.

        Raises:
            UserError: if the file cannot be written.
        """
        from leaderboards.page.analyses import analyses_of
        from leaderboards.page.page import write_page

        found, _ = analyses_of(self.board, ())
        folders = [Path(each) for each in ([images] if isinstance(images, str | Path) else images)]
        _warn(write_page(Path(path), self.board, queries=queries, images=folders, beside=beside, analyses=found))
        return Path(path)

    def __repr__(self) -> str:
        standings = self.board.standings()
        first = next((each.entry.label for each in standings if each.place and each.place.rank == 1), None)
        best = f", first {short(first)}" if first else ""
        return f"Leaderboard({counted(len(standings), 'model')} on {short(self.board.suite.name)}{best})"

    def _repr_html_(self) -> str:
        from leaderboards.board.tables import leaderboard_table
        from leaderboards.tables import html_table

        return html_table(leaderboard_table(self.board))


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """Model B against model A."""

    comparison: Comparison = field(repr=False)
    """The comparison as the package `leaderboards` has it."""

    @property
    def verdict(self) -> str:
        """The headline in a sentence: the difference of the means with its 95 % CI and p."""
        from leaderboards.compare.tables import verdict

        return verdict(self.comparison)

    def frame(self) -> pd.DataFrame:
        """One row for each mean, the headline first, then for each dataset. Fractions, B minus A.

        Columns: name, kind (mean, dataset), a, b, difference. Then its 95 % CIs: low and high (other queries of the
        same datasets), over_datasets_low and over_datasets_high (other datasets too). Then p, holm, wins, ties, losses
        and paired.
        """
        from leaderboards.compare.files import comparison_frame

        return comparison_frame(self.comparison)

    def __repr__(self) -> str:
        return " ".join(self.verdict.split())

    def _repr_html_(self) -> str:
        import html

        from leaderboards.compare.tables import difference_table
        from leaderboards.tables import html_table

        return f"<p>{html.escape(self.verdict)}</p>\n{html_table(difference_table(self.comparison))}"


def board(
    results: Results | Sequence[Results] | None = None,
    *,
    published: bool = False,
    suite: str | None = None,
    rank_by: str | None = None,
    mix: bool = False,
) -> Leaderboard:
    """Ranks models by their results.

    Args:
        results: files or folders of results or imported scores, or what `evaluate` returned. None: `runs/results`, or
            no results of your own with `published`.
        published: whether the rows that others have published stand beside them.
        suite: a group of tasks, such as `mmeb`; the smallest that has every task of the results if None.
        rank_by: a mean, such as `overall`, `IND` or `retrieval`, or a dataset.
        mix: whether results under another protocol or on other data are shown too, marked.

    Returns:
        The board. Files that cannot be used are named in a warning.

    Raises:
        UserError: if no result can be used, and for an unknown suite or mean.

    Example:
        >>> import llave
        >>> result = llave.evaluate(["classical", "null/random"], "demo-object", limit=5, progress=False)
        >>> len(llave.board(result).frame())
        2
    """
    from leaderboards.board.scope import make_board

    places = None if published and results is None else _paths(RESULTS if results is None else results)
    with answering():
        made, warned = make_board(places, published=published, suite=suite, rank_by=rank_by, mix=mix)
    _warn(warned)
    return Leaderboard(made)


def compare(a: Results, b: Results, *, results: str | Path = RESULTS, suite: str | None = None) -> ModelComparison:
    """Compares two models: by how much B is better than A, on which datasets, and whether that is significant.

    Args:
        a: a model's name, a checkpoint, a folder or file of results, a published model, or what `evaluate` returned.
        b: the same for the other model.
        results: where results of models and checkpoints are looked for.
        suite: a group of tasks, such as `mmeb`; the smallest that has every task of the results if None.

    Returns:
        The comparison. Files that cannot be used are named in a warning.

    Raises:
        UserError: for a model without results, for results of several models, and if the two have nothing in common.

    Example:
        >>> import llave
        >>> a, b = (llave.evaluate(name, "demo-color", progress=False) for name in ("null/random", "null/oracle"))
        >>> llave.compare(a, b).verdict.partition(":")[0]
        'null/oracle is significantly better than null/random'
    """
    from leaderboards.board.scope import sizes_of, suite_for
    from leaderboards.compare.compare import compare as compare_entries
    from leaderboards.compare.resolve import resolve_models

    given = [tuple(_paths(each)) if isinstance(each, EvalResults) else str(each) for each in (a, b)]
    with answering():
        found = resolve_models(given, Path(results))
        chosen = suite_for(suite, found.records)
    _warn(found.warnings)
    entries = found.of(chosen)
    if len(entries) != 2:
        names = ", ".join(each.label for each in entries)
        raise UserError(
            f"These are results of {counted(len(entries), 'model')}: {names}.", "Give results of one model each."
        )
    sizes = sizes_of(chosen) if any(each.published for each in entries) else {}
    return ModelComparison(compare_entries(entries[0], entries[1], chosen, sizes))


def _paths(given: Results | Sequence[Results]) -> list[Path]:
    """Files and folders of results. For an `EvalResults`, these are the files of its records."""
    if isinstance(given, EvalResults):
        return [each.path for each in given]
    if isinstance(given, str | Path):
        return [Path(given)]
    return [path for each in given for path in _paths(each)]


def _warn(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        warnings.warn(sentence, stacklevel=3)
