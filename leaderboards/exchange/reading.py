"""Score files of others: told apart by what they hold, and put into one form."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import UserError
from leaderboards.exchange.files import (
    ABSENT,
    SUFFIX,
    Imported,
    Json,
    Origin,
    check_content,
    check_dataset,
    load_imported,
    part,
    read_json,
)
from tasks.suites import find_suite

MODEL_FILE = "model_meta.json"
"""Beside mteb's results: says whose they are."""

_METRICS = {"hit_rate": "hit", "cv_recall": "hit", "ndcg": "ndcg_linear"}
"""mteb's names of metrics that are called otherwise here."""
_SCORE_FILE = "_score.json"
_TAKEN = "The public leaderboard's score files, DATASET_score.json with an `acc`, and mteb's results can be read."


class ReadScores(NamedTuple):
    """What could be read, and what was wrong with the rest."""

    imported: tuple[Imported, ...]
    errors: tuple[UserError, ...]


class _Part(NamedTuple):
    """One dataset of one model, from a file that holds no more."""

    origin: Origin
    model: str
    dataset: str
    scores: Json
    file: str


def read_scores(places: Sequence[Path], model: str | None = None) -> ReadScores:
    """Scores from files, and from the JSON files in folders. A bad file costs itself alone.

    Files that hold one dataset each become one row a model. `model` is its name where files do not say it.
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
                raise UserError(what, "Import one model at a time, or name it with --model.")
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
    record = read_json(path)
    if "metrics" in record:
        check_content(path, record)
        return Imported("mmeb", (path.name,), record)
    if "acc" in record:
        return _read_acc(path, record, model)
    if "task_name" in record:
        return _read_mteb(path, record, model)
    raise UserError(f"{path} is not a score file that is known here: it has {', '.join(record) or 'nothing'}.", _TAKEN)


def _read_acc(path: Path, record: Json, model: str | None) -> _Part:
    """`DATASET_score.json` of the first evaluator, in a folder named after the model."""
    if not path.name.endswith(_SCORE_FILE):
        raise UserError(f"{path} does not say which dataset it is of.", f"Name it DATASET{_SCORE_FILE}.")
    dataset = path.name.removesuffix(_SCORE_FILE)
    check_dataset(path, dataset)
    accuracy, right, count = (_number(path, record, name) for name in ("acc", "num_correct", "num_pred"))
    if not 0 <= right <= count or not count or abs(accuracy - right / count) > 1e-6:
        raise UserError(f"{path}: acc {accuracy} is not {right:g} of {count:g}.", "The file was edited or is damaged.")
    scores = {"hit@1": accuracy, "num_correct": record["num_correct"], "num_pred": record["num_pred"]}
    return _Part("acc", model or path.resolve().parent.name, dataset, scores, path.name)


def _read_mteb(path: Path, record: Json, model: str | None) -> _Part:
    """A result of mteb, of a task that bears the name of an MMEB dataset."""
    dataset = str(record["task_name"])
    check_dataset(path, dataset)
    subsets = part(record, "scores").get("test")
    if not isinstance(subsets, list) or len(subsets) != 1 or not isinstance(subsets[0], dict):
        raise UserError(f"{path} has not one set of test scores.", "Only results with one subset can be read.")
    scores: dict[str, object] = {}
    for name in subsets[0]:
        match = re.fullmatch(r"(hit_rate|cv_recall|ndcg|map|recall|precision|mrr)_at_(\d+)", name)
        if match:
            scores[f"{_METRICS.get(match[1], match[1])}@{match[2]}"] = _number(path, subsets[0], name)
        elif name == "accuracy":
            scores["hit@1"] = _number(path, subsets[0], name)
    if "hit@1" not in scores:
        raise UserError(f"{path} has no hit@1.", "Looked for hit_rate_at_1, cv_recall_at_1 and accuracy.")
    return _Part("mteb", model or _mteb_model(path), dataset, scores, path.name)


def _mteb_model(path: Path) -> str:
    """From the file beside it, else the folder: `results/<model>/<revision>/<task>.json`."""
    try:
        record = json.loads((path.parent / MODEL_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = {}
    named = record.get("name") if isinstance(record, dict) else None
    return str(named or path.resolve().parent.parent.name.replace("__", "/"))


def _number(path: Path, record: Json, name: str) -> float:
    value = record.get(name)
    if not isinstance(value, int | float):
        raise UserError(f"{path}: {name} is not a number: {value!r}.", "Repair the file.")
    return value


def _joined(parts: Sequence[_Part]) -> Imported:
    scores = {each.dataset: each.scores for each in parts}
    image = {task: scores.get(task, ABSENT) for task in find_suite("mmeb").tasks}
    content = {"metadata": {"model_name": parts[0].model}, "metrics": {"image": image}}
    return Imported(parts[0].origin, tuple(each.file for each in parts), content)
