"""Comparisons as CSV and as JSON, for programs. All values are fractions, and differences are B minus A."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from leaderboards.compare.compare import Comparison, Difference
from leaderboards.compare.config_diff import changes
from leaderboards.compare.flips import Flip
from leaderboards.compare.tables import training_notes, verdict
from leaderboards.compare.training import training
from leaderboards.tables import csv_text

if TYPE_CHECKING:
    import pandas as pd


def comparison_frame(comparison: Comparison) -> pd.DataFrame:
    """One row for each mean, the headline first, then for each dataset. All values are fractions."""
    import pandas as pd

    rows = []
    for each in (*comparison.means, *comparison.datasets):
        low, high = each.interval or (None, None)
        wide_low, wide_high = each.over_datasets or (None, None)
        wide = {"over_datasets_low": wide_low, "over_datasets_high": wide_high}
        plain = {name: value for name, value in asdict(each).items() if name not in ("interval", "over_datasets")}
        head = {name: plain.pop(name) for name in ("name", "kind", "a", "b")}
        rows.append(
            head | {"difference": each.value, "low": low, "high": high} | wide | plain | {"paired": each.paired}
        )
    return pd.DataFrame(rows)


def comparison_csv(comparisons: Sequence[Comparison]) -> str:
    """All figures of all pairs as CSV, with the names of the two models before them."""
    import pandas as pd

    frames = []
    for each in comparisons:
        frame = comparison_frame(each)
        frame.insert(0, "model_a", each.a.label)
        frame.insert(1, "model_b", each.b.label)
        frames.append(frame)
    whole = pd.concat(frames, ignore_index=True)
    counts = dict.fromkeys(("wins", "ties", "losses"), "Int64")
    return str(whole.astype(counts).map(csv_text).to_csv(index=False))


def comparison_json(comparisons: Sequence[Comparison], flips: Mapping[int, Sequence[Flip]], failed: bool) -> str:
    """Comparisons as JSON: fractions, and null for unknown values. `flips` are by the index of the comparison."""
    record = {
        "regression": failed,
        "comparisons": [_record(each, flips.get(at, ())) for at, each in enumerate(comparisons)],
    }
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def _record(comparison: Comparison, flips: Sequence[Flip]) -> dict[str, object]:
    trained = training(comparison.a, comparison.b)
    return {
        "a": comparison.a.label,
        "b": comparison.b.label,
        "verdict": verdict(comparison),
        "means": [_plain(each) for each in comparison.means],
        "datasets": [_plain(each) for each in comparison.datasets],
        "differs": [each._asdict() for each in changes(comparison.a, comparison.b)],
        "trained": [each._asdict() for each in trained.changes] if trained else None,
        "notes": [*comparison.caveats, *training_notes(comparison)],
        "queries": [{"task": each.task, "change": each.change, "a": each.a, "b": each.b} for each in flips],
    }


def _plain(each: Difference) -> dict[str, object]:
    return {**asdict(each), "difference": each.value, "paired": each.paired}
