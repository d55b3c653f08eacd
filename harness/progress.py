"""How the engine tells what it is doing. The command line draws; the engine does not."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Hears of phases and of steps within them."""

    def phase(self, name: str, total: int) -> None:
        """A stretch of work begins: `total` steps of it are to be expected."""

    def advance(self, steps: int = 1, state: str = "") -> None:
        """Some steps of the phase are done. `state` may say more than their rate."""

    def note(self, text: str) -> None:
        """Something a person should know, in one line."""


class NoProgress:
    """Hears and says nothing."""

    def phase(self, name: str, total: int) -> None:
        pass

    def advance(self, steps: int = 1, state: str = "") -> None:
        pass

    def note(self, text: str) -> None:
        pass
