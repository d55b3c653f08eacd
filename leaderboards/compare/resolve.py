"""Resolves what a user compares: results, imported scores, published models, and models that were evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UnknownName, UserError
from harness.files.paths import safe_name
from harness.models import open_model
from harness.results.files import result_folder
from harness.results.verified import Record
from harness.types import ModelSettings
from leaderboards.board.entries import Entry, comparable, measured, printed
from leaderboards.board.scope import every_published, of_suite
from leaderboards.load import holds_results, load
from tasks.suites import Suite


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedModels:
    """The models in the order of their names, and a warning for each file that cannot be used."""

    entries: tuple[Entry, ...]
    records: tuple[Record, ...]
    warnings: tuple[str, ...]

    def of(self, suite: Suite) -> list[Entry]:
        """The models. Published ones keep only the means of the suite."""
        return [
            replace(entry, published=of_suite(entry.published, suite)) if entry.published else entry
            for entry in self.entries
        ]


def resolve_models(names: Sequence[str | tuple[Path, ...]], results: Path) -> ResolvedModels:
    """Finds the results of each name: a path, a published model, or a model with results in the folder `results`.

    A tuple of paths is taken as it is. Places with results of several models stand for all of them.

    Raises: UserError for a name without results, and for fewer than two models.
    """
    entries: list[Entry] = []
    records: list[Record] = []
    warnings: list[str] = []
    for name in names:
        found = _find(name, results) if isinstance(name, str) else name
        if isinstance(found, Entry):
            entries.append(found)
            continue
        loaded = load(found)
        chosen = comparable(loaded.records, mix=False)
        records += chosen.records
        warnings += [*loaded.warnings, *chosen.notes]
        entries += [*measured(chosen.records), *printed(loaded.imported, ())]
    if len(entries) < 2:
        raise UserError("There is only one model to compare.", "Give two or more folders, files or published models.")
    return ResolvedModels(tuple(_with_distinct_labels(entries)), tuple(records), tuple(warnings))


def _find(name: str, results: Path) -> tuple[Path, ...] | Entry:
    """The place of the results, or the published row."""
    for place in (Path(name), results / safe_name(name)):
        if holds_results(place):
            return (place,)
    rows = printed(every_published(), ())
    matching = [each for each in rows if name.lower() in (each.label.lower(), _model(each).lower())]
    if matching:
        return max(matching, key=_figures)
    try:
        spec = open_model(name, ModelSettings()).spec
    except UserError as error:
        if Path(name).exists():
            raise UserError(f"{name} holds no results, and no model can be opened: {error.what}", error.hint) from error
        models = dict.fromkeys(map(_model, rows))
        why = "" if error.what.startswith("There is no model") else f"As a model: {error.what}\n"
        where = f"Name a folder of results, a model with results in {results}, or a published model. {why}{error.hint}"
        what = f"There is no result, model or published model named {name!r}."
        raise UnknownName("model", name, what, where, models) from error
    folder = result_folder(results, spec)
    if not folder.is_dir():
        raise UserError(
            f"The model {name} has no results in {results}.",
            f"Evaluate it first: llave run {name} --suite demo. If that had an --out, give it with --results.",
        )
    return (folder,)


def _figures(entry: Entry) -> tuple[bool, int, int]:
    """Sorts the sources of a published model: one with the overall score, then the one with most figures."""
    means = entry.published.means if entry.published else {}
    return "overall" in means, len(entry.scores), len(means)


def _model(entry: Entry) -> str:
    return entry.published.model if entry.published else entry.label


def _with_distinct_labels(entries: Sequence[Entry]) -> list[Entry]:
    """Entries with a revision, then a number, added where labels are the same."""
    named: list[Entry] = []
    for entry in entries:
        same = [each for each in entries if each.label == entry.label]
        label = entry.label if len(same) == 1 else _with_revision(entry)
        number = 2
        while label in {each.label for each in named}:
            label = f"{_with_revision(entry)} ({number})"
            number += 1
        named.append(replace(entry, label=label))
    return named


def _with_revision(entry: Entry) -> str:
    revision = next((str(result.model["revision"])[:8] for result in entry.results.values()), "")
    return f"{entry.label}@{revision}" if revision and "@" not in entry.label else entry.label
