"""Times what a reader does on the page of a large board, in headless Chromium. See README.md."""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import lib.common as common
from board import draw

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

_ROOT = Path(__file__).resolve().parents[1]
_MOST_SCRIPT = 0.1
_SETTLED = 1.0
"""Seconds after an action in which the page does what it has put off."""
_HEAT_MAP = """
    const field = document.getElementById("columns");
    field.value = [...field.options].find((each) => /36 datasets/.test(each.textContent)).value;
    field.dispatchEvent(new Event("change", { bubbles: true }));
"""
_MEANS = """
    const field = document.getElementById("columns");
    field.value = "means";
    field.dispatchEvent(new Event("change", { bubbles: true }));
"""
_SORT = """
    [...document.querySelectorAll("#table thead button")].find((each) => each.textContent === "%s").click();
"""
_KEY = """
    const field = document.getElementById("search");
    field.value += "%s";
    field.dispatchEvent(new Event("input", { bubbles: true }));
"""
_CLEAR = """
    const field = document.getElementById("search");
    field.value = "";
    field.dispatchEvent(new Event("input", { bubbles: true }));
"""
ACTIONS = (
    ("sort the means", _SORT % "overall"),
    ("press a key in the filter", _KEY % "1"),
    ("empty the filter", _CLEAR),
    ("show the heat map", _HEAT_MAP),
    ("sort the heat map", _SORT % "SUN397"),
    ("press a key in the filter of the heat map", _KEY % "1"),
    ("empty the filter of the heat map", _CLEAR),
    ("show the means again", _MEANS),
)
_OPENED = "return performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"


def write(path: Path, models: int) -> None:
    """Writes the page of a board of random results on MMEB's 36 datasets."""
    from leaderboards.board.board import Board
    from leaderboards.page.page import write_page
    from tasks.suites import find_suite

    write_page(path, Board.of_records(draw(models, 100), find_suite("mmeb")))


def write_by(commit: str, path: Path, models: int) -> None:
    """The same by the code of another commit."""
    archive = subprocess.run(["git", "archive", commit], cwd=_ROOT, check=True, capture_output=True).stdout
    with tempfile.TemporaryDirectory() as name:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(name, filter="data")
        shutil.copy(__file__, Path(name, "benchmarks", "page.py"))
        line = [sys.executable, str(Path(name, "benchmarks", "page.py")), "--write", str(path), "--models", str(models)]
        subprocess.run(line, check=True, env={**os.environ, "PYTHONPATH": name})


def browser() -> Chrome:
    """Headless Chromium. Raises ImportError without selenium, FileNotFoundError without Chromium and its driver."""
    from selenium import webdriver

    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        raise FileNotFoundError("chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.add_argument("--window-size=1400,1000")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def measure(chrome: Chrome, path: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Median seconds of script and of all work of the page, by action. The first round is not counted."""
    chrome.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    script: dict[str, list[float]] = {name: [] for name, _ in ACTIONS}
    work: dict[str, list[float]] = {name: [] for name, _ in ACTIONS}
    loaded = []
    for _ in range(repeats):
        chrome.get(path.as_uri())
        time.sleep(_SETTLED)
        loaded.append(float(chrome.execute_script(_OPENED)))
        for name, code in ACTIONS:
            before = _metrics(chrome)
            chrome.execute_script(code)
            time.sleep(_SETTLED)
            after = _metrics(chrome)
            script[name].append(after["ScriptDuration"] - before["ScriptDuration"])
            work[name].append(after["TaskDuration"] - before["TaskDuration"])
    return {
        "script": {name: round(statistics.median(each), 3) for name, each in script.items()},
        "all work": {name: round(statistics.median(each), 3) for name, each in work.items()},
        "open": {"load event": round(statistics.median(loaded), 3)},
    }


def _metrics(chrome: Chrome) -> dict[str, float]:
    found = chrome.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return {each["name"]: float(each["value"]) for each in found}


def report(chrome: Chrome, folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """The figures of this code, and of another commit if one is given."""
    write(folder / "page.html", options.models)
    now = measure(chrome, folder / "page.html", options.repeats)
    figures: dict[str, object] = {
        "browser": f"Chromium {chrome.capabilities['browserVersion']}, headless",
        "megabytes": round((folder / "page.html").stat().st_size / 1e6, 2),
        "seconds": now,
        "seconds of script, at most": common.aim(max(now["script"].values()), at_most=_MOST_SCRIPT),
    }
    if options.before:
        write_by(options.before, folder / "before.html", options.models)
        figures[f"seconds at {options.before}"] = measure(chrome, folder / "before.html", options.repeats)
    return figures


def opened(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """The figures, or why there are none."""
    try:
        chrome = browser()
    except (ImportError, FileNotFoundError) as error:
        return {"not opened": str(error)}
    try:
        return report(chrome, folder, options)
    finally:
        chrome.quit()


def main() -> None:
    """Runs the benchmark and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--models", type=int, default=500, help="models of the page, each on MMEB's 36 datasets (500)")
    add("--repeats", type=int, default=5, help="rounds whose median is taken (5)")
    add("--before", metavar="COMMIT", help="measure the page that this commit makes too")
    add("--write", type=Path, metavar="FILE", help="only write the page")
    add("--out", type=Path, default=common.RESULTS / "page.json", help="file for the results")
    options = parser.parse_args()
    if options.write:
        write(options.write, options.models)
        return
    with tempfile.TemporaryDirectory() as name:
        figures = {f"page, {options.models} models": opened(Path(name), options)}
    settings = {"models": options.models, "repeats": options.repeats, "before": options.before}
    common.write_report(options.out, settings, figures)


if __name__ == "__main__":
    main()
