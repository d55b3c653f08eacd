"""Images, from a name in a data file to RGB pixels. Every medium of every task is opened here."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from harness.errors import BadMedia, UserError
from harness.types import Media

MAX_PIXELS = 178_956_970
"""Larger images are refused before they are decoded: twice Pillow's own warning limit, and its hard stop."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")
"""What is read. Pillow knows more, but some of those formats run other programs (EPS), and no dataset needs them."""

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
"""What Pillow's readers raise over damaged files."""

# What Pillow would say on stderr is checked and reported here, once, with a path. Set for the whole process, because
# `warnings.catch_warnings` is not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What one look at a file tells. `digest` is the SHA-256 of its bytes."""

    digest: str
    width: int
    height: int
    turned: bool
    """The file carries an EXIF orientation, which is left unapplied, as the public code leaves it."""


def resolve(media: Media) -> Path:
    """The file behind a medium. Raises BadMedia unless it is a file inside the root with something in it."""
    name = media.name
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or Path(name).is_absolute() or Path(name).drive:
        raise BadMedia(
            f"The path {name!r} leaves the folder {media.root}.",
            "Media paths must be relative to the media root and stay inside it. Correct the data file.",
        )
    path = media.root / pure
    try:
        real = Path(os.path.realpath(path, strict=True))
        status = real.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise BadMedia(
            f"{path} does not exist.", "Check --images (the folder that paths are relative to), or fetch the file."
        ) from None
    except OSError as error:
        raise BadMedia(f"{path} cannot be reached: {error.strerror}.", "Check its links and permissions.") from None
    except ValueError:
        raise BadMedia(f"The path {name!r} is not a possible file name.", "Correct the data file.") from None
    if not real.is_relative_to(_real_root(media.root)):
        raise BadMedia(
            f"{path} is a link to {real}, outside of {media.root}.",
            "Copy the file into the media root, or name the folder it really lies in with --images.",
        )
    if not stat.S_ISREG(status.st_mode):
        raise BadMedia(f"{path} is not a file.", "A media path must name a file. Correct the data file.")
    if not status.st_size:
        raise BadMedia(f"{path} is empty (0 bytes).", "Fetch the file again.")
    return real


@cache
def _real_root(root: Path) -> str:
    return os.path.realpath(root)


def read_media(path: Path) -> bytes:
    """All bytes of a resolved file. Raises BadMedia."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadMedia(f"{path} cannot be read: {error.strerror}.", "Check the file and its permissions.") from None


def inspect_image(data: bytes, path: Path) -> MediaInfo:
    """Looks at the bytes of an image. Raises BadMedia if they do not open.

    Only where their structure leaves a doubt are the pixels decoded, so damage in the midst of an otherwise whole file
    shows only when it is opened.
    """
    with _opened(data, path) as image:
        info = MediaInfo(hashlib.sha256(data).hexdigest(), image.width, image.height, _is_turned(image))
        whole = _looks_whole(image, data)
    if not whole:
        with _opened(data, path) as image:
            image.load()
    return info


def open_image(media: Media) -> Image.Image:
    """First frame of an image as 8-bit RGB, as Pillow converts it: alpha dropped, EXIF orientation not applied.

    16-bit and 32-bit greys are scaled to 8 bits, where Pillow would clip them to white. Raises BadMedia.
    """
    path = resolve(media)
    with _opened(read_media(path), path) as image:
        image.load()
        shallow = _shallow_grey(image) if image.mode.startswith(("I", "F")) else image
        return shallow if shallow.mode == "RGB" else shallow.convert("RGB")


def _shallow_grey(image: Image.Image) -> Image.Image:
    """Greys of more than 8 bits, scaled: from 16 bits, or from 0 to their largest if they are floats or go beyond."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0))
    if image.mode != "F":
        top = max(top, 65535.0)
    return Image.fromarray(np.rint(np.clip(values * (255.0 / (top or 1.0)), 0, 255)).astype(np.uint8))


def _looks_whole(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether the structure of a freshly opened image shows that nothing is missing. Uses the image up."""
    if image.format == "JPEG" and image.fp is not None:
        return data.rfind(_END_OF_JPEG) >= image.fp.tell()  # what comes before may hold a thumbnail with its own end
    if image.format == "PNG":
        with contextlib.suppress(*_DAMAGE):
            image.verify()
            return True
    return False


def _is_turned(image: Image.Image) -> bool:
    if image.format == "TIFF":
        return False  # Pillow turns these itself
    try:
        # Not image.getexif(): the one of PNG decodes the pixels first.
        return Image.Image.getexif(image).get(_ORIENTATION_TAG) in range(2, 9)
    except _DAMAGE:
        return False  # broken EXIF does not touch the pixels


@contextlib.contextmanager
def _opened(data: bytes, path: Path) -> Iterator[ImageFile.ImageFile]:
    """An image, and what goes wrong with it while it is used as BadMedia."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except Image.DecompressionBombError:
        raise BadMedia(
            f"{path} would take too much memory to open: it has more than {MAX_PIXELS:,} pixels.",
            "If it is meant to be this large, shrink it; if not, it may be a decompression bomb.",
        ) from None
    except MemoryError:
        # Not BadMedia: that would let a score depend on the machine.
        raise UserError(f"There is not enough memory to open {path}.", "Use fewer --workers.") from None
    except UnidentifiedImageError:
        what = f"{path} is not an image ({', '.join(FORMATS)})."
        raise BadMedia(what, "Replace the file, or save it as one of these.") from None
    except _DAMAGE as error:
        raise BadMedia(f"{path} is damaged: {error}.", "Fetch the file again.") from None
