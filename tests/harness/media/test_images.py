"""Every image file either opens as RGB of the right size, or says what is wrong with it, where, and what to do."""

from __future__ import annotations

import io
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from harness.errors import BadMedia, UserError
from harness.media import images as media_module
from harness.media.images import MAX_PIXELS, MediaInfo, inspect_image, open_image
from harness.media.places import resolve
from harness.media.unchanged import read_bytes
from harness.types import Media
from tests.helpers.image_files import (
    SIZE,
    as_media,
    encoded,
    good_images,
    picture,
    png_that_claims,
    without_rights,
)

ROOT = Path(__file__).resolve().parents[3]
GOOD = good_images()
WHOLE = ("plain", "progressive", "thumbnail", "cmyk", "palette", "grey16", "lzw", "float")
"""Kinds that hold one frame and nothing after it."""

ALTERED = ("mpo", "rgba", "la", "palette_clear", "grey16")
"""Kinds of which only their pixels tell what a conversion loses, and one without an end mark."""

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


def test_an_error_keeps_its_medium_when_it_is_pickled() -> None:
    error = BadMedia("a.png is damaged.", "Fetch it again.", Media("image", "a.png", Path("images")))
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.what, copy.hint, copy.medium) == (str(error), error.what, error.hint, error.medium)


def inspect(media: Media) -> MediaInfo:
    path = resolve(media)
    return inspect_image(read_bytes(path), path)


def refusal(media: Media) -> BadMedia:
    """The one message of looking and of opening."""
    with pytest.raises(BadMedia) as looked:
        inspect(media)
    with pytest.raises(BadMedia) as opened:
        open_image(media)
    assert str(looked.value) == str(opened.value)
    assert opened.value.medium is media
    assert looked.value.hint
    assert Path(media.name).name in looked.value.what
    return looked.value


@pytest.mark.parametrize("name", GOOD)
def test_every_kind_of_image_opens_as_rgb(name: str, tmp_path: Path) -> None:
    media = as_media(tmp_path, name, GOOD[name])
    size = (1, 1) if name == "one_pixel.png" else SIZE
    info = inspect(media)
    assert (info.width, info.height) == size
    image = open_image(media)
    assert (image.mode, image.size) == ("RGB", size)
    assert np.asarray(image).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("name", ["plain.png", "plain.bmp", "plain.tif", "lzw.tif", "animated.png", "misnamed.txt"])
def test_lossless_pixels_come_back_and_of_an_animation_the_first_frame(name: str, tmp_path: Path) -> None:
    image = open_image(as_media(tmp_path, name, GOOD[name]))
    assert np.array_equal(np.asarray(image), np.asarray(picture()))


@pytest.mark.parametrize("name", ["animated.gif", "animated.webp", "mpo.jpg"])
def test_the_first_of_many_frames_is_taken(name: str, tmp_path: Path) -> None:
    if name not in GOOD:
        pytest.skip("this Pillow was built without WebP")
    found = np.asarray(open_image(as_media(tmp_path, name, GOOD[name])), dtype=int)
    first, second = (np.abs(found - np.asarray(each)).mean() for each in (picture(), ImageOps.invert(picture())))
    assert first < second / 2


@pytest.mark.parametrize("name", ["plain.jpg", "progressive.jpg", "cmyk.jpg", "palette.png", "palette_clear.png"])
def test_pixels_are_those_that_pillow_converts_to(name: str, tmp_path: Path) -> None:
    reference = Image.open(io.BytesIO(GOOD[name])).convert("RGB")
    assert np.array_equal(np.asarray(open_image(as_media(tmp_path, name, GOOD[name]))), np.asarray(reference))


def test_floats_that_are_no_numbers_are_black(tmp_path: Path) -> None:
    values = np.array([[np.nan, np.inf, -1.0, 2.0]], dtype=np.float32)
    found = np.asarray(open_image(as_media(tmp_path, "odd.tif", encoded(Image.fromarray(values), "TIFF"))))
    assert found[0, :, 0].tolist() == [0, 0, 0, 255]


ORDINARY = [name for name in GOOD if name.endswith((".jpg", ".png")) and name.split(".")[0] not in ALTERED]


@pytest.mark.parametrize("name", ORDINARY)
def test_a_look_at_a_whole_image_does_not_decode_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[object] = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: decoded.append(image))
    inspect(as_media(tmp_path, name, GOOD[name]))
    assert not decoded


def test_a_look_digests_the_bytes(tmp_path: Path) -> None:
    one, two = GOOD["plain.png"], GOOD["plain.jpg"]
    digests = [inspect(as_media(tmp_path, f"{n}.png", data)).digest for n, data in enumerate([one, two, one])]
    assert digests[0] == digests[2] != digests[1]


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", [name for name in GOOD if name.split(".")[0] in WHOLE])
def test_a_truncated_image_is_refused_at_first_sight(name: str, share: float, tmp_path: Path) -> None:
    data = GOOD[name]
    error = refusal(as_media(tmp_path, name, data[: int(len(data) * share)]))
    assert "damaged" in error.what or "not an image" in error.what


@pytest.mark.parametrize("size", [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (MAX_PIXELS + 1, 1)])
def test_a_bomb_is_refused_before_it_is_decoded(size: tuple[int, int], tmp_path: Path) -> None:
    assert "too much memory" in refusal(as_media(tmp_path, "bomb.png", png_that_claims(*size))).what


def test_the_limit_holds_even_where_pillow_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert "too much memory" in refusal(as_media(tmp_path, "bomb.png", png_that_claims(50_000, 50_000))).what


