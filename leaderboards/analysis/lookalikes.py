"""Pictures that are nearly the same: resized, recompressed or cropped a little, by a perceptual hash.

The hash has the signs of the 255 lowest frequencies of a picture of 32 x 32, about their median. Source: Zauner,
"Implementation and benchmarking of perceptual image hash functions", 2010 (pHash). A picture has the hash of all of it.
It also has those of parts from which a twentieth or a tenth is cut off. Two pictures are alike if all of one is near a
part of the other. Their colours at 8 x 8 places must be correlated too, since drawings on a plain ground share their
grey. Of 600 real pictures no two others were nearer than 54 of 255 bits, and copies were within 44.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What is kept of a picture."""

    hashes: NDArray[np.bool_]
    """Those of the whole picture and of its parts, `(parts, 255)`."""
    small: Image.Image
    """The picture at 64 x 64."""

    def colours(self, part: int) -> Floats:
        """The colours of a part, `(8 * 8 * 3,)`, with mean 0 and length 1."""
        left, top, right, bottom = (_THUMB / _SIDE * end for end in _BOXES[part])
        tiny = self.small.resize((_TINY, _TINY), Image.Resampling.BOX, (left, top, right, bottom))
        colours = np.asarray(tiny, np.float32).ravel()
        colours = colours - colours.mean()
        found: Floats = colours / max(float(np.linalg.norm(colours)), 1.0)
        return found


MOST_APART = 44
"""Number of bits by which two hashes of one picture may differ."""
LEAST_ALIKE = 0.95
"""The correlation of colours from which two pictures are alike."""
_SIDE, _SMALL, _WAVES = 128, 32, 16
_THUMB, _TINY = 64, 8
_CUTS = (0.05, 0.1)
_PLACES = (0.0, 0.5, 1.0)
_FLAT = 4.0
"""Pictures with a smaller standard deviation of grey, of 255, show nothing."""
_BLOCK = 1 << 12


def looks_of(picture: Image.Image) -> Looks | None:
    """What is kept of a picture. None for one that shows nothing, such as a black frame."""
    from scipy.fft import dctn

    grey = picture.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    if np.asarray(grey, np.float32).std() < _FLAT:
        return None
    small = [grey.resize((_SMALL, _SMALL), Image.Resampling.BOX, box) for box in _BOXES]
    pixels = np.stack([np.asarray(each, np.float32) for each in small])
    waves = dctn(pixels, axes=(1, 2), norm="ortho")[:, :_WAVES, :_WAVES].reshape(len(pixels), -1)[:, 1:]
    hashes = waves > np.median(waves, axis=1, keepdims=True)
    return Looks(hashes, picture.convert("RGB").resize((_THUMB, _THUMB), Image.Resampling.BOX))


def _boxes() -> Iterator[tuple[float, float, float, float]]:
    """The whole picture, then its parts: left, top, right and bottom."""
    yield 0.0, 0.0, float(_SIDE), float(_SIDE)
    for cut in _CUTS:
        side, room = _SIDE * (1 - cut), _SIDE * cut
        for across in _PLACES:
            for down in _PLACES:
                yield room * across, room * down, room * across + side, room * down + side


_BOXES = tuple(_boxes())


class LooksIndex:
    """Pictures that are looked for among others."""

    def __init__(self, looks: Sequence[Looks]) -> None:
        self._looks = looks
        self._whole = _signs([each.hashes[:1] for each in looks])
        self._parts = _signs([each.hashes for each in looks])

    def near(self, others: Sequence[Looks]) -> list[tuple[int, int]]:
        """The pairs (number of another picture, number of a picture) that are alike, each once."""
        found: set[tuple[int, int]] = set()
        if not self._looks or not others:
            return []
        whole, parts = _signs([each.hashes[:1] for each in others]), _signs([each.hashes for each in others])
        per = len(_BOXES)
        for start in range(0, len(self._whole), _BLOCK):
            for row, own in _close(parts, self._whole[start : start + _BLOCK]):
                self._confirm(found, others, (row // per, row % per), (own + start, 0))
        for start in range(0, len(self._parts), _BLOCK):
            for other, row in _close(whole, self._parts[start : start + _BLOCK]):
                self._confirm(found, others, (other, 0), divmod(row + start, per))
        return sorted(found)

    def _confirm(
        self, found: set[tuple[int, int]], others: Sequence[Looks], other: tuple[int, int], own: tuple[int, int]
    ) -> None:
        """Adds a pair whose colours are alike too. `other` and `own` are numbers of a picture and of its part."""
        pair = other[0], own[0]
        if pair not in found:
            colours = others[other[0]].colours(other[1]) @ self._looks[own[0]].colours(own[1])
            if colours >= LEAST_ALIKE:
                found.add(pair)


def _signs(hashes: Sequence[NDArray[np.bool_]]) -> Floats:
    """Hashes below each other as numbers -1 and 1."""
    if not hashes:
        return np.empty((0, 0), np.float32)
    return np.concatenate(hashes).astype(np.float32) * 2 - 1


def _close(first: Floats, second: Floats) -> list[tuple[int, int]]:
    """The rows of two arrays of hashes that differ in few bits."""
    found = np.nonzero(first @ second.T >= first.shape[1] - 2 * MOST_APART)
    return list(zip(*(each.tolist() for each in found), strict=True))
