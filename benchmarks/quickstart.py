"""Time of `make quickstart` in a fresh clone, after the install. See README.md."""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

import lib.common as common

_ROOT = Path(__file__).resolve().parents[1]
_LONGEST = 360.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Which the other benchmarks hold down, and a user does not."""


def quickstart() -> float:
    """Seconds."""
    with tempfile.TemporaryDirectory() as place:
        clone = Path(place) / "clone"
        usual = {name: value for name, value in os.environ.items() if name not in _THREADS}
        environment = {**usual, "LLAVE_CACHE": f"{place}/cache"}
        subprocess.run(["git", "clone", "--quiet", str(_ROOT), str(clone)], check=True)
        subprocess.run(["make", "install"], cwd=clone, env=environment, check=True)
        began = time.perf_counter()
        subprocess.run(["make", "quickstart"], cwd=clone, env=environment, check=True)
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="where the figures go (results/quickstart.json)")
    options = parser.parse_args()
    figures = {"seconds after the install": common.aim(quickstart(), at_most=_LONGEST)}
    common.write_report(options.out or common.RESULTS / "quickstart.json", {}, figures)


if __name__ == "__main__":
    main()
