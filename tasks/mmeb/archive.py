"""Unpacks a large zip of media once.

Nothing is written outside the folder. A kill loses at most one file. Only one process unpacks at a time.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import lzma
import os
import re
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from filelock import FileLock

from harness.errors import UserError
from harness.files.writing import explain_os_errors, write_atomic

MANIFEST = ".manifest.json"
"""The manifest is written last, so its existence proves that every file is there."""
MAX_RATIO = 100
"""An archive that unpacks to more than this many times its size is refused. Images hardly shrink in a zip."""

_STARTED = ".manifest.part.json"
"""The first name of the manifest, which says to which archive a half-filled folder belongs."""
_PART = ".entry.part"
_RESERVED = (MANIFEST, _STARTED, _PART)
_CHUNK = 1 << 20
_BLOCK = 4096
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_KINDS = (0, stat.S_IFREG, stat.S_IFDIR)
_DRIVE = re.compile(r"[A-Za-z]:")
_UNREADABLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, RuntimeError)
"""What zipfile raises for a damaged archive, for an unknown format, and for a disk that fails."""

_log = logging.getLogger(__name__)


def is_unpacked(folder: Path) -> bool:
    """Whether `unpack` has finished in this folder."""
    return (folder / MANIFEST).is_file()


def unpack(zip_path: Path, folder: Path) -> None:
    """Unpacks a zip into a folder that holds nothing else. Returns at once if this is done already.

    The directory of the zip is checked as a whole before the first file is written. Sizes and CRCs are checked while
    the bytes are read. A file gets its name only when it is complete, so the same call after a kill unpacks only what
    is missing. A second process waits for the first. The files that macOS adds (`__MACOSX`, `._*`) are left out.
    Raises UserError for a zip that is missing, damaged or refused, for a folder with other content, and a full disk.
    """
    if is_unpacked(folder):
        return
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if is_unpacked(folder):
                return
            folds_case = folder.with_name(f"{folder.name}.LOCK").exists()
            with _open(zip_path) as archive:
                _fill(folder, archive, _plan(archive, zip_path, folds_case))


def _open(zip_path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(zip_path)
    except FileNotFoundError:
        raise UserError(f"{zip_path} does not exist.", "Name the zip file, or download it.") from None
    except _UNREADABLE as error:
        raise _unreadable(zip_path, error) from None


def _fill(folder: Path, archive: zipfile.ZipFile, files: Mapping[str, zipfile.ZipInfo]) -> None:
    _claim(folder, files)
    left = {name: info for name, info in files.items() if not _is_written(folder / name, info)}
    need = sum(_on_disk(info) for info in left.values())
    if need > shutil.disk_usage(folder).free:
        raise _full(folder, need)
    _log.info("Unpacking %s: %d of %d files, %s, into %s", archive.filename, len(left), len(files), _size(need), folder)
    for name, info in left.items():
        try:
            _write(folder, name, _chunks(archive, info))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _full(folder, need) from None
            raise
        finally:
            (folder / _PART).unlink(missing_ok=True)
        need -= _on_disk(info)
    if hasattr(os, "sync"):
        os.sync()  # the manifest must not reach the disk before the files do
    os.replace(folder / _STARTED, folder / MANIFEST)


def _claim(folder: Path, files: Mapping[str, zipfile.ZipInfo]) -> None:
    """Marks an empty folder as this archive's. Raises UserError if the folder has other content."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{files[name].file_size}\0{files[name].CRC}\n".encode())
    size = sum(info.file_size for info in files.values())
    manifest = json.dumps({"format": 1, "files": len(files), "bytes": size, "directory": digest.hexdigest()})
    started = folder / _STARTED
    if started.exists():
        ours = started.read_text(encoding="utf-8") == manifest
    else:
        ours = all(each.name.startswith(".") for each in folder.iterdir())
    if not ours:
        raise UserError(f"{folder} already holds something else.", "Remove that folder, or choose another.")
    write_atomic(started, manifest)


def _is_written(path: Path, info: zipfile.ZipInfo) -> bool:
    """Whether a file is there. Only a complete and checked file gets its name, so it is enough to compare the size."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == info.file_size


def _write(folder: Path, name: str, chunks: Iterator[bytes]) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with (folder / _PART).open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
    os.replace(folder / _PART, folder / name)


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of an entry, at most its declared size. Raises UserError if size or CRC are wrong."""
    size = 0
    try:
        with archive.open(info) as file:
            while chunk := file.read(_CHUNK):
                size += len(chunk)
                yield chunk
    except _UNREADABLE as error:
        raise _unreadable(archive.filename, error) from None
    if size != info.file_size:
        raise _unreadable(archive.filename, f"{info.filename!r} ends after {size} of {info.file_size} bytes")


