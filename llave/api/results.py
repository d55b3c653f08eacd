"""What `llave.evaluate` returns: scores of models on tasks, for a notebook, a terminal and pandas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from harness.errors import UserError, counted, unknown_name
from harness.files.paths import safe_name
from harness.results.numbers import fixed, percent

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness.results.result import Result
    from harness.scoring.metrics import QueryRow, Score
    from leaderboards.board.board import Board
    from leaderboards.tables import Table
    from tasks.suites import Suite

_MOST_LABEL = 30
"""Characters of a name in a short line."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The scores of one model on one task. Fractions, not percent; ranks as they are."""

    record: Result
    """The whole record, as the result file holds it; docs/results.md explains its fields."""
    out: Path = field(repr=False)
    """The folder of results that the record lies in."""

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.record.model["name"])

    @property
    def task(self) -> str:
        """The task's name."""
        return self.record.task

    @property
    def metric(self) -> str:
        """The main metric."""
        return self.record.main_metric

    @property
    def score(self) -> Score:
        """The main metric with its 95 % CI, as `value`, `low` and `high`."""
        return self.record.main

    @property
    def metrics(self) -> Mapping[str, Score]:
        """Every metric under the protocol of the run, with its 95 % CI."""
        return self.record.metrics

    @property
    def path(self) -> Path:
        """The result file. Raises UserError if it was moved away."""
        from harness.results.files import read_record

        record = self.record
        folder = self.out / safe_name(self.model) / safe_name(str(record.model["revision"]))
        stem = safe_name(record.task)
        for path in (folder / f"{stem}.json", folder / f"{stem}.{record.identity[:12]}.json"):
            if path.is_file() and read_record(path).identity == record.identity:
                return path
        raise UserError(f"{folder} no longer holds this result of {record.task}.", "Evaluate again.")

    def frame(self) -> pd.DataFrame:
        """One row for each metric: metric, value, low, high, strict, official, chance."""
        import pandas as pd

        record = self.record
        rows = [
            {
                "metric": name,
                "value": score.value,
                "low": score.low,
                "high": score.high,
                "strict": record.strict[name].value,
                "official": record.official[name].value,
                "chance": record.chance[name],
            }
            for name, score in record.metrics.items()
        ]
        return pd.DataFrame(rows)

    def queries(self) -> pd.DataFrame:
        """One row for each query, in the order of the data, read from the file beside the record.

        Columns: query (id), the main metric, right, and best_rank, worst_rank and official_rank. These three are lists
        with a rank for each positive. Then candidates (their number), text, media, positives, top (best first).

        Raises:
            UserError: if the file was moved away or changed.
        """
        import pandas as pd

        from harness.results.files import read_record
        from harness.results.rows import read_rows

        path = self.path
        return pd.DataFrame([_flat(row) for row in read_rows(path, read_record(path))])

    def __repr__(self) -> str:
        return f"TaskResult({short(self.model)} on {short(self.task)}: {self.metric} {_interval(self.record)})"

    def _repr_html_(self) -> str:
        from leaderboards.tables import Cell, Table, html_table

        record, names = self.record, ("metric", "score", "95 % CI", "chance")
        rows = [
            (
                Cell(name),
                Cell(_number(name, score.value)),
                Cell(f"{_number(name, score.low)} to {_number(name, score.high)}"),
                Cell(_number(name, record.chance[name])),
            )
            for name, score in record.metrics.items()
        ]
        title = f"{self.model} on {self.task}: percent, or ranks; {counted(record.num_queries, 'query')}"
        return html_table(Table(title, names, tuple(rows), frozenset({"metric"})))


