"""Results of mteb, for tasks with the name of an MMEB dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from harness.errors import UserError
from harness.files.reading import read_object
from harness.results.shape import is_number
from leaderboards.exchange.files import Json, check_dataset, part
from leaderboards.exchange.parts import ScorePart, as_fractions

MODEL_FILE = "model_meta.json"
"""A file beside mteb's results that names their model."""

_METRICS = {"cv_recall": "hit", "hit_rate": "hit", "ndcg": "ndcg_linear"}
"""Kinds of metrics by mteb's names, where the two differ."""
_NAME = re.compile(r"(hit_rate|cv_recall|ndcg|map|recall|precision|mrr)_at_(\d+)")
_MAIN = ("hit_rate_at_1", "cv_recall_at_1", "accuracy")
"""What can be a hit@1, best first."""
_OF_PROBES = frozenset({"scores_per_experiment", "lrap", "f1", "f1_weighted", "ap", "ap_weighted"})
"""Scores that only classifiers have. mteb trains one on the vectors in its tasks of the type ImageClassification."""


def read_mteb(path: Path, record: Json, model: str | None) -> ScorePart:
    """Reads a result of mteb. Of several scores that are a hit@1, the hit rate counts first and accuracy last.

    Raises: UserError for another task, for the score of a trained classifier, for several subsets, for a score that is
        no number, and where percents and fractions cannot be told apart.
    """
    dataset = str(record["task_name"])
    check_dataset(path, dataset)
    subsets = part(record, "scores").get("test")
    if not isinstance(subsets, list) or len(subsets) != 1 or not isinstance(subsets[0], dict):
        raise UserError(f"{path} does not have exactly one subset of test scores.", "Give a result with one subset.")
    found = subsets[0]
    main = next((name for name in _MAIN if name in found), None)
    if main in ("accuracy", None) and _OF_PROBES & found.keys():
        what = f"{path} is a linear probe: mteb trained a classifier on the vectors for {dataset}. MMEB ranks labels."
        raise UserError(what, "Its accuracy is no score of MMEB. Run the dataset itself.")
    if main is None:
        raise UserError(f"{path} has no hit@1.", "It needs hit_rate_at_1, cv_recall_at_1 or accuracy.")
    named = {name: number(path, found, name) for name in found if _NAME.fullmatch(name) or name == main}
    fractions = as_fractions(named, path)
    scores = {_board_name(name): value for name, value in fractions.items() if not name.startswith("hit_rate")}
    scores |= {_board_name(name): value for name, value in fractions.items() if name.startswith("hit_rate")}
    return ScorePart("mteb", model or _model(path), dataset, {**scores, "hit@1": fractions[main]}, path.name)


def number(path: Path, record: Mapping[str, object], name: str) -> float:
    """A number of a record. Raises UserError if it is none, or not finite."""
    value = record.get(name)
    if not is_number(value):
        raise UserError(f"{path}: {name} is not a number: {value!r}.", "Repair the file.")
    return cast("float", value)


def _board_name(name: str) -> str:
    match = _NAME.fullmatch(name)
    return f"{_METRICS.get(match[1], match[1])}@{match[2]}" if match else "hit@1"


def _model(path: Path) -> str:
    """The model's name, from the file beside it, else from the path `results/<model>/<revision>/<task>.json`."""
    beside = path.parent / MODEL_FILE
    named = read_object(beside, lenient=True).get("name") if beside.is_file() else None
    return str(named or path.resolve().parent.parent.name.replace("__", "/"))
