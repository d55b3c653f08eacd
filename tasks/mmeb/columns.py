"""The columns of Parquet files as strings, in every type that writers give to texts and images.

An image is a path, the bytes of a file, or both, as the datasets library keeps it: `{bytes, path}`. Null is no image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.embedded import keep_image

_NULL = -1


@dataclass(frozen=True, slots=True, eq=False)
class CodedStrings:
    """Strings as indexes into the distinct ones: string i is `values[index[i]]`."""

    values: list[str]
    index: NDArray[np.int64]

    def to_list(self) -> list[str]:
        """The strings themselves."""
        return [self.values[number] for number in self.index]


class UnusableEntry(Exception):
    """An entry of a column that cannot be used, by its number in the column, and why."""

    def __init__(self, entry: int, why: str) -> None:
        super().__init__(f"entry {entry} {why}")
        self.entry, self.why = entry, why


def is_text(kind: pa.DataType) -> bool:
    """Whether a type holds texts."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_image(kind: pa.DataType) -> bool:
    """Whether a type holds images: paths, bytes, both, or nulls alone."""
    if pa.types.is_struct(kind):
        fields = {each.name: each.type for each in kind}
        path, data = fields.get("path"), fields.get("bytes")
        return bool(fields) and fields.keys() <= {"bytes", "path"} and _is_path(path) and _is_bytes(data)
    return _is_path(kind) or _is_bytes(kind)


def element_of(kind: pa.DataType) -> pa.DataType | None:
    """The type of the elements of a list, whether the lists have one length or not. None: the type is no list."""
    kinds = pa.types
    lists = (kinds.is_list, kinds.is_large_list, kinds.is_fixed_size_list, kinds.is_list_view, kinds.is_large_list_view)
    return kind.value_type if any(is_one(kind) for is_one in lists) else None


def lengths_of(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """The length of each list of a column, `(N,)`. A null has the length 0."""
    return np.asarray(pc.list_value_length(column).fill_null(0), dtype=np.int64)


def texts_of(column: pa.ChunkedArray, *, null_is_empty: bool = False) -> CodedStrings:
    """A column of texts. Raises: UnusableEntry for a null, and for a text that cannot be written to a file again."""
    found = joined(_read(column, _texts))
    if not null_is_empty and (nulls := np.flatnonzero(found.index == _NULL)).size:
        raise UnusableEntry(int(nulls[0]), "a text is null")
    return _filled(found)


def images_of(column: pa.ChunkedArray) -> CodedStrings:
    """A column of images as names for `embedded.image_of`; none is the empty string. Images in it are kept as files.

    Raises: UnusableEntry for a path that cannot be one.
    """
    return _filled(joined(_read(column, _images)))


def joined(parts: Iterable[CodedStrings]) -> CodedStrings:
    """Columns one after another, with each distinct string once."""
    numbers: dict[str, int] = {}
    indexes = [np.empty(0, dtype=np.int64)]
    for part in parts:
        number_of = [numbers.setdefault(text, len(numbers)) for text in part.values]
        indexes.append(np.asarray([*number_of, _NULL], dtype=np.int64)[part.index])  # the last one is at -1
    return CodedStrings(list(numbers), np.concatenate(indexes))


def _filled(found: CodedStrings) -> CodedStrings:
    return CodedStrings([*found.values, ""], np.where(found.index == _NULL, len(found.values), found.index))


def _read(column: pa.ChunkedArray, read: Callable[[pa.Array], CodedStrings]) -> Iterator[CodedStrings]:
    start = 0
    for chunk in column.chunks:
        try:
            yield read(chunk)
        except UnusableEntry as error:
            raise UnusableEntry(start + error.entry, error.why) from None
        start += len(chunk)


def _images(array: pa.Array) -> CodedStrings:
    kind = array.type
    if pa.types.is_null(kind):
        return CodedStrings([], np.full(len(array), _NULL, dtype=np.int64))
    if pa.types.is_struct(kind):
        parts = {each.name: _images(pc.struct_field(array, each.name)) for each in kind}
        none = CodedStrings([], np.full(len(array), _NULL, dtype=np.int64))
        data, path = parts.get("bytes", none), parts.get("path", none)
        shifted = np.where(path.index == _NULL, _NULL, path.index + len(data.values))
        return CodedStrings([*data.values, *path.values], np.where(data.index == _NULL, shifted, data.index))
    if _is_bytes(kind):
        return _kept(array)
    return _texts(array)


def _kept(array: pa.Array) -> CodedStrings:
    distinct, index = _coded(array if pa.types.is_dictionary(array.type) else array.cast(pa.large_binary()))
    files: list[bytes | None] = distinct.to_pylist()
    empty = [number for number, data in enumerate(files) if not data]
    index[np.isin(index, empty)] = _NULL
    return CodedStrings([keep_image(data) if data else "" for data in files], index)


def _texts(array: pa.Array) -> CodedStrings:
    distinct, index = _coded(array if pa.types.is_dictionary(array.type) else array.cast(pa.large_string()))
    texts: list[str | None] = distinct.to_pylist()
    bad = [number for number, text in enumerate(texts) if text and "\0" in text]
    if bad:
        raise UnusableEntry(int(np.argmax(np.isin(index, bad))), "a string holds the character NUL")
    return CodedStrings([text or "" for text in texts], index)


def _coded(array: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """The distinct values of an array, and the index of each entry. A null has the index -1."""
    coded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    index = np.array(coded.indices.cast(pa.int64()).fill_null(_NULL))
    index[np.isin(index, np.flatnonzero(coded.dictionary.is_null()))] = _NULL
    return coded.dictionary, index


def _is_path(kind: pa.DataType | None) -> bool:
    return kind is None or bool(pa.types.is_null(kind)) or is_text(kind)


def _is_bytes(kind: pa.DataType | None) -> bool:
    if kind is None:
        return True
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    kinds = pa.types
    tests = (kinds.is_binary, kinds.is_large_binary, kinds.is_binary_view, kinds.is_fixed_size_binary, kinds.is_null)
    return any(is_one(kind) for is_one in tests)
