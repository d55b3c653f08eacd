"""What a user can cause. Everything else is a bug and keeps its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """An error with a remedy. `what` says what is wrong and where; `hint` says what to do."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(f"{what}\n{hint}" if hint else what)
        self.what = what
        self.hint = hint

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback, which would say nothing to a user."""
        return [f"{type(self).__name__}: {self}"]


class BadMedia(UserError):
    """An image or a video that cannot be used. `--on-bad-media count-as-wrong` goes on past these."""


class RunFailed(UserError):
    """An error after work began. What was done before it is kept."""


def unknown_name(kind: str, name: str, known: Iterable[str], where: str) -> UserError:
    """An error for a name that nobody knows, with the closest ones that somebody does."""
    names = sorted(known)
    by_lower = {each.lower(): each for each in names}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    guess = f"Did you mean {' or '.join(by_lower[each] for each in close)}? " if close else ""
    return UserError(f"There is no {kind} named {name!r}.", f"{guess}{where}")
