"""The protocol by which the engine reports progress. The command line draws it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A receiver of phases, of steps within them, and of notes."""

    def phase(self, name: str, total: int) -> None:
        """Begins a phase of `total` steps; 0 if the number is not known. It ends the phase before it."""

    def advance(self, steps: int = 1, state: str = "") -> None:
        """Adds finished steps to the current phase. `state` is a short text to show in place of their rate."""

    def note(self, text: str) -> None:
        """Shows one line that a person should read."""


class NoProgress:
    """A receiver that ignores everything."""

    def phase(self, name: str, total: int) -> None:
        """Does nothing."""

    def advance(self, steps: int = 1, state: str = "") -> None:
        """Does nothing."""

    def note(self, text: str) -> None:
        """Does nothing."""
