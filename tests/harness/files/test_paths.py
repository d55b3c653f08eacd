"""Names that stay apart, and files that are whole or not there."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from subprocess import PIPE
from typing import BinaryIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.files import writing
from harness.files.paths import cache_dir, safe_name
from harness.files.writing import explain_os_errors, write_atomic
from tests.helpers.image_files import without_rights

ROOT = Path(__file__).resolve().parents[3]
names = st.text(alphabet="aA/-.~_ :é\\\x00\n\ud800", max_size=6) | st.text(max_size=200)


@given(names, names)
@example("a/b", "a--b")
@example("a-/b", "a/-b")
@example("a b", "a/b")
@example("a" * 121, "a" * 120)
@example("..", "_")
@example("", "_")
def test_different_names_never_share_a_path(one: str, two: str) -> None:
    assert (safe_name(one) == safe_name(two)) == (one == two)


@given(names)
def test_a_safe_name_is_one_plain_component(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert safe[0] not in ".-"
    assert len(safe) < 150
    assert all(character.isascii() and (character.isalnum() or character in "._@+=-~") for character in safe)


def test_names_as_the_hub_writes_them_stay_readable() -> None:
    assert safe_name("org/model-v1.5") == "org--model-v1.5"


def test_a_digest_of_a_name_cannot_be_forged_by_another_name() -> None:
    changed = safe_name(".a")
    assert safe_name(changed) != changed


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    write_atomic(path, "one\n")
    write_atomic(path, "two\r\né\n")
    assert path.read_bytes() == "two\r\né\n".encode()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_what_was_there(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    write_atomic(path, "old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(UserError, match=r"disk is full: .*file\.json"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    contents = {letter * 200_000 for letter in "abc"}
    write_atomic(path, "a" * 200_000)
    writers = [
        threading.Thread(target=lambda text=text: [write_atomic(path, text) for _ in range(10)]) for text in contents
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_text() in contents
    assert list(tmp_path.iterdir()) == [path]


WRITER = """
import sys
from pathlib import Path
from harness.files.writing import atomic_file
with atomic_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("begun", flush=True)
    sys.stdin.read()
"""


def _writer(path: Path) -> subprocess.Popen[str]:
    """A process that is in the middle of a file."""
    child = subprocess.Popen([sys.executable, "-c", WRITER, path], stdin=PIPE, stdout=PIPE, text=True, cwd=ROOT)
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    return child


def test_what_a_killed_process_left_is_removed_by_the_next_and_nothing_else(tmp_path: Path) -> None:
    mine = tmp_path / ".mine.tmp"
    mine.touch()
    killed, alive = _writer(tmp_path / "a.json"), _writer(tmp_path / "b.json")
    killed.kill()
    killed.wait()
    assert len(list(tmp_path.iterdir())) == 3
    write_atomic(tmp_path / "c.json", "c")
    left = sorted(path.name[:3] for path in tmp_path.iterdir())
    assert left == [".b.", ".mi", "c.j"]
    alive.communicate("")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.tmp", "b.json", "c.json"]
    assert (tmp_path / "b.json").read_bytes() == b"half"


def test_a_file_that_was_swept_away_before_it_was_locked_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, swept = writing.lock, []

    def lock(file: BinaryIO, *, wait: bool) -> None:
        if not swept:
            swept.append(file.name)
            Path(file.name).unlink()
        real(file, wait=wait)

    monkeypatch.setattr(writing, "lock", lock)
    write_atomic(tmp_path / "a", "whole")
    assert swept
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "whole")]


def test_a_disk_without_locks_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / f".a.{'0' * 32}.tmp"
    left.touch()

    def lock(file: BinaryIO, *, wait: bool) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(writing, "lock", lock)
    write_atomic(tmp_path / "a", "whole")
    assert (tmp_path / "a").read_text() == "whole"
    assert left.exists()


def test_a_new_file_has_the_rights_that_the_user_gives_new_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", "")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_json_with_a_lone_surrogate_survives(tmp_path: Path) -> None:
    value = {"name": "a\ud800b\udce9 é 😀"}
    write_atomic(tmp_path / "file.json", json.dumps(value, ensure_ascii=False))
    assert json.loads((tmp_path / "file.json").read_text(encoding="utf-8")) == value


def test_a_folder_without_the_right_to_write_is_named(public_folder: Path) -> None:
    with (
        without_rights(public_folder),
        pytest.raises(UserError, match="cannot be written: Permission denied") as caught,
    ):
        write_atomic(public_folder / "sub" / "file", "text")
    assert str(public_folder) in caught.value.what
    assert caught.value.hint


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="a file of that name is in the way"):
        write_atomic(tmp_path / "taken" / "file", "text")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.EFBIG])
def test_whatever_a_disk_refuses_is_an_error_with_path_and_remedy(number: int) -> None:
    with pytest.raises(UserError) as caught, explain_os_errors(Path("some/file")):
        raise OSError(number, os.strerror(number))
    assert "some/file" in caught.value.what
    assert caught.value.hint


def test_other_errors_pass() -> None:
    with pytest.raises(ValueError, match="ours"), explain_os_errors(Path("file")):
        raise ValueError("ours")


def test_the_cache_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("LLAVE_CACHE", "/chosen")
    assert cache_dir() == Path("/chosen")
    monkeypatch.delenv("LLAVE_CACHE")
    assert cache_dir() == Path("/x/llave-bench")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_dir() == Path("/home/somebody/.cache/llave-bench")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLAVE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(UserError, match="LLAVE_CACHE"):
        cache_dir()
