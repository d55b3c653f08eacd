"""Images, from a name in a data file to RGB pixels. `pixels` says how they are converted."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageFile, UnidentifiedImageError, features

from harness.errors import BadMedia, UserError
from harness.files.kinds import HEAD, kind_of_head
from harness.media.pixels import DAMAGE, as_rgb, notes_of, version_of
from harness.media.places import about
from harness.media.unchanged import read_unchanged
from harness.types import Media, Seen

MAX_PIXELS = 178_956_970
"""Images with more pixels are refused before they are decoded. It is Pillow's hard limit, twice its warning limit."""

_AVIF = "avif" in features.modules and features.check_module("avif")
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000") + ("AVIF",) * _AVIF
"""Formats that are read. Pillow has more, but some of them run other programs (EPS), and no dataset needs them."""

_END_OF_JPEG = b"\xff\xd9"
_PNG_DEPTH = 24
"""Place of the byte that says how many bits a colour has in a PNG."""
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_DEPTH = 0x0100, 0x0101, 0x0102

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
    notes: tuple[str, ...] = ()
    """What its conversion to pixels alters: names of `pixels.NOTES`."""
    version: str = ""
    """The version of the conversion, for a picture that it gives other pixels than the first version did."""
    stamp: str = field(default="", compare=False)
    """What the file's size and times were when its bytes were digested."""

    @property
    def identity(self) -> str:
        """What decides the pixels: the digest, and the version of the conversion if it is not the first."""
        return f"{self.digest};pixels={self.version}" if self.version else self.digest

    @property
    def seen(self) -> Seen:
        """What the file must still be when it is decoded."""
        return Seen(self.digest, self.stamp)


def inspect_image(data: bytes, path: Path) -> MediaInfo:
    """Checks the bytes of an image. Raises: BadMedia if they do not open, or if the file is cut off.

    Pixels are decoded only if the structure does not show that the file is complete, or if only they can tell what a
    conversion loses. So damage in the middle of an otherwise complete file may be found only by `open_image`.
    """
    with _opened(data, path) as image:
        width, height = _size_in_file(image)
        version, depth = version_of(image), _depth(image, data)
        whole = _looks_whole(image, data)
    with _opened(data, path) as image:
        notes = notes_of(image, depth)
        if not whole:
            image.load()
    return MediaInfo(hashlib.sha256(data).hexdigest(), width, height, notes, version)


def open_image(media: Media) -> Image.Image:
    """Decodes the first frame of an image as 8-bit RGB, as `pixels` says.

    Raises: BadMedia; UserError if the file is not the one that was checked before (`media.seen`).
    """
    with about(media):
        path, data = read_unchanged(media)
        with _opened(data, path) as image:
            return as_rgb(image)


def encode_image(media: Media, formats: Collection[str]) -> tuple[str, bytes, int]:
    """Returns the format, the bytes and the number of pixels of an image as a file.

    They are those of its own file if that is in one of `formats` (Pillow's names). Else they are a PNG of what
    `open_image` gives. Raises: as `open_image`.
    """
    with about(media):
        path, data = read_unchanged(media)
        with _opened(data, path) as image:
            pixels = image.width * image.height
            if image.format in formats:
                return str(image.format), data, pixels
            return "PNG", png_of(as_rgb(image)), pixels


def png_of(image: Image.Image) -> bytes:
    """Returns a picture as the bytes of a PNG, which loses nothing."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _size_in_file(image: ImageFile.ImageFile) -> tuple[int, int]:
    """Width and height without a turn. Pillow gives those of a TIFF after the turn."""
    tags = getattr(image, "tag_v2", None)
    return image.size if tags is None else (tags[_TIFF_WIDTH], tags[_TIFF_HEIGHT])


def _depth(image: ImageFile.ImageFile, data: bytes) -> int:
    """Number of bits of a colour in the file, where it may be more than 8."""
    if image.format == "PNG":
        return data[_PNG_DEPTH]
    return max(map(int, getattr(image, "tag_v2", {}).get(_TIFF_DEPTH, (8,))))


def _looks_whole(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether the structure of a just opened image shows that it is complete. The image cannot be used afterwards."""
    if image.format == "JPEG" and image.fp is not None:
        return data.rfind(_END_OF_JPEG) >= image.fp.tell()  # a thumbnail before this place has an end mark of its own
    if image.format == "PNG":
        with contextlib.suppress(*DAMAGE):
            image.verify()
            return True
    return False


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
    except DAMAGE as error:
        raise BadMedia(f"{path} is damaged: {error}.", "Fetch the file again.") from None
