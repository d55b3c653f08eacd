"""What happened in steps: the sums of a log line, and what was lost since the start of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

_LOST = ("cut_items", "masked_pairs", "queries_without_negatives", "steps_without_gradient")


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of a batch over all processes."""

    cut_items: int = 0
    """Items that are longer than the model's limit, so that a part of them is not seen."""
    masked_pairs: int = 0
    """Candidates that are no negatives because they are equal to the right one, or suspected to be right too."""
    queries_without_negatives: int = 0
    tokens: int = 0
    """The costs of all items, in tokens or the model's own unit."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


@dataclass(slots=True)
class Tally:
    """Sums over steps. A resumed run starts from those of its checkpoint."""

    steps: int = 0
    loss: float = 0.0
    grad_norm: float = 0.0
    cut_items: int = 0
    masked_pairs: int = 0
    queries_without_negatives: int = 0
    steps_without_gradient: int = 0
    """Steps whose gradient was exactly 0, in which nothing was learned."""
    tokens: int = 0
    seconds: float = 0.0

    @staticmethod
    def of(saved: object) -> Tally:
        """The tally that `record` returned. What is no number is left at zero."""
        tally = Tally()
        for each in fields(Tally):
            if isinstance(saved, dict) and isinstance(saved.get(each.name), int | float):
                setattr(tally, each.name, saved[each.name])
        return tally

    def record(self) -> dict[str, float]:
        """All sums by name."""
        return asdict(self)

    def add(self, loss: float, norm: float, counts: Counts, seconds: float) -> None:
        """Adds a step."""
        self.steps, self.loss, self.grad_norm = self.steps + 1, self.loss + loss, self.grad_norm + norm
        self.steps_without_gradient += norm == 0
        self.cut_items += counts.cut_items
        self.masked_pairs += counts.masked_pairs
        self.queries_without_negatives += counts.queries_without_negatives
        self.tokens += counts.tokens
        self.seconds += seconds

    @property
    def lost(self) -> dict[str, int]:
        """What was lost on the way, by name."""
        return {name: getattr(self, name) for name in _LOST}

    def summary(self) -> str:
        """What was lost, in a sentence; empty if nothing was."""
        found = [f"{count:,} {name.replace('_', ' ')}" for name, count in self.lost.items() if count]
        return f"Lost in {self.steps:,} steps: {', '.join(found)}." if found else ""
