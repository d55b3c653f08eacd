"""The environment is recorded on every platform."""

from __future__ import annotations

import subprocess
import sys

from harness.results.environment import peak_memory


def test_the_peak_is_known_where_the_resource_module_is_absent() -> None:
    code = (
        "import sys, psutil; sys.modules['resource'] = None\n"
        "import llave.cli.main\n"
        "from harness.results.environment import peak_memory; print(peak_memory()['process_bytes'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 2**20


def test_the_peak_only_grows() -> None:
    before = peak_memory()["process_bytes"]
    held = bytearray(2**26)
    assert peak_memory()["process_bytes"] >= before
    del held
