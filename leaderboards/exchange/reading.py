"""Reads score files of other evaluators: recognizes their form by their content, and converts them to one form."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

from harness.errors import UserError
from harness.files.reading import read_object
from harness.results.shape import is_number
from leaderboards.exchange.files import (
    ABSENT,
    SUFFIX,
    Imported,
    Json,
    Origin,
    check_content,
    check_dataset,
    check_scores,
    load_imported,
    part,
    read_score_file,
)
from tasks.suites import find_suite

MODEL_FILE = "model_meta.json"
"""A file beside mteb's results that names their model."""

_METRICS = {"hit_rate": "hit", "cv_recall": "hit", "ndcg": "ndcg_linear"}
"""Names of metrics by mteb's names, where the two differ."""
_SCORE_FILE = "_score.json"
_READABLE = "Give a score file of the public leaderboard, DATASET_score.json with an `acc`, or results of mteb."


class ReadScores(NamedTuple):
    """The scores that were read, and an error for each other file."""

    imported: tuple[Imported, ...]
    errors: tuple[UserError, ...]


class _Part(NamedTuple):
    """The scores of one model on one dataset, from a file that holds only these."""

    origin: Origin
    model: str
    dataset: str
    scores: Json
    file: str


def read_scores(places: Sequence[Path], model: str | None = None) -> ReadScores:
    """Reads scores from files, and from the JSON files in folders. A bad file becomes an error and is skipped.

    Files with one dataset each are joined to one row per model. `model` is its name where the files do not have it.
    """
    done: list[Imported] = []
    parts: dict[tuple[Origin, str], list[_Part]] = defaultdict(list)
    errors: list[UserError] = []
    for path in (path for place in places for path in _files(place)):
        try:
            found = _read(path, model)
            if isinstance(found, Imported):
                done.append(found)
            elif any(each.dataset == found.dataset for each in parts[found.origin, found.model]):
                what = f"{path}: {found.model} has scores for {found.dataset} already."
                raise UserError(what, "Import one model at a time, or give its name with --model.")
            else:
                parts[found.origin, found.model].append(found)
        except UserError as error:
            errors.append(error)
    return ReadScores((*done, *(_joined(each) for each in parts.values() if each)), tuple(errors))


def _files(place: Path) -> list[Path]:
    return [path for path in sorted(place.rglob("*.json")) if path.name != MODEL_FILE] if place.is_dir() else [place]


def _read(path: Path, model: str | None) -> Imported | _Part:
    if path.name.endswith(SUFFIX):
        return load_imported(path)
    record = read_score_file(path, lenient=True)
    if "task_name" in record:
        return _checked(path, _read_mteb(path, record, model))
    record = read_score_file(path)  # NaN is in files of mteb alone, beside the scores that count here
    if "metrics" in record:
        check_content(path, record)
        return Imported("mmeb", (path.name,), record)
    if "acc" in record:
        return _checked(path, _read_acc(path, record, model))
    raise UserError(f"{path} is not a known score file. Its keys: {', '.join(record) or 'none'}.", _READABLE)


def _checked(path: Path, found: _Part) -> _Part:
    check_scores(path, found.dataset, found.scores)
    return found


def _read_acc(path: Path, record: Json, model: str | None) -> _Part:
    """Reads `DATASET_score.json` of the first MMEB evaluator. Its folder is named after the model."""
    if not path.name.endswith(_SCORE_FILE):
        raise UserError(f"{path} does not name its dataset.", f"Rename it to DATASET{_SCORE_FILE}.")
    dataset = path.name.removesuffix(_SCORE_FILE)
    check_dataset(path, dataset)
    accuracy, right, count = (_number(path, record, name) for name in ("acc", "num_correct", "num_pred"))
    if not 0 <= right <= count or not count or abs(accuracy - right / count) > 1e-6:
        raise UserError(f"{path}: acc {accuracy} is not {right:g} of {count:g}.", "It was edited. Fetch it again.")
    scores = {"hit@1": accuracy, "num_correct": record["num_correct"], "num_pred": record["num_pred"]}
    return _Part("acc", model or path.resolve().parent.name, dataset, scores, path.name)


def _read_mteb(path: Path, record: Json, model: str | None) -> _Part:
    """Reads a result of mteb for a task with the name of an MMEB dataset."""
    dataset = str(record["task_name"])
    check_dataset(path, dataset)
    subsets = part(record, "scores").get("test")
    if not isinstance(subsets, list) or len(subsets) != 1 or not isinstance(subsets[0], dict):
        raise UserError(f"{path} does not have exactly one subset of test scores.", "Give a result with one subset.")
    scores: dict[str, object] = {}
    for name in subsets[0]:
        match = re.fullmatch(r"(hit_rate|cv_recall|ndcg|map|recall|precision|mrr)_at_(\d+)", name)
        if match:
            scores[f"{_METRICS.get(match[1], match[1])}@{match[2]}"] = _number(path, subsets[0], name)
        elif name == "accuracy":
            scores["hit@1"] = _number(path, subsets[0], name)
    if "hit@1" not in scores:
        raise UserError(f"{path} has no hit@1.", "It needs hit_rate_at_1, cv_recall_at_1 or accuracy.")
    return _Part("mteb", model or _mteb_model(path), dataset, scores, path.name)


def _mteb_model(path: Path) -> str:
    """The model's name, from the file beside it, else from the path `results/<model>/<revision>/<task>.json`."""
    beside = path.parent / MODEL_FILE
    named = read_object(beside, lenient=True).get("name") if beside.is_file() else None
    return str(named or path.resolve().parent.parent.name.replace("__", "/"))


def _number(path: Path, record: Json, name: str) -> float:
    value = record.get(name)
    if not is_number(value):
        raise UserError(f"{path}: {name} is not a number: {value!r}.", "Repair the file.")
    return cast("float", value)


def _joined(parts: Sequence[_Part]) -> Imported:
    scores = {each.dataset: each.scores for each in parts}
    image = {task: scores.get(task, ABSENT) for task in find_suite("mmeb").tasks}
    content = {"metadata": {"model_name": parts[0].model}, "metrics": {"image": image}}
    return Imported(parts[0].origin, tuple(each.file for each in parts), content)
