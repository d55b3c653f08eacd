"""Errors that a user can cause. Everything else is a bug and keeps its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.types import Media


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


class RunFailed(UserError):
    """An error after work began. The work that was finished before is kept."""


class UnknownName(UserError):
    """A name that is none of the kind that was wanted. It may be one of another kind, which a caller may know.

    The hint suggests up to three similar names of `known`, then says `where` names are found.
    """

    def __init__(self, kind: str, name: str, what: str, where: str = "", known: Iterable[str] = ()) -> None:
        self.kind, self.name, self.where, self.known = kind, name, where, frozenset(known)
        close = close_names(name, self.known)
        guess = f"Did you mean {' or '.join(close)}?" if close else ""
        super().__init__(what, f"{guess} {where}".strip())


def unknown_name(kind: str, name: str, known: Iterable[str], where: str) -> UnknownName:
    """Returns the error for an unknown name of a kind."""
    return UnknownName(kind, name, f"There is no {kind} named {name!r}.", where, known)


def likeness(one: str, other: str) -> float:
    """Returns how like two names are, from 0 to 1. Letter case does not count."""
    return difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio()


def close_names(name: str, known: Iterable[str]) -> list[str]:
    """Returns up to three names that are like `name`, the closest first. Letter case does not count."""
    by_lower = {each.lower(): each for each in sorted(known)}
    return [by_lower[each] for each in difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)]
