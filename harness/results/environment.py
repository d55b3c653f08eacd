"""The environment of a result: versions, machine, and memory."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from harness.identity import library_version

_LIBRARIES = (
    "torch",
    "transformers",
    "sentence-transformers",
    "accelerate",
    "numpy",
    "scikit-learn",
    "pillow",
    "opencv-python-headless",
    "decord",
    "av",
)


def environment(device: str) -> Mapping[str, object]:
    """Returns versions and facts about the machine, as plain data. `device` is that of the command line."""
    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None
    return {
        "llave-bench": own_version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": device if device != "auto" else "cuda" if gpu else "cpu",
        "gpu": gpu,
        "libraries": {name: library_version(name) for name in _LIBRARIES},
    }


def own_version() -> str:
    """Returns the version of llave-bench, or `not installed`."""
    try:
        return version("llave-bench")
    except PackageNotFoundError:
        return "not installed"


def peak_memory() -> Mapping[str, int]:
    """Returns the highest use of memory so far, in bytes: `process_bytes`, and `gpu_bytes` if torch has used a GPU."""
    peak = {"process_bytes": _process_peak()}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peak["gpu_bytes"] = int(torch.cuda.max_memory_allocated())
    return peak


def _process_peak() -> int:
    try:
        import resource
    except ModuleNotFoundError:  # Windows has no such module
        import psutil

        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
