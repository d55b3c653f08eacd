"""One policy of conversion for all formats: pixels equal a reference in numpy, and what is altered is counted."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from harness.identity import item_key
from harness.media import pixels
from harness.media.images import FORMATS, MediaInfo, inspect_image, open_image
from harness.media.pixels import NOTES, count_notes, say_notes
from harness.types import Item
from tests.helpers.image_files import as_media, deep_png, deep_tiff, encoded, picture, rotated_exif

Array = NDArray[np.uint8]
WIDTH, HEIGHT = 24, 16
TURNED = ("PNG", "TIFF", "WEBP", "JPEG", "AVIF")
"""Formats that hold a turn."""
HELD = {
    "PNG": ("1", "L", "P", "RGB", "I;16", "LA", "P alpha", "RGBA"),
    "TIFF": ("1", "L", "P", "RGB", "I;16", "I;16B", "I", "F", "CMYK", "LAB", "LA", "PA", "RGBA"),
    "WEBP": ("L", "P", "RGB", "LA", "RGBA"),
    "JPEG": ("1", "L", "RGB", "CMYK", "YCbCr"),
    "GIF": ("1", "L", "P", "RGB", "P alpha"),
    "BMP": ("1", "L", "P", "RGB"),
    "AVIF": ("L", "RGB", "RGBA"),
}
"""Modes that a format keeps. In others Pillow converts a picture when it is written."""
HOW = {"WEBP": {"lossless": True, "exact": True}, "JPEG": {"quality": 100, "subsampling": 0}, "AVIF": {"quality": 100}}
LOSSY = {"JPEG": 6, "AVIF": 6}
"""Largest mean difference, of 255, from a picture that was compressed with loss."""
KINDS = ("opaque", "corner", "mostly clear", "black logo", "white logo", "clear")


@dataclass(frozen=True)
class Case:
    """A picture as a file, and what must come out of it."""

    format: str
    mode: str
    kind: str
    turn: int
    data: bytes
    rgb: Array
    notes: set[str]

    def __str__(self) -> str:
        return f"{self.format}, {self.mode}, {self.kind}, turn {self.turn}"


def colours() -> Array:
    """Six colours of 2 x 3 blocks, all unlike, so that every turn shows."""
    blocks = [[(200, 40, 40), (40, 180, 60), (50, 60, 200)], [(220, 210, 60), (90, 90, 90), (170, 80, 190)]]
    return np.array(blocks, np.uint8).repeat(HEIGHT // 2, 0).repeat(WIDTH // 3, 1)


def drawn(kind: str) -> tuple[Array, Array]:
    """RGB and alpha of a picture with alpha."""
    rgb, alpha = colours(), np.full((HEIGHT, WIDTH), 255, np.uint8)
    if kind == "corner":
        alpha[:2, :2] = 0
    elif kind == "mostly clear":
        alpha[:, : WIDTH * 3 // 4] = 0
    elif kind == "clear":
        alpha[:] = 0
    elif kind != "opaque":
        rgb[:] = 0 if kind == "black logo" else 255
        alpha[: HEIGHT // 2, 3:-3] = 0
    return rgb, alpha


def holds_content(rgb: Array, alpha: Array) -> bool:
    """Whether a picture without its alpha is one colour, or much unlike the picture on white."""
    share = alpha[..., None] / 255
    on_white = rgb * share + 255 * (1 - share)
    uniform = (rgb == rgb[0, 0]).all() and len(np.unique(alpha)) > 1
    return bool(uniform or np.abs(on_white - rgb).mean() > 16)


def grey(rgb: Array) -> Array:
    return rgb.astype(int).sum(axis=2).astype(np.uint16) // 3 % 256


def with_palette(mode: str, rgb: Array, alpha: Array) -> Image.Image:
    """A picture whose colours are in a palette, `P` or `PA`. A `P alpha` has a transparent colour."""
    both = np.concatenate([rgb, alpha[..., None]], axis=2).reshape(-1, 4)
    table, index = np.unique(both, axis=0, return_inverse=True)
    image = Image.fromarray(index.reshape(alpha.shape).astype(np.uint8)).convert("P")
    image.putpalette(table[:, :3].tobytes())
    if mode == "PA":
        image = image.convert("PA")
        image.putalpha(Image.fromarray(alpha))
    elif mode == "P alpha" and (table[:, 3] == 0).any():
        image.info["transparency"] = int(np.argmin(table[:, 3]))
    return image


def cmyk_to_rgb(cmyk: Array) -> Array:
    light = 255 - cmyk[..., 3:].astype(int)
    product = cmyk[..., :3] * light + 128
    return np.clip(light - (((product >> 8) + product) >> 8), 0, 255).astype(np.uint8)


def ycbcr_to_rgb(ycc: Array) -> Array:
    y, blue, red = (ycc[..., band].astype(float) - (0, 128, 128)[band] for band in range(3))
    rgb = np.stack([y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue], axis=2)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def lightness_to_grey(lightness: Array) -> Array:
    """The grey of sRGB that has this L* (0 to 255), without colour."""
    star = lightness / 255 * 100
    linear = np.where(star > 8, ((star + 16) / 116) ** 3, star / 903.3)
    encoded_grey = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return np.rint(encoded_grey * 255).astype(np.uint8)


def made(mode: str, kind: str) -> tuple[Image.Image, Array]:
    """A picture in a mode, and its RGB by the policy, worked out with numpy."""
    rgb, alpha = drawn(kind)
    tone = grey(rgb).astype(np.uint8)
    one = np.repeat(tone[..., None], 3, axis=2)
    if mode == "1":
        bits = (tone > 100).astype(np.uint8) * 255
        return Image.fromarray(bits).convert("1"), np.repeat(bits[..., None], 3, axis=2)
    if mode in ("L", "LA"):
        bands = tone if mode == "L" else np.stack([tone, alpha], axis=2)
        return Image.fromarray(bands), one
    if mode in ("P", "P alpha", "PA"):
        return with_palette(mode, rgb, alpha), rgb
    if mode in ("RGB", "RGBA"):
        return Image.fromarray(rgb if mode == "RGB" else np.concatenate([rgb, alpha[..., None]], axis=2)), rgb
    if mode in ("I;16", "I;16B", "I"):
        deep = tone.astype(">u2" if mode == "I;16B" else "<u2" if mode == "I;16" else np.int32) * 257
        return Image.fromarray(deep), one
    if mode == "F":
        return Image.fromarray(tone.astype(np.float32) * 0.37), np.rint(one / tone.max() * 255).astype(np.uint8)
    if mode == "LAB":
        bands = np.stack([tone, 0 * tone, 0 * tone], axis=2)  # the bytes of a* and b* are signed
        return Image.frombytes("LAB", (WIDTH, HEIGHT), bands.tobytes()), lightness_to_grey(one)
    bands = np.concatenate([rgb, rgb[::-1, :, :1] // 2], axis=2)
    if mode == "CMYK":
        return Image.frombytes("CMYK", (WIDTH, HEIGHT), bands.tobytes()), cmyk_to_rgb(bands)
    return Image.frombytes("YCbCr", (WIDTH, HEIGHT), rgb.tobytes()), ycbcr_to_rgb(rgb)


def cases() -> Iterator[Case]:
    """Every mode in every format that holds it, with every turn, and with alpha of every kind."""
    for file_format, modes in HELD.items():
        if file_format not in FORMATS:
            continue
        for mode in modes:
            has_alpha = mode in ("LA", "PA", "P alpha", "RGBA")
            turns = range(1, 9) if file_format in TURNED else (1,)
            for kind, turn in itertools.product(KINDS if has_alpha else ("opaque",), turns):
                image, rgb = made(mode, kind)
                notes = {"exif_turn_not_applied"} if turn > 1 else set()
                notes |= {"alpha_content_dropped"} if has_alpha and holds_content(rgb, drawn(kind)[1]) else set()
                notes |= {"deep_greys_scaled"} if mode[0] in "IF" else set()
                how = {**HOW.get(file_format, {}), **({"exif": rotated_exif(turn)} if turn > 1 else {})}
                yield Case(file_format, mode, kind, turn, encoded(image, file_format, **how), rgb, notes)


def look(data: bytes) -> MediaInfo:
    return inspect_image(data, Path("a.png"))


def pixels_of(folder: Path, data: bytes) -> NDArray[np.int_]:
    return np.asarray(open_image(as_media(folder, "picture", data)), dtype=int)


def test_pixels_follow_one_policy_in_every_mode_format_and_turn_and_what_is_lost_is_noted(tmp_path: Path) -> None:
    tried, noted = 0, set[str]()
    for case in cases():
        found, info = pixels_of(tmp_path, case.data), look(case.data)
        assert (info.width, info.height) == (WIDTH, HEIGHT), case
        assert found.shape == (HEIGHT, WIDTH, 3), case
        tolerance = LOSSY.get(case.format, 2 if case.mode in ("YCbCr", "LAB") else 0)
        assert np.abs(found - case.rgb).mean() <= tolerance, case
        assert set(info.notes) == case.notes, case
        assert info.version == (str(pixels.VERSION) if case.format == "TIFF" and case.turn > 1 else ""), case
        tried, noted = tried + 1, noted | case.notes
    assert tried > 500
    assert noted == set(NOTES) - {"deep_pictures_nearly_black"}


@pytest.mark.parametrize(("bits", "zero_is_white"), [(12, False), (16, False), (16, True)])
def test_deep_greys_are_scaled_by_the_depth_that_the_file_declares(
    tmp_path: Path, bits: int, zero_is_white: bool
) -> None:
    values = np.linspace(0, 2**bits - 1, 48).reshape(6, 8).astype(int)
    data = deep_tiff(values, bits, zero_is_white=zero_is_white)
    right = np.rint(values / (2**bits - 1) * 255)
    right = 255 - right if zero_is_white else right
    assert np.abs(pixels_of(tmp_path, data) - right[..., None]).max() <= 1
    info = look(data)
    assert info.notes == ("deep_greys_scaled",)
    assert info.version == ("" if (bits, zero_is_white) == (16, False) else "2")


@pytest.mark.parametrize("bits", range(8, 17))
@pytest.mark.parametrize("bands", [1, 3])
def test_few_bits_kept_in_16_come_out_dark_and_are_noted(tmp_path: Path, bits: int, bands: int) -> None:
    values = np.linspace(0, 2**bits - 1, 48).reshape(6, 8).astype(int)
    data = deep_png(values if bands == 1 else np.repeat(values[..., None], 3, axis=2))
    found = pixels_of(tmp_path, data)
    assert np.abs(found - values[..., None] / 257).max() <= 1
    dark = {"deep_pictures_nearly_black"} if bits < 15 else set()
    assert (found.max() <= 64) == bool(dark)
    assert set(look(data).notes) == dark | ({"deep_greys_scaled"} if bands == 1 else set())


def test_a_transparent_grey_of_16_bits_is_dropped_and_noted(tmp_path: Path) -> None:
    values = np.full((6, 8), 30_000)
    values[:, 2:] = 10_000
    assert "alpha_content_dropped" in look(deep_png(values, transparent=10_000)).notes
    assert "alpha_content_dropped" not in look(deep_png(values, transparent=1)).notes
    assert np.ptp(pixels_of(tmp_path, deep_png(values, transparent=10_000))) > 50


@pytest.mark.parametrize("strip", [1, 7, 100, 10**6])
def test_the_size_of_what_is_worked_on_at_once_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strip: int
) -> None:
    rgba = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8))
    deep = np.random.default_rng(1).random((20, 30)).astype(np.float32)
    files = [encoded(rgba, "PNG"), encoded(Image.fromarray(deep), "TIFF"), deep_png(deep * 4000, transparent=7)]
    before = [(pixels_of(tmp_path, data), look(data)) for data in files]
    monkeypatch.setattr(pixels, "_STRIP", strip)
    for data, (seen, info) in zip(files, before, strict=True):
        assert np.array_equal(pixels_of(tmp_path, data), seen)
        assert look(data) == info


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "jpeg"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_no_tiff_is_turned_however_it_is_compressed(tmp_path: Path, turn: int, compression: str | None) -> None:
    image = Image.fromarray(colours())
    data = encoded(image, "TIFF", compression=compression, exif=rotated_exif(turn))
    assert np.abs(pixels_of(tmp_path, data) - colours()).mean() <= (8 if compression == "jpeg" else 0)
    assert Image.open(io.BytesIO(data)).convert("RGB").size == ((WIDTH, HEIGHT), (HEIGHT, WIDTH))[turn > 4]


def test_the_key_of_a_vector_changes_with_the_pixels_and_not_for_other_pictures(tmp_path: Path) -> None:
    plain, turned = (encoded(picture(), "TIFF", exif=rotated_exif(turn)) for turn in (1, 6))
    item = Item("", (as_media(tmp_path, "a.tif", plain),))
    for data, is_new in ((plain, False), (turned, True), (encoded(picture(), "JPEG", exif=rotated_exif()), False)):
        info = look(data)
        keys = [item_key("model", item, "query", [each]) for each in (info.digest, info.identity)]
        assert (keys[0] != keys[1]) == is_new


def test_counts_of_notes_are_said_in_words() -> None:
    names = list(NOTES)
    counts = count_notes([names[:1], names, (), names[3:]])
    assert counts == dict(zip(names, (2, 1, 1, 2), strict=True))
    said = list(say_notes({**counts, "duplicate_candidates": 4}))
    starts = [" ".join(sentence.split()[:2]) for sentence in said]
    assert starts == ["2 pictures", "1 picture", "1 picture", "2 pictures"]
    assert list(say_notes({})) == []
