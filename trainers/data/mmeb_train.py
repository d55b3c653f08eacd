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
import pyarrow.parquet as pq
from numpy.typing import NDArray

from harness.errors import UserError, unknown_name
from harness.files.kinds import not_a
from harness.media.places import check_inside
from harness.types import Item, Media
from tasks.mmeb.texts import place
from trainers.data.pairs import Pair, digest_of, read_pairs

_SIDES = ("qry", "pos", "neg")
_COLUMNS = {
    "qry": ("qry", "qry_image_path"),
    "pos": ("pos_text", "pos_image_path"),
    "neg": ("neg_text", "neg_image_path"),
}
_NEEDED = (*_COLUMNS["qry"], *_COLUMNS["pos"])
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
    """The row of each pair in the files, from 0."""
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
        """The folder and the row of a pair."""
        return f"{self.files[0].parent}, row {self.rows[index]} (the first is row 0)"

    def media(self) -> Iterator[Media]:
        """Every image once for each column that names it."""
        for _, column in _COLUMNS.values():
            if column in self.columns.column_names:
                coded = self.columns[column].combine_chunks().dictionary_encode()
                first = np.unique(coded.indices, return_index=True)[1]
                for name, row in zip(coded.dictionary.to_pylist(), first, strict=True):
                    if name:
                        yield Media("image", name, self.root, self.where(row), self.roots)

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
        return Item(
            place(text, bool(image)).text, (Media("image", image, self.root, roots=self.roots),) if image else ()
        )


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
    """The chosen datasets of a folder, or the one dataset of a `.jsonl` file.

    They are in the order of the choice, or in the order of their names if all are taken. Raises UserError if the data
    cannot be found or read, or a query or positive is empty.
    """
    if images is not None and not images.is_dir():
        raise UserError(not_a(images, "a folder"), "Name the folder of images with --images.")
    if data.suffix == ".jsonl" and data.is_file():
        if choice.datasets not in ((), (data.stem,)):
            raise UserError(f"{data} is one dataset, {data.stem}.", "Leave out the setting datasets.")
        return (read_pairs(data, images or data.parent, partial(_chosen, choice=choice), roots),)
    if not data.is_dir():
        what = "is neither a folder nor a .jsonl file" if data.exists() else "does not exist"
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
    try:
        tables = []
        for file in files:
            names = pq.read_schema(file).names
            missing = [column for column in _NEEDED if column not in names]
            if missing:
                raise UserError(
                    f"{file}: it lacks {' and '.join(missing)}; its columns are {', '.join(names)}.",
                    f"The columns of MMEB-train are {', '.join(_NEEDED)}, and optionally {', '.join(_COLUMNS['neg'])}.",
                )
            known = [column for side in _SIDES for column in _COLUMNS[side] if column in names]
            tables.append(pq.read_table(file, columns=known))
        whole = pa.concat_tables(tables)
        texts = [pc.fill_null(whole[column].cast(pa.large_string()), "") for column in whole.column_names]
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{files[0].parent} cannot be read as strings: {reason}", "Fetch the files again.") from None
    rows = _chosen(len(whole), name, choice)
    columns = pa.table(texts, whole.column_names).take(rows)
    found = TrainTable(name, files, columns, rows, _root(name, roots[0], images, columns), roots)
    _refuse_empty(found)
    return found


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
        first = next((name for name in columns[column].to_pylist() if name), None)
        if first is not None:
            return next((root for root in near if (root / first).is_file()), data)
    return data
