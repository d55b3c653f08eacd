"""Images, from a name in a data file to RGB pixels."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from harness.errors import BadMedia, UserError
from harness.files.kinds import HEAD, kind_of_head
from harness.media.places import about, resolve
from harness.types import Media

MAX_PIXELS = 178_956_970
"""Images with more pixels are refused before they are decoded. It is Pillow's hard limit, twice its warning limit."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")
"""Formats that are read. Pillow has more, but some of them run other programs (EPS), and no dataset needs them."""

_ORIENTATION_TAG = 0x0112
_END_OF_JPEG = b"\xff\xd9"
_DAMAGE = (
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

# Pillow's warnings are silenced: this module checks the same things and reports them once, with a path. They are
# silenced for the whole process, because `warnings.catch_warnings` is not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """Facts about the file of a medium. `width` and `height` are in pixels, 0 for a video."""

    digest: str
    """SHA-256 of the file's bytes."""
    width: int
    height: int
    turned: bool
    """Whether the file has an EXIF orientation. It is not applied, because the public code does not apply it."""


def read_media(path: Path) -> bytes:
    """Reads all bytes of a resolved file. Raises: BadMedia if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadMedia(f"{path} cannot be read: {error.strerror}.", "Check the file and its permissions.") from None


def inspect_image(data: bytes, path: Path) -> MediaInfo:
    """Checks the bytes of an image. Raises: BadMedia if they do not open, or if the file is cut off.

    Pixels are decoded only if the structure does not show that the file is complete. So damage in the middle of an
    otherwise complete file is found only by `open_image`.
    """
    with _opened(data, path) as image:
        info = MediaInfo(hashlib.sha256(data).hexdigest(), image.width, image.height, _is_turned(image))
        whole = _looks_whole(image, data)
    if not whole:
        with _opened(data, path) as image:
            image.load()
    return info


def open_image(media: Media) -> Image.Image:
    """Decodes the first frame of an image as 8-bit RGB. Raises: BadMedia.

    Pillow converts it: alpha is dropped, and the EXIF orientation is not applied. Greys of 16 and 32 bits are scaled to
    8 bits, because Pillow would clip them to white.
    """
    with about(media):
        path = resolve(media)
        with _opened(read_media(path), path) as image:
            image.load()
            shallow = _shallow_grey(image) if image.mode.startswith(("I", "F")) else image
            return shallow if shallow.mode == "RGB" else shallow.convert("RGB")


def _shallow_grey(image: Image.Image) -> Image.Image:
    """Scales greys of more than 8 bits to 8 bits.

    The range is that of 16 bits. For floats, and for larger values, it is from 0 to the largest value.
    """
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0))
    if image.mode != "F":
        top = max(top, 65535.0)
    return Image.fromarray(np.rint(np.clip(values * (255.0 / (top or 1.0)), 0, 255)).astype(np.uint8))


def _looks_whole(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether the structure of a just opened image shows that it is complete. The image cannot be used afterwards."""
    if image.format == "JPEG" and image.fp is not None:
        return data.rfind(_END_OF_JPEG) >= image.fp.tell()  # a thumbnail before this place has an end mark of its own
    if image.format == "PNG":
        with contextlib.suppress(*_DAMAGE):
            image.verify()
            return True
    return False


def _is_turned(image: Image.Image) -> bool:
    if image.format == "TIFF":
        return False  # Pillow applies the orientation of TIFF files itself
    try:
        # Not image.getexif(), because that of PNG decodes the pixels first.
        return Image.Image.getexif(image).get(_ORIENTATION_TAG) in range(2, 9)
    except _DAMAGE:
        return False  # broken EXIF does not change the pixels


@contextlib.contextmanager
def _opened(data: bytes, path: Path) -> Iterator[ImageFile.ImageFile]:
    """Opens an image, and turns errors of Pillow while it is used into BadMedia."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except Image.DecompressionBombError:
        raise BadMedia(
            f"{path} would take too much memory to open: it has more than {MAX_PIXELS:,} pixels.",
            "Shrink it if it is meant to be this large. Otherwise it may be a decompression bomb.",
        ) from None
    except MemoryError:
        # Not BadMedia, which can be skipped: scores must not depend on the machine's memory.
        raise UserError(f"There is not enough memory to open {path}.", "Use fewer --workers.") from None
    except UnidentifiedImageError:
        kind = kind_of_head(data[:HEAD], whole=len(data) <= HEAD)
        what = f"{path} is not an image that can be opened ({', '.join(FORMATS)}): it is {kind.name}."
        raise BadMedia(what, kind.remedy) from None
    except _DAMAGE as error:
        raise BadMedia(f"{path} is damaged: {error}.", "Fetch the file again.") from None
