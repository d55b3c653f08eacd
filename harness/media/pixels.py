"""How opened pictures become RGB of 8 bits: one policy for all formats, and notes on what it alters.

- **At most 8 bits a colour**: Pillow's `convert("RGB")`, as in the public code.
- **Alpha, or a transparent colour**: it is dropped, and nothing is put behind the picture.
- **A turn in the EXIF or XMP**: it is not applied, whatever the format.
- **Deep greys that are integers**: the largest value of their depth becomes 255, or a larger one in the picture.
- **Deep greys that are floats**: the largest value of the picture becomes 255.

Where the file says that 0 is white, greys of more than 8 bits are inverted. Pillow does so for the others.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageChops, ImageStat

from harness.errors import counted

VERSION = 2
"""Version of the policy. Increase it, and let `version_of` say which pictures get other pixels than before."""

NOTES: Mapping[str, str] = {
    "exif_turn_not_applied": "with a turn in the EXIF, which is not applied",
    "alpha_content_dropped": "with content in its alpha, which is dropped",
    "deep_greys_scaled": "with greys of more than 8 bits, which are scaled to 8",
    "deep_pictures_nearly_black": "nearly black, of more than 8 bits and with no value above a quarter of the range",
}
"""Notes on a picture: the name of each as a count in a result, and its words for a person."""

DAMAGE = (
    ArithmeticError,
    AssertionError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""Errors that Pillow's readers raise for damaged files."""

