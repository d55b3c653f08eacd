"""A leaderboard: results and published rows of models on the tasks of a suite, with means, intervals and ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.results.result import Result
from harness.results.verified import Record
from leaderboards.board.entries import Entry, comparable, measured, printed, total
from leaderboards.board.standings import Standing, rank_entries
from leaderboards.published.rows import PublishedRow
from tasks.suites import Mean, Suite, aggregate

if TYPE_CHECKING:
    import pandas as pd


_COLUMNS = {"items/s": "items_per_second", "GPU-hours": "gpu_hours", "trained on": "trained_on"}
"""Facts whose names in tables are no names of columns in a file."""


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """A leaderboard of models, with the suite that defines its means."""

    entries: tuple[Entry, ...]
    suite: Suite
    rank_by: str = "overall"
    """The mean of the suite, or the task, that decides the ranks."""
    sizes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """The number of queries of each whole task, for rows without per-query scores."""
    mixed: frozenset[str] = frozenset()
    """Identities of the results that are not comparable with the rest."""
    notes: tuple[str, ...] = ()

    @staticmethod
    def of(results: Sequence[Result], suite: Suite) -> Board:
        """A board of results that belong together, such as those of one run."""
        distinct = {result.identity: result for result in results}.values()
        return Board(tuple(measured([Record(result, Path(), None) for result in distinct])), suite)

    @staticmethod
    def of_records(
        records: Sequence[Record],
        suite: Suite,
        published: Sequence[PublishedRow] = (),
        *,
        sizes: Mapping[str, int] = MappingProxyType({}),
        rank_by: str = "overall",
        mix: bool = False,
    ) -> Board:
        """A board of results from any runs. Those that are not comparable are left out, or marked with `mix`."""
        chosen = comparable(records, mix=mix)
        own = measured(chosen.records)
        rows = printed(published, [entry.label for entry in own])
        known = {record.result.task: record.result.num_queries for record in chosen.records}
        return Board((*own, *rows), suite, rank_by, {**known, **sizes}, chosen.mixed, chosen.notes)

    def is_mixed(self, entry: Entry) -> bool:
        """Whether a result of the entry, and so its means, are not comparable with the rest."""
        return any(result.identity in self.mixed for result in entry.results.values())

    @property
    def columns(self) -> Mapping[str, Mapping[str, Result]]:
        """The measured results by label, then by task, both in the order of the results."""
        return {entry.label: entry.results for entry in self.entries if entry.records}

    @property
    def results(self) -> tuple[Result, ...]:
        """All measured results."""
        return tuple(result for column in self.columns.values() for result in column.values())

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of all entries: those of the suite in its order, then others."""
        there = dict.fromkeys(task for entry in self.entries for task in (*entry.scores, *entry.records))
        return (*(task for task in self.suite.tasks if task in there), *(t for t in there if t not in self.suite.tasks))

    def means(self, model: str) -> tuple[Mean, ...]:
        """The suite's means of a model's main scores, in its order. Incomplete means name the missing tasks."""
        return aggregate(self.suite, {task: result.main.value for task, result in self.columns[model].items()})

    def standings(self) -> tuple[Standing, ...]:
        """The rows, best first, with intervals, ranks and groups; then the incomplete rows."""
        return _standings(self)

    def frame(self) -> pd.DataFrame:
        """A DataFrame with one row per model, in the order of the board. Scores are fractions."""
        import pandas as pd

        recalls = {task: self.suite.recall_columns(task) for task in self.tasks}
        return pd.DataFrame([_row(standing, self) | _datasets(standing, recalls) for standing in self.standings()])

    def results_frame(self) -> pd.DataFrame:
        """A tidy DataFrame with one row per measured result. Scores are fractions."""
        import pandas as pd

        return pd.DataFrame([_plain(model, each) for model, column in self.columns.items() for each in column.values()])


@lru_cache(maxsize=1)
def _standings(board: Board) -> tuple[Standing, ...]:
    """Cached for the last board, since several hundred models take seconds and are read several times."""
    return tuple(rank_entries(board.entries, board.suite, board.sizes, board.rank_by, board.mixed))


