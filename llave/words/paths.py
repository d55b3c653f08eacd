"""What a path holds, and which path a wrong one was meant to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from harness.errors import UserError, close_names, likeness
from harness.files.reading import is_json_lines

_MOST_NAMES, _MOST_TRIED = 10_000, 50


@dataclass(frozen=True, slots=True)
class NearPath:
    """The part of a path up to its first wrong segment, and paths that exist and are like it."""

    missing: Path
    close: tuple[Path, ...]

    @property
    def likeness(self) -> float:
        """How like the wrong segment is to the closest of those that are there."""
        segment, at = self.missing.name, len(self.missing.parts) - 1
        return max((likeness(segment, each.parts[at]) for each in self.close), default=0)


def near_path(written: str) -> NearPath | None:
    """The first segment of a path that does not exist, and what is there with a name like it.

    None for a path that exists. A close path that goes on as the written one does comes first.
    """
    here = Path(written).expanduser()
    if here.exists() or not here.parts:
        return None
    parts = here.parts
    at = next(number for number in range(1, len(parts) + 1) if not Path(*parts[:number]).exists())
    parent, rest = Path(*parts[: at - 1]), parts[at:]
    names = close_names(parts[at - 1], _names(parent))
    close = [parent / name / Path(*rest) if (parent / name / Path(*rest)).exists() else parent / name for name in names]
    close.sort(key=lambda path: len(path.parts), reverse=True)
    return NearPath(Path(*parts[:at]), tuple(close))


def what_a_path_holds(place: Path) -> str | None:
    """`results`, `data` or `model`; None for a path that does not exist or holds none of these."""
    from tasks.catalog import resolve_tasks

    if place.is_file():
        if is_json_lines(place):
            return "data"
        return "results" if place.suffix == ".json" and _is_result(place) else None
    if not place.is_dir():
        return None
    if (place / "config.json").is_file() or (place / "modules.json").is_file():
        return "model"
    if any(map(_is_result, _first_json(place))):
        return "results"
    try:
        return "data" if resolve_tasks(data=place) else None
    except UserError:
        return None


def _first_json(place: Path) -> Iterator[Path]:
    """The first JSON files of a folder, down to the depth at which results lie."""
    for depth in range(4):
        yield from islice(place.glob("*/" * depth + "*.json"), _MOST_TRIED)


def _is_result(path: Path) -> bool:
    from harness.results.files import read_record
    from leaderboards.exchange.files import SUFFIX

    if path.name.endswith(SUFFIX):
        return True
    try:
        read_record(path)
    except UserError:
        return False
    return True


def checkpoints_in(place: Path) -> tuple[Path, ...]:
    """The folders just below a place that hold a model, by name."""
    found = [place / name for name in _names(place) if (place / name / "config.json").is_file()]
    return tuple(sorted(found))


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for _, path in zip(range(_MOST_NAMES), folder.iterdir(), strict=False)]
    except OSError:
        return []
