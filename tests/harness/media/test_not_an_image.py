"""A file that is no image, or one that is not read, is called what it is, with what to do."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from harness.errors import BadMedia
from harness.media.digests import Digests
from harness.media.images import open_image
from harness.types import Media


def saved(name: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 60, 50)).save(file, name)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x.jpg"))
    return file.getvalue()


CASES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "heic": (lambda: b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf", "a HEIC image", "heif-convert"),
    "jxl": (lambda: b"\xff\x0a\x3f\0\x20", "a JPEG XL image", "djxl"),
    "svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG image", "rsvg-convert"),
    "ico": (lambda: saved("ICO"), "an ICO or CUR image", "magick"),
    "tga": (lambda: saved("TGA"), "a TGA image", "magick"),
    "pdf": (lambda: saved("PDF"), "a PDF document", "pdftoppm"),
    "lfs": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "a Git LFS pointer",
        "git lfs pull",
    ),
    "annex": (lambda: b"/annex/objects/SHA256E-s12--abc.png\n", "a git-annex pointer", "git annex get"),
    "page": (lambda: b"<!DOCTYPE html><html><body>403</body></html>", "a web page", "Fetch the file again"),
    "tar": (tarred, "a tar archive", "tar -xf"),
    "video": (lambda: b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "an MP4 video", "Name it as a video"),
    "zeros": (lambda: bytes(4096), "zeros alone", "Fetch it again"),
    "base64": (lambda: base64.b64encode(saved("JPEG")), "base64 text of a JPEG image", "base64 -d"),
    "cut": (lambda: b"\x89PNG\r\n\x1a\n", "a PNG image", "Fetch it again"),
}


@pytest.mark.parametrize("ending", ["jpg", "png", "", "own"])
@pytest.mark.parametrize("name", CASES)
def test_it_is_called_what_it_is(tmp_path: Path, name: str, ending: str) -> None:
    make, said, remedy = CASES[name]
    path = tmp_path / f"a.{name if ending == 'own' else ending}".rstrip(".")
    path.write_bytes(make())
    media = Media("image", path.name, tmp_path)
    for look in (open_image, Digests(tmp_path / "digests.db").media):
        with pytest.raises(BadMedia, match=rf"is not an image that can be opened \(.*\): it is {said}") as caught:
            look(media)
        assert remedy in caught.value.hint
        assert "\n" not in caught.value.hint
