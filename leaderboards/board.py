"""Results side by side: one row a task, one column a model, and the means of the suite below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.results import Result
from tasks.suites import Mean, Suite, aggregate

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Board:
    """Results of one or several models under one protocol, and the suite that says how they are averaged."""

    results: tuple[Result, ...]
    suite: Suite

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in the order of the results; with the revision where two share a name."""
        return tuple(dict.fromkeys(map(self.label, self.results)))

    def label(self, result: Result) -> str:
        name = str(result.model["name"])
        revisions = {each.model["revision"] for each in self.results if each.model["name"] == name}
        return name if len(revisions) == 1 else f"{name}@{str(result.model['revision'])[:8]}"

    def cell(self, model: str, task: str) -> Result | None:
        return next((each for each in self.results if each.task == task and self.label(each) == model), None)

    def means(self, model: str) -> tuple[Mean, ...]:
        """The suite's means of the main scores, in its order. Incomplete ones say what they lack."""
        return aggregate(self.suite, {each.task: each.main.value for each in self.results if self.label(each) == model})

    def frame(self) -> pd.DataFrame:
        """Tidy data for notebooks: one row for each result, fractions not percent."""
        import pandas as pd

        return pd.DataFrame([_plain(self.label(result), result) for result in self.results])


def _plain(model: str, result: Result) -> dict[str, object]:
    official = result.official[result.main_metric].value
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
        "official": official,
        "chance": result.chance[result.main_metric],
        "tied_queries": result.tied_queries,
        "num_queries": result.num_queries,
        "num_targets": result.num_targets,
        "dataset_digest": result.dataset["digest"],
        "seconds": result.cost["seconds"],
    }


def metric_names(results: Sequence[Result]) -> tuple[str, ...]:
    """The main metrics in use, each once."""
    return tuple(dict.fromkeys(result.main_metric for result in results))
