"""What is compared: folders and files of results or imported scores, checkpoints, and models by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UserError, unknown_name
from harness.models import open_model
from harness.paths import safe_name
from harness.results.files import result_folder
from harness.types import ModelSettings
from leaderboards.board.entries import Entry, comparable, measured, printed
from leaderboards.board.scope import every_published, of_suite
from leaderboards.load import Record, load
from tasks.suites import Suite


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedModels:
    """The models in the order in which they were named, and what could not be used."""

    entries: tuple[Entry, ...]
    records: tuple[Record, ...]
    warnings: tuple[str, ...]

    def of(self, suite: Suite) -> list[Entry]:
        """The models, of published ones only the means that are the suite's."""
        return [
            replace(entry, published=of_suite(entry.published, suite)) if entry.published else entry
            for entry in self.entries
        ]


def sides(names: Sequence[str | tuple[Path, ...]], results: Path) -> ResolvedModels:
    """A folder of several models stands for all of them, and so do some result files, which are given as a tuple.

    Results of models and checkpoints are below `results`.

    Raises UserError for a name that is neither a path nor a model with results nor a published one, and for fewer than
    two models.
    """
    entries: list[Entry] = []
    records: list[Record] = []
    warnings: list[str] = []
    for name in names:
        places = _places(name, results) if isinstance(name, str) else name
        if not places:
            assert isinstance(name, str)
            entries.append(_published(name))
            continue
        loaded = load(places)
        chosen = comparable(loaded.records, mix=False)
        records += chosen.records
        warnings += [*loaded.warnings, *chosen.notes]
        entries += [*measured(chosen.records), *printed(loaded.imported, ())]
    if len(entries) < 2:
        raise UserError("There is only one model to compare.", "Name two or more folders, files or published models.")
    return ResolvedModels(tuple(_told_apart(entries)), tuple(records), tuple(warnings))


def _places(name: str, results: Path) -> tuple[Path, ...]:
    """Where the results of what was named lie; nowhere if it is no path and has none."""
    if (Path(name) / "config.json").is_file():
        folder = result_folder(results, open_model(name, ModelSettings()).spec)
        if not folder.is_dir():
            raise UserError(
                f"The checkpoint {name} has no results in {results}.",
                f"Evaluate it first: llave run {name} --suite demo. If that had an --out, name it with --results.",
            )
        return (folder,)
    if Path(name).exists():
        return (Path(name),)
    folder = results / safe_name(name)
    return (folder,) if folder.is_dir() else ()


def _published(name: str) -> Entry:
    """The row of that model; of several sources one with the overall score, then that with most figures."""
    every = printed(every_published(), ())
    rows = [each for each in every if name.lower() in (each.label.lower(), _model(each).lower())]
    if not rows:
        models = dict.fromkeys(map(_model, every))
        raise unknown_name("result folder, result file or published model", name, models, "Or give a path.")
    return max(rows, key=_figures)


def _figures(entry: Entry) -> tuple[bool, int, int]:
    means = entry.published.means if entry.published else {}
    return "overall" in means, len(entry.scores), len(means)


def _model(entry: Entry) -> str:
    return entry.published.model if entry.published else entry.label


def _told_apart(entries: Sequence[Entry]) -> list[Entry]:
    """With a revision, then a number, where names are the same."""
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
