"""What a run says while it goes: to a watcher, to a JSON Lines file, and to TensorBoard where it is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, Protocol, TypedDict

from harness.errors import UserError
from harness.paths import explain_os_errors, write_atomic
from harness.progress import Progress

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

NAME = "log.jsonl"


class _Line(TypedDict):
    step: int
    scores: NotRequired[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class StepReport:
    """A step, from 1, or the mean over the steps since the last report."""

    step: int
    loss: float
    grad_norm: float
    lr: float
    scale: float
    pairs_per_second: float
    seconds: float
    """Since the run, or this part of it, began."""
    numbers: Mapping[str, float]
    """How positive and negative similarities of the last batch lie."""
    datasets: Mapping[str, Mapping[str, float]]
    """The same for each dataset of which the batch had enough pairs."""


class TrainingProgress(Protocol):
    """Shows a run to a person."""

    def begin(self, done: int, steps: int) -> None: ...

    def step(self, loss: float, pairs_per_second: float) -> None: ...

    def note(self, text: str) -> None: ...

    def evaluating(self) -> Progress:
        """Who hears of an evaluation."""


class TrainingLog:
    """The files. Lines of steps after the one that is resumed from are taken away."""

    def __init__(self, out: Path, after: int, *, tensorboard: bool = False) -> None:
        self._path = out / NAME
        kept = [fields for fields in _read(self._path) if fields["step"] <= after]
        write_atomic(self._path, "".join(f"{json.dumps(fields)}\n" for fields in kept))
        self._writer = _summary_writer(out, after) if tensorboard else None

    def add(self, report: StepReport) -> None:
        fields = asdict(report)
        datasets = fields.pop("datasets")
        numbers = fields.pop("numbers")
        self._write({**fields, **numbers, "datasets": datasets})

    def add_scores(self, step: int, scores: Mapping[str, float], mean: float) -> None:
        self._write({"step": step, "mean": mean, "scores": dict(scores)})

    def _write(self, fields: Mapping[str, object]) -> None:
        with explain_os_errors(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(fields) + "\n")
        if self._writer is not None:
            for name, value in _leaves(fields):
                self._writer.add_scalar(name, value, fields["step"])
            self._writer.flush()


def scored(out: Path, step: int) -> bool:
    """Whether the log has scores of a step's checkpoint."""
    return any(fields["step"] == step and "scores" in fields for fields in _read(out / NAME))


def _read(path: Path) -> list[_Line]:
    """Lines of a log, without one that was cut short."""
    found = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def _leaves(fields: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers by their path, such as `datasets/MSCOCO/overlap`."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}/")
        elif isinstance(value, float):
            yield f"{prefix}{name}", value


def _summary_writer(out: Path, after: int) -> SummaryWriter:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "TensorBoard is not installed.", 'pip install "llave-bench[train]", or --set tensorboard=false.'
        ) from None
    return SummaryWriter(str(out / "tensorboard"), purge_step=after + 1)
