"""The one answer to a wrong word. It knows models, suites, tasks, recipes and paths, and where each is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UnknownName, UserError, close_names, likeness
from harness.files.folder_kinds import FOLDER
from harness.files.kinds import MISSING, what_is
from llave.words.paths import checkpoints_in, near_path, what_a_path_holds


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of one kind, and where they are written."""

    kind: str
    words: Callable[[], frozenset[str]]
    on_the_command_line: str
    """How a word is given, with `{}` in its place."""
    in_python: str
    example: str
    """A whole command with the word in it."""


def model_names() -> frozenset[str]:
    """Every name of a model that is complete as it is: short names and names on the hub."""
    from harness.models import ROWS, installed_rows

    rows = [row for row in (*ROWS, *installed_rows()) if ":" not in row.name and not row.name.endswith("/")]
    return frozenset((*(row.name for row in rows), *(row.hub for row in rows if row.hub)))


def prefixes() -> frozenset[str]:
    """The prefixes of names of models, each with its `/`."""
    from harness.models import ROWS, installed_rows

    return frozenset(row.name for row in (*ROWS, *installed_rows()) if row.name.endswith("/"))


def suite_names() -> frozenset[str]:
    """Every suite."""
    from tasks.suites import suites

    return frozenset(suites())


def task_names() -> frozenset[str]:
    """Every registered task."""
    from tasks.catalog import all_tasks

    return frozenset(all_tasks())


def recipe_names() -> frozenset[str]:
    """Every recipe of training."""
    from trainers.recipes import RECIPES

    return frozenset(RECIPES)


VOCABULARIES: Mapping[str, Vocabulary] = {
    each.kind: each
    for each in (
        Vocabulary("model", model_names, "{} without a flag", "model={!r}", "llave run {} --suite SUITE"),
        Vocabulary("suite", suite_names, "--suite {}", "tasks={!r}", "llave run MODEL --suite {}"),
        Vocabulary("task", task_names, "--tasks {}", "tasks={!r}", "llave run MODEL --tasks {}"),
        Vocabulary("recipe", recipe_names, "{} without a flag", "llave.train({!r})", "llave train {}"),
        Vocabulary("data", frozenset, "--data {}", "data={!r}", "llave run MODEL --data {}"),
        Vocabulary("command", frozenset, "{} first", "", "llave {}"),
        Vocabulary("results", frozenset, "{} without a flag", "llave.board({!r})", "llave board {}"),
    )
}
_ARTICLES = {"data": "data", "results": "results"}
_MAY_BE_PATHS = frozenset({"data", "results", "model"})
"""Kinds for which a path may be given."""


def answer(error: UserError, *, python: bool = False) -> UserError:
    """The error with what all vocabularies know of the word, if a word of one of them was wanted.

    A word of another kind is answered with its place. Else close words and paths are offered, those of the wanted kind
    first.
    """
    if not isinstance(error, UnknownName) or error.kind not in VOCABULARIES:
        return error
    word = error.name
    kinds = _kinds_of(word)
    if kinds and error.kind not in kinds:
        first = _named(kinds[0])
        too = [f"It is {_named(kind)} too. {_place(kind, word, python)}" for kind in kinds[1:]]
        hints = "\n".join((_place(kinds[0], word, python), *too))
        return UserError(f"{word} is {first}, not {_named(error.kind)}.", hints)
    own = [] if error.kind in kinds else _close_in(error.kind, word, error.known)
    path = near_path(word) if error.kind in _MAY_BE_PATHS else None
    if path and path.close and path.likeness > max((likeness(each, word) for each in own), default=0):
        what = f"There is no {path.missing}; there is {' or '.join(each.name for each in path.close)}."
        return UserError(what, f"Did you mean {' or '.join(map(str, path.close))}? {error.where}".strip())
    inside = checkpoints_in(Path(word).expanduser()) if error.kind == "model" else ()
    if inside:
        what = f"{word} is no checkpoint; it holds {', '.join(each.name for each in inside)}."
        return UserError(what, f"Name one, such as {inside[-1]}.")
    return _with_what_lies_there(error) or UserError(
        error.what, "\n".join(filter(None, (*_close(error, own, python), error.where)))
    )


def _with_what_lies_there(error: UnknownName) -> UserError | None:
    """The error for a path that is there, but does not hold what was wanted. None for what is no such path."""
    kind = what_is(Path(error.name).expanduser()) if error.kind in _MAY_BE_PATHS else FOLDER
    if kind in (FOLDER, MISSING) or kind.name in error.what:
        return None
    return UserError(f"{error.what} It is {kind.name}.", kind.remedy)


@contextmanager
def answering() -> Iterator[None]:
    """Answers wrong words that are given in Python."""
    try:
        yield
    except UnknownName as error:
        raise answer(error, python=True) from None


def _kinds_of(word: str) -> list[str]:
    """The kinds that a word is of, known words before what a path holds."""
    kinds = [kind for kind, each in VOCABULARIES.items() if word in each.words()]
    held = what_a_path_holds(Path(word).expanduser())
    return kinds + ([held] if held and held not in kinds else [])


def _named(kind: str) -> str:
    return _ARTICLES.get(kind, f"a {kind}")


def _place(kind: str, word: str, python: bool) -> str:
    """Where a word of a kind is written."""
    known = VOCABULARIES[kind]
    if python:
        return f"Write {known.in_python.format(word)}."
    return f"Write {known.on_the_command_line.format(word)}, as in `{known.example.format(word)}`."


def _close(error: UnknownName, own: Sequence[str], python: bool) -> Iterator[str]:
    """The close words: those of other kinds that are closer than all of the wanted kind, then `own` of that."""
    word = error.name
    best = likeness(own[0], word) if own else 0.0
    for kind in VOCABULARIES:
        for each in _close_in(kind, word)[:1] if kind != error.kind else ():
            if likeness(each, word) > best:
                yield f"There is {_named(kind)} {each}. {_place(kind, each, python)}"
    if own:
        yield f"Did you mean {' or '.join(own)}?"


def _close_in(kind: str, word: str, known: frozenset[str] = frozenset()) -> list[str]:
    found = close_names(word, VOCABULARIES[kind].words() | known)
    head, slash, rest = word.partition("/")
    if kind == "model" and slash and not found:
        return [f"{each}{rest}" for each in close_names(head + slash, prefixes())]
    return found
