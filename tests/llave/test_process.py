"""The process of the command: Ctrl-C at any moment, streams that are closed or full, and hostile environments."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LLAVE = (sys.executable, "-m", "llave")
HASHED = "tests.helpers.embedders:Hashed"
SOON = 30
"""Seconds in which a process must end, on a machine that other tests keep busy."""
STUCK = """
import ctypes, sys, threading, time
sys.orig_argv, sys.argv = ["python", "-m", "llave", "tasks"], ["llave", "tasks"]
import llave
from llave import __main__
from llave.cli import main
def swallow():
    try:
        time.sleep(1000)
    except KeyboardInterrupt:
        pass
def lock():
    mutex = ctypes.create_string_buffer(64)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
class Command:
    def run(options):
        print("here", flush=True)
        STUCK
        return 0
main.COMMANDS["tasks"].run = Command.run
__main__.start()
"""


def _environment(**more: str) -> dict[str, str]:
    usual = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return {**usual, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A task of a few texts."""
    path = tmp_path / "t.jsonl"
    targets = [{"target": f"t{number}", "text": f"object {number}"} for number in range(6)]
    queries = [{"query": f"q{number}", "text": f"thing {number}", "positives": [f"t{number}"]} for number in range(6)]
    path.write_text("\n".join(map(json.dumps, [*targets, *queries])))
    return path