def _plan(archive: zipfile.ZipFile, zip_path: Path, folds_case: bool) -> dict[str, zipfile.ZipInfo]:
    """The files to write, by name. Raises UserError for each fault that the directory of the zip shows.

    Equal entries with one name are one file. Names that differ only by case are refused if the file system ignores
    case (`folds_case`).
    """
    files: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for info in archive.infolist():
        name = _safe_name(archive, info)
        path = PurePosixPath(name)
        folders.update(map(str, path.parents))
        if info.is_dir():
            folders.add(name)
        elif "__MACOSX" not in path.parts and not path.name.startswith("._"):
            first = files.setdefault(name, info)
            if (first.file_size, first.CRC) != (info.file_size, info.CRC):
                raise _refused(archive, f"two different files named {name!r}")
    if not files:
        raise _refused(archive, "no file")
    _check_names(archive, files, folders, folds_case)
    _check_sizes(archive, files, zip_path.stat().st_size)
    return files


def _safe_name(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    """The name of an entry, relative and without `.`. Raises UserError for an entry that is refused."""
    name = info.orig_filename
    parts = PurePosixPath(name).parts
    if not (parts or name.endswith("/")) or name.startswith("/") or ".." in parts or _DRIVE.match(name):
        raise _refused(archive, f"{name!r}, a name that leaves the folder")
    if "\\" in name or "\0" in name:
        raise _refused(archive, f"{name!r}, a name with a backslash or a NUL")
    if parts and parts[0].casefold() in _RESERVED:
        raise _refused(archive, f"{name!r}, a name that this program uses itself")
    if stat.S_IFMT(info.external_attr >> 16) not in _KINDS:
        raise _refused(archive, f"{name!r}, a link or a special file")
    if info.flag_bits & 1:
        raise _refused(archive, f"{name!r}, which is encrypted")
    if info.compress_type not in _METHODS:
        raise _refused(archive, f"{name!r}, packed with method {info.compress_type}, which zipfile cannot read")
    return "/".join(parts)


def _check_names(
    archive: zipfile.ZipFile, files: Mapping[str, zipfile.ZipInfo], folders: set[str], folds_case: bool
) -> None:
    def fold(name: str) -> str:
        return unicodedata.normalize("NFC", name.casefold()) if folds_case else name

    places: dict[str, str] = {}
    for name in files:
        other = places.setdefault(fold(name), name)
        if other != name:
            raise _refused(archive, f"{other!r} and {name!r}, which are one file on this disk")
    for name in places.keys() & set(map(fold, folders)):
        raise _refused(archive, f"{places[name]!r} both as a file and as a folder")


def _check_sizes(archive: zipfile.ZipFile, files: Mapping[str, zipfile.ZipInfo], zip_size: int) -> None:
    entries = archive.infolist()
    if sum(each.compress_size for each in entries) > zip_size or any(
        each.header_offset < 0 or each.header_offset + each.compress_size > zip_size for each in entries
    ):
        raise _unreadable(archive.filename, "its directory names more bytes than the file has")
    total = sum(info.file_size for info in files.values())
    if total > MAX_RATIO * zip_size:
        raise _refused(archive, f"{_size(total)} in a file of {_size(zip_size)}, so it may be a decompression bomb")


def _on_disk(info: zipfile.ZipInfo) -> int:
    return -(-info.file_size // _BLOCK) * _BLOCK


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 10**9 else f"{count / 1e6:,.1f} MB"


def _refused(archive: zipfile.ZipFile, what: str) -> UserError:
    return UserError(
        f"{archive.filename} is refused, and nothing was unpacked: it holds {what}.",
        "Check where the file comes from. If you trust it, unpack it by hand and name that folder with --images.",
    )


def _unreadable(path: Path | str | None, why: object) -> UserError:
    return UserError(
        f"{path} cannot be read as a zip: {why}.",
        f"It may be damaged or incomplete. Delete {os.path.realpath(path or '')} and run the same command again; "
        "files that are unpacked stay.",
    )


def _full(folder: Path, need: int) -> UserError:
    free = shutil.disk_usage(folder).free
    return UserError(
        f"The disk is too full: {folder} needs {_size(need)} more, and {_size(free)} are free.",
        "Free some space, or set LLAVE_CACHE to a folder on a larger disk, and run the same command again; "
        "files that are unpacked stay.",
    )
