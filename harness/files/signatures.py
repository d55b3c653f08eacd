"""Kinds of files by their first bytes: images, videos, archives, tables, weights and documents."""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass
from typing import Literal, TypeAlias

Sort: TypeAlias = Literal["image", "video", "data", "text", "stand-in", "folder", "nothing", "unknown"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a path holds."""

    name: str
    """Its name in a sentence, after `it is`: `a Git LFS pointer`."""
    remedy: str
    """What to do with it, in a line. `FILE` and `FOLDER` stand for the path."""
    sort: Sort
    """`data` is every other format of bytes. `text` is plain text, with JSON and CSV."""


def _image(name: str, remedy: str = "Fetch it again, if it is damaged.") -> Kind:
    return Kind(name, remedy, "image")


def _video(name: str) -> Kind:
    return Kind(name, "Name it as a video, or take a picture of it: ffmpeg -i FILE -frames:v 1 OUT.png", "video")


def _sound(name: str) -> Kind:
    return Kind(name, "Sound is not read. Name a file with pictures.", "data")


def _archive(name: str, command: str) -> Kind:
    return Kind(name, f"Unpack it: {command}", "data")


def _weights(name: str) -> Kind:
    return Kind(name, "It holds the weights of a model. Name the folder of the whole checkpoint as the model.", "data")


def _table(name: str) -> Kind:
    return Kind(name, "It holds rows. Name it where data is wanted: docs/protocol.md says which columns.", "data")


_MAGICK = "Convert it: magick FILE OUT.png (ImageMagick)"
_BY_LIBREOFFICE = "Save it as text, CSV or PNG in the program that made it."

JPEG = _image("a JPEG image")
AVIF = _image("an AVIF image", "Convert it: avifdec FILE OUT.png (libavif)")
HEIC = _image("a HEIC image", "Convert it: heif-convert FILE OUT.png (libheif)")
JPEG_XL = _image("a JPEG XL image", "Convert it: djxl FILE OUT.png (libjxl)")
ICO = _image("an ICO or CUR image", _MAGICK)
TGA = _image("a TGA image", _MAGICK)
PDF = Kind("a PDF document", "Draw its pages: pdftoppm -png FILE PAGE (poppler)", "data")
ZIP = _archive("a zip archive", "unzip FILE -d FOLDER")
TAR = _archive("a tar archive", "tar -xf FILE")
PICKLE = _weights("a pickle, as PyTorch writes")
ONNX = _weights("an ONNX model")
SAFETENSORS = _weights("a safetensors file")
MP4, QUICKTIME = _video("an MP4 video"), _video("a QuickTime video")

_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", _image("a PNG image")),
    (b"GIF8", _image("a GIF image")),
    (b"II*\0", _image("a TIFF image")),
    (b"MM\0*", _image("a TIFF image")),
    (b"II+\0", _image("a TIFF image")),
    (b"MM\0+", _image("a TIFF image")),
    (b"\0\0\0\x0cjP  \r\n\x87\n", _image("a JPEG 2000 image")),
    (b"\xff\x4f\xff\x51", _image("a JPEG 2000 image")),
    (b"\0\0\0\x0cJXL \r\n\x87\n", JPEG_XL),
    (b"\xff\x0a", JPEG_XL),
    (b"icns", _image("an ICNS image", _MAGICK)),
    (b"8BPS", _image("a Photoshop image", _MAGICK)),
    (b"gimp xcf", _image("a GIMP image", _MAGICK)),
    (b"\x76\x2f\x31\x01", _image("an OpenEXR image", _MAGICK)),
    (b"#?RADIANCE", _image("a Radiance HDR image", _MAGICK)),
    (b"DDS ", _image("a DDS image", _MAGICK)),
    (b"qoif", _image("a QOI image", _MAGICK)),
    (b"AT&TFORM", _image("a DjVu document", "Convert it: ddjvu -format=tiff FILE OUT.tiff (DjVuLibre)")),
    (b"%PDF-", PDF),
    (b"%!PS", Kind("a PostScript document", _MAGICK, "data")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("an old Office document", _BY_LIBREOFFICE, "data")),
    (b"\x1f\x8b", _archive("a gzip archive", "gzip -dk FILE (tar -xzf FILE for a .tar.gz)")),
    (b"BZh", _archive("a bzip2 archive", "bzip2 -dk FILE (tar -xjf FILE for a .tar.bz2)")),
    (b"\xfd7zXZ\0", _archive("an xz archive", "xz -dk FILE (tar -xJf FILE for a .tar.xz)")),
    (b"\x28\xb5\x2f\xfd", _archive("a zstd archive", "zstd -d FILE")),
    (b"\x04\x22\x4d\x18", _archive("an lz4 archive", "lz4 -d FILE")),
    (b"7z\xbc\xaf\x27\x1c", _archive("a 7z archive", "7z x FILE")),
    (b"Rar!\x1a\x07", _archive("a RAR archive", "unrar x FILE")),
    (b"\x1aE\xdf\xa3", _video("a Matroska or WebM video")),
    (b"FLV", _video("a Flash video")),
    (b"0&\xb2u", _video("a Windows Media video")),
    (b"\0\0\1\xba", _video("an MPEG video")),
    (b"\0\0\1\xb3", _video("an MPEG video")),
    (b".RMF", _video("a RealMedia video")),
    (b"DKIF", _video("an IVF video")),
    (b"OggS", _video("an Ogg video or sound")),
    (b"ID3", _sound("an MP3 sound")),
    (b"fLaC", _sound("a FLAC sound")),
    (b"GGUF", _weights("a GGUF file, whose weights are for llama.cpp")),
    (b"PAR1", _table("a Parquet file")),
    (b"ARROW1", _table("an Arrow file")),
    (b"FEA1", _table("a Feather file")),
    (b"\xff\xff\xff\xff", _table("an Arrow stream")),
    (b"SQLite format 3\0", _table("an SQLite database")),
    (b"\x89HDF\r\n\x1a\n", _table("an HDF5 file")),
    (b"\x93NUMPY", _table("an array of NumPy")),
)
_RIFF = {
    b"WEBP": _image("a WebP image"),
    b"AVI ": _video("an AVI video"),
    b"WAVE": _sound("a WAVE sound"),
}
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), AVIF),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"), HEIC),
    **dict.fromkeys((b"M4A ", b"M4B "), _sound("an MP4 sound")),
    b"qt  ": QUICKTIME,
    b"crx ": _image("a raw image of a camera", "Convert it with the camera's program, or dcraw."),
}
_BOXES = (b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_MEMBERS = (
    (b"[Content_Types].xml", Kind("an Office document", _BY_LIBREOFFICE, "data")),
    (b"mimetypeapplication/", Kind("a document in a zip", _BY_LIBREOFFICE, "data")),
)
_PACKET, _LONGEST_HEADER, _LATEST_ONNX = 188, 100_000_000, 20
_PORTABLE, _BITMAP = re.compile(rb"P[1-7][ \t\r\n]"), re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL)
_ICON = re.compile(rb"\0\0[\1\2]\0[^\0]\0")
_NAME_ALONE = re.compile(rb"[ -~]{1,100}(?<!\s)\0{412,511}")
_PICKLED = re.compile(rb"\x80[\x02-\x05]")


def kind_of_bytes(head: bytes) -> Kind | None:
    """Returns the kind of a file by its first bytes, or None for bytes that begin no kind known here.

    Short heads are enough: 16 bytes for most kinds, 512 for a tar archive.
    """
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zipped(head)
    boxes = _of_boxes(head)  # first, because the length of a box may look like another start
    found = boxes or next((kind for start, kind in _STARTS if head.startswith(start)), None)
    return found or _by_structure(head)


def _zipped(head: bytes) -> Kind:
    member = head[30:]
    if b"data.pkl" in member[:200]:
        return PICKLE
    if b".npy" in member[:200]:
        return _table("arrays of NumPy (.npz)")
    return next((kind for start, kind in _MEMBERS if member.startswith(start)), ZIP)


def _of_boxes(head: bytes) -> Kind | None:
    """The kind of a file of boxes (ISO/IEC 14496-12), by the brands that it names."""
    if head[4:8] in _BOXES:
        return QUICKTIME
    if head[4:8] != b"ftyp" or len(head) < 12:
        return None
    length = int.from_bytes(head[:4], "big")
    others = [head[at : at + 4] for at in range(16, min(length, len(head)), 4)]
    major = _BRANDS.get(head[8:12], MP4)
    return AVIF if major is HEIC and {b"avif", b"avis"} & set(others) else major


def _by_structure(head: bytes) -> Kind | None:
    """The kinds that no fixed bytes begin."""
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if _PORTABLE.match(head):
        return _image("a PPM image")
    if _BITMAP.match(head):
        return _image("a BMP image")
    if _ICON.match(head):
        return ICO
    if _is_tar(head):
        return TAR
    if head[128:132] == b"DICM":
        return _image("a DICOM image", _MAGICK)
    if _is_stream(head):
        return _video("an MPEG transport stream")
    return _weights_or_tga(head)


def _is_tar(head: bytes) -> bool:
    """Whether a member of a tar archive begins here: a name, then a header that is right, marked or empty."""
    if head[257:262] == b"ustar" or _NAME_ALONE.fullmatch(head[:512]):
        return True
    try:
        tarfile.TarInfo.frombuf(head[:512], "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def _is_stream(head: bytes) -> bool:
    """Whether packets of an MPEG transport stream begin here, also with 4 bytes before each."""
    plain, timed = head[::_PACKET][:4], head[4 :: _PACKET + 4][:4]
    return any(len(marks) > 1 and marks.count(b"\x47") == len(marks) for marks in (plain, timed))


def _weights_or_tga(head: bytes) -> Kind | None:
    if _PICKLED.match(head):
        return PICKLE
    if head[8:9] == b"{" and 1 < int.from_bytes(head[:8], "little") < _LONGEST_HEADER:
        return SAFETENSORS
    if head[:1] == b"\x08" and head[2:3] == b"\x12" and 0 < head[1] <= _LATEST_ONNX:  # ir_version, producer_name
        return ONNX
    return TGA if _is_tga(head) else None


def _is_tga(head: bytes) -> bool:
    """Whether the header of a TGA image without a palette begins here. It has no fixed bytes, but few free ones."""
    if len(head) < 18 or head[1] or any(head[3:8]) or head[2] not in (2, 3, 10, 11):
        return False
    return head[16] in (8, 16, 24, 32) and any(head[12:14]) and any(head[14:16]) and not head[17] & 0xC0