@pytest.mark.parametrize(
    "data",
    [b"hello", b"\x89PNG\r\n\x1a\n", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\0" * 99],
)
def test_what_is_no_image_is_refused(data: bytes, tmp_path: Path) -> None:
    assert "not an image" in refusal(as_media(tmp_path, "file.jpg", data)).what


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "0 bytes" in refusal(as_media(tmp_path, "empty.jpg", b"")).what


def test_a_lack_of_memory_is_not_blamed_on_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media = as_media(tmp_path, "a.png", GOOD["plain.png"])

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(UserError, match=r"not enough memory to open .*a\.png") as caught:
        open_image(media)
    assert not isinstance(caught.value, BadMedia)


@pytest.mark.parametrize("name", ["../a.png", "x/../../a.png", "..\\a.png", "/etc/passwd", "\\etc\\passwd", "//a.png"])
def test_a_path_out_of_the_root_is_refused(name: str, tmp_path: Path) -> None:
    as_media(tmp_path, "a.png", GOOD["plain.png"])
    (tmp_path / "root" / "x").mkdir(parents=True)
    with pytest.raises(BadMedia, match="leaves the folder") as caught:
        resolve(Media("image", name, tmp_path / "root"))
    assert repr(name) in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gone.png", "does not exist"),
        ("a.png/b.png", "does not exist"),
        ("a\0b.png", "not a possible file name"),
        ("\ud800.png", "not a possible file name"),
        ("x" * 300, "cannot be reached"),
        ("round", "cannot be reached"),
        ("folder", "is not a file"),
        ("", "is not a file"),
        ("pipe", "is not a file"),
        ("out.png", "outside of"),
        ("out/a.png", "outside of"),
        ("dangling.png", "does not exist"),
    ],
)
def test_a_path_that_leads_to_no_file_of_the_root_is_refused(name: str, why: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    as_media(root, "a.png", GOOD["plain.png"])
    as_media(tmp_path, "outside/a.png", GOOD["plain.png"])
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe")
    for link, to in {
        "round": "round",
        "out.png": "../outside/a.png",
        "out": "../outside",
        "dangling.png": "no",
    }.items():
        (root / link).symlink_to(to)
    with pytest.raises(BadMedia, match=why) as caught:
        resolve(Media("image", name, root))
    assert caught.value.hint


def test_a_root_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadMedia, match="does not exist"):
        resolve(Media("image", "a.png", tmp_path / "nowhere"))


def test_links_within_the_root_and_to_the_root_are_followed(tmp_path: Path) -> None:
    real = as_media(tmp_path / "root", "deep/a.png", GOOD["plain.png"])
    (tmp_path / "root" / "link.png").symlink_to("deep/a.png")
    (tmp_path / "alias").symlink_to("root")
    for name in ("link.png", "deep/a.png", "deep\\a.png", "./deep//a.png"):
        assert resolve(Media("image", name, tmp_path / "alias")) == resolve(real)


def test_a_file_without_the_right_to_read_it_is_refused(public_folder: Path) -> None:
    media = as_media(public_folder, "secret.png", GOOD["plain.png"])
    with without_rights(public_folder, files=0):
        assert "cannot be read: Permission denied" in refusal(media).what


@given(st.sampled_from(sorted(GOOD)), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_no_damage_leads_to_anything_but_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, name: str, chance: random.Random
) -> None:
    data = bytearray(GOOD[name])
    for _ in range(chance.choice([1, 2, 5])):
        place = chance.randrange(chance.choice([min(len(data), 120), len(data)]))
        action = chance.randrange(3)
        if action == 0:
            data[place] = chance.choice([0, 1, 127, 255])
        elif action == 1:
            del data[place : place + chance.randrange(1, 20)]
        else:
            data[place:place] = bytes(chance.randrange(256) for _ in range(4))
        data = data or bytearray(b"\0")
    media = as_media(tmp_path_factory.getbasetemp(), "damaged", bytes(data))
    with mock.patch.object(media_module, "MAX_PIXELS", 10**7):
        assert opens(media, inspect) or not opens(media, open_image), "a look refuses nothing that opens"


def opens(media: Media, work: Callable[[Media], object]) -> bool:
    try:
        work(media)
    except BadMedia:
        return False
    return True


def test_pillow_says_nothing_on_its_own(tmp_path: Path) -> None:
    """In a process of its own, since pytest has its own way with warnings."""
    files = {
        "palette_clear.png": GOOD["palette_clear.png"],
        "large.png": png_that_claims(12_000, 12_000),
        "broken.tif": GOOD["plain.tif"][:300],
        "broken_exif.jpg": GOOD["turned.jpg"].replace(b"Exif\0\0", b"Exif\0\0\0\0", 1),
        "none.webp": b"RIFF\x10\0\0\0WEBPVP8 \0\0\0\0",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    code = f"""
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from harness.errors import BadMedia
from harness.media.images import inspect_image, open_image
from harness.media.places import resolve
from harness.media.unchanged import read_bytes
from harness.types import Media
def use(name):
    media = Media("image", name, Path({str(tmp_path)!r}))
    for work in (lambda: inspect_image(read_bytes(resolve(media)), resolve(media)), lambda: open_image(media)):
        try:
            work()
        except BadMedia:
            pass
with ThreadPoolExecutor(4) as pool:
    list(pool.map(use, {list(files)!r} * 5))
print("done")
"""
    ran = subprocess.run([sys.executable, "-W", "always", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("done\n", "")
