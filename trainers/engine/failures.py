"""Errors of a step that is not finite, with its rows and the last good checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from harness.errors import RunFailed
from harness.files.writing import write_atomic
from trainers.data.loader import BatchLoader, SubBatch
from trainers.engine.checkpoint import resumable

NOT_FINITE = "not-finite.jsonl"
_SHOWN = 4


def not_finite(
    out: Path,
    step: int,
    parts: Sequence[SubBatch],
    losses: Sequence[float],
    norm: float,
    loader: BatchLoader,
    *,
    main: bool,
) -> RunFailed:
    """The error for a loss or a gradient that is not finite. The main process writes a list of the rows."""
    bad = [number for number, loss in enumerate(losses) if not math.isfinite(loss)]
    what = f"the loss is {losses[bad[0]]}" if bad else f"the gradient's norm is {norm}"
    # the gradient is a sum over all parts, so any of them may be the cause
    places = [place for number in bad[:1] or range(len(parts)) for place in parts[number].places]
    rows = [(loader.subsets[place.subset].name, loader.where(place)) for place in places]
    if main:
        lines = [{"step": step, "dataset": name, "row": row} for name, row in rows]
        write_atomic(out / NOT_FINITE, "".join(f"{json.dumps(line)}\n" for line in lines))
    named = ", ".join(sorted({name for name, _ in rows}))
    shown = "; ".join(row for _, row in rows[:_SHOWN])
    return failed(out, step, f"{what}. The batch has rows of {named}: {shown}. {out / NOT_FINITE} lists all")


def failed(out: Path, step: int, what: str) -> RunFailed:
    """The error for a step after which nothing may be saved."""
    last = resumable(out)
    return RunFailed(
        f"Step {step}: {what}.",
        (f"The last good checkpoint is {last}. " if last else "There is no checkpoint yet. ")
        + "Lower learning_rate or alpha, raise temperature, or check those rows.",
    )
