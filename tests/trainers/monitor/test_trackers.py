"""Trackers get the lines of the log, and their packages are imported only when they are asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import UserError
from trainers.monitor.log import StepReport, TrainingLog
from trainers.monitor.trackers import open_trackers


def report(step: int) -> StepReport:
    return StepReport(step, 0.5 / step, 1.0, 1e-3, 0.05, 10.0, 99.0, {"cut_items": 3}, 7.0, {"overlap": 0.2}, {})


class Receiver:
    """Stands for the module and for its run."""

    def __init__(self) -> None:
        self.settings: dict[str, object] = {}
        self.seen: dict[int, dict[str, float]] = {}
        self.ended = False

    def init(self, **settings: object) -> Receiver:
        self.settings = settings
        return self

    def log(self, numbers: dict[str, float], step: int) -> None:
        self.seen[step] = dict(numbers)

    def finish(self) -> None:
        self.ended = True


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_gets_every_number_of_a_line_once_a_step(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    receiver = Receiver()
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(init=receiver.init))
    log = TrainingLog(tmp_path, 0, open_trackers([name], tmp_path, 0, {"alpha": 9}))
    for step in (1, 2):
        log.add(report(step))
    log.add_scores(2, {"a": 0.5}, 0.5)
    log.finish()
    assert (receiver.settings["name"], receiver.settings["config"]) == (tmp_path.name, {"alpha": 9})
    assert receiver.settings["resume"] == "allow"
    assert receiver.seen[1]["loss"] == report(1).loss
    assert receiver.seen[1]["cut_items"] == 3
    assert receiver.seen[2] == {"mean": 0.5, "scores/a": 0.5}
    assert receiver.ended


@pytest.mark.parametrize(("name", "extra"), [("wandb", "wandb"), ("trackio", "trackio"), ("tensorboard", "train")])
def test_a_package_that_is_missing_is_named_with_its_extra(
    name: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard" if name == "tensorboard" else name, None)
    with pytest.raises(UserError, match=f"report_to names {name}") as refused:
        open_trackers([name], tmp_path, 0, {})
    assert f"llave-bench[{extra}]" in refused.value.hint


def test_nothing_is_imported_that_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("wandb", "trackio", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    assert open_trackers([], tmp_path, 0, {}) == []
