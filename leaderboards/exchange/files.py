"""Files of imported scores. They have no per-query rows, so they have no intervals and cannot be verified.

    DIR/<model>.<digest>.imported.json   {"imported": 1, "from": ..., "files": [...], "content": {...}}

`content` is a score file of the public MMEB leaderboard. A file in that form is kept with every key, so that it can be
exported unchanged. Other forms are converted to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, cast, get_args

from harness.errors import UnknownName, UserError, unknown_name
from harness.files.paths import safe_name
from harness.files.reading import read_object
from harness.files.writing import write_atomic
from harness.identity import fingerprint
from harness.results.shape import is_count, is_number
from leaderboards.published.rows import Citation, PublishedRow
from tasks.catalog import all_tasks
from tasks.mmeb_v2.parts import VIDEO, VISDOC, names, task_name
from tasks.suites import find_suite

FORMAT = 1
SUFFIX = ".imported.json"
ABSENT = "FILE_N/A"
"""The public leaderboard's entry for a dataset without scores. It also has other such strings."""

_NO_SCORES = re.compile("[A-Z]+[_/][A-Z_/]+")
"""Such strings have no digit, so no score is taken for one."""

SHOWN = "hit@1"
"""The metric that a board shows of imported scores."""
_AS_FRACTIONS = 'Write scores as fractions, such as {"hit@1": 0.572}.'

_LINEAR = "ndcg_linear@5"
"""The board's name of the metric of visual documents."""

OTHER = "other"
"""The section of tasks that the public leaderboard does not have, such as those of other suites."""

Origin = Literal["mmeb", "acc", "mteb", "eval-results", "every-eval-ever", "trec", "model-card"]
Json = Mapping[str, object]


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """The scores of one model from files of another evaluator."""

    origin: Origin
    files: tuple[str, ...]
    content: Json

    @property
    def model(self) -> str:
        """The model's name."""
        return str(part(self.content, "metadata").get("model_name"))


def part(record: Json, name: str) -> Json:
    """The object `name` inside a record, or an empty one if there is none."""
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def read_score_file(path: Path, *, lenient: bool = False) -> Json:
    """Reads a JSON object. Raises UserError for anything else, and for NaN and infinity unless `lenient`."""
    if not path.is_file():
        raise UnknownName("results", str(path), f"{path} cannot be read: it is no file.", "Check the path.")
    return read_object(path, "It may be truncated. Fetch it again.", lenient=lenient)


def check_content(path: Path, content: Json) -> None:
    """Raises UserError that names dataset and metric, unless this is a score file of the public leaderboard."""
    if not part(content, "metadata").get("model_name"):
        raise UserError(f"{path} does not name its model.", "Give metadata.model_name, or --model.")
    metrics = part(content, "metrics")
    if not metrics or not all(isinstance(datasets, dict) for datasets in metrics.values()):
        raise UserError(f"{path} has no scores by modality.", "Expected metrics.image.DATASET.")
    for dataset in part(metrics, "image"):
        check_dataset(path, dataset)
    for modality in metrics:
        for dataset, scores in part(metrics, modality).items():
            if isinstance(scores, dict):
                check_scores(path, dataset, scores)
            elif not (isinstance(scores, str) and _NO_SCORES.fullmatch(scores)):
                what = f"{path}: {dataset} has neither scores nor {ABSENT}, but {scores!r}."
                raise UserError(what, _AS_FRACTIONS)
    if not _shown(metrics):
        raise UserError(f"{path} has no {SHOWN} of a dataset of MMEB, so no board can show it.", _AS_FRACTIONS)


def check_dataset(path: Path, dataset: str) -> None:
    """Raises UserError with the closest names unless this is one of MMEB's 36 datasets."""
    known = find_suite("mmeb").tasks
    if dataset not in known:
        raise unknown_name("dataset of MMEB", dataset, known, f"It is in {path}.")


def check_scores(path: Path, dataset: str, scores: Json) -> None:
    """Raises UserError that names dataset, metric and value, unless every score of the dataset is a fraction."""
    for metric, value in scores.items():
        if not is_number(value):
            raise UserError(f"{path}: {metric} of {dataset} is not a number: {value!r}.", _AS_FRACTIONS)
        if metric.startswith("num_"):
            if not is_count(value):
                what = f"{path}: {metric} of {dataset} is not a number of queries: {value}."
                raise UserError(what, "Write a whole number from 0.")
        elif not 0 <= cast("float", value) <= 1 + 1e-6:  # for sums in fp64
            raise UserError(f"{path}: {metric} of {dataset} is not a fraction from 0 to 1: {value}.", "Divide by 100.")


