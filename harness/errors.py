"""Errors that a user can cause. Everything else is a bug and keeps its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.types import Media


def counted(count: int, noun: str, plural: str = "") -> str:
    """Returns a number and its noun: `1 query`, `2 queries`, `1,200 results`. `plural` is for irregular nouns."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {plural or _plural(noun)}"


def _plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else f"{noun}s"


class UserError(Exception):
    """An error with a remedy: `what` says what is wrong and where, `hint` says what to do."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(f"{what}\n{hint}" if hint else what)
        self.what = what
        self.hint = hint

    def _render_traceback_(self) -> list[str]:
        """Returns what IPython shows in place of a traceback, which does not help a user."""
        return [f"{type(self).__name__}: {self}"]


class BadMedia(UserError):
    """An image or a video that cannot be used. `--on-bad-media count-as-wrong` continues past these errors.

    `medium` is the one that cannot be used. Without it, all media of the item that was read count as bad.
    """

    def __init__(self, what: str, hint: str = "", medium: Media | None = None) -> None:
        super().__init__(what, hint)
        self.medium = medium


def hints_of(errors: Iterable[UserError], most: int = 3) -> str:
    """Returns the first distinct hints of several errors, each on a line."""
    return "\n".join(list(dict.fromkeys(error.hint for error in errors if error.hint))[:most])


class RunFailed(UserError):
    """An error after work began. The work that was finished before is kept."""


def unknown_name(kind: str, name: str, known: Iterable[str], where: str) -> UserError:
    """Returns the error for an unknown name. Its hint suggests up to three similar names of `known`, then `where`."""
    names = sorted(known)
    by_lower = {each.lower(): each for each in names}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    guess = f"Did you mean {' or '.join(by_lower[each] for each in close)}? " if close else ""
    return UserError(f"There is no {kind} named {name!r}.", f"{guess}{where}")