def _run(data: Path, prefix: str = "", suffix: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """A run through the shell, in the folder of its data."""
    flags = "--out r --store s"
    command = f"{prefix} {sys.executable} -m llave run classical --data '{data.name}' {flags} {suffix}"
    env = _environment(**environment)
    done = subprocess.run(
        ["bash", "-c", command], cwd=data.parent, env=env, capture_output=True, text=True, timeout=240
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert "made a mistake" not in done.stderr
    return done


class TestInterrupts:
    def _interrupted(self, folder: Path, tiny: Path, wait: float, *, again: float | None = None) -> str:
        """What a run said that got Ctrl-C `wait` seconds after its first line. Its embedder takes long."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        flags = ("--data", str(tiny), "--budget", "64", "--out", str(folder / "o"), "--store", str(folder / "s"))
        env = _environment(EMBEDDER_SECONDS="0.5", LLAVE_CACHE=str(folder / "c"))
        child = subprocess.Popen((*LLAVE, "run", HASHED, *flags), env=env, stdout=-1, stderr=-1, text=True)
        while len(os.listdir(f"/proc/{child.pid}/task")) < 2:  # the thread that counts down is there
            time.sleep(0.001)
        time.sleep(wait)
        child.send_signal(signal.SIGINT)
        if again is not None:
            time.sleep(again)
            child.send_signal(signal.SIGINT)
        try:
            _, said = child.communicate(timeout=SOON)
        finally:
            child.kill()
        assert child.returncode == 130, said
        return said

    def _law(self, folder: Path, tiny: Path, times: int) -> None:
        """Interrupts at random moments of the first seconds: in the imports, at the data, in the work."""
        moments = random.Random(times)
        for _ in range(times):
            said = self._interrupted(folder, tiny, moments.uniform(0, 3))
            assert "Stopped. Finished work is kept" in said
            assert said.count("Stopped") == 1
            assert "Traceback" not in said
            assert "Exception ignored" not in said

    def test_one_at_any_moment_ends_the_run(self, tiny, tmp_path):
        self._law(tmp_path / "run", tiny.data, 12)

    @pytest.mark.exhaustive
    @pytest.mark.timeout(1800)
    def test_a_hundred_at_any_moment_end_the_run(self, tiny, tmp_path):
        self._law(tmp_path / "run", tiny.data, 100)

    @pytest.mark.parametrize("again", [0.0, 0.1])
    def test_a_second_one_ends_it_at_once(self, tiny, tmp_path, again):
        assert "Traceback" not in self._interrupted(tmp_path / "run", tiny.data, 2.5, again=again)

    @pytest.mark.parametrize(
        "stuck",
        [
            "time.sleep(1000)",
            "lock()",  # a library that does not come back: Python never handles the signal
            "[swallow() for _ in range(1000)]",  # a library that swallows the interrupt
            "threading.Thread(target=time.sleep, args=(1000,)).start(); time.sleep(1000)",  # the end waits for a thread
            "raise OSError if swallow() is None else None",  # a library that makes another error of it
        ],
    )
    def test_it_ends_whatever_the_command_is_doing(self, stuck):
        code = STUCK.replace("STUCK", stuck)
        child = subprocess.Popen([sys.executable, "-c", code], env=_environment(), stdout=-1, stderr=-1, text=True)
        assert child.stdout
        assert child.stdout.readline() == "here\n"
        start = time.monotonic()
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=SOON)
        assert (child.returncode, "Traceback" in said, said.count("Stopped")) == (130, False, 1)
        assert time.monotonic() - start < SOON / 2

    def test_a_program_that_imports_the_library_keeps_its_signals_and_streams(self):
        code = (
            "import signal, sys; before = sys.stdout; import llave; "
            "print(signal.getsignal(2) is signal.default_int_handler, sys.stdout is before)"
        )
        done = subprocess.run([sys.executable, "-c", code], env=_environment(), capture_output=True, text=True)
        assert done.stdout == "True True\n"


class TestStreams:
    @pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&-", "<&- >&- 2>&-"])
    def test_a_closed_one_changes_nothing(self, data, closed):
        assert _run(data, suffix=closed).returncode == 0
        assert len(list(data.parent.glob("r/classical/*/t.json"))) == 1

    def test_a_full_output_is_one_error_and_the_results_are_kept(self, data):
        done = _run(data, suffix="> /dev/full")
        assert done.returncode == 1
        assert "error: Standard output could not be written: No space left on device." in done.stderr
        assert len(list(data.parent.glob("r/classical/*/t.json"))) == 1

    @pytest.mark.parametrize("command", ["board --published", "tasks", "--help", "models --json"])
    def test_a_full_output_is_an_error_of_every_command(self, command, tmp_path):
        line = f"{sys.executable} -m llave {command} > /dev/full"
        done = subprocess.run(["bash", "-c", line], env=_environment(), cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr.count("\n")) == (1, 2), done.stderr

    def test_a_full_error_stream_does_not_end_the_run(self, data):
        done = _run(data, suffix="2> /dev/full")
        assert (done.returncode, "classical" in done.stdout) == (0, True)

    @pytest.mark.parametrize("pipe", ["| head -1", "2>&1 | head -1", "| true", "2>&1 >/dev/null | true"])
    def test_a_reader_that_goes_away_does_not_end_the_run(self, data, pipe):
        done = _run(data, prefix="set -o pipefail;", suffix=pipe)
        assert done.returncode == 0
        assert len(list(data.parent.glob("r/classical/*/t.json"))) == 1


class TestEnvironment:
    @pytest.mark.parametrize("columns", ["0", "-5", "x", "", "1.5", "1", "7", "100000"])
    def test_tables_have_a_usable_width(self, data, columns):
        done = _run(data, COLUMNS=columns)
        assert done.returncode == 0
        assert "classical" in done.stdout.replace("\n", "") or int(columns) < 9
        assert len(done.stdout.strip()) > 100

    @pytest.mark.parametrize(
        "changes",
        [
            {"TERM": "no-such"},
            {"TERM": ""},
            {"NO_COLOR": "1"},
            {"PYTHONIOENCODING": "ascii"},
            {"LANG": "xx_YY.nonsense", "LC_ALL": "xx_YY.nonsense"},
            {"PYTHONUNBUFFERED": "1"},
        ],
        ids=str,
    )
    def test_odd_values_change_nothing_that_counts(self, data, changes):
        done = _run(data, **changes)
        assert (done.returncode, "classical" in done.stdout) == (0, True)

    @pytest.mark.parametrize("mode", ["PYTHONUTF8=0 PYTHONCOERCECLOCALE=0", ""])
    def test_the_c_locale_reads_every_name(self, tmp_path, mode):
        """Data, images and folders with names that ASCII lacks."""
        from PIL import Image

        folder = tmp_path / "é猫"
        folder.mkdir()
        Image.new("RGB", (8, 8)).save(folder / "café 猫.png")
        lines = [{"target": "猫", "image": "café 猫.png"}, {"target": "b", "text": "x"}]
        lines.append({"query": "q", "text": "猫", "positives": ["b"]})
        data = folder / "ü.jsonl"
        data.write_text("\n".join(json.dumps(each, ensure_ascii=False) for each in lines), encoding="utf-8")
        done = _run(data, prefix=f"env LANG=C LC_ALL=C {mode}")
        assert done.returncode == 0, done.stderr
        assert "ü" in done.stdout


class TestPaths:
    @pytest.mark.parametrize("of", ["file", "folder", "items"])
    def test_what_may_not_be_read_is_an_error_of_the_user(self, data, of):
        unprivileged = "--bounding-set=-dac_override,-dac_read_search --inh-caps=-dac_override,-dac_read_search"
        if os.geteuid() == 0 and not shutil.which("setpriv"):
            pytest.skip("setpriv is not installed, and root may read everything")
        path = data.parent / "folder" if of == "folder" else data
        path.mkdir(exist_ok=True) if of == "folder" else None
        path.chmod(0)
        what = (
            ("embed", "classical", path, "-o", "v.safetensors")
            if of == "items"
            else ("run", "classical", "--data", path)
        )
        prefix = ("setpriv", *unprivileged.split()) if os.geteuid() == 0 else ()
        command = [*prefix, *LLAVE, *map(str, what)]
        done = subprocess.run(command, cwd=data.parent, env=_environment(), capture_output=True, text=True)
        path.chmod(0o700)
        assert (done.returncode, "Permission denied" in done.stderr) == (2, True), done.stderr
        assert str(path) in done.stderr
        assert len(done.stderr.splitlines()) == 2
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("place", ["file", "folder", "output"])
    def test_a_name_that_is_not_utf8_is_refused_or_works(self, data, place):
        odd = os.fsdecode(b"t\xff")
        name, out = str(data), "r"
        if place == "file":
            name = f"{odd}.jsonl"
            data.rename(data.parent / name)
        elif place == "folder":
            name = f"{odd}/t.jsonl"
            (data.parent / odd).mkdir()
            data.rename(data.parent / name)
        else:
            out = odd
        command = [*LLAVE, "run", "classical", "--data", name, "--out", out, "--store", "s"]
        done = subprocess.run(command, cwd=data.parent, env=_environment(), capture_output=True, text=True)
        assert done.returncode in (0, 2), done.stderr
        assert done.returncode == 0 or ("\\udcff" in done.stderr and len(done.stderr.splitlines()) == 2)
        assert "Traceback" not in done.stderr

    def test_a_path_that_is_too_long_is_an_error_of_the_user(self, tmp_path):
        command = [*LLAVE, "run", "classical", "--data", "a" * 5000]
        done = subprocess.run(command, cwd=tmp_path, env=_environment(), capture_output=True, text=True)
        assert (done.returncode, "Traceback" in done.stderr, len(done.stderr) < 1000) == (2, False, True)
