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


def deep_png(values: np.ndarray, transparent: int | None = None) -> bytes:
    """A PNG of 16 bits a colour with no help from Pillow, from `(height, width)` greys or `(height, width, 3)` RGB."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 0 if values.ndim == 2 else 2, 0, 0, 0)
    clear = b"" if transparent is None else _chunk(b"tRNS", struct.pack(">H", transparent))
    pixels = _chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + clear + pixels + _chunk(b"IEND", b"")


def deep_tiff(values: np.ndarray, bits: int, *, zero_is_white: bool = False) -> bytes:
    """A grey TIFF of 12 or 16 bits from `(height, width)` values; the width is even."""
    height, width = values.shape
    if bits == 16:
        pixels = values.astype("<u2").tobytes()
    else:
        one, two = values.astype(np.uint16).reshape(-1, 2).T
        packed = np.stack([one >> 4, (one & 15) << 4 | two >> 8, two & 255], axis=1)
        pixels = packed.astype(np.uint8).tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: int(not zero_is_white), 273: 8, 277: 1, 278: height}
    tags[279] = len(pixels)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + directory


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
        "grey16.png": deep_png(grey),
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
