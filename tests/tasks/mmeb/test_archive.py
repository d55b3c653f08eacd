"""Unpacking writes no file outside its folder, no wrong file, and no file twice."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from tasks.mmeb import archive
from tasks.mmeb.archive import MANIFEST, is_unpacked, unpack

pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name")
ROOT = Path(__file__).resolve().parents[3]
FILES = {f"Set/{n}.jpg": bytes([n]) * (3000 + n) for n in range(4)} | {"a/b/c/empty.png": b"", "top.txt": b"hello"}
REPLACES = len(FILES) + 2
"""Number of renames in a complete run: the first manifest, each file, the manifest."""


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as target:
        for name, data in files.items():
            target.writestr(name, data)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: data for name, data in found.items() if not name.startswith(".")}


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {name: ((folder / name).stat().st_ino, (folder / name).stat().st_mtime_ns) for name in contents(folder)}


def refusal(zip_path: Path, folder: Path, kept: Mapping[str, bytes] = MappingProxyType({})) -> str:
    """The message of the refusal. Also checks that the folder has only `kept`."""
    with pytest.raises(UserError) as caught:
        unpack(zip_path, folder)
    assert contents(folder) == kept
    assert not is_unpacked(folder)
    return str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_file_comes_out_as_it_went_in(tmp_path: Path, method: int) -> None:
    unpack(zipped(tmp_path / "x.zip", FILES, method), tmp_path / "out")
    assert contents(tmp_path / "out") == FILES
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert (manifest["files"], manifest["bytes"]) == (len(FILES), sum(map(len, FILES.values())))


def test_what_other_programs_write(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as target:
        target.writestr("Set/", b"")
        target.writestr("./Set//1.jpg", b"one")
        with target.open("Set/2.jpg", "w", force_zip64=True) as file:
            file.write(b"two")
        target.writestr("Set/ü ñ 猫.jpg", b"three")
        target.writestr("Set/2.jpg", b"two")
        target.writestr("__MACOSX/Set/icon.jpg", b"mac")
        target.writestr("Set/._2.jpg", b"mac")
    unpack(tmp_path / "x.zip", tmp_path / "out")
    assert contents(tmp_path / "out") == {"Set/1.jpg": b"one", "Set/2.jpg": b"two", "Set/ü ñ 猫.jpg": b"three"}


def test_a_finished_folder_is_left_alone_and_the_zip_unopened(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", FILES)
    unpack(path, tmp_path / "out")
    before = stamps(tmp_path / "out")
    path.write_bytes(b"no zip at all")
    unpack(path, tmp_path / "out")
    path.unlink()
    unpack(path, tmp_path / "out")
    assert stamps(tmp_path / "out") == before


def test_a_large_file_does_not_pass_through_memory(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"big.bin": os.urandom(1 << 20) * 48})
    tracemalloc.start()
    unpack(path, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "out/big.bin").stat().st_size == 48 << 20
    assert peak < 8 << 20


def special(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("../evil", "leaves the folder"),
        ("a/../../evil", "leaves the folder"),
        ("../", "leaves the folder"),
        ("/etc/evil", "leaves the folder"),
        ("c:/evil", "leaves the folder"),
        (".", "leaves the folder"),
        ("..\\evil", "backslash"),
        ("a\\b", "backslash"),
        (MANIFEST, "uses itself"),
        (f"./{MANIFEST.upper()}", "uses itself"),
        (".entry.part/x", "uses itself"),
        ("__MACOSX/../../evil", "leaves the folder"),
        (special("link", stat.S_IFLNK), "a link"),
        (special("pipe", stat.S_IFIFO), "a special file"),
        ("good.jpg/evil", "as a file and as a folder"),
        ("good.jpg/", "as a file and as a folder"),
        ("good.jpg", "two different files"),
        ("./good.jpg", "two different files"),
    ],
)
def test_a_hostile_entry_stops_all_before_anything_is_written(
    tmp_path: Path, name: str | zipfile.ZipInfo, says: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as target:
        target.writestr("good.jpg", b"good")
        target.writestr(name, b"evil")
    assert says in refusal(tmp_path / "x.zip", home / "out")
    assert {path.name for path in home.iterdir()} <= {"out", "out.lock"}


def forged(path: Path, start: int, value: bytes) -> Path:
    """The zip with other values in the record of its last entry in the directory."""
    data = bytearray(path.read_bytes())
    record = data.rindex(b"PK\x01\x02")
    data[record + start : record + start + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("start", "value", "says"),
    [
        (8, b"\x01", "which is encrypted"),
        (10, b"\x61", "method 97"),
        (20, struct.pack("<I", 10**6), "more bytes than the file has"),
        (24, struct.pack("<I", 10**6), "decompression bomb"),
        (24, struct.pack("<I", 10), "cannot be read"),
        (24, struct.pack("<I", 5000), "cannot be read"),
        (42, struct.pack("<I", 10**6), "more bytes than the file has"),
        (50, b"\x00", "NUL"),
    ],
)
def test_a_forged_directory(tmp_path: Path, start: int, value: bytes, says: str) -> None:
    files = {"good.jpg": b"good", "name.jpg": bytes(range(250)) * 10}
    path = zipped(tmp_path / "x.zip", files, zipfile.ZIP_DEFLATED)
    only_the_bytes_show_it = {"good.jpg": b"good"} if says == "cannot be read" else {}
    assert says in refusal(forged(path, start, value), tmp_path / "out", only_the_bytes_show_it)


def test_bombs(tmp_path: Path) -> None:
    bomb = zipped(tmp_path / "bomb.zip", {"a.bmp": bytes(10 << 20)}, zipfile.ZIP_DEFLATED)
    assert "decompression bomb" in refusal(bomb, tmp_path / "out")
    overlapping = zipped(tmp_path / "over.zip", {"a.bmp": bytes(1000), "b.bmp": bytes(10)})
    forged(forged(overlapping, 42, struct.pack("<I", 0)), 20, struct.pack("<I", 1000))
    assert "more bytes than the file has" in refusal(overlapping, tmp_path / "out")


def test_an_archive_of_nothing(tmp_path: Path) -> None:
    assert "it holds no file." in refusal(zipped(tmp_path / "x.zip", {}), tmp_path / "out")


def test_names_that_differ_by_case_need_a_disk_that_tells_them_apart(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"a.jpg": b"1", "A.jpg": b"2"})
    (tmp_path / "out.LOCK").touch()  # what such a disk shows where the lock file is
    assert "one file on this disk" in refusal(path, tmp_path / "out")


def test_every_truncation_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    data = zipped(tmp_path / "x.zip", {"a.jpg": os.urandom(50), "b.jpg": os.urandom(50)}).read_bytes()
    for size in range(len(data)):
        (tmp_path / "cut.zip").write_bytes(data[:size])
        said = refusal(tmp_path / "cut.zip", tmp_path / f"out{size}")
        assert "cut.zip" in said
        assert "Delete" in said


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damage_never_passes_as_a_good_file(data: st.DataObject) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))) as target:
        for name, content in FILES.items():
            target.writestr(name, content)
    spoiled = bytearray(buffer.getvalue())
    spoiled[data.draw(st.integers(0, len(spoiled) - 1))] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "x.zip").write_bytes(spoiled)
        try:
            unpack(Path(scratch) / "x.zip", Path(scratch) / "out")
        except UserError:
            assert not is_unpacked(Path(scratch) / "out")
        assert contents(Path(scratch) / "out").items() <= FILES.items()


def child(zip_path: Path, folder: Path, what: str, at: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.helpers.unpack_child", str(zip_path), str(folder), what, str(at)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("what", "at"),
    [
        *(("before replace", at) for at in (1, 2, 4, REPLACES)),
        *(("after replace", at) for at in (1, 2, 4, REPLACES - 1, REPLACES)),
        ("before read", 1),
        ("after read", 3),
    ],
)
def test_a_kill_at_any_moment_loses_no_finished_file(tmp_path: Path, what: str, at: int) -> None:
    path, folder = zipped(tmp_path / "x.zip", FILES), tmp_path / "out"
    assert child(path, folder, what, at).wait(60) == -signal.SIGKILL
    before = stamps(folder)
    assert contents(folder).items() <= FILES.items()
    assert is_unpacked(folder) == ((what, at) == ("after replace", REPLACES))
    unpack(path, folder)
    assert contents(folder) == FILES
    assert stamps(folder).items() >= before.items(), "a finished file was written again"
    assert {each.name for each in folder.glob(".*")} >= {MANIFEST}
    assert not (folder / ".entry.part").exists()


def test_two_processes_do_the_work_once(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", FILES)
    both = [child(path, tmp_path / "out", "slow") for _ in range(2)]
    counts = sorted(int(process.communicate(timeout=60)[0]) for process in both)
    assert counts == [0, REPLACES]
    assert contents(tmp_path / "out") == FILES


def test_too_little_room_is_known_before_the_first_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "x.zip", {"a.bin": os.urandom(300_000)})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 9 * 10**5, 10**5))
    said = refusal(path, tmp_path / "out")
    assert "needs 0.3 MB more, and 0.1 MB are free" in said


def test_a_disk_that_fills_up_midway_keeps_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = zipped(tmp_path / "x.zip", FILES), tmp_path / "out"
    real = archive._chunks

    def fill_up(source: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
        yield from real(source, info)
        if info.filename == "Set/2.jpg":
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(archive, "_chunks", fill_up)
        with pytest.raises(UserError, match=r"too full: .* needs .* more"):
            unpack(path, folder)
    before = stamps(folder)
    assert set(before) == {"Set/0.jpg", "Set/1.jpg"}
    assert not (folder / ".entry.part").exists()
    unpack(path, folder)
    assert stamps(folder).items() >= before.items()
    assert contents(folder) == FILES


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/top.txt").write_bytes(b"world")
    with pytest.raises(UserError, match="something else"):
        unpack(zipped(tmp_path / "x.zip", FILES), tmp_path / "mine")
    assert contents(tmp_path / "mine") == {"top.txt": b"world"}
    assert child(tmp_path / "x.zip", tmp_path / "out", "after replace", 3).wait(60) == -signal.SIGKILL
    other = zipped(tmp_path / "y.zip", {"Set/0.jpg": bytes([9]) * 3000})
    with pytest.raises(UserError, match="something else"):
        unpack(other, tmp_path / "out")


def test_paths_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.zip", tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="in the way"):
        unpack(zipped(tmp_path / "x.zip", FILES), tmp_path / "file")
