"""Checks a folder of results: every score is recomputed from the per-query rows with the engine's own code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from harness.errors import UserError, counted, unknown_name
from harness.identity import model_fingerprint
from harness.plan import identity_of
from harness.results.recount import rule_of, spec_of
from harness.results.result import Result
from harness.results.verified import Contradiction, verified
from harness.types import EvalConfig, Scope, Task
from leaderboards.submission.choose import choose_results, find_results, suite_of_results, suites_of
from leaderboards.submission.vectors import vector_problems
from tasks.suites import Suite


@dataclass(frozen=True, slots=True)
class Problem:
    """One error of a submission, and the file or model that has it."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of checking a folder."""

    suite: Suite | None
    """The suite whose datasets must be there. None: the results are of no suite, so only their numbers were checked."""
    results: int
    queries: int
    problems: tuple[Problem, ...]
    apart: Mapping[str, tuple[str, ...]]
    """Files that were not checked, because they stand apart from a submission, by reason."""


def validate(folder: Path, tasks: Mapping[str, Task], suite: Suite | None = None) -> Verdict:
    """Checks every result in a folder as a submission to a suite.

    A folder without problems is verified. Every number follows from the rows, and rows and record belong together.
    Names, row counts and revisions are those of the suite, and no dataset is missing. The check cannot tell whether the
    rows were really measured.

    Args:
        folder: searched for results.
        tasks: all known tasks by name.
        suite: the datasets that must be present. None: the smallest suite with all of them, as the results say.

    Raises: UserError for a folder without results of the suite, and for results of several suites if none is chosen.
    """
    found = find_results(folder)
    suite = suite or suite_of_results(found.results.values())
    chosen = choose_results(found, suite, tasks)
    if suite and not chosen.results and not found.broken:
        held = ", ".join(suites_of(each.task for each in found.results.values())) or "no results, only imported scores"
        raise UserError(f"{folder} holds no results of {suite.name}.", f"It holds {held}.")

    def place(path: Path) -> str:
        return str(path.relative_to(folder))

    problems = [Problem(place(path), f"{error.what} {error.hint}".strip()) for path, error in found.broken.items()]
    results: dict[Path, Result] = {}
    for path, result in chosen.results.items():
        try:
            verified(path, result)
            has_clusters = result.dataset.get("clusters") is not None
            said: tuple[str, ...] = () if has_clusters else ("It and its rows lack their clusters.",)
        except Contradiction as error:
            said = error.said
        except UserError as error:
            problems.append(Problem(place(path), f"{error.what} {error.hint}".strip()))
            continue
        results[path] = result
        said = (
            *said,
            *(_name_and_size(result, suite, tasks) if suite else ()),
            *_identity(result, tasks),
            *vector_problems(path, result),
        )
        problems += [Problem(place(path), what) for what in said]
    problems += _together(results, suite, folder)
    queries = sum(result.num_queries for result in results.values())
    apart = {reason: tuple(map(place, paths)) for reason, paths in chosen.apart.items()}
    return Verdict(suite, len(results), queries, tuple(problems), apart)


def _name_and_size(result: Result, suite: Suite, tasks: Mapping[str, Task]) -> Iterator[str]:
    """Checks that the result is of a whole dataset of the suite, with the right number of rows."""
    if result.task not in suite.tasks:
        error = unknown_name(f"dataset of {suite.name}", result.task, suite.tasks, "")
        yield f"{error.what} {error.hint}".strip()
        return
    task = tasks[result.task]
    if (result.meta_task, result.split, result.scope) != (task.meta_task, task.split, task.scope):
        yield f"Its meta-task, split or scope differs from that of {task.name}."
    if result.main_metric != task.metrics[0]:
        yield f"Its main metric is {result.main_metric}, not {task.metrics[0]}."
    limit = result.settings.get("limit")
    if limit is not None:
        yield f"It has only the first queries (--limit {limit})."
    elif task.num_queries is not None and result.num_queries != task.num_queries:
        yield f"It has {counted(result.num_queries, 'query')}; {task.name} has {task.num_queries:,}."


def _identity(result: Result, tasks: Mapping[str, Task]) -> Iterator[str]:
    """Checks the fingerprint of the model and the identity against the rest of the record."""
    model, settings = result.model, result.settings
    try:
        spec = spec_of(result)
        limit = cast("int | None", settings["limit"])
        skips = settings["on_bad_media"] == "count-as-wrong"
        fingerprint = model_fingerprint(spec)
    except (KeyError, TypeError, ValueError):
        yield "Its model or settings are incomplete."
        return
    if fingerprint != model["fingerprint"]:
        yield "Its model's name, revision or options do not match its fingerprint."
    scope = cast("Scope", result.scope)
    known = tasks.get(result.task) or replace(next(iter(tasks.values())), query_role="query")
    task = replace(known, name=result.task, scope=scope, metrics=tuple(result.strict))
    config = EvalConfig(rule_of(result), limit, skips)
    if identity_of(task, str(result.dataset["digest"]), spec, config) != result.identity:
        yield "Its identity does not match its task, data, model, protocol and settings. It was edited, or is older."


def _together(results: Mapping[Path, Result], suite: Suite | None, folder: Path) -> Iterator[Problem]:
    """Checks the results together: missing or repeated datasets, and contradictions between them."""
    models: dict[str, list[Result]] = {}
    identities: dict[str, Path] = {}
    for path, result in results.items():
        models.setdefault(f"{result.model['name']} {result.model['revision']}", []).append(result)
        first = identities.setdefault(result.identity, path)
        if results[first].metrics != result.metrics:
            other = first.relative_to(folder)
            yield Problem(str(path.relative_to(folder)), f"It has the identity of {other} but other scores.")
    for model, own in models.items():
        tasks = [result.task for result in own]
        twice = sorted({task for task in tasks if tasks.count(task) > 1})
        if twice:
            yield Problem(model, f"It has several results of {', '.join(twice)}. Keep one of each.")
        missing = [task for task in suite.tasks if task not in tasks] if suite else []
        if missing and suite:
            yield Problem(
                model, f"{len(missing)} of {counted(len(suite.tasks), 'dataset')} missing: {', '.join(missing)}."
            )
        yield from (Problem(model, what) for what in _mixed(own))


def _mixed(results: Sequence[Result]) -> Iterator[str]:
    ways: Mapping[str, Callable[[Result], object]] = {
        "protocols": lambda result: result.protocol,
        "revisions of the data": lambda result: f"{result.dataset['source']} {result.dataset['revision']}",
        "fingerprints of the model": lambda result: str(result.model["fingerprint"])[:12],
    }
    for what, read in ways.items():
        kinds = sorted({str(read(result)) for result in results})
        if len(kinds) > 1:
            yield f"Its results have several {what}: {', '.join(kinds)}."
