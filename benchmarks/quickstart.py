"""Time of `make quickstart` in a fresh clone, after the install, and of that of another commit. See README.md."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import lib.common as common

_ROOT = Path(__file__).resolve().parents[1]
_LONGEST = 360.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Which the other benchmarks hold down, and a user does not."""


_SEEDS = ("seeds", "runs/demo-text-infonce", "runs/demo-text", "--format", "json")
_SHOWN = ("a", "b", "difference", "low", "high")


class Quickstart(NamedTuple):
    """What a run took and found."""

    clock: float
    """Seconds."""
    cores: float
    """Seconds of all cores. With one thread they hardly depend on what else the machine does."""
    seeds: dict[str, float]
    """The scores of InfoNCE (a) and of hardness weights (b), and their difference; empty at an older commit."""


def quickstart(commit: str, threads: int | None, venv: Path | None) -> Quickstart:
    """Runs it in a clone at a commit, with the threads that a user has (None), in a new environment (None)."""
    with tempfile.TemporaryDirectory() as place:
        clone = Path(place) / "clone"
        environment = {name: value for name, value in os.environ.items() if name not in _THREADS}
        environment |= {"LLAVE_CACHE": f"{place}/cache"}
        environment |= dict.fromkeys(_THREADS, str(threads)) if threads else {}
        subprocess.run(["git", "clone", "--quiet", str(_ROOT), str(clone)], check=True)
        subprocess.run(["git", "checkout", "--quiet", "--detach", commit], cwd=clone, check=True)
        command = ["make", "quickstart"]
        if venv is None:
            subprocess.run(["make", "install"], cwd=clone, env=environment, check=True)
        else:
            # the environment is not remade, and the code is that of the clone
            command += [f"VENV={venv}", "-o", f"{venv}/.installed"]
            environment["PYTHONPATH"] = str(clone)
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, cwd=clone, env=environment, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        clock = time.perf_counter() - began
        return Quickstart(round(clock, 1), round(spent, 1), _over_seeds(clone, venv or clone / ".venv", environment))


def _over_seeds(clone: Path, venv: Path, environment: dict[str, str]) -> dict[str, float]:
    if not (clone / _SEEDS[1]).is_dir():
        return {}
    command = [str(venv / "bin" / "llave"), *_SEEDS]
    told = subprocess.run(command, cwd=clone, env=environment, check=True, capture_output=True).stdout
    found = json.loads(told)["figures"]["mean"]
    return {name: round(found[name], 4) for name in _SHOWN if found[name] is not None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, help="threads of a process, where the machine is not alone (a user's)")
    parser.add_argument("--venv", type=Path, help="an environment to use as it is (a new one)")
    parser.add_argument("--before", metavar="COMMIT", help="also measure the quickstart of another commit")
    parser.add_argument("--out", type=Path, help="where the figures go (results/quickstart.json)")
    options = parser.parse_args()
    now = quickstart("HEAD", options.threads, options.venv)
    figures: dict[str, object] = {"seconds after the install": common.aim(now.clock, at_most=_LONGEST)}
    if options.before:
        then = quickstart(options.before, options.threads, options.venv)
        figures = {
            "seconds of all cores": common.aim(now.cores, at_most=then.cores),
            "seconds after the install": now.clock,
            f"seconds after the install at {options.before}": then.clock,
        }
    figures["P@1 over seeds"] = now.seeds
    settings = {"threads": options.threads, "before": options.before}
    common.write_report(options.out or common.RESULTS / "quickstart.json", settings, figures)


if __name__ == "__main__":
    main()