@dataclass(frozen=True, slots=True)
class EvalResults:
    """The scores of some models on some tasks. Iterating gives a `TaskResult` for each."""

    results: tuple[TaskResult, ...]
    """By model, in the order given, then by task."""
    suite: Suite = field(repr=False)
    """The tasks that means are over."""
    found: int = 0
    """Number of results that were finished before. Nothing was loaded or embedded for them."""
    encoded: int = 0
    """Number of distinct items that were embedded now."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models; with a revision where two models have one name."""
        return tuple(self._board().columns)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(dict.fromkeys(each.task for each in self.results))

    @property
    def means(self) -> Mapping[str, Mapping[str, float | None]]:
        """The suite's means of the main metric, by model and name of the mean, such as `overall`.

        A mean is None if a task of the suite is missing.
        """
        board = self._board()
        return {model: {mean.name: mean.value for mean in board.means(model)} for model in board.columns}

    def frame(self) -> pd.DataFrame:
        """Tidy data: one row for each model and task.

        Columns: model, revision, task, meta_task, split, metric, protocol, value, low, high (the 95 % CI). Then
        strict, official, chance, tied_queries, num_queries, num_targets, dataset_digest, seconds. Scores are fractions.
        """
        return self._board().results_frame()

    def plot(self) -> Figure:
        """A figure: the score of each model on each task with its 95 % CI, and the score of chance.

        Raises:
            UserError: if matplotlib is not installed.
        """
        from llave.api.plot import score_figure

        return score_figure(self.frame(), self._heading())

    def __getitem__(self, key: str | tuple[str, str]) -> TaskResult:
        """The result of a task; of several models that of `(model, task)`. Raises UserError for what is not there."""
        columns = self._board().columns
        if not isinstance(key, str) and not (isinstance(key, tuple) and len(key) == 2):
            raise UserError(f"{key!r} is no task.", "Write result[task], or result[model, task] for several models.")
        if isinstance(key, str) and len(columns) > 1:
            raise UserError(
                f"Several models have a result of {key}.", f"Write result[model, task], with one of {_list(columns)}."
            )
        model, name = (next(iter(columns)), key) if isinstance(key, str) else key
        if model not in columns:
            raise unknown_name("model", model, columns, f"The models are {_list(columns)}.")
        if name not in columns[model]:
            raise unknown_name("task", name, columns[model], f"The tasks are {_list(self.tasks)}.")
        identity = columns[model][name].identity
        return next(each for each in self.results if each.record.identity == identity)

    def __iter__(self) -> Iterator[TaskResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __repr__(self) -> str:
        if not self.results:
            return "EvalResults(empty: the main process has the results)"
        models, tasks = self.models, self.tasks
        who = short(models[0]) if len(models) == 1 else f"{counted(len(models), 'model')}"
        if len(self.results) == 1:
            what = f"{short(tasks[0])}: {self.results[0].metric} {_interval(self.results[0].record)}"
        else:
            what = f"{counted(len(tasks), 'task')}"
            what += f": {self._overall()}" if len(models) == 1 else ""
        return f"EvalResults({who} on {what})"

    def _repr_html_(self) -> str:
        from leaderboards.tables import html_table

        return html_table(self._table())

    def _board(self) -> Board:
        from leaderboards.board.board import Board

        return Board.of([each.record for each in self.results], self.suite)

    def _heading(self) -> str:
        from harness.scoring.metrics import Metric

        metrics = dict.fromkeys(each.metric for each in self.results)
        protocols = dict.fromkeys(each.record.protocol for each in self.results)
        unit = "" if all(Metric.parse(name).is_rank for name in metrics) else " in percent"
        return f"{', '.join(metrics)}{unit}; protocol {', '.join(protocols)}"

    def _overall(self) -> str:
        mean = self._board().means(self.models[0])[0]
        if mean.value is None:
            return f"{mean.name} incomplete, {mean.present} of {mean.present + len(mean.missing)}"
        return f"{mean.name} {percent(mean.value)} %"

    def _table(self) -> Table:
        """A row for each task and mean, a column for each model."""
        from leaderboards.tables import Cell, Table

        board = self._board()
        rows = []
        for task in board.tasks:
            cells = [column.get(task) for column in board.columns.values()]
            first = next(cell for cell in cells if cell is not None)
            chance = _number(first.main_metric, first.chance[first.main_metric])
            scores = [
                Cell("") if cell is None else Cell(_number(cell.main_metric, cell.main.value), _bounds(cell))
                for cell in cells
            ]
            rows.append((Cell(task), Cell(f"{first.num_queries:,}"), Cell(chance), *scores))
        for means in zip(*map(board.means, board.columns), strict=True):
            if any(mean.value is not None for mean in means):
                values = ["" if mean.value is None else percent(mean.value) for mean in means]
                rows.append((Cell(means[0].name), Cell(""), Cell(""), *map(Cell, values)))
        title = f"{self.suite.summary}: {self._heading()}"
        names = ("task", "queries", "chance", *board.columns)
        notes = ("Brackets: 95 % CI.",)
        return Table(title, names, tuple(rows), frozenset({"task"}), notes)


def _flat(row: QueryRow) -> dict[str, object]:
    """A row with its query's content in columns."""
    content = cast("Mapping[str, object]", row["content"])
    shown: dict[str, object] = {}
    for name, value in row.items():
        shown |= {"text": content.get("text", ""), "media": content.get("media", [])} if name == "content" else {}
        shown |= {name: value} if name != "content" else {}
    return shown


def _number(metric: str, value: float) -> str:
    """A fraction in percent, a rank as it is."""
    from harness.scoring.metrics import Metric

    return fixed(value) if Metric.parse(metric).is_rank else percent(value)


def _bounds(record: Result) -> str:
    low, high = (_number(record.main_metric, each) for each in (record.main.low, record.main.high))
    return f"[{low}, {high}]"


def _interval(record: Result) -> str:
    return f"{_number(record.main_metric, record.main.value)} {_bounds(record)}"


def short(name: str) -> str:
    """A name on one line that does not get long and cannot steer a terminal."""
    plain = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in name)
    return plain if len(plain) <= _MOST_LABEL else f"{plain[: _MOST_LABEL - 3]}..."


def _list(names: Mapping[str, object] | Sequence[str]) -> str:
    return ", ".join(names)