def write_imported(folder: Path, imported: Imported) -> Path:
    """Writes imported scores and returns the path. The same scores have the same path, so they are written once."""
    path = folder / f"{safe_name(imported.model)}.{fingerprint(imported.content)[:8]}{SUFFIX}"
    record = {"imported": FORMAT, "from": imported.origin, "files": list(imported.files), "content": imported.content}
    write_atomic(path, json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def load_imported(path: Path) -> Imported:
    """Reads a file of `llave import`. Raises UserError for a damaged file and for one of a newer version."""
    record = read_score_file(path)
    version, origin, files, content = (record.get(name) for name in ("imported", "from", "files", "content"))
    if isinstance(version, int) and version > FORMAT:
        raise UserError(f"{path} was written by a newer version (format {version}).", "Upgrade llave-bench.")
    if not isinstance(version, int) or not isinstance(files, list) or not isinstance(content, dict):
        raise UserError(f"{path} is damaged, or not a file of `llave import`.", "Import the scores again.")
    check_content(path, content)
    if origin not in get_args(Origin):
        raise UserError(f"{path} has scores from {origin!r}, which this version does not know.", "Upgrade llave-bench.")
    return Imported(cast("Origin", origin), tuple(map(str, files)), content)


def imported_files(places: Sequence[Path]) -> list[Path]:
    """The files of `llave import` among the given files, and in the given folders."""
    found = [sorted(place.rglob(f"*{SUFFIX}")) if place.is_dir() else [place] for place in places]
    return [path for paths in found for path in paths if path.name.endswith(SUFFIX)]


def imported_rows(places: Sequence[Path]) -> tuple[PublishedRow, ...]:
    """The rows of a board from files of `llave import` and folders of them. Raises UserError for a damaged file."""
    return tuple(row_of(load_imported(path), path) for path in imported_files(places))


def row_of(imported: Imported, path: Path) -> PublishedRow:
    """Imported scores in the form of a published row."""
    metadata, metrics = part(imported.content, "metadata"), part(imported.content, "metrics")
    datasets = _datasets(metrics)
    counts = {task: scores["num_pred"] for task, scores in datasets.items() if is_count(scores.get("num_pred"))}
    by_metric = {metric: _column(datasets, metric) for metric in ("hit@5", "hit@10", _LINEAR)}
    date = str(metadata.get("report_generated_date") or "")[:10]
    width = metadata.get("embedding_dimension")
    return PublishedRow(
        model=imported.model,
        kind="imported",
        source=Citation(imported.files[0] if imported.files else path.name, path.name, date=date or None),
        suite="mmeb",
        metric=SHOWN,
        evaluator="",
        size=_size(metadata.get("model_size")),
        width=width if isinstance(width, int) and width > 0 else None,
        scores=_shown(metrics),
        more={metric: column for metric, column in by_metric.items() if column},
        counts=cast("dict[str, int]", counts),
        notes=(f"data source: {metadata['data_source']}",) if metadata.get("data_source") else (),
    )


@cache
def sections() -> Mapping[str, Collection[str]]:
    """The tasks that each section of a score file may hold, by its name in the file."""
    board = find_suite("mmeb-v2").tasks
    other = tuple(task for task in all_tasks() if task not in board)
    return {"image": find_suite("mmeb").tasks, "video": names(VIDEO), "visdoc": names(VISDOC), OTHER: other}


def _datasets(metrics: Json) -> dict[str, Json]:
    """The scores of each task. A section holds its own tasks alone, so none replaces another's.

    A dataset of which no query was asked has no scores.
    """
    return {
        task: scores
        for section, tasks in sections().items()
        for name, scores in part(metrics, section).items()
        if (task := task_name(name) if section == "video" else name) in tasks
        if isinstance(scores, dict) and 0 not in (scores.get("num_pred"), scores.get("num_data"))
    }


def _shown(metrics: Json) -> dict[str, float]:
    """The main scores of tasks. Documents have another metric than the others."""
    hits, documents = (_column(_datasets(metrics), metric) for metric in (SHOWN, _LINEAR))
    scores = {task: (documents if task in names(VISDOC) else hits).get(task) for task in {**hits, **documents}}
    return {task: score for task, score in scores.items() if score is not None}


def _column(datasets: Mapping[str, Json], metric: str) -> dict[str, float]:
    values = {task: scores.get(metric) for task, scores in datasets.items()}
    return {task: value for task, value in values.items() if isinstance(value, int | float)}


def _size(stated: object) -> int | None:
    """The number of parameters, from billions as a number or as `8.03B`."""
    match = re.fullmatch(r"\s*([0-9.]+)\s*B?\s*", str(stated), re.IGNORECASE)
    try:
        return round(float(match[1]) * 1e9) or None if match else None
    except ValueError:
        return None
