"""The differences in training between two checkpoints of `llave train`, and cautions about comparing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from harness.results.renamed import current_settings
from leaderboards.board.entries import Entry
from leaderboards.compare.compare import Comparison
from leaderboards.compare.config_diff import ConfigChange, differing
from leaderboards.tables import some

_PAIRS_SHOWN = 4
_Record = Mapping[str, object]


class TrainingDiff(NamedTuple):
    """The differences in training between two checkpoints."""

    changes: tuple[ConfigChange, ...]
    """Changed settings by the recipe's names, then the step and the numbers of pairs."""
    has_settings: bool
    """Whether both records have settings. Records of older versions have none, and then no setting is compared."""

    @property
    def only_seed(self) -> bool:
        """Whether nothing but the training seed differs."""
        return [each.field for each in self.changes] == ["seed"]


def training(a: Entry, b: Entry) -> TrainingDiff | None:
    """The differences in training, from the tasks that both models have. None unless both are different checkpoints."""
    tasks = [task for task in a.records if task in b.records]
    one, two = (_records(entry, tasks) for entry in (a, b))
    if not one or not two or _revisions(a, tasks) == _revisions(b, tasks):
        return None
    whole = all(isinstance(each.get("settings"), Mapping) for each in (*one, *two))
    first, second = ([_merged(each, whole) for each in records] for records in (one, two))
    return TrainingDiff(tuple(differing(first, second)), whole)


def cautions(comparisons: Sequence[Comparison]) -> list[str]:
    """Notes on the noise of training, which intervals over queries do not cover; empty without two checkpoints."""
    found = [(each, training(each.a, each.b)) for each in comparisons]
    if not any(known for _, known in found):
        return []
    lines = [
        "The intervals are over queries, for these checkpoints only: another training seed may give another result."
    ]
    alike = [f"{each.a.label} and {each.b.label}" for each, known in found if known and known.only_seed]
    if alike:
        between = some(alike, _PAIRS_SHOWN)
        lines.append(f"Only the training seed differs between {between}, so their difference is seed noise.")
    return lines


def _records(entry: Entry, tasks: Sequence[str]) -> list[_Record]:
    found = [entry.records[task].result.model.get("training") for task in tasks]
    return [each for each in found if isinstance(each, Mapping)]


def _revisions(entry: Entry, tasks: Sequence[str]) -> set[object]:
    return {entry.records[task].result.model["revision"] for task in tasks}


def _merged(record: _Record, whole: bool) -> _Record:
    """Settings and counts in one mapping. The number of steps that the run made replaces the requested one."""
    settings = record["settings"] if whole else None
    counts = {name: value for name, value in record.items() if name != "settings"}
    if not isinstance(settings, Mapping):
        return counts
    return {name: value for name, value in current_settings(settings).items() if name != "max_steps"} | counts
