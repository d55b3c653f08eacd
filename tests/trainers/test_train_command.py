"""`llave train`, as a person calls it."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from harness.commands import train as command
from harness.errors import UserError
from tests.harness.models import llave_files
from tests.trainers.training_files import write_pairs, write_start

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)


def call(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(each) for each in arguments]))


@pytest.fixture
def mine(tmp_path: Path) -> list[object]:
    """A recipe on small data from a small start."""
    data, start = write_pairs(tmp_path / "data"), write_start(tmp_path / "begin")
    return ["demo", "--data", data, "--set", f"start={start}", "--set", "batch=4", "--set", "device=cpu"]


def test_a_dry_run_says_what_would_be_and_writes_nothing(mine, tmp_path: Path, capsys):
    assert call(*mine, "--dry-run", "--out", tmp_path / "out", "--set", "epochs=3", "--set", "steps=none") == 0
    said = capsys.readouterr().out
    for line in ("ask", "24", "steps: 18", "negatives per query: 3", "global batch: 4 pairs", "trainable parameters: "):
        assert line in " ".join(said.split())
    assert not (tmp_path / "out").exists()


def test_a_run_ends_in_a_checkpoint_and_the_next_command(mine, tmp_path: Path, capsys):
    assert call(*mine, "--out", tmp_path / "out", "--set", "steps=2") == 0
    assert f"llave run {tmp_path / 'out' / 'checkpoint-2'}" in capsys.readouterr().err.replace("\n", "")
    assert call(*mine, "--out", tmp_path / "out", "--set", "steps=2", "--resume") == 0


@pytest.mark.parametrize(
    ("wrong", "said"), [("alfa=1", "alpha"), ("cap=1", "fewer than a batch"), ("micro_batch=3", "cut")]
)
def test_what_a_user_got_wrong_is_told_before_training(mine, tmp_path: Path, wrong: str, said: str):
    with pytest.raises(UserError, match=said):
        call(*mine, "--out", tmp_path / "out", "--set", wrong)
