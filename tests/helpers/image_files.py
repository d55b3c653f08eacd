"""Image files of every kind, good and bad, for tests; and what it takes to be somebody without rights."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from harness.types import Media

SIZE = (60, 40)
_NOBODY = 65534


def picture(seed: int = 0, size: tuple[int, int] = SIZE) -> Image.Image:
    """RGB noise on a slope, so that lossy formats have something to lose."""
    width, height = size
    slope = np.add.outer(np.arange(height), np.arange(width))[..., None] + np.zeros(3)
    noise = np.random.default_rng(seed).integers(0, 40, (height, width, 3))
    return Image.fromarray((slope + noise).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, /, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rotated_exif(turn: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = turn
    return exif


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_that_claims(width: int, height: int) -> bytes:
    """A few bytes that say they are an image of any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def broken_when_decoded(png: bytes) -> bytes:
    """The PNG with its chunks in order and its pixels left out, so that only decoding finds the damage."""
    start = png.index(b"IDAT") - 4
    size = struct.unpack(">I", png[start : start + 4])[0]
    return png[:start] + _chunk(b"IDAT", zlib.compress(b"")) + png[start + 12 + size :]


def deep_grey_png(values: np.ndarray) -> bytes:
    """A 16-bit grey PNG of `(height, width)` values, with no help from Pillow."""
    height, width = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def jpeg_with_thumbnail() -> bytes:
    """A JPEG whose EXIF holds a small JPEG, with an end of its own."""
    exif = Image.Exif()
    exif[0x0100] = 1
    small = encoded(picture(1, (8, 8)), "JPEG")
    body = exif.tobytes() + small
    plain = encoded(picture(), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    return plain[:2] + segment + plain[2:]


def good_images() -> dict[str, bytes]:
    """Files that open, all of `SIZE` but those that say otherwise."""
    image, other = picture(), ImageOps.invert(picture())
    grey = np.linspace(0, 65535, SIZE[0] * SIZE[1]).reshape(SIZE[1], SIZE[0])
    found = {
        "plain.jpg": encoded(image, "JPEG"),
        "progressive.jpg": encoded(image, "JPEG", progressive=True),
        "thumbnail.jpg": jpeg_with_thumbnail(),
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG"),
        "grey.jpg": encoded(image.convert("L"), "JPEG"),
        "trailing.jpg": encoded(image, "JPEG") + b"\xff\xda after the end" * 20,
        "mpo.jpg": encoded(image, "MPO", save_all=True, append_images=[other]),
        "turned.jpg": encoded(image, "JPEG", exif=rotated_exif()),
        "plain.png": encoded(image, "PNG"),
        "rgba.png": encoded(image.convert("RGBA"), "PNG"),
        "la.png": encoded(image.convert("LA"), "PNG"),
        "one_bit.png": encoded(image.convert("1"), "PNG"),
        "palette.png": encoded(image.quantize(16), "PNG"),
        "palette_clear.png": encoded(image.quantize(16), "PNG", transparency=bytes(range(16))),
        "grey16.png": deep_grey_png(grey),
        "animated.png": encoded(image, "PNG", save_all=True, append_images=[other]),
        "turned.png": encoded(image, "PNG", exif=rotated_exif()),
        "plain.gif": encoded(image, "GIF"),
        "animated.gif": encoded(image, "GIF", save_all=True, append_images=[other]),
        "plain.bmp": encoded(image, "BMP"),
        "plain.tif": encoded(image, "TIFF"),
        "lzw.tif": encoded(image, "TIFF", compression="tiff_lzw"),
        "int32.tif": encoded(Image.fromarray(grey.astype(np.int32)), "TIFF"),
        "float.tif": encoded(Image.fromarray((grey / 65535).astype(np.float32)), "TIFF"),
        "one_pixel.png": encoded(picture(size=(1, 1)), "PNG"),
        "misnamed.txt": encoded(image, "PNG"),
    }
    if features.check("webp"):
        found["plain.webp"] = encoded(image, "WEBP")
        found["animated.webp"] = encoded(image, "WEBP", save_all=True, append_images=[other])
    return found


def as_media(folder: Path, name: str, data: bytes) -> Media:
    """The data as a file, and a reference to it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Media("image", name, folder)


@contextlib.contextmanager
def without_rights(folder: Path, *, files: int = 0o444, folders: int = 0o555) -> Iterator[None]:
    """As somebody who may enter `folder`, do to what is in it what these modes say, and write nothing there."""
    paths = [folder, *folder.rglob("*")]
    modes = [path.stat().st_mode for path in paths]
    for path in paths:
        path.chmod(0o555 if path == folder else folders if path.is_dir() else files)
    root = os.geteuid() == 0
    if root:
        os.seteuid(_NOBODY)
    try:
        try:
            list(folder.iterdir())
        except PermissionError:
            pytest.skip(f"a user without rights does not get to {folder}")
        yield
    finally:
        if root:
            os.seteuid(0)
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)
