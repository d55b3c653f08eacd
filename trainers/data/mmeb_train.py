"""Datasets to train on, in the layout of MMEB-train: found, capped, checked. Pairs are made when they are asked for."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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

from harness.errors import BadMedia, UserError, unknown_name
from harness.media.images import resolve
from harness.types import Item, Media
from tasks.mmeb.texts import place
from trainers.data.pairs import Pair, digest_of, read_lines

_SIDES = ("qry", "pos", "neg")
_COLUMNS = {
    "qry": ("qry", "qry_image_path"),
    "pos": ("pos_text", "pos_image_path"),
    "neg": ("neg_text", "neg_image_path"),
}
_NEEDED = (*_COLUMNS["qry"], *_COLUMNS["pos"])
UNPACKED = "unpacked"
"""Where a folder that came from the hub has the images of each dataset."""
_SHOWN = 5


class Subset(Protocol):
    """One dataset, capped."""

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...

    def pair(self, index: int) -> Pair:
        """Raises UserError for a row of which no item can be made."""

    def where(self, index: int) -> str:
        """A row as a person finds it."""

    def media(self) -> Iterator[Media]:
        """Every medium that the pairs refer to, with repeats; it says where it is named first."""

    def has_negatives(self) -> NDArray[np.bool_]:
        """(n,) which pairs come with negatives."""

    def digest(self) -> str:
        """Of the pairs, in their order: texts and names of media."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainTable:
    """A dataset in the layout of MMEB-train."""

    name: str
    files: tuple[Path, ...]
    columns: pa.Table
    rows: Sequence[int]
    """Which rows of the files these are."""
    root: Path

    def __len__(self) -> int:
        return len(self.rows)

    def pair(self, index: int) -> Pair:
        try:
            query, target, negative = (self._item(side, index) for side in _SIDES)
        except ValueError as error:
            raise UserError(f"{self.where(index)}: {error}.", "Correct the data file.") from None
        return Pair(query, target, (negative,) if negative.text.strip() or negative.media else ())

    def where(self, index: int) -> str:
        return f"{self.files[0].parent}, row {self.rows[index]} (the first is row 0)"

    def media(self) -> Iterator[Media]:
        for _, column in _COLUMNS.values():
            if column in self.columns.column_names:
                coded = self.columns[column].combine_chunks().dictionary_encode()
                first = np.unique(coded.indices, return_index=True)[1]
                for name, row in zip(coded.dictionary.to_pylist(), first, strict=True):
                    if name:
                        yield Media("image", name, self.root, self.where(row))

    def has_negatives(self) -> NDArray[np.bool_]:
        return ~self.empty("neg")

    def digest(self) -> str:
        known = [each for each in chain(*_COLUMNS.values()) if each in self.columns.column_names]
        return digest_of(chain.from_iterable([name, *self.columns[name].to_pylist()] for name in known))

    def empty(self, side: str) -> NDArray[np.bool_]:
        """(n,) where a side has neither text nor image."""
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
        return Item(place(text, bool(image)).text, (Media("image", image, self.root),) if image else ())


