"""Pictures that are nearly the same: resized, recompressed or cropped a little, by a perceptual hash.

The hash has the signs of the 255 lowest frequencies of a picture of 32 x 32, about their median (pHash: Zauner,
"Implementation and benchmarking of perceptual image hash functions", 2010). A picture has the hash of all of it, and
those of parts from which a twentieth or a tenth is cut off. Two pictures are alike if all of one is near a part of the
other. Of 2,224 real pictures no two others were nearer than 54 of 255, and copies were within 44.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.types import FloatArray

Looks: TypeAlias = NDArray[np.bool_]
"""The hashes of a picture and of its parts, `(parts, 255)`; the whole picture first."""

MOST_APART = 44
"""Number of bits by which two hashes of one picture may differ."""
_SIDE, _SMALL, _WAVES = 128, 32, 16
_CUTS = (0.05, 0.1)
_PLACES = (0.0, 0.5, 1.0)
_FLAT = 4.0
"""Pictures with a smaller standard deviation of grey, of 255, show nothing."""
_BLOCK = 1 << 12


def looks_of(picture: Image.Image) -> Looks | None:
    """The hashes of a picture and its parts. None for one that shows nothing, such as a black frame."""
    from scipy.fft import dctn

    grey = picture.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    if np.asarray(grey, np.float32).std() < _FLAT:
        return None
    small = [grey.resize((_SMALL, _SMALL), Image.Resampling.BOX, box) for box in _boxes()]
    pixels = np.stack([np.asarray(each, np.float32) for each in small])
    waves = dctn(pixels, axes=(1, 2), norm="ortho")[:, :_WAVES, :_WAVES].reshape(len(pixels), -1)[:, 1:]
    found: Looks = waves > np.median(waves, axis=1, keepdims=True)
    return found


def _boxes() -> Iterator[tuple[float, float, float, float]]:
    """The whole picture, then its parts: left, top, right and bottom."""
    yield 0.0, 0.0, float(_SIDE), float(_SIDE)
    for cut in _CUTS:
        side, room = _SIDE * (1 - cut), _SIDE * cut
        for across in _PLACES:
            for down in _PLACES:
                yield room * across, room * down, room * across + side, room * down + side


class LooksIndex:
    """Pictures that are looked for among others."""

    def __init__(self, looks: Sequence[Looks]) -> None:
        self._whole = _signs([each[:1] for each in looks])
        self._parts = _signs(looks)
        self._per = len(looks[0]) if looks else 1

    def near(self, others: Sequence[Looks]) -> list[tuple[int, int]]:
        """The pairs (number of another picture, number of a picture) that are alike, each once."""
        pairs: set[tuple[int, int]] = set()
        if not len(self._whole) or not others:
            return []
        whole, parts = _signs([each[:1] for each in others]), _signs(others)
        for start in range(0, len(self._whole), _BLOCK):
            other, own = _close(parts, self._whole[start : start + _BLOCK])
            pairs |= set(zip((other // self._per).tolist(), (own + start).tolist(), strict=True))
        for start in range(0, len(self._parts), _BLOCK):
            other, own = _close(whole, self._parts[start : start + _BLOCK])
            pairs |= set(zip(other.tolist(), ((own + start) // self._per).tolist(), strict=True))
        return sorted(pairs)


def _signs(looks: Sequence[Looks]) -> FloatArray:
    """Hashes below each other as numbers -1 and 1."""
    if not looks:
        return np.empty((0, 0), np.float32)
    return np.concatenate(looks).astype(np.float32) * 2 - 1


def _close(first: FloatArray, second: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    width = first.shape[1]
    found = np.nonzero(first @ second.T >= width - 2 * MOST_APART)
    return found[0], found[1]
