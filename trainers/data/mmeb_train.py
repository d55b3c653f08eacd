"""Training sets in the layout of MMEB-train: finds and reads them, limits their rows and checks them.

A pair is made when it is asked for, so memory holds columns and not items.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harness.errors import UserError, unknown_name
from harness.files.kinds import not_a
from harness.files.parquet import read_schema, row_groups
from harness.files.reading import JSON_LINES, is_json_lines
from harness.media.places import check_inside
from harness.types import Item, Media
from tasks.embedded import image_of, is_embedded
from tasks.mmeb.columns import UnusableEntry, images_of, is_image, is_text, texts_of
from tasks.mmeb.texts import place
from trainers.data.pairs import Pair, digest_of, read_pairs

_SIDES = ("qry", "pos", "neg")
_COLUMNS = {
    "qry": ("qry", "qry_image_path"),
    "pos": ("pos_text", "pos_image_path"),
    "neg": ("neg_text", "neg_image_path"),
}
_NEEDED = (*_COLUMNS["qry"], *_COLUMNS["pos"])
_KINDS = {name: kind for pair in _COLUMNS.values() for name, kind in zip(pair, ("text", "image"), strict=True)}
UNPACKED = "unpacked"
"""Folder with the images of each dataset, where the data came from the hub."""


class Subset(Protocol):
    """The pairs of one dataset, after its rows were limited."""

    @property
    def name(self) -> str:
        """The dataset's name."""

    def __len__(self) -> int:
        """The number of pairs."""

    def pair(self, index: int) -> Pair:
        """The pair with this index. Raises UserError for a row that is no pair."""

    def where(self, index: int) -> str:
        """Where a person finds the row of a pair."""

    def media(self) -> Iterator[Media]:
        """Every medium that the pairs refer to, with repeats. A medium says where the data names it first."""

    def has_negatives(self) -> NDArray[np.bool_]:
        """(n,) which pairs come with negatives."""

    def digest(self) -> str:
        """A digest of texts and names of media, in the order of the pairs."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainTable:
    """A dataset in the layout of MMEB-train."""

    name: str
    files: tuple[Path, ...]
    columns: pa.Table
    rows: Sequence[int]
    """The row of each pair, from 0, counted over all files."""
    ends: Sequence[int]
    """The number of rows of each file and those before it, `(F,)`."""
    root: Path
    """Folder that the paths of images are relative to."""
    roots: tuple[Path, ...] = ()
    """Other folders that links may lead into."""

    def __len__(self) -> int:
        return len(self.rows)

    def pair(self, index: int) -> Pair:
        """The pair with this index. Raises UserError for a row that is no pair."""
        try:
            query, target, negative = (self._item(side, index) for side in _SIDES)
        except ValueError as error:
            raise UserError(f"{self.where(index)}: {error}.", "Correct the data file.") from None
        return Pair(query, target, (negative,) if negative.text.strip() or negative.media else ())

    def where(self, index: int) -> str:
        """The file and the row of a pair."""
        row = self.rows[index]
        number = int(np.searchsorted(self.ends, row, side="right"))
        return _place(self.files[number], row - (self.ends[number - 1] if number else 0))

    def media(self) -> Iterator[Media]:
        """Every image once for each column that names it."""
        for _, column in _COLUMNS.values():
            if column in self.columns.column_names:
                coded = self.columns[column].combine_chunks().dictionary_encode()
                first = np.unique(coded.indices, return_index=True)[1]
                for name, row in zip(coded.dictionary.to_pylist(), first, strict=True):
                    yield from image_of(name, self.root, self.roots, self.where(row))

    def has_negatives(self) -> NDArray[np.bool_]:
        """(n,) which pairs come with negatives."""
        return ~self.empty("neg")

    def digest(self) -> str:
        """A digest of texts and names of images, in the order of the pairs."""
        known = [each for each in chain(*_COLUMNS.values()) if each in self.columns.column_names]
        return digest_of(chain.from_iterable([name, *self.columns[name].to_pylist()] for name in known))

    def empty(self, side: str) -> NDArray[np.bool_]:
        """(n,) which pairs have neither text nor image on a side: `qry`, `pos` or `neg`."""
        text, image = (
            self.columns[column] if column in self.columns.column_names else pa.repeat("", len(self))
            for column in _COLUMNS[side]
        )
        bare = pc.utf8_trim_whitespace(pc.replace_substring_regex(text, r"<\|image_\d+\|>", ""))
        found: NDArray[np.bool_] = np.asarray(pc.and_(pc.equal(bare, ""), pc.equal(image, "")))
        return found

    def _item(self, side: str, index: int) -> Item:
        text, image = (
            self.columns[column][index].as_py() if column in self.columns.column_names else ""
            for column in _COLUMNS[side]
        )
        return Item(place(text, bool(image)).text, image_of(image, self.root, self.roots))


@dataclass(frozen=True, slots=True)
class RowChoice:
    """Which rows of the data are taken. `trainers.config.TrainingConfig` says what the fields mean."""

    split: str = "original"
    datasets: tuple[str, ...] = ()
    max_rows: int | None = None
    """Largest number of rows of each dataset."""
    at_random: bool = False
    """Whether these rows are drawn at random, from the seed and the dataset's name. Else they are the first."""
    seed: int = 0