_TURN, _DEPTH, _MEANING = 0x0112, 0x0102, 0x0106
_ZERO_IS_WHITE = 0
_UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What takes back each turn. Pillow turns TIFF files when it decodes them, and no others."""
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_LOOKS_OTHERWISE = 16
"""Mean difference from the picture on white, of 255, above which it looks otherwise with its alpha."""
_DARK = 64
"""A quarter of the range: a brighter picture is not nearly black."""
_FULL = 65535
_STRIP = 1 << 21
"""Number of pixels that are worked on at once, so that a large picture needs no more copies of itself."""

_Strip: TypeAlias = tuple[int, int, int, int]


class _Scale(NamedTuple):
    """How deep greys are scaled: from 0 to `top` (0: to the largest value), and whether 0 is white."""

    top: int
    inverted: bool


def as_rgb(image: Image.Image) -> Image.Image:
    """Decodes an opened image as 8-bit RGB. Raises: one of `DAMAGE`."""
    scale = _scale_of(image)
    upright = _decoded(image)
    shallow = upright if scale is None else _shallow(upright, scale)
    return shallow if shallow.mode == "RGB" else shallow.convert("RGB")


def turn_of(image: Image.Image) -> int:
    """Returns the turn in the EXIF or XMP of an image that is not decoded yet, from 2 to 8; 1 if it has none."""
    try:
        # Not image.getexif(), because that of PNG decodes the pixels first.
        turn = Image.Image.getexif(image).get(_TURN)
    except DAMAGE:
        return 1  # broken EXIF does not change the pixels
    return turn if turn in _UNDO else 1


def version_of(image: Image.Image) -> str:
    """Returns the version of the policy if it gives an opened image other pixels than version 1 did; else nothing."""
    changed = image.format == "TIFF" and (turn_of(image) > 1 or _scale_of(image) not in (None, *_AS_BEFORE))
    return str(VERSION) if changed else ""


def notes_of(image: Image.Image, depth: int) -> tuple[str, ...]:
    """Returns the names of the `NOTES` on an opened image. It is decoded if only its pixels can tell.

    Args:
        image: the image.
        depth: number of bits of a colour in the file.

    Raises: one of `DAMAGE`.
    """
    found = ["exif_turn_not_applied"] if turn_of(image) > 1 else []
    scale = _scale_of(image)
    if scale is not None or depth > 8 or _has_alpha(image):
        upright = _decoded(image)
        shallow = upright if scale is None else _shallow(upright, scale)
        found += ["alpha_content_dropped"] if _has_alpha(upright) and _is_in_alpha(upright, shallow) else []
        found += ["deep_greys_scaled"] if scale is not None else []
        dark = (scale is not None or depth > 8) and _brightest(shallow) <= _DARK
        found += ["deep_pictures_nearly_black"] if dark else []
    return tuple(found)


def count_notes(notes: Iterable[Iterable[str]]) -> dict[str, int]:
    """Counts the notes on pictures by name, in the order of `NOTES`. Those that nothing has are left out."""
    found = Counter(name for each in notes for name in each)
    return {name: found[name] for name in NOTES if found[name]}


def say_notes(counts: Mapping[str, int]) -> Iterator[str]:
    """Yields a sentence for each count of pictures. Other counts are passed over."""
    for name, words in NOTES.items():
        if counts.get(name):
            yield f"{counted(counts[name], 'picture')} {words}."


def _scale_of(image: Image.Image) -> _Scale | None:
    """How the greys of an opened image are scaled; None if they are no deeper than 8 bits."""
    if not image.mode.startswith(("I", "F")):
        return None
    tags = getattr(image, "tag_v2", {})
    bits = min(tags.get(_DEPTH, (16,))[0], 16)
    return _Scale(0 if image.mode == "F" else (1 << bits) - 1, tags.get(_MEANING) == _ZERO_IS_WHITE)


_AS_BEFORE = (_Scale(0, inverted=False), _Scale(_FULL, inverted=False))
"""The scales of version 1."""


def _decoded(image: Image.Image) -> Image.Image:
    """The image with its pixels as they are in the file. The opened image cannot be used afterwards."""
    turn = turn_of(image) if image.format == "TIFF" else 1
    image.load()
    return image.transpose(_UNDO[turn]) if turn > 1 else image


def _shallow(image: Image.Image, scale: _Scale) -> Image.Image:
    """Greys of 8 bits from deeper ones. What is no finite number, or below 0, is 0."""
    top = max([scale.top, *(float(_values(image, strip).max(initial=0)) for strip in _strips(image))]) or 1.0
    grey = np.empty((image.height, image.width), dtype=np.uint8)
    for strip in _strips(image):
        values = np.clip(_values(image, strip) * (255.0 / top), 0, 255)
        grey[strip[1] : strip[3]] = np.rint(255 - values if scale.inverted else values)
    return Image.fromarray(grey)


def _values(image: Image.Image, strip: _Strip) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.nan_to_num(np.asarray(image.crop(strip), dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in _ALPHA or "transparency" in image.info


def _is_in_alpha(image: Image.Image, shallow: Image.Image) -> bool:
    """Whether alpha holds content: without it the picture is one colour, or much unlike the picture on white."""
    difference, colours, alphas = 0.0, set[tuple[int, int]](), set[int]()
    for strip in _strips(image):
        alpha = _alpha(image.crop(strip))
        rgb = shallow.crop(strip).convert("RGB")
        on_white = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
        difference += sum(ImageStat.Stat(ImageChops.difference(rgb, on_white)).sum)
        colours |= {(band, value) for band, ends in enumerate(ImageStat.Stat(rgb).extrema) for value in ends}
        alphas |= {*ImageStat.Stat(alpha).extrema[0]}
    plain = len(colours) == 3 and len(alphas) > 1
    return plain or difference > _LOOKS_OTHERWISE * 3 * image.width * image.height


def _alpha(part: Image.Image) -> Image.Image:
    """The alpha of a part of an image, from its last band or its transparent colours."""
    if part.mode in _ALPHA:
        return part.getchannel(len(part.getbands()) - 1)
    if part.mode.startswith("I"):
        return Image.fromarray(np.where(np.asarray(part) == part.info["transparency"], 0, 255).astype(np.uint8))
    return part.convert("RGBA").getchannel("A")


def _brightest(image: Image.Image) -> int:
    """The largest value of any colour. `image` has 8 bits a colour."""
    parts = (image.crop(strip).convert("RGB") for strip in _strips(image))
    return max(int(top) for part in parts for _, top in ImageStat.Stat(part).extrema)


def _strips(image: Image.Image) -> Iterator[_Strip]:
    rows = max(1, _STRIP // image.width)
    return ((0, at, image.width, min(at + rows, image.height)) for at in range(0, image.height, rows))
