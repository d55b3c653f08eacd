"""Results side by side: one row a task, one column a model, and the means of the suite below."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.results import Result
from tasks.suites import Mean, Suite, aggregate

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Board:
    """Results of one or several models, and the suite that says how they are averaged."""

    columns: Mapping[str, Mapping[str, Result]]
    """By what the model is called here, then by task; both in the order of the results."""
    suite: Suite

    @staticmethod
    def of(results: Sequence[Result], suite: Suite) -> Board:
        """Models are called by name, and by revision and fingerprint too where two of a name meet on a task."""
        distinct = list({result.identity: result for result in results}.values())
        columns: dict[str, dict[str, Result]] = defaultdict(dict)
        for result, label in zip(distinct, _labels(distinct), strict=True):
            columns[label][result.task] = result
        return Board(dict(columns), suite)

    @property
    def results(self) -> tuple[Result, ...]:
        return tuple(result for column in self.columns.values() for result in column.values())

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(task for column in self.columns.values() for task in column))

    def means(self, model: str) -> tuple[Mean, ...]:
        """The suite's means of the main scores, in its order. Incomplete ones say what they lack."""
        return aggregate(self.suite, {task: result.main.value for task, result in self.columns[model].items()})

    def frame(self) -> pd.DataFrame:
        """Tidy data for notebooks: one row for each result, fractions not percent."""
        import pandas as pd

        return pd.DataFrame([_plain(model, each) for model, column in self.columns.items() for each in column.values()])


def _labels(results: Sequence[Result]) -> list[str]:
    by_name: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_name[str(result.model["name"])].append(result)
    parts = {name: _parts_needed(group) for name, group in by_name.items()}
    return [_label(result, parts[str(result.model["name"])]) for result in results]


def _parts_needed(group: Sequence[Result]) -> int:
    """How much of a label it takes to tell results of one name apart on every task."""
    return next((n for n in (1, 2) if len({(_label(each, n), each.task) for each in group}) == len(group)), 3)


def _label(result: Result, parts: int) -> str:
    fields = (result.model["name"], str(result.model["revision"])[:8], str(result.model["fingerprint"])[:8])
    return "@".join(map(str, fields[:parts]))


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
