"""What a folder of results holds, as a table, and what a file is that is no result."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UnknownName, UserError, counted
from harness.files.paths import RESULTS
from harness.results.numbers import fixed, percent
from harness.results.result import Result
from harness.results.verified import read_result
from harness.scoring.metrics import Metric
from leaderboards.exchange.files import SUFFIX
from leaderboards.tables import Cell, Table

_MODEL_FILES = ("config.json", "modules.json", "adapter_config.json", "config_sentence_transformers.json")
_KINDS = {
    ".queries.jsonl": ("the queries of a result", "Show the .json file beside it, whose name begins alike."),
    SUFFIX: ("a file of imported scores", "`llave board` shows them beside results."),
    ".html": ("a page", "Open it in a browser."),
    ".safetensors": ("a file of vectors or weights", "Name a result file, or the folder of results."),
    ".parquet": ("a file of data", "Evaluate a model on its folder: llave run MODEL --data DIR"),
    ".jsonl": ("a file of lines", "Evaluate a model on a task of your own: llave run MODEL --data FILE"),
}
"""What a file is by the end of its name, and what can be done with it."""


def result_list(folder: Path) -> Table:
    """The results in a folder, by model and task: score, protocol, date and file. A note names one that is refused.

    Raises: UserError that says what the folder is, if it has no results.
    """
    results: dict[Path, Result] = {}
    refused: list[UserError] = []
    for path in sorted(path for path in folder.rglob("*.json") if not path.name.startswith(".")):
        try:
            results[path] = read_result(path).result
        except UserError as error:
            refused.append(error)
    if not results:
        raise _no_results(folder)
    rows = sorted(results.items(), key=lambda each: (str(each[1].model["name"]), each[1].task, each[1].created))
    notes = [counted(len(rows), "result")]
    if refused:
        notes.append(f"{counted(len(refused), 'other JSON file')} not listed. The first: {refused[0].what}")
    names = ("model", "task", "score", "metric", "date", "file")
    cells = tuple(_row(path, result, folder) for path, result in rows)
    return Table(f"Results in {folder}", names, cells, frozenset(names) - {"score"}, tuple(notes), keep=names[:5])


def _row(path: Path, result: Result, folder: Path) -> tuple[Cell, ...]:
    limit = result.settings.get("limit")
    task = result.task if limit is None else f"{result.task} (--limit {limit})"
    metric = result.main_metric if result.protocol == "strict" else f"{result.main_metric}, {result.protocol}"
    value = result.main.value
    score = fixed(value) if Metric.parse(result.main_metric).is_rank else percent(value)
    texts = (str(result.model["name"]), task, score, metric, result.created[:10], str(path.relative_to(folder)))
    return tuple(map(Cell, texts))


def check_is_result(path: Path) -> None:
    """Raises UserError that says what a file or a name is, if its name shows that it is no result."""
    for ending, (what, remedy) in _KINDS.items():
        if path.is_file() and path.name.endswith(ending):
            raise UserError(f"{path} is {what}, not a result.", remedy)
    if not path.exists() and path.suffix != ".json":
        hint = f"List results with `llave show {RESULTS}`, tasks with `llave tasks`, models with `llave models`."
        raise UnknownName("results", str(path), f"There is no file or folder {path}.", hint)


def _no_results(folder: Path) -> UserError:
    if any((folder / name).is_file() for name in _MODEL_FILES):
        return UserError(f"{folder} is a model, and holds no results.", f"Evaluate it: llave run {folder}")
    if last := max(folder.glob("checkpoint-*"), key=lambda path: path.stat().st_mtime, default=None):
        return UserError(f"{folder} is a training run, and holds no results.", f"Evaluate it: llave run {last}")
    return UserError(f"{folder} holds no results.", "Results are at OUT/<model>/<revision>/<task>.json.")
