"""Errors that a user can cause, and text made safe to show. Everything else is a bug and keeps its traceback."""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.types import Media

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and newline, separators of lines, what reverses text, and lone surrogates."""
_WORD = re.compile(r"\S{401,}")
_LONGEST = 2_000


def visible(text: str) -> str:
    """Returns the text with such characters as escapes: the bell is `\\x07`. Tabs and newlines stay.

    All text of data, records and names of files passes here on its way to a terminal, a table, a card or a page.
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def brief(text: str) -> str:
    """Returns a message without endless values: a word of over 400 characters, or over 2,000 characters in all, is cut.

    The longest name of a file has 255 characters, so it stays whole.
    """
    words = _WORD.sub(lambda found: f"{shortened(found[0])} ({len(found[0]):,} characters)", text)
    return words if len(words) <= _LONGEST else f"{shortened(words, _LONGEST)} ({len(words):,} characters)"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Returns a number and its noun: `1 query`, `2 queries`, `1,200 results`. `plural` is for irregular nouns."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {plural or _plural(noun)}"


def _plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else f"{noun}s"


def shortened(value: str, most: int = 80) -> str:
    """Returns a value of data for a message: of a longer one its beginning and its end, in `most` characters."""
    tail = most // 3
    return value if len(value) <= most else f"{value[: most - tail - 1]}…{value[-tail:]}"


class UserError(Exception):
    """An error with a remedy: `what` says what is wrong and where, `hint` says what to do.

    Both may quote what a file holds. They are made safe to show, and endless values are cut.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        what, hint = brief(visible(what)), brief(visible(hint))
        super().__init__(f"{what}\n{hint}" if hint else what)
        self.what = what
        self.hint = hint

    def _render_traceback_(self) -> list[str]:
        """Returns what IPython shows in place of a traceback, which helps a user only with a model of their own."""
        return [*model_traceback(self).splitlines(), f"{type(self).__name__}: {self}"]


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


def all_of(errors: Sequence[UserError]) -> UserError:
    """Returns several errors as one, so that a person can mend them all at once."""
    whats = dict.fromkeys(error.what for error in errors)  # two tasks may have one file
    hints = dict.fromkeys(error.hint for error in errors if error.hint)
    return UserError("\n".join(whats), "\n".join(hints))


class RunFailed(UserError):
    """An error after work began. The work that was finished before is kept."""


class ModelFailed(UserError):
    """An exception of a model's own code, which is the cause of this error. Its traceback is shown with the message."""


def model_traceback(error: BaseException) -> str:
    """Returns the traceback of a model's own code, if a ModelFailed is the error or its cause; else nothing."""
    link: BaseException | None = error
    while link is not None and not isinstance(link, ModelFailed):
        link = link.__cause__
    return "".join(traceback.format_exception(link.__cause__)) if link is not None and link.__cause__ else ""


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
