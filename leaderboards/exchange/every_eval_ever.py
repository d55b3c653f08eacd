"""Results as a record of Every Eval Ever, schema 0.3.0. Source: evaleval/every_eval_ever, `eval.schema.json`."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, cast

from harness.errors import UserError, visible
from harness.files.paths import safe_name
from harness.results.environment import own_version
from harness.results.result import Result
from harness.results.shape import COUNT, NUMBER, OBJECT, TEXT, Shape, check_shape
from harness.results.verified import Record
from harness.scoring.metrics import Metric, Score
from harness.settings import pairs_of, read_settings
from harness.types import ProtocolName
from leaderboards.exchange.eval_results import check_whole
from leaderboards.exchange.files import Json
from leaderboards.exchange.parts import ScorePart, board_metric, check_known, is_share

SCHEMA = "0.3.0"
_COLLECTION = "llave-bench"
_RECORD: Mapping[str, Shape] = {
    "schema_version": TEXT,
    "model_info": {"id": TEXT},
    "evaluation_results": [
        {
            "evaluation_name": TEXT,
            "metric_config": {"metric_id?": TEXT, "metric_unit?": TEXT, "metric_parameters?": OBJECT},
            "score_details": {"score": NUMBER, "uncertainty?": {"num_samples?": COUNT}},
        }
    ],
}
_METRIC = re.compile(r"([a-z-]+|hit_rate|hit)(?:@|_at_)(\d+)")
_KINDS = {"hit": "hit_rate"}


@dataclass(frozen=True, slots=True)
class EvaluationMetadata:
    """What a record of an evaluation has that results do not have."""

    organization: str = "unknown"
    """The organization that ran the evaluation."""
    organization_url: str | None = None
    relationship: Literal["first_party", "third_party", "collaborative", "other"] = "third_party"
    """Of this organization to the model's owner."""
    availability: Literal["open_weights", "closed_weights", "unknown"] = "unknown"
    developer: str | None = None
    """The model's developer, if its name is not `DEVELOPER/MODEL`."""


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """A record, and its place in the collection: `llave-bench/DEVELOPER/MODEL/UUID.json`."""

    place: str
    text: str


def every_eval_ever(records: Sequence[Record], rule: ProtocolName | None, given: Sequence[str]) -> EvaluationRecord:
    """The results of one model as one record. It has every metric that is a fraction, with its interval.

    Args:
        records: results of whole datasets.
        rule: the protocol of the scores. None: that of each result.
        given: metadata that results do not have, each as `KEY=VALUE`.

    Raises:
        UserError: for results of part of a dataset, and for unknown metadata.
    """
    written = pairs_of(given, "--meta", "organization=acme")
    about = read_settings(EvaluationMetadata(), written, "metadata")
    for record in records:
        check_whole(record)
    model = records[0].result.model
    name = visible(str(model["name"]))
    developer = about.developer or (name.partition("/")[0] if "/" in name else "unknown")
    stamp = str(int(max(datetime.fromisoformat(each.result.created).timestamp() for each in records)))
    whose = {"source_organization_name": about.organization, "evaluator_relationship": about.relationship}
    if about.organization_url:
        whose["source_organization_url"] = about.organization_url
    content = {
        "schema_version": SCHEMA,
        "evaluation_id": f"{_COLLECTION}/{name}/{stamp}",
        "retrieved_timestamp": stamp,
        "source_metadata": {"source_name": "llave-bench", "source_type": "evaluation_run", **whose},
        "eval_library": {"name": "llave-bench", "version": own_version()},
        "model_info": {
            "name": name.rpartition("/")[2],
            "id": name if "/" in name else f"{developer}/{name}",
            "developer": developer,
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": about.availability,
                "revision": visible(str(model["revision"])),
            },
        },
        "evaluation_results": [entry for record in records for entry in _entries(record.result, rule)],
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    digest = uuid.UUID(bytes=hashlib.sha256(text.encode("utf-8", "replace")).digest()[:16], version=4)
    parts = (_COLLECTION, safe_name(developer), safe_name(name.rpartition("/")[2]), f"{digest}.json")
    return EvaluationRecord("/".join(parts), text)


