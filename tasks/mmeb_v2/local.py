"""The tasks of MMEB-V2 that a folder has: those of the board, and smaller sets in the same layout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import counted
from harness.types import Task
from tasks.mmeb.folder import FolderSource
from tasks.mmeb_v2.documents import ROWS as DOCUMENT_ROWS
from tasks.mmeb_v2.documents import V2DocumentSource
from tasks.mmeb_v2.video import ROWS as VIDEO_ROWS
from tasks.mmeb_v2.video import V2VideoSource

_IMAGE_ROWS, _IMAGES = "image-query", "image-tasks"
ROWS = (*VIDEO_ROWS, *DOCUMENT_ROWS)
"""The tasks of MMEB-V2 that no other module has, without data."""


@dataclass(frozen=True, slots=True)
class V2Folder:
    """A folder with MMEB-V2's data, as its archives unpack it: `video-tasks` and `visdoc-tasks`.

    It may also have the rows of the image tasks, in `image-query`, and their images, in `image-tasks`.
    """

    data: Path
    images: Path | None = None
    roots: tuple[Path, ...] = ()
    """Other folders that links may lead into."""

    def is_archive(self) -> bool:
        """Whether a folder of the archives lies here. Then nothing else is looked for."""
        return any((self.data / name).is_dir() for name in ("video-tasks", "visdoc-tasks", _IMAGE_ROWS))

    def image_rows(self) -> FolderSource | None:
        """The rows of image tasks in this folder. None: it has none."""
        rows, images = self.data / _IMAGE_ROWS, self.data / _IMAGES
        if not rows.is_dir():
            return None
        return FolderSource(rows, self.images or (images if images.is_dir() else None), (self.data, *self.roots))

    @staticmethod
    def has_layout_of(task: Task) -> bool:
        """Whether the data of a task lies in such a folder."""
        return isinstance(task.source, V2VideoSource | V2DocumentSource)

    def attach(self, task: Task) -> Task:
        """A task of the registry with this folder as its data."""
        return replace(task, source=replace(_source(task), data=self.data, roots=self.roots))

    def tasks(self) -> tuple[Task, ...]:
        """The tasks whose rows lie here. One with another number of rows keeps its name, and a note says so.

        One with outdated judgements is among them, so that the run says why it is refused.

        Raises: UserError for rows that cannot be read.
        """
        attached = (self.attach(task) for task in ROWS)
        return tuple(_local(task) for task in attached if _source(task).files() or _is_outdated(task))


def _local(task: Task) -> Task:
    found = _source(task).count()
    if found == task.num_queries or _is_outdated(task):
        return task
    note = (
        f"not MMEB-V2's own rows: {counted(found, 'row')} here, {task.num_queries:,} there; scores are not comparable"
    )
    return replace(task, num_queries=None, num_candidates=None, notes=(*task.notes, note))


def _is_outdated(task: Task) -> bool:
    return isinstance(task.source, V2DocumentSource) and task.source.is_outdated()


def _source(task: Task) -> V2VideoSource | V2DocumentSource:
    assert isinstance(task.source, V2VideoSource | V2DocumentSource)
    return task.source
