"""The result record of a model on a task: its fields, and what must hold for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import cast

from harness.errors import UserError
from harness.results.shape import COUNT, NUMBER, OBJECT, TEXT, Shape, check_shape
from harness.scoring.metrics import Metric, Score

FORMAT = 1
_ROUNDING = 1e-9
_LAST_RANK = 2**31
"""Targets are numbered by 32 bits."""
_SCORES = ("metrics", "strict", "official")
_TYPES = {"int": int, "str": str, "str | None": str | None, "Mapping": Mapping, "Sequence": list}
"""Type in the file for each type of field."""
_PARTS: Mapping[str, Shape] = {
    "model": {
        "name": TEXT,
        "revision": TEXT,
        "fingerprint": TEXT,
        "step?": COUNT,
        "parameters?": COUNT,
        "width?": COUNT,
        "training?": OBJECT,
    },
    "dataset": {
        "source": TEXT,
        "revision": TEXT,
        "digest": TEXT,
        "clusters?": COUNT,
        "notes?": OBJECT,
        "left_out?": OBJECT,
        "places?": [{"kind": TEXT, "folder": TEXT}],
    },
    "settings": {"limit?": COUNT},
    "bad_media": [{"media": TEXT, "why": TEXT}],
    "cost": {"items_truncated?": COUNT, "seconds?": NUMBER, "processes?": COUNT},
    "queries": {"file": TEXT, "sha256": TEXT},
}
"""What must hold for the fields inside a part. Those that no command needs may be anything."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one model on one task. The file has these fields in this order; docs/results.md explains them."""

    format: int
    status: str
    identity: str
    task: str
    meta_task: str | None
    split: str | None
    scope: str
    main_metric: str
    model: Mapping[str, object]
    protocol: str
    metrics: Mapping[str, Score]
    strict: Mapping[str, Score]
    official: Mapping[str, Score]
    chance: Mapping[str, float]
    tied_queries: int
    num_queries: int
    num_targets: int
    dataset: Mapping[str, object]
    settings: Mapping[str, object]
    bad_media: Sequence[Mapping[str, object]]
    environment: Mapping[str, object]
    cost: Mapping[str, object]
    created: str
    queries: Mapping[str, str] = field(default_factory=dict)
    """The file of per-query rows and its SHA-256. `write_result` sets it."""

    @property
    def main(self) -> Score:
        """The score of the main metric."""
        return self.metrics[self.main_metric]


def result_of(record: Mapping[str, object]) -> Result:
    """The result that the object of a file is. Raises ValueError that says which field is wrong."""
    missing = sorted({each.name for each in fields(Result)} - record.keys())
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    values = {each.name: record[each.name] for each in fields(Result)}
    result = Result(**{**values, **{name: _scores(name, values[name]) for name in _SCORES}})  # type: ignore[arg-type]
    check_result(result)
    return result


def _scores(name: str, value: object) -> dict[str, Score]:
    scores = value if isinstance(value, dict) else {}
    if any(not isinstance(each, dict) or each.keys() != {"value", "low", "high"} for each in scores.values()):
        raise ValueError(f"{name} is not an object of scores, each with value, low and high")
    return {metric: Score(**score) for metric, score in scores.items()}


def check_result(result: Result) -> None:
    """Checks what must hold for every record. Raises ValueError that says what does not: a damaged file, or our bug."""
    for each in fields(Result):
        value = getattr(result, each.name)
        if not isinstance(value, _TYPES[str(each.type).partition("[")[0]]) or isinstance(value, bool):
            raise ValueError(f"{each.name} is not of its type")
    if result.status != "done":
        raise ValueError(f"it is not finished, with the status {result.status!r}")
    for part, shape in _PARTS.items():
        check_shape(getattr(result, part), shape, part)
    _check_metrics(result)
    if not (
        result.num_queries > 0
        and 0 <= result.tied_queries <= result.num_queries
        and 0 <= result.num_targets <= _LAST_RANK
    ):
        raise ValueError("its numbers of queries, of tied queries and of targets do not fit")


def _check_metrics(result: Result) -> None:
    if result.main_metric not in result.metrics:
        raise ValueError("its main metric is not among its metrics")
    rules = {"strict": result.strict, "official": result.official}
    if not result.strict.keys() == result.official.keys() == result.chance.keys():
        raise ValueError("strict, official and chance have different metrics")
    if result.metrics != rules.get(result.protocol):
        raise ValueError("its metrics are not those of its protocol")
    for name, chance in result.chance.items():
        scores = (result.strict[name], result.official[name])
        _check_numbers(name, [chance, *(value for each in scores for value in (each.value, each.low, each.high))])
        if not all(score.low <= score.value <= score.high for score in scores):
            raise ValueError(f"{name} lies outside its interval")


def _check_numbers(name: str, values: Sequence[object]) -> None:
    try:
        metric = Metric.parse(name)
    except UserError:
        raise ValueError(f"{name!r} is not a metric") from None
    for value in values:
        check_shape(value, NUMBER, name)
        least, most = min(metric.least, 0.0), _LAST_RANK if metric.is_rank else 1
        if not least - _ROUNDING <= cast("float", value) <= most + _ROUNDING:
            raise ValueError(f"{name} is not a {'rank' if metric.is_rank else 'fraction'}")
