"""The log of a training run: a JSON Lines file, and trackers on request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from harness.files.reading import bad_line, explain_reading, parse_lines
from harness.files.writing import explain_os_errors, write_atomic
from trainers.monitor.trackers import Tracker

NAME = "log.jsonl"
_HINT = "Correct the file, or move it away: the run goes on without its lines."


class _Line(TypedDict):
    step: int
    scores: NotRequired[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class StepReport:
    """Figures of a step, from 1. Loss and norm are means over the steps since the last report."""

    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    temperature: float
    pairs_per_second: float
    tokens_per_second: float
    lost: Mapping[str, int]
    """Counts over the steps since the last report, as `Tally.lost` has them."""
    seconds: float
    """Seconds since the run was started or resumed."""
    numbers: Mapping[str, float]
    """Figures about the similarities of the last batch, as `llave diagnose` has them."""
    datasets: Mapping[str, Mapping[str, float]]
    """The same for each dataset that the batch has enough pairs of."""


class TrainingLog:
    """Writes the log. Lines after the step that a run resumes from (`after`) are removed."""

    def __init__(self, out: Path, after: int, trackers: Sequence[Tracker] = ()) -> None:
        self._path = out / NAME
        kept = [fields for fields in _read(self._path) if fields["step"] <= after]
        write_atomic(self._path, "".join(f"{json.dumps(fields)}\n" for fields in kept))
        self._trackers = trackers

    def add(self, report: StepReport) -> None:
        """Adds a line with the figures of a step. Raises UserError if the disk is full."""
        fields = asdict(report)
        datasets = fields.pop("datasets")
        numbers = fields.pop("numbers")
        lost = fields.pop("lost")
        self._write({**fields, **lost, **numbers, "datasets": datasets})

    def add_scores(self, step: int, scores: Mapping[str, float], mean: float) -> None:
        """Adds a line with the scores of a checkpoint by task, and their mean."""
        self._write({"step": step, "mean": mean, "scores": dict(scores)})

    def finish(self) -> None:
        """Ends the run at the trackers."""
        for tracker in self._trackers:
            tracker.finish()

    def _write(self, fields: Mapping[str, object]) -> None:
        with explain_os_errors(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(fields) + "\n")
        numbers = dict(_leaves(fields))
        for tracker in self._trackers:
            tracker.log(numbers, int(cast("_Line", fields)["step"]))


def scored(out: Path, step: int) -> bool:
    """Whether the log has scores of the checkpoint after a step."""
    return any(fields["step"] == step and "scores" in fields for fields in _read(out / NAME))


def _read(path: Path) -> list[_Line]:
    """The lines of a log. A last line without its end was cut off, and is left out. Raises UserError for damage."""
    if not path.exists():
        return []
    with explain_reading(path):
        whole = path.read_bytes()
    lines = whole[: whole.rfind(b"\n") + 1].splitlines()
    found: list[_Line] = []
    for number, fields in parse_lines(lines, str(path), _HINT, lenient=True):
        if not isinstance(fields.get("step"), int):
            raise bad_line(path, number, "it has no step, a whole number", _HINT)
        found.append(cast("_Line", fields))
    return found


def _leaves(fields: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers with their path, such as `datasets/MSCOCO/overlap`."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "step":
            yield f"{prefix}{name}", value
