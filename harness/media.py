"""Images, from a name in a data file to RGB pixels. Every medium of every task is opened here."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import PIL
from PIL import Image, UnidentifiedImageError

from harness.errors import BadMedia
from harness.types import Media

MAX_PIXELS = 178_956_970
"""Larger images are refused before they are decoded: twice Pillow's own warning limit, and its hard stop."""

_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What one look at a file tells. `digest` is the SHA-256 of its bytes."""

    digest: str
    width: int
    height: int
    turned: bool
    """The file carries an EXIF orientation, which is left unapplied, as the public code leaves it."""


def resolve(media: Media) -> Path:
    """The file behind a medium. Raises BadMedia unless it is an existing file inside the root."""
    name = media.name
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or Path(name).is_absolute() or Path(name).drive or "\0" in name:
        raise BadMedia(
            f"The path {name!r} leaves the folder {media.root}.",
            "Media paths must be relative to the media root and stay inside it. Correct the data file.",
        )
    path = media.root / pure
    try:
        real = Path(os.path.realpath(path, strict=True))
    except (FileNotFoundError, NotADirectoryError):
        raise BadMedia(
            f"{path} does not exist.", "Check --images (the folder that paths are relative to), or fetch the file."
        ) from None
    except OSError as error:
        raise BadMedia(f"{path} cannot be reached: {error.strerror}.", "Check its links and permissions.") from None
    if not real.is_relative_to(os.path.realpath(media.root)):
        raise BadMedia(
            f"{path} is a link to {real}, outside of {media.root}.",
            "Copy the file into the media root, or name the folder it really lies in with --images.",
        )
    if not real.is_file():
        raise BadMedia(f"{path} is not a file.", "A media path must name a file. Correct the data file.")
    return real


def inspect_image(path: Path) -> MediaInfo:
    """Digests an image and checks all that can be checked without decoding its pixels. Raises BadMedia."""
    data = _read(path)
    with _open(data, path) as image:
        try:
            turned = image.getexif().get(_ORIENTATION_TAG, 1) not in (0, 1)
        except (OSError, SyntaxError, ValueError, KeyError):
            turned = False  # broken EXIF does not touch the pixels
        info = MediaInfo(hashlib.sha256(data).hexdigest(), image.width, image.height, turned)
        if image.format == "JPEG" and b"\xff\xd9" not in data[-65536:]:
            raise _broken(path, "the end of the JPEG stream is missing")
        try:
            image.verify()
        except (OSError, SyntaxError, ValueError) as error:
            raise _broken(path, str(error)) from None
    return info


def open_image(media: Media) -> Image.Image:
    """First frame of an image as 8-bit RGB, as Pillow converts it: alpha dropped, EXIF orientation not applied.

    16-bit and 32-bit greys are scaled to 8 bits, where Pillow would clip them to white. Raises BadMedia.
    """
    path = resolve(media)
    with _open(_read(path), path) as image:
        try:
            image.load()
            if image.mode.startswith(("I", "F")):
                return _deep_grey(image).convert("RGB")
            return image.convert("RGB")
        except (OSError, SyntaxError, ValueError, IndexError, MemoryError) as error:
            raise _broken(path, str(error)) from None


def _deep_grey(image: Image.Image) -> Image.Image:
    """Greys of more than 8 bits, scaled: integers from 16 bits, floats from the range 0 to their largest."""
    values = np.asarray(image).astype(np.float64)
    top = float(values.max(initial=0)) if image.mode == "F" else 65535.0
    return Image.fromarray(np.clip(np.rint(values * (255.0 / (top or 1.0))), 0, 255).astype(np.uint8))


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadMedia(f"{path} cannot be read: {error.strerror}.", "Check the file and its permissions.") from None
    if not data:
        raise BadMedia(f"{path} is empty (0 bytes).", "Fetch the file again.")
    return data


def _open(data: bytes, path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError:
        raise _huge(path, "more than Pillow's limit") from None
    except UnidentifiedImageError:
        raise BadMedia(
            f"{path} is not an image in a format that Pillow {PIL.__version__} reads.", "Replace the file."
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise _broken(path, str(error)) from None
    if image.width * image.height > MAX_PIXELS:
        raise _huge(path, f"{image.width} x {image.height}")
    return image


def _broken(path: Path, why: str) -> BadMedia:
    return BadMedia(f"{path} is damaged: {why}.", "Fetch the file again.")


def _huge(path: Path, size: str) -> BadMedia:
    return BadMedia(
        f"{path} would take too much memory to open ({size}; the limit is {MAX_PIXELS:,} pixels).",
        "If it is meant to be this large, shrink it; if not, it may be a decompression bomb.",
    )
