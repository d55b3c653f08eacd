"""Unpacks a zip in a process of its own: `python -m tests.helpers.unpack_child ZIP FOLDER WHAT AT` in the root.

WHAT is `slow`, or one of `before replace`, `after replace`, `before read`, `after read`: the process kills itself at
the AT-th such moment. Prints how many files it moved into place.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from tasks.mmeb.archive import unpack

calls = {"replace": 0, "read": 0}


def watched(name: str, real: Callable[..., object], what: str, at: int) -> Callable[..., object]:
    def call(*args: object) -> object:
        calls[name] += 1
        if (what, calls[name]) == (f"before {name}", at):
            os.kill(os.getpid(), signal.SIGKILL)
        value = real(*args)
        if (what, calls[name]) == (f"after {name}", at):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "slow":
            time.sleep(0.02)
        return value

    return call


if __name__ == "__main__":
    zip_path, folder, what, at = sys.argv[1:]
    os.replace = watched("replace", os.replace, what, int(at))
    zipfile.ZipExtFile.read = watched("read", zipfile.ZipExtFile.read, what, int(at))
    unpack(Path(zip_path), Path(folder))
    sys.stdout.write(str(calls["replace"]))
