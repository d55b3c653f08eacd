"""What is wrong with a file of a user becomes one message that names it, whichever reader meets it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from tests.helpers.image_files import without_rights
from tests.helpers.user_files import FILES, UserFile, damages

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user of the machine may enter, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def write(file: UserFile, folder: Path, content: bytes) -> Path:
    path = folder / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def refused(file: UserFile, path: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        file.read(path)
    assert str(path) in caught.value.what
    assert caught.value.hint
    assert len(caught.value.what) < 500 + 2 * len(str(path))
    assert "\n" not in caught.value.what
    return caught.value


@each_file
def test_a_good_file_is_read(file: UserFile, folder: Path) -> None:
    file.read(write(file, folder, file.good))


@pytest.mark.parametrize(
    ("file", "damage"), [pytest.param(file, each, id=f"{file.name}-{each}") for file in FILES for each in damages(file)]
)
def test_a_damaged_file_is_named(file: UserFile, damage: str, folder: Path) -> None:
    path = write(file, folder, damages(file)[damage])
    if damage in file.kept:
        file.read(path)
    else:
        refused(file, path)


@each_file
def test_a_folder_in_the_place_of_a_file_is_named(file: UserFile, folder: Path) -> None:
    (folder / file.name).mkdir(parents=True)
    refused(file, folder / file.name)


@each_file
def test_a_file_without_permission_is_named(file: UserFile, folder: Path) -> None:
    path = write(file, folder, file.good)
    with without_rights(folder, files=0):
        refused(file, path)


@each_file
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_one_wrong_byte_is_no_traceback(file: UserFile, folder: Path, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(file.good) - 1))
    content = bytearray(file.good)
    content[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(UserError):
        file.read(write(file, folder, bytes(content)))


@each_file
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_that_was_cut_is_no_traceback(file: UserFile, folder: Path, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(file.good)))
    with contextlib.suppress(UserError):
        file.read(write(file, folder, file.good[:end]))
