"""Code that the benchmarks share: one thread for BLAS, timing in turns, reports, and an embedder that costs nothing.

Import it before numpy, as `import lib.common as common`, which also sorts before numpy. It sets the number of BLAS
threads, which numpy reads when it loads. It also puts this checkout first on the path.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sqlite3
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"), HF_HUB_OFFLINE="1"
)
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from harness.identity import library_version
from harness.models.common import handle
from harness.results import environment
from harness.types import Embedder, Features, FloatArray, Item, ModelHandle, ModelSpec, Role

T = TypeVar("T")

RESULTS = Path(__file__).parents[1] / "results"
_LIBRARIES = ("numpy", "pyarrow", "datasets", "pillow", "torch", "transformers")
_NOISE = 1 << 20


class Free:
    """An embedder that costs almost nothing. A vector is a part of one array of noise, chosen by the content."""

    def __init__(self, width: int) -> None:
        self.spec = ModelSpec("benchmark/free", "1", "free/1", options={"width": width})
        self._width = width
        self._noise = np.random.default_rng(0).standard_normal(_NOISE + width, dtype=np.float32)

    def prepare(self, item: Item, role: Role) -> Features[int]:
        """Chooses the start of the part by a checksum of the content."""
        content = "\n".join([role, item.full_text, *(medium.name for medium in item.media)])
        return Features(zlib.crc32(content.encode()) % _NOISE, cost=1 + len(item.full_text) // 4)

    def embed(self, features: Sequence[Features[int]]) -> FloatArray:
        """Returns the parts of the noise, `(n, width)`."""
        return np.stack([self._noise[each.data : each.data + self._width] for each in features])


def handle_on(embedder: Embedder[T]) -> ModelHandle:
    """Returns a handle on an embedder that exists already."""
    return handle(embedder.spec, lambda: embedder)


def in_turns(
    repeats: int, sides: Mapping[str, Callable[[], object]], clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Returns the seconds of each side in each round.

    Sides take turns, so that other load on the machine affects all of them. A first round, which fills caches, is not
    counted. The garbage collector ignores objects that exist before the first round. With one thread, `process_time` as
    the clock leaves out the time in which others have the core.
    """
    gc.collect()
    gc.freeze()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats + 1):
        for name, work in sides.items():
            start = clock()
            work()
            if turn:
                seconds[name].append(clock() - start)
    return seconds


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Returns how many times as long `slow` took as `fast`: the median over rounds."""
    return round(statistics.median(a / b for a, b in zip(slow, fast, strict=True)), 2)


def medians(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Returns the median seconds of each side."""
    return {name: round(statistics.median(each), 4) for name, each in seconds.items()}


def aim(value: float, *, at_least: float | None = None, at_most: float | None = None) -> dict[str, float | bool]:
    """Returns a figure, its bounds, and whether it meets them."""
    met = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    bounds = {"at_least": at_least, "at_most": at_most}
    return {
        "value": round(value, 2),
        **{name: bound for name, bound in bounds.items() if bound is not None},
        "met": met,
    }


def processors() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory() -> int:
    """Returns the highest use of memory of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if not status.exists():
        return environment.peak_memory()["process_bytes"]
    # On Linux the usual `ru_maxrss` starts from the memory of the parent process.
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM:"))


def write_report(path: Path, settings: Mapping[str, object], figures: Mapping[str, object]) -> None:
    """Writes the figures with the machine, the versions and the settings, and prints them."""
    print(json.dumps(figures, indent=2))
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "processor": _processor(),
            "cores": processors(),
            "system": f"{platform.system()} {platform.machine()}",
            "load_at_the_end": round(os.getloadavg()[0], 1),
        },
        "versions": {
            "llave-bench": environment.own_version(),
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            **{name: library_version(name) for name in _LIBRARIES},
        },
        "settings": settings,
        "figures": figures,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