@dataclass(frozen=True, slots=True, eq=False)
class KeptPairs:
    """Some pairs of a dataset."""

    whole: Subset
    indexes: Sequence[int]

    @property
    def name(self) -> str:
        return self.whole.name

    def __len__(self) -> int:
        return len(self.indexes)

    def pair(self, index: int) -> Pair:
        return self.whole.pair(self.indexes[index])

    def where(self, index: int) -> str:
        return self.whole.where(self.indexes[index])

    def media(self) -> Iterator[Media]:
        return self.whole.media()

    def has_negatives(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self.whole.has_negatives()[np.asarray(self.indexes)]
        return found

    def digest(self) -> str:
        return digest_of([self.whole.digest(), *map(str, self.indexes)])


@dataclass(frozen=True, slots=True)
class RowChoice:
    """Which rows of the data are wanted."""

    split: str = "original"
    datasets: tuple[str, ...] = ()
    cap: int | None = None
    at_random: bool = False
    seed: int = 0


def load_subsets(data: Path, images: Path | None, choice: RowChoice) -> tuple[Subset, ...]:
    """The chosen datasets of a folder, or the one of a `.jsonl` file, by name. Raises UserError."""
    if images is not None and not images.is_dir():
        raise UserError(f"{images} is not a folder.", "Name the folder of images with --images.")
    if data.suffix == ".jsonl" and data.is_file():
        if choice.datasets not in ((), (data.stem,)):
            raise UserError(f"{data} is one dataset, {data.stem}.", "Leave out datasets.")
        return (read_lines(data, images or data.parent, partial(_chosen, choice=choice)),)
    if not data.is_dir():
        what = "is neither a folder nor a .jsonl file" if data.exists() else "does not exist"
        raise UserError(f"{data} {what}.", "Check --data.")
    found = _shards(data, choice.split)
    for name in choice.datasets:
        if name not in found:
            raise unknown_name("dataset", name, found, f"{data} has these in split {choice.split}: {', '.join(found)}.")
    return tuple(_read_table(name, found[name], data, images, choice) for name in choice.datasets or found)


def check_media(subsets: Iterable[Subset], workers: int) -> Mapping[Media, BadMedia]:
    """Media that are missing, empty or outside their root. What is inside a file shows only when it is opened."""

    def look(medium: Media) -> BadMedia | None:
        try:
            resolve(medium)
        except BadMedia as error:
            return error
        return None

    media = list(dict.fromkeys(medium for subset in subsets for medium in subset.media()))
    with ThreadPoolExecutor(max(1, workers)) as pool:
        looks = zip(media, pool.map(look, media, chunksize=256), strict=True)
        return {medium: error for medium, error in looks if error is not None}


def refuse_bad(bad: Mapping[Media, BadMedia]) -> None:
    """Raises UserError that lists bad media, if there are any."""
    if bad:
        shown = [f"  {error.what} It is named in {medium.where}." for medium, error in list(bad.items())[:_SHOWN]]
        more = [f"  and {len(bad) - _SHOWN} more"] if len(bad) > _SHOWN else []
        raise UserError(
            "\n".join([f"{len(bad)} media file{'s' if len(bad) > 1 else ''} cannot be used.", *shown, *more]),
            "Fetch them, check --images, or train without the pairs that need them: --set on_bad_media=skip.",
        )


def without_bad(subset: Subset, bad: Mapping[Media, BadMedia]) -> tuple[Subset, tuple[str, ...]]:
    """A dataset without the pairs that need bad media, and a line for each of those that says where and why."""
    kept, lost = [], []
    for index in range(len(subset)):
        pair = subset.pair(index)
        media = [medium for item in (pair.query, pair.target, *pair.negatives) for medium in item.media]
        why = next((bad[medium] for medium in media if medium in bad), None)
        if why is None:
            kept.append(index)
        else:
            lost.append(f"{subset.where(index)}: {why.what}")
    if not kept:
        raise UserError(f"{subset.name}: no pair is left without bad media.", "Fetch them, or check --images.")
    return (KeptPairs(subset, kept) if lost else subset), tuple(lost)


def _shards(data: Path, split: str) -> dict[str, tuple[Path, ...]]:
    found = {
        folder.name: tuple(sorted(folder.glob(f"{split}-*.parquet")))
        for folder in sorted(data.iterdir())
        if folder.is_dir()
    }
    found = {name: files for name, files in found.items() if files}
    if not found:
        others = sorted({path.name.split("-0")[0] for path in data.glob("*/*.parquet")})
        hint = f"It has {', '.join(others)}: choose with --set split=." if others else "Check --data."
        raise UserError(f"{data} holds no dataset, that is, no folder with files named {split}-*.parquet.", hint)
    return found


def _chosen(count: int, name: str, choice: RowChoice) -> list[int]:
    if choice.cap is None or count <= choice.cap:
        return list(range(count))
    if not choice.at_random:
        return list(range(choice.cap))
    return sorted(random.Random(f"{choice.seed} {name}").sample(range(count), choice.cap))  # noqa: S311


def _read_table(name: str, files: tuple[Path, ...], data: Path, images: Path | None, choice: RowChoice) -> TrainTable:
    try:
        tables = []
        for file in files:
            names = pq.read_schema(file).names
            missing = [column for column in _NEEDED if column not in names]
            if missing:
                raise UserError(
                    f"{file}: it lacks {' and '.join(missing)}; its columns are {', '.join(names)}.",
                    f"The layout of MMEB-train has {', '.join(_NEEDED)}, and may have {', '.join(_COLUMNS['neg'])}.",
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
    found = TrainTable(name, files, columns, rows, _root(name, data, images, columns))
    _refuse_empty(found)
    return found


def _refuse_empty(table: TrainTable) -> None:
    for side, what in (("qry", "query"), ("pos", "positive")):
        empty = table.empty(side).nonzero()[0]
        if empty.size:
            raise UserError(
                f"{table.where(int(empty[0]))}: the {what} is empty, without text and without image; "
                f"so are {empty.size} of {len(table)} in {table.name}.",
                "Correct the data file, or leave the dataset out with --set datasets=.",
            )


def _root(name: str, data: Path, images: Path | None, columns: pa.Table) -> Path:
    """The folder that the paths are relative to: the first that has the first image."""
    if images is not None:
        return images
    unpacked = data / UNPACKED / name
    near = [data, data / "images", data / "image", data.parent / "images", data.parent, unpacked, unpacked / "images"]
    for column in (column for _, column in _COLUMNS.values() if column in columns.column_names):
        first = next((name for name in columns[column].to_pylist() if name), None)
        if first is not None:
            return next((root for root in near if (root / first).is_file()), data)
    return data
