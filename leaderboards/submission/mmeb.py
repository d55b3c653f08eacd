"""Score files of the public MMEB leaderboard, in the form of its own `report_score_v2.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from harness.errors import UserError, counted
from harness.results.figures import read_figures
from harness.results.recount import value
from harness.results.verified import Record
from harness.scoring.metrics import Metric
from harness.scoring.ranking import Ranking
from harness.settings import pairs_of, read_settings
from harness.types import ProtocolName, Task
from leaderboards.exchange.files import ABSENT, Json
from tasks.catalog import all_tasks
from tasks.mmeb_v2.parts import VIDEO, VISDOC, board_name, names
from tasks.suites import find_suite


@dataclass(frozen=True, slots=True)
class SubmissionMetadata:
    """The metadata of a submission that results do not have. Sizes are in billions of parameters."""

    model_name: str | None = None
    model_backbone: str | None = None
    model_size: float | None = None
    embedding_dimension: int | None = None
    max_length_tokens: int | None = None
    model_release_date: str | None = None
    data_source: str | None = None
    url: str | None = None


_CUTS = (1, 5, 10)
_KINDS = ("hit", "ndcg_linear", "ndcg_exponential", "precision", "recall", "f1", "map", "mrr")
_NAMES = {"ndcg_linear": "ndcg", "ndcg_exponential": "ndcg-exp"}


def score_file(
    records: Sequence[Record], rule: ProtocolName, given: Sequence[str], suite: str = "mmeb"
) -> dict[str, object]:
    """The score file of one model. Scores are fractions under the protocol `rule`.

    Args:
        records: results of the model.
        rule: the protocol.
        given: metadata that results do not have, each as `KEY=VALUE`.
        suite: `mmeb`, or `mmeb-v2` for the video and document tasks too. All else in the file is `FILE_N/A`.

    Raises:
        UserError: for unknown metadata, for results of part of a dataset, and for damaged rows.
    """
    by_task = {record.result.task: record for record in records}
    model = records[0].result.model
    metadata: dict[str, object] = {"model_name": model["name"], "embedding_dimension": model.get("width")}
    written = pairs_of(given, "--meta", "model_size=8.03")
    read = read_settings(SubmissionMetadata(), written, "metadata")
    metadata |= {"data_source": "Self-Reported", **{name: getattr(read, name) for name in written}}
    metadata["report_generated_date"] = datetime.now().astimezone().isoformat()
    wanted = find_suite(suite).tasks
    modalities = {"image": find_suite("mmeb").tasks, "video": names(VIDEO), "visdoc": names(VISDOC)}
    known = all_tasks()
    measured = {task: _scores(by_task[task], rule, known[task]) for task in wanted if task in by_task}
    metrics = {
        modality: {board_name(task): measured.get(task, ABSENT) for task in tasks}
        for modality, tasks in modalities.items()
    }
    if not measured:
        raise UserError(f"{model['name']} has no result of a dataset of {suite}.", f"Run it with --suite {suite}.")
    return {"metadata": metadata, "metrics": metrics}


def _scores(record: Record, rule: ProtocolName, task: Task) -> Json:
    result = record.result
    if result.settings.get("limit") is not None:
        raise UserError(f"{record.path} has only the first queries.", "Run it again without --limit.")
    if result.num_queries != task.num_queries:
        what = f"{record.path} has {counted(result.num_queries, 'query')}; {task.name} has {task.num_queries:,}."
        raise UserError(what, "Run the dataset itself: --suite mmeb or --suite mmeb-v2.")
    rankings = read_figures(record.path, result).every_ranking
    scores: dict[str, object] = {f"{kind}@{cut}": _mean(kind, cut, rankings, rule) for kind in _KINDS for cut in _CUTS}
    return {**scores, "num_pred": len(rankings), "num_data": result.num_queries}


def _mean(kind: str, cut: int, rankings: Sequence[Ranking], rule: ProtocolName) -> float:
    """The mean of a metric, by its name on the board."""
    if kind == "f1":
        precision, recall = Metric("precision", cut), Metric("recall", cut)
        pairs = [(value(precision, each, rule), value(recall, each, rule)) for each in rankings]
        return precision.aggregate(2 * p * r / (p + r) if p + r else 0.0 for p, r in pairs)
    metric = Metric(_NAMES.get(kind, kind), cut)
    return metric.aggregate(value(metric, each, rule) for each in rankings)
