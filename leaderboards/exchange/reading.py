"""Reads score files of other evaluators: recognizes their form by their content, and converts them to one form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import UserError
from leaderboards.exchange.eval_results import read_eval_results
from leaderboards.exchange.every_eval_ever import is_every_eval_ever, read_every_eval_ever
from leaderboards.exchange.files import (
    SUFFIX,
    Imported,
    Origin,
    check_content,
    check_dataset,
    load_imported,
    read_score_file,
)
from leaderboards.exchange.model_card import holds_scores, read_model_card
from leaderboards.exchange.mteb import MODEL_FILE, number, read_mteb
from leaderboards.exchange.parts import ScorePart, checked, joined
from leaderboards.exchange.trec import RUN, read_trec

_SCORE_FILE = "_score.json"
_READABLE = (
    "Give a score file of the public leaderboard, DATASET_score.json with an `acc`, or results of mteb. "
    "Other forms are those of `llave export --format`."
)


class ReadScores(NamedTuple):
    """The scores that were read, and an error for each other file."""

    imported: tuple[Imported, ...]
    errors: tuple[UserError, ...]


_BY_SUFFIX: Mapping[str, Callable[[Path, str | None], Sequence[ScorePart]]] = {
    ".md": read_model_card,
    RUN: read_trec,
    ".yaml": read_eval_results,
    ".yml": read_eval_results,
}
"""How files that are not JSON are read."""


def read_scores(places: Sequence[Path], model: str | None = None) -> ReadScores:
    """Reads scores from files, and from such files in folders. A bad file becomes an error and is skipped.

    Files with one dataset each are joined to one row per model. `model` is its name where the files do not have it.
    """
    done: list[Imported] = []
    parts: dict[tuple[Origin, str], dict[str, ScorePart]] = defaultdict(dict)
    errors: list[UserError] = []
    for path in (path for place in places for path in _files(place)):
        try:
            found = _read(path, model)
            if isinstance(found, Imported):
                done.append(found)
            else:
                _add(path, found, parts)
        except UserError as error:
            errors.append(error)
    return ReadScores((*done, *(joined([*each.values()]) for each in parts.values() if each)), tuple(errors))


def _add(path: Path, found: Sequence[ScorePart], parts: Mapping[tuple[Origin, str], dict[str, ScorePart]]) -> None:
    """Adds the parts of a file, all of them or none. Raises UserError for a dataset that is there already."""
    for each in found:
        if each.dataset in parts[each.origin, each.model]:
            what = f"{path}: {each.model} has scores for {each.dataset} already."
            raise UserError(what, "Import one model at a time, or give its name with --model.")
    for each in found:
        parts[each.origin, each.model][each.dataset] = each


def _files(place: Path) -> list[Path]:
    return sorted(_below(place)) if place.is_dir() else [place]


def _below(folder: Path) -> Iterator[Path]:
    """The files of a folder that may have scores. Of texts, these are cards with scores."""
    for path in folder.rglob("*"):
        ending = path.suffix.lower()
        is_card = ending == ".md" and path.is_file() and holds_scores(path)
        if is_card or (ending == ".json" and path.name != MODEL_FILE) or (ending != ".md" and ending in _BY_SUFFIX):
            yield path


def _read(path: Path, model: str | None) -> Imported | Sequence[ScorePart]:
    if path.name.endswith(SUFFIX):
        return load_imported(path)
    if read := _BY_SUFFIX.get(path.suffix.lower()):
        return [checked(path, each) for each in read(path, model)]
    record = read_score_file(path, lenient=True)
    if "task_name" in record:
        return [checked(path, read_mteb(path, record, model))]
    record = read_score_file(path)  # NaN is in files of mteb alone, beside the scores that count here
    if "metrics" in record:
        check_content(path, record)
        return Imported("mmeb", (path.name,), record)
    if is_every_eval_ever(record):
        return [checked(path, each) for each in read_every_eval_ever(path, record, model)]
    if "acc" in record:
        return [checked(path, _read_acc(path, record, model))]
    raise UserError(f"{path} is not a known score file. Its keys: {', '.join(record) or 'none'}.", _READABLE)


def _read_acc(path: Path, record: Mapping[str, object], model: str | None) -> ScorePart:
    """Reads `DATASET_score.json` of the first MMEB evaluator. Its folder is named after the model."""
    if not path.name.endswith(_SCORE_FILE):
        raise UserError(f"{path} does not name its dataset.", f"Rename it to DATASET{_SCORE_FILE}.")
    dataset = path.name.removesuffix(_SCORE_FILE)
    check_dataset(path, dataset)
    accuracy, right, count = (number(path, record, name) for name in ("acc", "num_correct", "num_pred"))
    if not 0 <= right <= count or not count or abs(accuracy - right / count) > 1e-6:
        raise UserError(f"{path}: acc {accuracy} is not {right:g} of {count:g}.", "It was edited. Fetch it again.")
    scores = {"hit@1": accuracy, "num_correct": record["num_correct"], "num_pred": record["num_pred"]}
    return ScorePart("acc", model or path.resolve().parent.name, dataset, scores, path.name)
