"""Loads a model in a second process, where `hash()` gives other numbers, and compares its vectors of the probes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from harness.doctor.finding import Finding, ModelUnderTest
from harness.doctor.kept import FILE, compare_kept, keep_vectors, read_kept, write_kept
from harness.progress import NoProgress
from harness.types import ModelSettings


def second_load(model: ModelUnderTest, name: str, settings: ModelSettings) -> Finding:
    """Loads the model in a new process, where `hash()` gives other numbers, and compares the vectors of all probes."""
    asked = {"name": name, **asdict(settings), "memory": settings.memory and str(settings.memory)}
    asked["options"] = dict(settings.options)
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(  # noqa: S603 - this program itself
            [sys.executable, "-m", "llave.second_load", folder],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            return Finding("second load", "fail", f"The model cannot be loaded in a new process: {last[:200]}")
        return compare_kept(model, read_kept(Path(folder) / FILE), "second load", "in a new process")


def _main() -> None:
    """Loads the model that standard input names, and writes the vectors of its probes into the folder given."""
    from harness.models import open_model

    asked = json.loads(sys.stdin.read())
    name, memory = asked.pop("name"), asked.pop("memory")
    settings = ModelSettings(**asked, memory=memory and Path(memory))
    loaded = ModelUnderTest(open_model(name, settings, NoProgress().note).load())
    write_kept(Path(sys.argv[1]), keep_vectors(loaded))


if __name__ == "__main__":
    _main()