def _row(standing: Standing, board: Board) -> dict[str, object]:
    """All columns of a model as plain data, except its datasets."""
    entry, place = standing.entry, standing.place
    checkpoint = entry.checkpoint
    row: dict[str, object] = {
        "rank": place.rank if place else None,
        "rank_best": place.best if place else None,
        "rank_worst": place.worst if place else None,
        "group": place.group if place else None,
        "shared_rank": standing.shared.rank if standing.shared else None,
        "model": entry.label,
        "kind": entry.kind,
        "run": checkpoint.run if checkpoint else None,
        "step": checkpoint.step if checkpoint else None,
    }
    for name, cell in standing.cells.items():
        low, high = cell.interval or (None, None)
        row |= {name: cell.mean.value, f"{name}_low": low, f"{name}_high": high}
    ranked = standing.cells[board.rank_by]
    row |= {
        "recomputed": ranked.mark.recomputed if ranked.mark else None,
        "tasks": ranked.mean.present,
        "missing": ", ".join(ranked.mean.missing) if ranked.mean.value is None else "",
        "official_effect": official_effect(entry, board.suite),
        "tied_queries": sum(result.tied_queries for result in entry.results.values()) if entry.records else None,
    }
    return row | {_COLUMNS.get(name, name): value for name, value in facts(entry, board.suite).items()}


def facts(entry: Entry, suite: Suite) -> dict[str, object]:
    """What is known about a model besides its scores: size, width, protocol, source, training data, date and cost."""
    results = list(entry.results.values())
    first = results[0].model if results else {}
    row = entry.published
    seconds, embedding = total(entry, "seconds"), total(entry, "embedding_seconds")
    items = total(entry, "items_embedded")
    return {
        "size": row.size if row else first.get("parameters"),
        "width": row.width if row else first.get("width"),
        "protocol": ", ".join(sorted(entry.protocols)) + (f" ({row.evaluator})" if row and row.evaluator else ""),
        "source": row.source.name if row else "this harness",
        "trained on": declared.line(suite.tasks) if (declared := entry.trained_on) else None,
        "date": row.source.date if row else max(result.created for result in results)[:10],
        "seconds": seconds,
        "items/s": items / embedding if items and embedding else None,
        "GPU-hours": total(entry, "gpu_hours"),
    }


def official_effect(entry: Entry, suite: Suite) -> float | None:
    """The mean of official minus strict scores over the suite's tasks that have results; None for published rows."""
    results = [result for task, result in entry.results.items() if task in suite.tasks and task in entry.scores]
    if not results:
        return None
    both = [(each.official[each.main_metric].value, each.strict[each.main_metric].value) for each in results]
    return sum(official - strict for official, strict in both) / len(both)


def _datasets(standing: Standing, recalls: Mapping[str, Mapping[str, str]]) -> dict[str, object]:
    """The main score of each dataset with its interval, and the other cut-offs that `recalls` names."""
    row: dict[str, object] = {}
    entry = standing.entry
    for task, more in recalls.items():
        score = entry.records[task].result.main if task in entry.records else None
        low, high = standing.intervals.get(task) or ((score.low, score.high) if score else (None, None))
        row |= {
            task: entry.scores.get(task) if score is None else score.value,
            f"{task}_low": low,
            f"{task}_high": high,
        }
        row |= {name.replace(" ", "_"): entry.others(task).get(metric) for name, metric in more.items()}
    return row


def _plain(model: str, result: Result) -> dict[str, object]:
    return {
        "model": model,
        "revision": result.model["revision"],
        "task": result.task,
        "meta_task": result.meta_task,
        "split": result.split,
        "metric": result.main_metric,
        "protocol": result.protocol,
        "value": result.main.value,
        "low": result.main.low,
        "high": result.main.high,
        "strict": result.strict[result.main_metric].value,
        "official": result.official[result.main_metric].value,
        "chance": result.chance[result.main_metric],
        "tied_queries": result.tied_queries,
        "num_queries": result.num_queries,
        "num_targets": result.num_targets,
        "dataset_digest": result.dataset["digest"],
        "seconds": result.cost.get("seconds"),
    }
