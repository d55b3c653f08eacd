"""Two checkpoints of `llave train`: what differs in their training, and what a comparison of them cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from harness.results.renamed import current_settings
from leaderboards.board.entries import Entry, some
from leaderboards.compare.compare import Comparison
from leaderboards.compare.config_diff import ConfigChange, differing

_PAIRS_SHOWN = 4
_Record = Mapping[str, object]


class TrainingDiff(NamedTuple):
    """Of two checkpoints."""

    changes: tuple[ConfigChange, ...]
    """Settings by the recipe's names, then the step and counts of pairs."""
    has_settings: bool
    """Whether both records have settings. Those of older versions have none, and then no setting is compared."""

    @property
    def only_seed(self) -> bool:
        return [each.field for each in self.changes] == ["seed"]


def training(a: Entry, b: Entry) -> TrainingDiff | None:
    """What differs, over the tasks that both have. None unless both are checkpoints, and not one and the same."""
    tasks = [task for task in a.records if task in b.records]
    one, two = (_records(entry, tasks) for entry in (a, b))
    if not one or not two or _revisions(a, tasks) == _revisions(b, tasks):
        return None
    whole = all(isinstance(each.get("settings"), Mapping) for each in (*one, *two))
    told = ([_merged(each, whole) for each in side] for side in (one, two))
    return TrainingDiff(tuple(differing(*told)), whole)


def cautions(comparisons: Sequence[Comparison]) -> list[str]:
    """Sentences on chance in training, of which queries know nothing; none where no two checkpoints are compared."""
    found = [(each, training(each.a, each.b)) for each in comparisons]
    if not any(known for _, known in found):
        return []
    lines = ["The intervals are over queries, for these very checkpoints: another seed of training may say otherwise."]
    alike = [f"{each.a.label} and {each.b.label}" for each, known in found if known and known.only_seed]
    if alike:
        between = some(alike, _PAIRS_SHOWN)
        lines.append(f"Only the seed of training differs between {between}: what they differ by is seed noise.")
    return lines


def _records(entry: Entry, tasks: Sequence[str]) -> list[_Record]:
    found = [entry.records[task].result.model.get("training") for task in tasks]
    return [each for each in found if isinstance(each, Mapping)]


def _revisions(entry: Entry, tasks: Sequence[str]) -> set[object]:
    return {entry.records[task].result.model["revision"] for task in tasks}


def _merged(record: _Record, whole: bool) -> _Record:
    """Settings and counts as one. What the run came to (`steps`) takes the place of what was asked for."""
    settings = record["settings"] if whole else None
    counts = {name: value for name, value in record.items() if name != "settings"}
    if not isinstance(settings, Mapping):
        return counts
    return {name: value for name, value in current_settings(settings).items() if name != "max_steps"} | counts