def _entries(result: Result, rule: ProtocolName | None) -> list[dict[str, object]]:
    """The metrics of a result, the main one first."""
    metrics: Mapping[str, Score] = result.metrics if rule is None else getattr(result, rule)
    names = [result.main_metric, *(name for name in metrics if name != result.main_metric)]
    protocol = rule or result.protocol
    return [_entry(result, name, metrics[name], protocol) for name in names if is_share(name)]


def _entry(result: Result, name: str, score: Score, protocol: str) -> dict[str, object]:
    metric, task = Metric.parse(name), visible(result.task)
    source = {"source": visible(str(result.dataset["source"])), "revision": visible(str(result.dataset["revision"]))}
    return {
        "evaluation_result_id": f"{task}/{name}",
        "evaluation_name": task,
        "source_data": {"dataset_name": task, "source_type": "other", "additional_details": source},
        "metric_config": {
            "metric_id": name,
            "metric_kind": _KINDS.get(metric.kind, metric.kind),
            "metric_unit": "proportion",
            **({"metric_parameters": {"k": metric.k}} if metric.k else {}),
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0,
            "max_score": 1,
            "additional_details": {"protocol": protocol, "scope": result.scope},
        },
        "score_details": {
            "score": score.value,
            "uncertainty": {
                "confidence_interval": {
                    "lower": score.low,
                    "upper": score.high,
                    "confidence_level": 0.95,
                    "method": "over clusters of queries",
                },
                "num_samples": result.num_queries,
            },
        },
    }


def is_every_eval_ever(record: Json) -> bool:
    """Whether an object is such a record."""
    return "schema_version" in record and "evaluation_results" in record


def read_every_eval_ever(path: Path, record: Json, model: str | None) -> list[ScorePart]:
    """Reads a record. Metrics of other kinds are left out.

    Raises: UserError for what does not follow the schema, for unknown tasks, and where it is not clear whether a score
    is a fraction.
    """
    try:
        check_shape(record, _RECORD)
    except ValueError as error:
        what = f"{path} is no record of Every Eval Ever: {error}."
        raise UserError(what, f"It must follow its schema, version {SCHEMA}.") from None
    name = model or str(cast("Json", record["model_info"])["id"]).removeprefix("unknown/")
    scores: dict[str, dict[str, object]] = {}
    for entry in cast("list[dict[str, Json]]", record["evaluation_results"]):
        config, details = entry["metric_config"], entry["score_details"]
        match = _METRIC.fullmatch(str(config.get("metric_id", "")))
        if match is None:
            continue
        task = str(entry["evaluation_name"])
        check_known(path, task)
        metric = board_metric(f"{'hit' if match[1] == 'hit_rate' else match[1]}@{match[2]}")
        own = scores.setdefault(task, {})
        if metric in own:
            raise UserError(f"{path} has {metric} of {task} twice.", "Keep one of the two.")
        own[metric] = _fraction(path, task, config, cast("float", details["score"]))
        samples = cast("Json", details.get("uncertainty") or {}).get("num_samples")
        if samples is not None:
            own["num_pred"] = samples
    if not scores:
        raise UserError(f"{path} has no metric of retrieval, such as hit@1.", "Its metric_id names the metric.")
    return [ScorePart("every-eval-ever", name, task, own, path.name) for task, own in scores.items()]


def _fraction(path: Path, task: str, config: Json, score: float) -> float:
    """A score as a fraction, by the unit that its record states, or else by the highest possible score."""
    unit = config.get("metric_unit") or {1: "proportion", 100: "percent"}.get(cast("int", config.get("max_score")))
    if unit == "proportion":
        return score
    if unit == "percent":
        return score / 100
    raise UserError(f"{path}: the unit of {task} is not clear: {unit}.", "Give metric_unit: proportion or percent.")
