"""Datasets in a folder: files `<subset>/test-*.parquet`, and a folder that the image paths are relative to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import UnknownName, UserError, counted, unknown_name
from harness.files.folder_kinds import SAVED, kind_of_folder
from harness.files.kinds import not_a
from harness.files.parquet import count_rows
from harness.media.places import check_inside
from harness.types import DataInfo, Task, TaskData
from tasks.mmeb.parquet import layout_of
from tasks.mmeb.rows import load_rows
from tasks.names import parse_name


@dataclass(frozen=True, slots=True)
class FolderSource:
    """Reads subsets in the MMEB-eval or the MMEB_Test_Instruct layout. The columns decide which layout it is."""

    data: Path
    images: Path | None = None
    """The folder of images. None: the first of `images` and `eval_images` in `data` and then beside it."""
    roots: tuple[Path, ...] = ()
    """Other folders that links in `data` and in the folder of images may lead into."""

    def describe(self) -> str:
        """Says where the data comes from, in one line."""
        return f"the folder {self.data}, images in {self._first_place() or 'none'}"

    def info(self, task: Task) -> DataInfo:
        """Names the files of a task's subset. Raises UserError for bad columns and a wrong number of rows."""
        files = self.files(task)
        layout = layout_of(files[0])
        if task.num_queries is not None and (found := count_rows(files)) != task.num_queries:
            raise UserError(
                f"{files[0].parent} has {counted(found, 'row')}, but {task.name} has {task.num_queries}.",
                "If the files are incomplete, fetch them again. If these are rows of your own, give the subset a name "
                "of your own, or run the folder as it is with --tasks all.",
            )
        return DataInfo(f"{layout.name} folder", "local", files, self.media_root(), roots=self._roots)

    def load(self, task: Task) -> TaskData:
        """Reads the rows of a task's subset. Raises UserError as `info` does, and for bad rows.

        Also raises UserError for rows that name images if there is no folder of images.
        """
        info = self.info(task)
        root = info.media_root or self.data / "images"
        data = load_rows(info.files, task, root, self._roots)
        items = (*data.targets, *(query.item for query in data.queries))
        if info.media_root is None and any(medium.root == root for item in items for medium in item.media):
            tried = " and ".join(str(place) for place in self._places())
            raise UserError(
                f"{task.name} has images, but there is no folder of images: tried {tried}.",
                "Name the folder that the image paths are relative to with --images.",
            )
        return data

    def files(self, task: Task) -> tuple[Path, ...]:
        """The files of a task's subset, sorted by name. Raises UserError if there are none."""
        subset = parse_name(task.name).dataset
        files = shards_of(self.data / subset)
        if not files:
            _refuse_saved(self.data / subset)
            known = subsets(self.data)
            raise unknown_name("subset", subset, known, f"{self.data} has these: {', '.join(known)}.")
        for file in files:
            check_inside(file, self._roots)
        return files

    def media_root(self) -> Path | None:
        """The folder of images, if there is one. Raises UserError if `images` is not a folder."""
        if self.images is not None and not self.images.is_dir():
            raise UserError(not_a(self.images, "a folder"), "Name the folder of images with --images.")
        return self._first_place()

    @property
    def _roots(self) -> tuple[Path, ...]:
        return (self.data, *self.roots)

    def _first_place(self) -> Path | None:
        return next((place for place in self._places() if place.is_dir()), None)

    def _places(self) -> tuple[Path, ...]:
        if self.images is not None:
            return (self.images,)
        parents = dict.fromkeys((self.data.absolute().parent, self.data.resolve().parent))  # it may be a link
        return tuple(folder / name for folder in (self.data, *parents) for name in ("images", "eval_images"))


def subsets(data: Path) -> tuple[str, ...]:
    """The sorted names of a folder's subsets. Raises: UserError if there are none."""
    if not data.is_dir():
        raise UnknownName("data", str(data), not_a(data, "a folder"), "Check --data.")
    names = tuple(sorted(entry.name for entry in data.iterdir() if entry.is_dir() and shards_of(entry)))
    if not names:
        for place in (data, *sorted(entry for entry in data.iterdir() if entry.is_dir())):
            _refuse_saved(place)
        kind = kind_of_folder(data)
        hint = f"Name the folder above it: --data {data.absolute().parent}." if shards_of(data) else kind.remedy
        what = f"{data} has no subset, which is a folder with files named test-*.parquet. It is {kind.name}."
        raise UnknownName("data", str(data), what, hint)
    return names


def _refuse_saved(folder: Path) -> None:
    """Raises UserError for a dataset that the datasets library wrote as Arrow files, which are not read."""
    if kind_of_folder(folder) is SAVED:
        raise UserError(f"{folder} is {SAVED.name}.", SAVED.remedy)


def shards_of(folder: Path) -> tuple[Path, ...]:
    """The Parquet files of a subset's folder, sorted by name."""
    return tuple(sorted(folder.glob("test-*.parquet")))
