"""What lies at a path: every kind of file by its content alone, whatever its name and however much of it is there."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import sqlite3
import tarfile
import time
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.files.kinds import HEAD, Kind, kind_of_head, not_a, other_than, what_is
from tests.helpers.image_files import without_rights

PNG_HEAD = b"\x89PNG\r\n\x1a\n"
TABLE = pa.table({"a": [1, 2, 3]})


def saved(name: str, **settings: object) -> bytes:
    file = io.BytesIO()
    values = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(values).save(file, name, **settings)
    return file.getvalue()


def zipped(name: str, content: bytes = b"text") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


def tarred(form: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        member = tarfile.TarInfo("a.jpg")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"text"))
    return file.getvalue()


def unmarked_tar() -> bytes:
    """As the first programs wrote: without the mark `ustar`, with a right checksum."""
    header = bytearray(tarred(tarfile.USTAR_FORMAT))
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header)


def written(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def arrow(new: Callable[[io.BytesIO, pa.Schema], pa.ipc.RecordBatchWriter]) -> bytes:
    file = io.BytesIO()
    with new(file, TABLE.schema) as writer:
        writer.write(TABLE)
    return file.getvalue()


def database() -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE a (b)")
        return connection.serialize()


def brand(name: bytes, *others: bytes) -> bytes:
    box = b"ftyp" + name + bytes(4) + b"".join(others)
    return (len(box) + 4).to_bytes(4, "big") + box + b"\0\0\0\x08mdat"


SAFETENSORS = (lambda head: len(head).to_bytes(8, "little") + head)(
    b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"></svg>'
XML = b'<?xml version="1.0"?>\n'

MADE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "jpg": ("a JPEG image", lambda: saved("JPEG")),
    "png": ("a PNG image", lambda: saved("PNG")),
    "gif": ("a GIF image", lambda: saved("GIF")),
    "bmp": ("a BMP image", lambda: saved("BMP")),
    "tif": ("a TIFF image", lambda: saved("TIFF")),
    "big.tif": ("a TIFF image", lambda: saved("TIFF", big_tiff=True)),
    "webp": ("a WebP image", lambda: saved("WEBP")),
    "ppm": ("a PPM image", lambda: saved("PPM")),
    "jp2": ("a JPEG 2000 image", lambda: saved("JPEG2000")),
    "j2k": ("a JPEG 2000 image", lambda: saved("JPEG2000", no_jp2=True)),
    "ico": ("an ICO or CUR image", lambda: saved("ICO")),
    "icns": ("an ICNS image", lambda: saved("ICNS")),
    "dds": ("a DDS image", lambda: saved("DDS")),
    "tga": ("a TGA image", lambda: saved("TGA")),
    "rle.tga": ("a TGA image", lambda: saved("TGA", compression="tga_rle")),
    "pdf": ("a PDF document", lambda: saved("PDF")),
    "eps": ("a PostScript document", lambda: saved("EPS")),
    "avif": ("an AVIF image", lambda: brand(b"avif", b"avif", b"mif1")),
    "mif1.avif": ("an AVIF image", lambda: brand(b"mif1", b"mif1", b"avif")),
    "heic": ("a HEIC image", lambda: brand(b"heic", b"mif1", b"heic")),
    "mif1.heic": ("a HEIC image", lambda: brand(b"mif1", b"heic")),
    "jxl": ("a JPEG XL image", lambda: b"\xff\x0a" + bytes(range(64))),
    "box.jxl": ("a JPEG XL image", lambda: b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl "),
    "psd": ("a Photoshop image", lambda: b"8BPS\0\x01" + bytes(20)),
    "dcm": ("a DICOM image", lambda: bytes(128) + b"DICM" + bytes(range(9))),
    "svg": ("an SVG image", lambda: SVG),
    "xml.svg": ("an SVG image", lambda: XML + b"<!-- made by hand -->\n" + SVG),
    "xml": ("an XML file", lambda: XML + b"<annotation><object/></annotation>"),
    "html": ("a web page (HTML)", lambda: b"\n<!DOCTYPE html>\n<html><body>404</body></html>"),
    "low.html": ("a web page (HTML)", lambda: b"\xef\xbb\xbf<html lang='en'><title>Sign in</title>"),
    "xhtml": ("a web page (HTML)", lambda: XML + b"<!DOCTYPE html>\n<html></html>"),
    "zip": ("a zip archive", lambda: zipped("a.jpg")),
    "empty.zip": ("a zip archive", lambda: b"PK\5\6" + bytes(18)),
    "xlsx": ("an Office document", lambda: zipped("[Content_Types].xml")),
    "npz": ("arrays of NumPy (.npz)", lambda: written(lambda file: np.savez(file, a=np.ones(3)))),
    "npy": ("an array of NumPy", lambda: written(lambda file: np.save(file, np.ones(3)))),
    "tar": ("a tar archive", lambda: tarred(tarfile.PAX_FORMAT)),
    "gnu.tar": ("a tar archive", lambda: tarred(tarfile.GNU_FORMAT)),
    "old.tar": ("a tar archive", unmarked_tar),
    "blank.tar": ("a tar archive", lambda: b"x.jpg".ljust(512, b"\0")),
    "gz": ("a gzip archive", lambda: gzip.compress(b"text")),
    "bz2": ("a bzip2 archive", lambda: bz2.compress(b"text")),
    "xz": ("an xz archive", lambda: lzma.compress(b"text")),
    "zst": ("a zstd archive", lambda: pa.compress(b"text", "zstd", asbytes=True)),
    "lz4": ("an lz4 archive", lambda: pa.compress(b"text", "lz4", asbytes=True)),
    "7z": ("a 7z archive", lambda: b"7z\xbc\xaf\x27\x1c\0\4" + bytes(24)),
    "rar": ("a RAR archive", lambda: b"Rar!\x1a\x07\x01\0" + bytes(24)),
    "mp4": ("an MP4 video", lambda: brand(b"isom", b"avc1")),
    "mov": ("a QuickTime video", lambda: brand(b"qt  ")),
    "old.mov": ("a QuickTime video", lambda: b"\0\0\1\0moov" + bytes(9)),
    "256.mov": ("a QuickTime video", lambda: b"\0\0\1\xbamdat" + bytes(9)),
    "m4a": ("an MP4 sound", lambda: brand(b"M4A ")),
    "mkv": ("a Matroska or WebM video", lambda: b"\x1aE\xdf\xa3\x01" + bytes(20)),
    "avi": ("an AVI video", lambda: b"RIFF\x10\0\0\0AVI LIST"),
    "wav": ("a WAVE sound", lambda: b"RIFF\x10\0\0\0WAVEfmt "),
    "flv": ("a Flash video", lambda: b"FLV\1\5"),
    "wmv": ("a Windows Media video", lambda: b"0&\xb2u\x8ef\xcf\x11"),
    "mpg": ("an MPEG video", lambda: b"\0\0\1\xba" + bytes(range(20))),
    "ts": ("an MPEG transport stream", lambda: (b"\x47" + bytes(187)) * 4),
    "m2ts": ("an MPEG transport stream", lambda: (bytes(4) + b"\x47" + bytes(187)) * 4),
    "gguf": ("a GGUF file, whose weights are for llama.cpp", lambda: b"GGUF\3\0\0\0"),
    "onnx": ("an ONNX model", lambda: b"\x08\x08\x12\x07pytorch\x1a\x05"),
    "safetensors": ("a safetensors file", lambda: SAFETENSORS + bytes(4)),
    "pt": ("a pickle, as PyTorch writes", lambda: zipped("archive/data.pkl", pickle.dumps({}))),
    "pkl": ("a pickle, as PyTorch writes", lambda: pickle.dumps({"a": [1, 2]})),
    "old.bin": ("a pickle, as PyTorch writes", lambda: pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)),
    "parquet": ("a Parquet file", lambda: written(lambda file: pq.write_table(TABLE, file))),
    "arrow": ("an Arrow file", lambda: arrow(pa.ipc.new_file)),
    "stream.arrow": ("an Arrow stream", lambda: arrow(pa.ipc.new_stream)),
    "feather": ("a Feather file", lambda: written(lambda file: pyarrow.feather.write_feather(TABLE, file, version=1))),
    "db": ("an SQLite database", database),
    "h5": ("an HDF5 file", lambda: b"\x89HDF\r\n\x1a\n" + bytes(8)),
    "json": ("a JSON file", lambda: json.dumps({"a": [1, 2]}, indent=2).encode()),
    "array.json": ("a JSON file", lambda: b"[1, 2]"),
    "jsonl": ("a JSON Lines file", lambda: b'{"id": 1}\n{"id": 2}\n'),
    "csv": ("a table in text (CSV)", lambda: b"id,caption\na,\xc3\xa9t\xc3\xa9\nb,two\n"),
    "tsv": ("a table in text (CSV)", lambda: b"id\tcaption\na\tone\nb\ttwo\n"),
    "txt": ("a text", lambda: "Ein Text, der nichts weiter ist.\nÜber zwei Zeilen".encode()),
    "sha256": ("a text", lambda: b"0123456789abcdef" * 4),
    "words.txt": ("a text", lambda: b"abandonedabandoning\n" * 30),
    "utf16.txt": ("a text in UTF-16 or UTF-32", lambda: "text".encode("utf-16")),
    "lfs": ("a Git LFS pointer; the file itself was not fetched", lambda: LFS),
    "annex": ("a git-annex pointer; the file itself was not fetched", lambda: b"/annex/objects/SHA256E-s12--abc.png\n"),
    "b64": ("base64 text of a JPEG image", lambda: base64.b64encode(saved("JPEG"))),
    "lines.b64": ("base64 text of a PNG image", lambda: base64.encodebytes(saved("PNG"))),
    "url.b64": ("base64 text of a WebP image", lambda: base64.urlsafe_b64encode(saved("WEBP"))),
    "secret.b64": ("base64 text", lambda: base64.b64encode(bytes(range(256)))),
    "uri": ("the text of a data: address", lambda: b"data:image/png;base64," + base64.b64encode(saved("PNG"))),
    "zero": ("zeros alone", lambda: bytes(100)),
    "zeros": (f"zeros alone in its first {HEAD:,} bytes", lambda: bytes(10 * HEAD)),
    "empty": ("an empty file (0 bytes)", lambda: b""),
}
NAMES = ("a.{}", "a.jpg", "a.txt", "a.json", "a", ".{}", "A.{}.bak")
WIDER = {
    "npz": "a zip archive",
    "pt": "a zip archive",
    "xlsx": "a zip archive",
    "xhtml": "an XML file",
    "xml.svg": "an XML file",
    "mif1.avif": "a HEIC image",
    "jsonl": "a JSON file",
    "b64": "base64 text",
    "lines.b64": "base64 text",
    "zeros": "zeros alone",
    "256.mov": "an MPEG video",
}
"""What the beginning of a file may be taken for, beside nothing and a text."""


@cache
def made(name: str) -> bytes:
    return MADE[name][1]()


@pytest.mark.parametrize("name", MADE)
def test_a_kind_is_named_whatever_the_file_is_called(tmp_path: Path, name: str) -> None:
    for pattern in NAMES:
        path = tmp_path / pattern.format(name)
        path.write_bytes(made(name))
        kind = what_is(path)
        assert kind.name == MADE[name][0], path.name
        assert kind.remedy


@pytest.mark.parametrize("name", MADE)
def test_the_beginning_of_a_file_is_never_taken_for_another_kind(name: str) -> None:
    whole = made(name)
    for length in range(1, min(len(whole), 600)):
        for alone in (False, True):
            kind = kind_of_head(whole[:length], whole=alone)
            known = {MADE[name][0], WIDER.get(name)}
            assert kind.sort in ("text", "unknown") or kind.name in known or not any(whole[:length]), (length, kind)


@given(st.binary(max_size=300) | st.binary(max_size=40).map(lambda data: data * 200) | st.text().map(str.encode))
def test_whatever_the_bytes_there_is_an_answer(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    kind = what_is(path)
    assert isinstance(kind, Kind)
    assert kind.name
    assert kind.remedy
    assert kind == kind_of_head(data[:HEAD], whole=len(data) <= HEAD)


@given(st.sampled_from(sorted(MADE)), st.binary(max_size=200), st.integers(0, 600))
def test_damage_in_the_middle_never_raises(name: str, noise: bytes, at: int) -> None:
    data = made(name)
    assert kind_of_head((data[:at] + noise + data[at + len(noise) :])[:HEAD], whole=False).name


@pytest.mark.parametrize("name", MADE)
def test_what_follows_the_head_does_not_count(tmp_path: Path, name: str) -> None:
    head = made(name)[:HEAD].ljust(HEAD, b"\n" if MADE[name][1]()[:1].isascii() else b"\0")
    found = set()
    for number, tail in enumerate((b"x", b"\0" * 9, saved("PNG"), b"{}\n" * 5000)):
        (tmp_path / str(number)).write_bytes(head + tail)
        found.add(what_is(tmp_path / str(number)))
    assert len(found) == 1


def test_a_file_of_a_terabyte_takes_no_time(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    start = time.perf_counter()
    assert what_is(tmp_path / "large").name.startswith("zeros alone")
    assert time.perf_counter() - start < 0.5


@given(st.text(max_size=20) | st.just("\ud800") | st.just("a\0b") | st.just("a" * 5000) | st.just("a/" * 3000))
def test_whatever_the_path_there_is_an_answer(name: str) -> None:
    assert what_is(Path("nowhere") / name.lstrip("/")).name


def test_what_is_no_regular_file_is_named_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "broken").symlink_to("nowhere.png")
    (tmp_path / "annexed").symlink_to("../.git/annex/objects/aa/b.png")
    (tmp_path / "link").symlink_to("broken")
    (tmp_path / "file").write_text("a")
    said = {each: what_is(tmp_path / each).name for each in ("pipe", "round", "broken", "annexed", "none", "file/a")}
    assert said["pipe"] == "a pipe"
    assert said["round"].startswith("out of reach")
    assert said["broken"] == "a broken link to nowhere.png"
    assert said["annexed"] == "a broken link to ../.git/annex/objects/aa/b.png: git-annex did not fetch the file"
    assert said["none"] == said["file/a"] == "nothing: there is no such path"
    assert what_is(tmp_path / "broken" / "a.png").name == "a broken link to nowhere.png"
    assert "git annex get" in what_is(tmp_path / "annexed").remedy
    assert what_is(Path("/dev/null")).name == "a device"


def test_what_may_not_be_read_says_so(public_folder: Path) -> None:
    (public_folder / "a.png").write_bytes(saved("PNG"))
    with without_rights(public_folder, files=0):
        assert "Permission denied" in what_is(public_folder / "a.png").name


def test_only_another_kind_is_told_apart_from_what_was_wanted(tmp_path: Path) -> None:
    for name, wanted, other in (
        ("parquet", "a Parquet file", False),
        ("parquet", "valid JSON", True),
        ("html", "valid JSON", True),
        ("json", "valid JSON", False),
        ("txt", "a Parquet file", False),
        ("lfs", "a Parquet file", True),
        ("safetensors", "a safetensors file", False),
        ("empty", "valid JSON", True),
    ):
        (tmp_path / name).write_bytes(made(name))
        assert (other_than(tmp_path / name, wanted) is not None) == other, name
    assert other_than(tmp_path / "none", "valid JSON") is None


def test_the_sentence_for_what_was_not_wanted(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(made("zip"))
    assert not_a(tmp_path / "a.zip", "a folder") == f"{tmp_path / 'a.zip'} is not a folder: it is a zip archive."
    assert not_a(tmp_path, "a file") == f"{tmp_path} is not a file: it is a folder."
    assert not_a(tmp_path / "none", "a file") == f"{tmp_path / 'none'} is not a file: it does not exist."
