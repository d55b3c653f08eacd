"""What a model's answer to a query is worth: right, tied, partly right, wrong or not ranked, in words."""

from __future__ import annotations

from typing import Literal, TypedDict

from harness.results.numbers import percent
from harness.scoring.metrics import QueryRow

_SMALL = 0.001


class AnswerVerdict(TypedDict):
    """The verdict on an answer. `said` completes it, such as `rank 5 of 32`; it may be empty."""

    score: float
    state: Literal["right", "tied", "part", "wrong", "none"]
    said: str


def verdict_of(row: QueryRow, score: float, *, official: bool) -> AnswerVerdict:
    """The verdict on a row. A right candidate that is tied with wrong ones is not right for certain."""
    places = _places(row)
    if not places:
        return {"score": round(score, 5), "state": "none", "said": str(row.get("bad_media") or "")}
    best, worst = min(places)
    tied = worst - best + 1 - places.count((best, worst))
    of = f" of {row['candidates']:,}" if isinstance(row.get("candidates"), int) else ""
    rank = f"rank {best:,}{of}" if best == worst else f"rank {best:,} to {worst:,}{of}"
    if tied and (official or 0 < score < 1):
        rule = "counted as right" if score == 1 else f"counts as {_share(score)}"
        first = "" if best == 1 else f"{rank}, "
        return {"score": round(score, 5), "state": "tied", "said": f"{first}with {_others(tied)}: {rule}"}
    if score == 1:
        return {"score": 1.0, "state": "right", "said": "" if best == 1 else rank}
    rank += f", tied with {_others(tied)}" if tied else ""
    if score > 0:
        return {"score": round(score, 5), "state": "part", "said": f"{_share(score)}, {rank}"}
    return {"score": 0.0, "state": "wrong", "said": rank}


def _places(row: QueryRow) -> list[tuple[int, int]]:
    """The best and the worst rank of each positive. Rows of other types give none."""
    best, worst = row.get("best_rank"), row.get("worst_rank")
    pairs = zip(best, worst, strict=False) if isinstance(best, list) and isinstance(worst, list) else ()
    return [(low, high) for low, high in pairs if isinstance(low, int) and isinstance(high, int)]


def _others(number: int) -> str:
    return f"{number:,} other{'' if number == 1 else 's'}"


def _share(score: float) -> str:
    return f"{percent(score, 1 if score >= _SMALL else 3)} %"
