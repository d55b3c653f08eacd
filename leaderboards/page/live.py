"""The page over a growing folder of results: made again when they change, with all queries and pictures on demand.

The address of a picture holds a key. A key stands only for a medium that a loaded query names. So no part of a request
is ever a path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from harness.errors import UnknownName, UserError
from leaderboards.board.board import Board
from leaderboards.contents import NamedMedium
from leaderboards.page.analyses import PageAnalysis
from leaderboards.page.data import page_data
from leaderboards.page.page import Document, document, safe_json
from leaderboards.page.thumbnails import NAME, Shown
from leaderboards.page.viewer import Answered, TaskHead, Viewer, answered, every_query
from leaderboards.pictures import FRAMES, Pictures, webp

_SOURCES = ("img-src data: 'self'", "connect-src 'self'")
_SMALL, _LARGE = (320, 60), (16_383, 90)
"""The longest side in pixels, and the quality. The second side is the most that WebP has."""
_WAITING = (
    '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="2">'
    "<title>No results yet</title><h1>No results yet</h1>"
    "<p>The terminal says why. This page shows results as soon as there are some.</p></html>"
)
_WAITING_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'"


class Shelf(NamedTuple):
    """What a page is made of, and what is to be said about it on the terminal."""

    board: Board
    analyses: Sequence[PageAnalysis]
    warnings: Sequence[str]


@dataclass(slots=True, eq=False)
class _Snapshot:
    """The page of the results as they were at one time."""

    digest: str
    document: Document
    tasks: Sequence[tuple[str, dict[int, Answered]]] = ()
    queries: dict[int, bytes] = field(default_factory=dict)
    """The queries of tasks that were asked for, as JSON."""


class LivePage:
    """The page of a growing folder. All methods may be called by several threads at once.

    Args:
        places: the results, as `load` takes them. They are read anew whenever a file below them changes.
        make: reads the results. Raises UserError if there are none.
        pictures: finds the media.
        say: hears warnings, each once.
        command: the command, which the page names.
    """

    def __init__(
        self,
        places: Sequence[Path],
        make: Callable[[], Shelf],
        pictures: Pictures,
        say: Callable[[str], None],
        command: str = "",
    ) -> None:
        self._places, self._make, self._pictures, self._command = places, make, pictures, command
        self._say, self._said = say, set[str]()
        self._media: dict[str, NamedMedium] = {}
        self._snapshot: _Snapshot | None = None
        self._lock = Lock()

    def digest(self) -> str:
        """What stands for the results as they are now: another one as soon as a file is written or removed."""
        text = repr([each for place in self._places for each in _files(place)])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def page(self) -> tuple[str, Document]:
        """The page of the results as they are now, with their digest. Without results it says so, and loads again."""
        with self._lock:
            made = self._current()
            return made.digest, made.document

    def queries(self, digest: str, number: int) -> bytes | None:
        """All queries of a task of the page as JSON. None if there is no such task, or the page is an older one."""
        with self._lock:
            made = self._snapshot
            if made is None or made.digest != digest or not 0 <= number < len(made.tasks):
                return None
            if number not in made.queries:
                try:
                    view, media = every_query(*made.tasks[number])
                except UserError as error:  # the rows are being replaced; the page will follow
                    self._warn([str(error)])
                    return None
                shown = [self._shown(each) for each in media]
                made.queries[number] = safe_json({**view, "media": shown}).encode()
            return made.queries[number]

    def picture(self, key: str, frame: int, *, large: bool) -> bytes | None:
        """A picture, or a frame of a video, as WebP. None if there is none."""
        medium = self._media.get(key)
        if medium is None:
            return None
        frames = Pictures(self._pictures.folders).open(medium)
        return webp(frames[frame], *(_LARGE if large else _SMALL)) if frame < len(frames) else None

    def start(self) -> None:
        """Makes the first page. Raises UserError for what other results cannot mend, such as an unknown suite."""
        with self._lock:
            self._current(patient=False)

    def _current(self, *, patient: bool = True) -> _Snapshot:
        digest = self.digest()
        if self._snapshot is None or self._snapshot.digest != digest:
            try:
                self._snapshot = self._made(digest, self._make())
            except UserError as error:
                if not patient and not (isinstance(error, UnknownName) and error.kind == "results"):
                    raise
                self._warn([str(error)])
                self._snapshot = _Snapshot(digest, Document(_WAITING, _WAITING_POLICY))
        return self._snapshot

    def _made(self, digest: str, shelf: Shelf) -> _Snapshot:
        self._warn(shelf.warnings)
        board = shelf.board
        entries = [standing.entry for standing in board.standings()]
        tasks = [(task, found) for task in board.tasks if (found := answered(board, entries, task))]
        heads: list[TaskHead] = [
            {
                "name": task,
                "models": list(found),
                "of": len(next(iter(found.values())).scores),
                "address": f"queries/{digest}/{number}",
            }
            for number, (task, found) in enumerate(tasks)
        ]
        viewer: Viewer = {"tasks": heads, "media": [], "notes": []}
        data = page_data(board, viewer if heads else None, analyses=shelf.analyses, command=self._command, live=digest)
        return _Snapshot(digest, document(data, _SOURCES), tasks)

    def _shown(self, medium: NamedMedium) -> Shown:
        """A medium with the addresses of its pictures, if it can be found."""
        name = medium.name[:NAME]
        if self._pictures.find(medium) is None:
            return {"name": name, "video": medium.is_video, "src": []}
        key = hashlib.sha256(repr(medium).encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._media[key] = medium
        small, large = (
            [f"media/{key}/{frame}/{size}" for frame in range(FRAMES if medium.is_video else 1)]
            for size in ("small", "large")
        )
        return {"name": name, "video": medium.is_video, "src": small, "large": large}

    def _warn(self, warnings: Sequence[str]) -> None:
        for warning in warnings:
            if warning not in self._said:
                self._said.add(warning)
                self._say(warning)


def _files(place: Path) -> list[tuple[str, int, int, int]]:
    """The files of a place that results may be in, each with what changes when it is written."""
    paths = sorted(place.rglob("*.json")) if place.is_dir() else [place]
    found = []
    for path in paths:
        with suppress(OSError):  # it was removed
            status = path.stat()
            found.append((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
    return found
