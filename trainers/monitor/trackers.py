"""Trackers of other packages that get the lines of the log. A package is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from harness.errors import UserError


class Tracker(Protocol):
    """A receiver of numbers by their name."""

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Takes the numbers of a step."""

    def finish(self) -> None:
        """Ends the run at the receiver."""


class _SummaryWriter(Protocol):
    def add_scalar(self, name: str, value: float, step: int) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class _TensorBoard:
    def __init__(self, writer: _SummaryWriter) -> None:
        self._writer = writer

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def finish(self) -> None:
        self._writer.close()


def open_trackers(names: Sequence[str], out: Path, after: int, settings: Mapping[str, object]) -> list[Tracker]:
    """The trackers of these names.

    Args:
        names: of `tensorboard`, `wandb` and `trackio`.
        out: the folder of the run, whose name the run has at the receiver.
        after: the step that the run is resumed from. What TensorBoard has of later ones is removed.
        settings: the settings of the run.

    Raises:
        UserError: if a package is not installed.
    """
    made: Mapping[str, Callable[[], Tracker]] = {
        "tensorboard": lambda: _TensorBoard(
            _package("torch.utils.tensorboard").SummaryWriter(str(out / "tensorboard"), purge_step=after + 1)
        ),
        "wandb": lambda: _package("wandb").init(
            project="llave-bench", name=out.name, dir=str(out), config=dict(settings), resume="allow", id=_id(out)
        ),
        "trackio": lambda: _package("trackio").init(
            project="llave-bench", name=out.name, config=dict(settings), resume="allow"
        ),
    }
    return [made[name]() for name in names]


class _Package(Protocol):
    def init(self, **settings: object) -> Tracker: ...
    def SummaryWriter(self, folder: str, purge_step: int) -> _SummaryWriter: ...  # noqa: N802


def _package(name: str) -> _Package:
    try:
        return cast("_Package", import_module(name))
    except ImportError:
        short = name.rpartition(".")[2]
        extra = "train" if short == "tensorboard" else short
        raise UserError(
            f"report_to names {short}, which is not installed.",
            f'pip install "llave-bench[{extra}]", or leave it out of report_to.',
        ) from None


def _id(out: Path) -> str:
    """A name that the run keeps when it is resumed, in letters that wandb takes."""
    return "".join(each if each.isalnum() else "-" for each in str(out.resolve()))[-100:]
