"""`llave train`, as a person calls it."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.errors import UserError
from llave.cli import train as command
from tests.helpers import llave_files
from tests.helpers.training_files import write_pairs, write_start

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)


def launched_as(monkeypatch, rank: int) -> None:
    """Sets what a launcher tells one of two processes."""
    launcher = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "localhost", "MASTER_PORT": 29500}
    for name, value in launcher.items():
        monkeypatch.setenv(name, str(value))


def call(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(each) for each in arguments]))


@pytest.fixture
def mine(tmp_path: Path) -> list[object]:
    """A recipe on small data from a small start."""
    data, start = write_pairs(tmp_path / "data"), write_start(tmp_path / "begin")
    return ["demo", "--data", data, "--set", f"model={start}", "--set", "batch=4", "--set", "device=cpu"]


def test_a_dry_run_says_what_would_be_and_writes_nothing(mine, tmp_path: Path, capsys):
    assert (
        call(*mine, "--dry-run", "--out", tmp_path / "out", "--set", "num_train_epochs=3", "--set", "max_steps=none")
        == 0
    )
    said = capsys.readouterr().out
    for line in ("ask", "24", "steps: 18", "negatives per query: 3", "global batch: 4 pairs", "trainable parameters: "):
        assert line in " ".join(said.split())
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_what_is_not_used_and_what_is_left_out(mine, tmp_path: Path, capsys):
    (tmp_path / "data" / "images" / "7.png").unlink()
    dry = ["--dry-run", "--set", "on_bad_media=skip"]
    assert call(*mine[:3], *dry, "--set", "batch=4", "--set", "hard_negatives=false") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "left out for bad media: 3 pairs" in said
    assert "Left out: " in said
    assert "7.png does not exist" in said
    assert "10 pairs with negatives, which are not used" in said
    assert "of the words of the data are not in the demo's vocabulary" in said
    assert call(*mine, *dry, "--set", "hard_negatives=true") == 0
    assert "Note:" not in capsys.readouterr().out


def test_a_dry_run_fits_a_terminal_of_80_columns_and_marks_rounded_numbers(capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert call("llave-2b", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "(rounded)" in next(line for line in said.splitlines() if "DocVQA" in line)
    assert "662,163" in next(line for line in said.splitlines() if "│ all" in line)
    assert max(map(len, said.splitlines())) <= 80


def test_only_the_main_process_shows_a_dry_run(mine, capsys, monkeypatch: pytest.MonkeyPatch):
    for rank in (1, 0):
        assert not capsys.readouterr().out
        launched_as(monkeypatch, rank)
        assert call(*mine, "--dry-run") == 0
    assert "2, each 2 pairs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("matryoshka_dims=8,129",), "128 dimensions; matryoshka_dims has 129"),
        (("eval_steps=500", "eval_suite=dmeo"), "dmeo"),
        (("eval_steps=500", "eval_tasks=demo-colour"), "demo-colour"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(mine, wrong: tuple[str, ...], said: str):
    with pytest.raises(UserError, match=said):
        call(*mine, "--dry-run", *(part for setting in wrong for part in ("--set", setting)))


@pytest.mark.parametrize(
    ("data", "settings", "said"),
    [
        ("demo", (), "--suite demo"),
        ("MMEB-train", (), "--suite mmeb"),
        ("mine.jsonl", (), "--tasks NAMES"),
        ("demo", ("lora_rank=2",), "--suite demo"),
    ],
)
def test_the_last_line_says_what_can_be_done_with_the_checkpoint(
    data: str, settings: tuple[str, ...], said: str, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("trainers.train.train", lambda *_, **__: tmp_path / "checkpoint-1")
    setting = (part for each in settings for part in ("--set", each))
    assert call("demo", "--data", data, *setting) == 0
    last = capsys.readouterr().err.replace("\n", "")
    assert said in last
    assert ("Evaluate it" in last) == ("--" in said)


def test_a_run_ends_in_a_checkpoint_and_the_next_command(mine, tmp_path: Path, capsys):
    assert call(*mine, "--out", tmp_path / "out", "--set", "max_steps=2") == 0
    assert f"llave run {tmp_path / 'out' / 'checkpoint-2'}" in capsys.readouterr().err.replace("\n", "")
    assert call(*mine, "--out", tmp_path / "out", "--set", "max_steps=2", "--resume") == 0


@pytest.mark.parametrize(
    ("wrong", "said"), [("alfa=1", "alpha"), ("max_rows_per_dataset=1", "fewer than a batch"), ("micro_batch=3", "cut")]
)
def test_what_a_user_got_wrong_is_told_before_training(mine, tmp_path: Path, wrong: str, said: str):
    with pytest.raises(UserError, match=said):
        call(*mine, "--out", tmp_path / "out", "--set", wrong)


def test_an_old_name_of_a_setting_is_noted_once_and_only_by_the_main_process(
    mine, capsys, monkeypatch: pytest.MonkeyPatch
):
    assert call(*mine, "--dry-run", "--set", "scale=50", "--set", "lr=1e-3") == 0
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(". ")[0] for line in said] == [
        "note: scale=50 is now temperature=0.02",
        "note: lr=1e-3 is now learning_rate=1e-3",
    ]
    launched_as(monkeypatch, 1)
    assert call(*mine, "--dry-run", "--set", "scale=50") == 0
    assert capsys.readouterr().err == ""


def test_the_command_that_is_printed_after_ctrl_c_goes_on(mine, tmp_path: Path):
    out = tmp_path / "out, with a space"
    settings = ("--set", "max_steps=16", "--set", "save_steps=2")
    stopped = _stopped(["llave", "train", *map(str, (*mine, "--out", out, *settings))], out / "checkpoint-2")
    assert "Traceback" not in stopped
    command = shlex.split(stopped.splitlines()[-1])
    assert command[-1] == "--resume"
    done = _start(command)
    said = done.communicate(timeout=240)[1]
    assert done.returncode == 0, said
    assert "Resuming from" in said
    assert (out / "checkpoint-16").is_dir()


def _start(command: Sequence[str]) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    python = [sys.executable, "-m", *command]
    return subprocess.Popen(python, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def _stopped(command: Sequence[str], until: Path) -> str:
    """What a run says that gets Ctrl-C when a file or folder is there."""
    run = _start(command)
    while run.poll() is None and not until.exists():
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=240)[1]
    assert run.returncode == 130, said
    return said
