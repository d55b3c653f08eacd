"""Which results of a folder are a submission, and which suite they are results of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from harness.errors import UnknownName, UserError, counted
from harness.results.files import read_record
from harness.results.result import Result
from leaderboards.exchange.files import SUFFIX
from leaderboards.load import is_analysis, is_separate, was_renamed
from tasks.names import parse_name
from tasks.suites import Suite, smallest_suite, suites

LIMITED = "with only the first queries (--limit)"
VARIANT = "of another scope, such as @global"
ELSEWHERE = "of another suite"
OLDER = "of other settings"
IMPORTED = "of imported scores"

Results: TypeAlias = Mapping[Path, Result]


@dataclass(frozen=True, slots=True)
class FoundResults:
    """The records of a folder, and the files that are no record."""

    results: Results
    imported: tuple[Path, ...]
    broken: Mapping[Path, UserError]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The results to check, and those that stand apart, by reason. Nothing is wrong with the latter."""

    results: Results
    apart: Mapping[str, tuple[Path, ...]]


def find_results(folder: Path) -> FoundResults:
    """Reads every record of a folder. Raises UserError if there is none."""
    every = sorted(path for path in folder.rglob("*.json") if not path.name.startswith("."))
    imported = tuple(path for path in every if path.name.endswith(SUFFIX))
    paths = [path for path in every if path not in imported and not is_analysis(path)]
    if not paths:
        where = "Give the folder that `llave run` wrote: --out."
        raise UnknownName("results", str(folder), f"{folder} holds no results.", where)
    results: dict[Path, Result] = {}
    broken: dict[Path, UserError] = {}
    for path in paths:
        try:
            results[path] = read_record(path)
        except UserError as error:
            if not was_renamed(path):
                broken[path] = error
    return FoundResults(results, imported, broken)


def suite_of_results(results: Iterable[Result]) -> Suite | None:
    """The smallest suite with every task of the results; None if no suite has any of them.

    Raises: UserError that names the suites, if the results are of several.
    """
    every = list(results)
    main = [each for each in every if not is_separate(each)] or every
    tasks = {parse_name(each.task).task for each in main}
    known = {task for suite in suites().values() for task in suite.tasks}
    if not tasks & known:
        return None
    if fitting := smallest_suite(tasks & known):
        return fitting
    named = suites_of(tasks)
    first = named[0].partition(" ")[0]
    raise UserError(
        f"These are results of several suites: {', '.join(named)}.", f"Choose one, such as --suite {first}."
    )


def suites_of(tasks: Iterable[str]) -> list[str]:
    """Suites that have all of these tasks together, each with the number of them: `demo (19 datasets)`."""
    left, found = {parse_name(task).task for task in tasks}, list[str]()
    every = suites().values()
    while best := max(every, key=lambda suite: (len(left & set(suite.tasks)), -len(suite.tasks))):
        count = len(left & set(best.tasks))
        if not count:
            break
        found.append(f"{best.name} ({counted(count, 'dataset')})")
        left -= set(best.tasks)
    return found


def choose_results(found: FoundResults, suite: Suite | None, known: Collection[str]) -> Chosen:
    """The results that a submission to a suite consists of.

    Of a model's results on a task, those of the whole dataset count, and of these the last one that was asked for.
    A task of no suite that is known by no name is kept, because its name may be a mistake.
    """
    apart: dict[str, list[Path]] = {IMPORTED: list(found.imported)}
    groups: dict[tuple[str, str, str], list[Path]] = {}
    for path, result in found.results.items():
        dataset = parse_name(result.task).dataset
        if suite and result.task not in suite.tasks and (result.task in known or dataset in known):
            reason = VARIANT if dataset in suite.tasks else ELSEWHERE
            apart.setdefault(reason, []).append(path)
            continue
        model = (str(result.model.get("name")), str(result.model.get("revision")))
        groups.setdefault((*model, result.task), []).append(path)
    kept: dict[Path, Result] = {}
    for paths in groups.values():
        whole = [path for path in paths if found.results[path].settings.get("limit") is None]
        best = _last(whole or paths, found.results)
        kept |= {path: found.results[path] for path in best}
        for path in paths:
            if path not in best:
                apart.setdefault(OLDER if path in whole else LIMITED, []).append(path)
    order = {path: kept[path] for path in found.results if path in kept}
    return Chosen(order, {reason: tuple(paths) for reason, paths in apart.items() if paths})


def _last(paths: Sequence[Path], results: Results) -> list[Path]:
    """Those with a task's plain name; if there are none, the newest of those that were renamed."""
    plain = [path for path in paths if not was_renamed(path)]
    return plain or [max(paths, key=lambda path: results[path].created)]
