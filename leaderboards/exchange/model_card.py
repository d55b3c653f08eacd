"""Results as the evaluation block (`model-index`) of a model card on the hub."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from harness.errors import UserError, counted, visible
from harness.files.reading import explain_reading, parse_yaml, read_text
from harness.results.numbers import fixed
from harness.results.result import Result
from harness.results.shape import OBJECT, TEXT, Shape, check_shape, is_number
from harness.scoring.metrics import Metric
from leaderboards.exchange.parts import ScorePart, board_metric
from tasks.catalog import all_tasks
from tasks.suites import Suite, aggregate

_TASK_TYPES = {"classification": "image-classification", "vqa": "visual-question-answering"}
"""The hub's names of meta-tasks, where it has one."""
_MOST = 1 << 20
_HEADER = re.compile(r"---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_METRIC = re.compile(r"[a-z-]+@\d+")
_INDEX: Mapping[str, Shape] = {
    "name": TEXT,
    "results": [{"task": OBJECT, "dataset": {"name": TEXT, "type": TEXT}, "metrics": [{"type": TEXT}]}],
}


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


def holds_scores(path: Path) -> bool:
    """Whether a text begins with a header that has an evaluation block."""
    with explain_reading(path), path.open("rb") as file:
        head = file.read(_MOST)
    return head.startswith(b"---") and b"\nmodel-index:" in head


def read_model_card(path: Path, model: str | None) -> list[ScorePart]:
    """Reads the evaluation block of a model card: its scores of known tasks, with the rounding that it has.

    Raises: UserError for a text without such a block, and for one without a score of a known task.
    """
    from huggingface_hub.repocard_data import model_index_to_eval_results

    header = _HEADER.match(read_text(path))
    value = parse_yaml(header[1], path) if header else None
    try:
        check_shape(value, {"model-index": [_INDEX]}, "its header")
        name, found = model_index_to_eval_results(cast("dict[str, list[dict[str, object]]]", value)["model-index"])
    except (ValueError, KeyError, TypeError) as error:
        what = f"{path} has no evaluation block: {error}."
        raise UserError(
            what, "Expected a header with model-index, as `llave export --format model-card` has."
        ) from None
    scores: dict[str, dict[str, object]] = {}
    for each in found:
        if each.dataset_name in all_tasks() and _METRIC.fullmatch(each.metric_type):
            own = scores.setdefault(each.dataset_name, {})
            own[board_metric(each.metric_type)] = _fraction(path, each.dataset_name, each.metric_value)
    if not scores:
        raise UserError(f"{path} has no score of a known task.", "`llave tasks` lists the tasks.")
    return [ScorePart("model-card", model or name, task, own, path.name) for task, own in scores.items()]


def _fraction(path: Path, task: str, value: object) -> float:
    """A score of a card, which is in percent."""
    if not is_number(value):
        raise UserError(f"{path}: the score of {task} is not a number: {value!r}.", "Repair the file.")
    return cast("float", value) / 100
