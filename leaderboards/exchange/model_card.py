"""Results as the evaluation block (`model-index`) of a model card on the hub."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UserError, counted, visible
from harness.results.numbers import fixed
from harness.results.result import Result
from harness.scoring.metrics import Metric
from tasks.suites import Suite, aggregate

_TASK_TYPES = {"classification": "image-classification", "vqa": "visual-question-answering"}
"""The hub's names of meta-tasks, where it has one."""


def model_card(results: Sequence[Result], suite: Suite) -> str:
    """The YAML header of a README.md: main scores of one model and complete means of the suite, in percent.

    Raises: UserError for results of part of a dataset.
    """
    from huggingface_hub import EvalResult, ModelCardData

    for result in results:
        if result.settings.get("limit") is not None:
            raise UserError(f"The result of {result.task} has only the first queries.", "Run it again without --limit.")
    place = {task: number for number, task in enumerate(suite.tasks)}
    results = sorted(results, key=lambda each: place.get(each.task, len(place)))
    name, metric = visible(str(results[0].model["name"])), results[0].main_metric
    blocks = [
        EvalResult(
            task_type=_task_type(visible(result.meta_task or "retrieval")),
            dataset_type=visible(str(result.dataset["source"])),
            dataset_name=visible(result.task),
            dataset_config=visible(result.task),
            dataset_split="test",
            dataset_revision=visible(str(result.dataset["revision"])),
            metric_type=result.main_metric,
            metric_name=f"{result.main_metric} ({result.protocol})",
            metric_value=_shown(result.main_metric, result.main.value),
        )
        for result in results
    ]
    same = [result for result in results if result.main_metric == metric]
    means = aggregate(suite, {result.task: result.main.value for result in same})
    blocks += [
        EvalResult(
            task_type="feature-extraction",
            dataset_type=suite.name,
            dataset_name=f"{suite.title} ({mean.name})",
            dataset_config=mean.name,
            metric_type=metric,
            metric_name=f"mean {metric} over {counted(mean.present, 'dataset')} ({results[0].protocol})",
            metric_value=_shown(metric, mean.value),
        )
        for mean in means
        if mean.value is not None and not Metric.parse(metric).is_rank
    ]
    return f"---\n{ModelCardData(model_name=name, eval_results=blocks).to_yaml().strip()}\n---\n"


def _task_type(meta_task: str) -> str:
    return _TASK_TYPES.get(meta_task, meta_task.replace("_", "-"))


def _shown(metric: str, value: float) -> float:
    return float(fixed(value if Metric.parse(metric).is_rank else 100 * value, 2))