def load_subsets(
    data: Path, images: Path | None, choice: RowChoice, roots: tuple[Path, ...] = ()
) -> tuple[Subset, ...]:
    """The chosen datasets of a folder, or the one dataset of a JSON Lines file.

    They are in the order of the choice, or in the order of their names if all are taken. Raises UserError if the data
    cannot be found or read, or a query or positive is empty.
    """
    if images is not None and not images.is_dir():
        raise UserError(not_a(images, "a folder"), "Name the folder of images with --images.")
    if is_json_lines(data) and data.is_file():
        if choice.datasets not in ((), (data.stem,)):
            raise UserError(f"{data} is one dataset, {data.stem}.", "Leave out the setting datasets.")
        return (read_pairs(data, images or data.parent, partial(_chosen, choice=choice), roots),)
    if not data.is_dir():
        what = f"is neither a folder nor JSON Lines ({', '.join(JSON_LINES)})" if data.exists() else "does not exist"
        raise UserError(f"{data} {what}.", "Check --data.")
    found = _shards(data, choice.split)
    for name in choice.datasets:
        if name not in found:
            raise unknown_name("dataset", name, found, f"Datasets in split {choice.split}: {', '.join(found)}.")
    places = (data, *roots)
    return tuple(_read_table(name, found[name], places, images, choice) for name in choice.datasets or found)


def _shards(data: Path, split: str) -> dict[str, tuple[Path, ...]]:
    found = {
        folder.name: tuple(sorted(folder.glob(f"{split}-*.parquet")))
        for folder in sorted(data.iterdir())
        if folder.is_dir()
    }
    found = {name: files for name, files in found.items() if files}
    if not found:
        others = sorted({path.name.split("-0")[0] for path in data.glob("*/*.parquet")})
        hint = f"Its splits are {', '.join(others)}: choose with --set split=." if others else "Check --data."
        raise UserError(f"{data} has no dataset, which is a folder with files named {split}-*.parquet.", hint)
    return found


def _chosen(count: int, name: str, choice: RowChoice) -> list[int]:
    if choice.max_rows is None or count <= choice.max_rows:
        return list(range(count))
    if not choice.at_random:
        return list(range(choice.max_rows))
    return sorted(random.Random(f"{choice.seed} {name}").sample(range(count), choice.max_rows))  # noqa: S311


def _read_table(
    name: str, files: tuple[Path, ...], roots: tuple[Path, ...], images: Path | None, choice: RowChoice
) -> TrainTable:
    """Reads a dataset. `roots` are the folder of the data, and others that links may lead into."""
    for file in files:
        check_inside(file, roots)
    known = _known_columns(files)
    parts = [_read_file(file, known) for file in files]
    whole = pa.concat_tables(parts)
    rows = _chosen(len(whole), name, choice)
    columns, ends = whole.take(rows), np.cumsum([len(part) for part in parts]).tolist()
    found = TrainTable(name, files, columns, rows, ends, _root(name, roots[0], images, columns), roots)
    _refuse_empty(found)
    return found


def _known_columns(files: Sequence[Path]) -> list[str]:
    """The columns of MMEB-train that the files have. Raises UserError if they lack one, or one is of another type."""
    schemas = {file: read_schema(file) for file in files}
    for file, schema in schemas.items():
        # a column that is in one file only would be empty in the others
        needed = [each for each in _KINDS if each in _NEEDED or any(each in other.names for other in schemas.values())]
        missing = [column for column in needed if column not in schema.names]
        if missing:
            raise UserError(
                f"{file}: it lacks {' and '.join(missing)}; its columns are {', '.join(schema.names)}.",
                f"The columns of MMEB-train are {', '.join(_NEEDED)}, and optionally {', '.join(_COLUMNS['neg'])}.",
            )
        for name in needed:
            kind = schema.field(name).type
            if not (is_image if _KINDS[name] == "image" else is_text)(kind):
                wanted = "images, as paths or {bytes, path}" if _KINDS[name] == "image" else "strings"
                raise UserError(f"{file}: column {name} must hold {wanted}, but holds {kind}.", "Write the file again.")
    return needed


def _read_file(file: Path, names: Sequence[str]) -> pa.Table:
    """The columns of a file as strings, in which null is empty. Raises UserError that names file and row."""
    parts, first = [pa.table({name: pa.array([], pa.large_string()) for name in names})], 0
    for table in row_groups(file, names, encoded=names):
        columns = {}
        for name in names:
            read = images_of if _KINDS[name] == "image" else partial(texts_of, null_is_empty=True)
            try:
                found = read(table[name])
            except UnusableEntry as error:
                where = _place(file, first + error.entry)
                raise UserError(f"{where}: {name}: {error.why}.", "Correct the data file.") from None
            columns[name] = pa.array(found.values, pa.large_string()).take(pa.array(found.index))
        parts.append(pa.table(columns))
        first += table.num_rows
    return pa.concat_tables(parts)


def _place(file: Path, row: int) -> str:
    return f"{file}, row {row} (the first is row 0)"


def _refuse_empty(table: TrainTable) -> None:
    for side, what in (("qry", "query"), ("pos", "positive")):
        empty = table.empty(side).nonzero()[0]
        if empty.size:
            raise UserError(
                f"{table.where(int(empty[0]))}: the {what} has neither text nor image. "
                f"{table.name} has {empty.size} such rows of {len(table)}.",
                "Correct the data file, or leave the dataset out with --set datasets=.",
            )


def _root(name: str, data: Path, images: Path | None, columns: pa.Table) -> Path:
    """The folder that the paths are relative to: the first likely folder that has the first image."""
    if images is not None:
        return images
    unpacked = data / UNPACKED / name
    near = [data, data / "images", data / "image", data.parent / "images", data.parent, unpacked, unpacked / "images"]
    for column in (column for _, column in _COLUMNS.values() if column in columns.column_names):
        first = next((name for name in columns[column].to_pylist() if name and not is_embedded(name)), None)
        if first is not None:
            return next((root for root in near if (root / first).is_file()), data)
    return data
