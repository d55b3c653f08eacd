"""The answers of servers as vectors in the order of the items. A ValueError says what is wrong with an answer."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence

import numpy as np

from harness.errors import counted
from harness.types import FloatArray


def read_data(reply: object, count: int) -> FloatArray:
    """Reads `{"data": [{"index": 0, "embedding": [...]}]}` in any order. A vector may be in base64 (fp32, little)."""
    return _read_list(_field(reply, "data"), count, "embedding")


def read_pooling(reply: object, count: int) -> FloatArray:
    """Reads `{"data": [{"index": 0, "data": [...]}]}` in any order."""
    return _read_list(_field(reply, "data"), count, "data")


def read_tei(reply: object, count: int) -> FloatArray:
    """Reads `[[...], [...]]`."""
    return _matrix(_list(reply, "The answer"), count)


def read_cohere(reply: object, count: int) -> FloatArray:
    """Reads `{"embeddings": {"float": [[...]]}}`."""
    return _matrix(_list(_field(_field(reply, "embeddings"), "float"), "float"), count)


def read_gemini(reply: object, count: int) -> FloatArray:
    """Reads `{"embeddings": [{"values": [...]}]}`."""
    return _matrix([_field(each, "values") for each in _list(_field(reply, "embeddings"), "embeddings")], count)


def _read_list(value: object, count: int, field: str) -> FloatArray:
    entries = _list(value, "data")
    places = [_field(each, "index") if "index" in _fields(each) else at for at, each in enumerate(entries)]
    if len(entries) != count:
        raise ValueError(_wrong_number(len(entries), count))
    if set(map(str, places)) != set(map(str, range(count))):
        raise ValueError(f"its indexes are not 0 to {count - 1}, each once")
    by_place = {str(place): _field(each, field) for place, each in zip(places, entries, strict=True)}
    return _matrix([by_place[str(place)] for place in range(count)], count)


def _matrix(vectors: Sequence[object], count: int) -> FloatArray:
    if len(vectors) != count:
        raise ValueError(_wrong_number(len(vectors), count))
    rows = [_from_base64(each) if isinstance(each, str) else each for each in vectors]
    try:
        with np.errstate(over="ignore"):  # infinite values are reported with the item, by who stores the vectors
            matrix: FloatArray = np.array(rows, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError("its vectors are not lists of numbers, all of one length") from None
    if matrix.ndim == 3:
        raise ValueError("it has several vectors for an item, and one is wanted")
    if matrix.ndim != 2:
        raise ValueError("its vectors are not lists of numbers")
    return matrix


def _from_base64(text: str) -> FloatArray:
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)
    except (binascii.Error, ValueError):
        raise ValueError("a vector is a text that is not base64 of numbers in fp32") from None


def _field(value: object, name: str) -> object:
    fields = _fields(value)
    if name not in fields:
        raise ValueError(f"it has no {name!r}")
    return fields[name]


def _fields(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object, name: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise ValueError(f"{name} is no list")
    return value


def _wrong_number(found: int, wanted: int) -> str:
    return f"it has {counted(found, 'vector')} for {counted(wanted, 'item')}"
