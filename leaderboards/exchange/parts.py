"""The scores of one model on one dataset, as some files hold them, and the row that they make together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError, unknown_name
from harness.scoring.metrics import Metric
from leaderboards.exchange.files import ABSENT, OTHER, Imported, Json, Origin, check_scores, sections
from tasks.catalog import all_tasks
from tasks.mmeb_v2.parts import board_name

_BOARD_NAMES = {"ndcg": "ndcg_linear", "ndcg-exp": "ndcg_exponential"}
"""Kinds of metrics by their names here, where the public leaderboard has others."""


@dataclass(frozen=True, slots=True)
class ScorePart:
    """The scores of one model on one dataset, by the public leaderboard's names of metrics. They are fractions."""

    origin: Origin
    model: str
    dataset: str
    scores: Json
    file: str


def checked(path: Path, found: ScorePart) -> ScorePart:
    """The part. Raises UserError unless every score is a fraction."""
    check_scores(path, found.dataset, found.scores)
    return found


def check_known(path: Path, dataset: str) -> None:
    """Raises UserError with the closest names unless this is a known task."""
    if dataset not in all_tasks():
        raise unknown_name("task", dataset, all_tasks(), f"It is in {path}.")


def board_metric(metric: str) -> str:
    """The public leaderboard's name of a metric: `ndcg_linear@5` for `ndcg@5`. Others stay as they are."""
    kind, at, cut = metric.partition("@")
    return f"{_BOARD_NAMES.get(kind, kind)}{at}{cut}"


def is_share(metric: str) -> bool:
    """Whether a metric is a fraction, and no rank."""
    return not Metric.parse(metric).is_rank


def as_fractions(values: Mapping[str, float], place: object) -> dict[str, float]:
    """Scores as fractions, from fractions or percents. Which of the two they are must be clear from the values.

    They are fractions if none is above 1. They are percents if every one is above 1, or zero.

    Raises: UserError for values of both kinds.
    """
    high = [name for name, value in values.items() if value > 1 + 1e-6]
    if not high:
        return dict(values)
    low = [name for name, value in values.items() if 0 < value <= 1]
    if low:
        name, other = high[0], low[0]
        what = f"{place}: {name} {values[name]:g} looks like percent, and {other} {values[other]:g} like a fraction."
        raise UserError(what, "Write all scores as fractions from 0 to 1.")
    return {name: value / 100 for name, value in values.items()}


def joined(parts: Sequence[ScorePart]) -> Imported:
    """The scores of one model in the form of the public leaderboard, each in the section of its task."""
    scores = {each.dataset: each.scores for each in parts}
    known = sections()
    metrics: dict[str, Json] = {"image": _section(scores, known["image"], whole=True)}
    for section in ("video", "visdoc", OTHER):
        if found := _section(scores, known[section], whole=False):
            metrics[section] = found
    content = {"metadata": {"model_name": parts[0].model}, "metrics": metrics}
    return Imported(parts[0].origin, tuple(dict.fromkeys(each.file for each in parts)), content)


def _section(scores: Mapping[str, Json], tasks: Collection[str], *, whole: bool) -> dict[str, object]:
    return {board_name(task): scores.get(task, ABSENT) for task in tasks if whole or task in scores}
