"""Damage to a file of vectors: it gives the vectors that were stored, or it is named. There is no third way."""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from harness.encoding.store import Store, vector_files
from harness.encoding.store_file import FORMAT, StoreDamaged, StoreFile
from harness.encoding.stored_models import stored_models
from harness.errors import UserError
from tests.helpers.store_child import SPEC, key, keys, vectors

COUNT = 120
OLD = (
    "CREATE TABLE vectors (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL)",
    "PRAGMA user_version = 1",
)
"""What made a file of format 1."""


def write(root: Path, width: int = 64) -> Path:
    """A store with one file."""
    with Store(root, SPEC) as store:
        store.put(keys(*range(COUNT)), vectors(*range(COUNT), width=width))
        (path,) = vector_files(store.folder)
    return path


def write_old(root: Path, width: int = 64) -> Path:
    """A store with one file of format 1, by the name that this machine's first writer gives."""
    path = write(root, width)
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA page_size = 16384")
        for statement in OLD:
            connection.execute(statement)
        rows = [(key(each), vectors(each, width=width).tobytes()) for each in range(COUNT)]
        connection.executemany("INSERT INTO vectors (key, vector) VALUES (?, ?)", rows)
    connection.close()
    return path


def change(path: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement, values)
    connection.close()


def harmed(data: bytes, chance: random.Random) -> bytes:
    """The data with a flipped bit, an overwritten stretch, or its end cut off.

    Every second place lies in the first page, which has the header, the table and the versions.
    """
    worse = bytearray(data)
    place = chance.randrange(chance.choice([200, 16384, len(data), len(data)]))
    kind = chance.choice(["flip", "flip", "byte", "stretch", "cut"])
    if kind == "flip":
        worse[place] ^= 1 << chance.randrange(8)
    elif kind == "byte":
        worse[place] = chance.randrange(256)
    elif kind == "stretch":
        length = len(worse[place : place + chance.choice([2, 4, 40, 3000])])
        worse[place : place + length] = chance.choice([bytes(length), b"\xff" * length, chance.randbytes(length)])
    else:
        del worse[max(2, place) :]  # SQLite takes a file of one byte for an empty one
    return bytes(worse)


def use(root: Path, width: int) -> tuple[str, UserError | None]:
    """Reads, embeds anew what is missing, and reads again, as a run does. Says what became of the file."""
    everything, wanted = keys(*range(COUNT)), vectors(*range(COUNT), width=width)
    with Store(root, SPEC) as store:
        try:
            assert store.width() in (None, width)
            lacking = store.missing(everything)
            held = [number for number in range(COUNT) if key(number) not in lacking]
            assert not held or np.array_equal(store.get(keys(*held)), wanted[held])
        except StoreDamaged as error:
            return "damaged", error
        if not lacking:
            return "read", None
        try:
            store.put(lacking, wanted[[number for number in range(COUNT) if key(number) in lacking]])
            assert np.array_equal(store.get(everything), wanted)
        except UserError as error:  # a flipped bit can also say that the file may not be written
            return "damaged when written to", error
    return "embedded anew", None


@pytest.mark.parametrize(("width", "seed"), [(4, 1), (64, 2), (1500, 3)])
def test_a_damaged_file_gives_the_vectors_that_were_stored_or_is_named(tmp_path: Path, width: int, seed: int) -> None:
    path = write(tmp_path / "store", width)
    whole, chance = path.read_bytes(), random.Random(seed)
    found: Counter[str] = Counter()
    for _ in range(200):
        for each in path.parent.glob("*.db*"):
            each.unlink()
        path.write_bytes(harmed(whole, chance))
        (model,) = stored_models(tmp_path / "store", check=True)
        outcome, error = use(tmp_path / "store", width)
        assert error is None or (str(path) in error.what and error.hint)
        assert model.damaged or outcome == "read", "a check finds all that a run can meet"
        found[outcome] += 1
    assert found["read"] > 10
    assert found["damaged"] > 50


def test_any_bit_of_a_stored_row_counts(tmp_path: Path) -> None:
    path = write(tmp_path)
    chance = random.Random(5)
    for number in range(COUNT):
        copy = tmp_path / "copy.db"
        shutil.copy(path, copy)
        blob = bytearray(vectors(number, width=64).tobytes())
        blob[chance.randrange(len(blob))] ^= 1 << chance.randrange(8)
        change(copy, "UPDATE vectors SET vector = ? WHERE key = ?", bytes(blob), key(number))
        file = StoreFile.open(copy)
        assert file
        with pytest.raises(StoreDamaged, match="checksum"):
            list(file.read(keys(number)))
        with pytest.raises(StoreDamaged, match="checksum"):
            file.check()
        file.close()


CHANGES: dict[str, tuple[str, ...]] = {
    "no table": ("DROP TABLE vectors",),
    "another table": ("ALTER TABLE vectors RENAME TO others",),
    "one column more": ("ALTER TABLE vectors ADD COLUMN more",),
    "no unique keys": (
        "CREATE TABLE new (id INTEGER PRIMARY KEY, key BLOB, vector BLOB, checksum INTEGER)",
        "INSERT INTO new SELECT * FROM vectors",
        "INSERT INTO new (key, vector, checksum) SELECT key, vector, checksum FROM vectors",
        "DROP TABLE vectors",
        "ALTER TABLE new RENAME TO vectors",
    ),
    "a view": ("ALTER TABLE vectors RENAME TO others", "CREATE VIEW vectors AS SELECT * FROM others"),
    "a trigger": ("CREATE TRIGGER t AFTER INSERT ON vectors BEGIN DELETE FROM vectors; END",),
    "no version": ("PRAGMA user_version = 0",),
    "an old version": ("PRAGMA user_version = 1",),
    "a new version": (f"PRAGMA user_version = {FORMAT + 1}",),
    "no application": ("PRAGMA application_id = 0",),
    "neither": ("PRAGMA user_version = 0", "PRAGMA application_id = 0"),
    "swapped vectors": ("UPDATE vectors SET vector = (SELECT vector FROM vectors WHERE id = 2)",),
    "short vectors": (f"UPDATE vectors SET vector = x'{struct.pack('<f', 1).hex()}' WHERE id > 1",),
    "empty vectors": ("UPDATE vectors SET vector = x''",),
    "text": ("UPDATE vectors SET vector = 'text'",),
    "text that is no UTF-8": ("UPDATE vectors SET vector = CAST(x'ff00ff' AS TEXT)",),
    "numbers": ("UPDATE vectors SET vector = 1.5",),
    "no checksums": ("UPDATE vectors SET checksum = ''",),
    "huge checksums": ("UPDATE vectors SET checksum = 1e300",),
}


@pytest.mark.parametrize("statements", CHANGES.values(), ids=CHANGES)
def test_a_file_that_was_changed_by_hand_is_named(tmp_path: Path, statements: tuple[str, ...]) -> None:
    path = write(tmp_path)
    for statement in statements:
        change(path, statement)
    with Store(tmp_path, SPEC) as store, pytest.raises(StoreDamaged, match="is damaged") as caught:
        store.get(keys(*range(COUNT)) if not store.missing(keys(2)) else keys(0))
    assert str(path) in caught.value.what
    (model,) = stored_models(tmp_path, check=True)
    assert [str(path) in error.what for error in model.damaged] == [True]
    path.unlink()  # as the hint says
    assert use(tmp_path, 64) == ("embedded anew", None)


def test_a_vector_under_another_key_is_no_vector(tmp_path: Path) -> None:
    path = write(tmp_path)
    change(path, "UPDATE vectors SET key = ? WHERE key = ?", key(COUNT), key(2))
    with Store(tmp_path, SPEC) as store:
        assert store.missing(keys(1, 2, COUNT)) == keys(2)
        with pytest.raises(StoreDamaged, match="checksum"):
            store.get(keys(COUNT))


def test_a_key_that_is_lost_from_the_index_is_damage(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes().replace(key(9), key(COUNT), 1))  # the index comes before the rows
    with Store(tmp_path, SPEC) as store, pytest.raises(StoreDamaged, match="integrity check"):
        store.get(keys(9))


def test_two_files_of_different_widths_are_not_mixed(tmp_path: Path) -> None:
    with Store(tmp_path, SPEC) as one, Store(tmp_path, SPEC) as two:
        one.put(keys(1), vectors(1, width=8))
        two.put(keys(2), vectors(2, width=4))
        with pytest.raises(StoreDamaged, match="width 4, others 8"):
            one.get(keys(1, 2))


class TestFormat1:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Iterator[Path]:
        return write_old(tmp_path)

    def test_its_vectors_are_read_and_new_ones_go_to_a_file_of_their_own(self, path: Path, tmp_path: Path) -> None:
        before = path.read_bytes()
        with Store(tmp_path, SPEC) as store:
            store.put(keys(COUNT), vectors(COUNT, width=64))
        with Store(tmp_path, SPEC) as store:
            order = [COUNT, 3, 0, COUNT - 1, 3]
            assert store.missing(keys(*order, COUNT + 1)) == keys(COUNT + 1)
            assert np.array_equal(store.get(keys(*order)), vectors(*order, width=64))
            assert len(vector_files(store.folder)) == 2
        assert path.read_bytes() == before

    @pytest.mark.parametrize(
        "blob", [b"", b"123", b"1234", "text", 7, struct.pack("<64f", *[float("nan")] * 64)], ids=repr
    )
    @pytest.mark.parametrize("row", [1, 50])
    def test_a_vector_that_can_be_none_is_named(self, path: Path, tmp_path: Path, blob: object, row: int) -> None:
        change(path, "UPDATE vectors SET vector = ? WHERE id = ?", blob, row)
        with Store(tmp_path, SPEC) as store, pytest.raises(StoreDamaged) as caught:
            store.get(keys(*range(COUNT)))
        assert str(path) in caught.value.what

    def test_damage_is_named_or_gives_numbers(self, path: Path, tmp_path: Path) -> None:
        whole, chance = path.read_bytes(), random.Random(4)
        for _ in range(100):
            for each in path.parent.glob("*.db*"):
                each.unlink()
            path.write_bytes(harmed(whole, chance))
            with Store(tmp_path, SPEC) as store, suppress(StoreDamaged):
                lacking = {*store.missing(keys(*range(COUNT)))}
                assert np.isfinite(store.get([each for each in keys(*range(COUNT)) if each not in lacking])).all()


OTHERS: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a text": lambda path: path.write_text("text " * 9999),
    "a database": lambda path: change(path, "CREATE TABLE names (name)"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_what_is_no_file_of_vectors_is_named(tmp_path: Path, other: Callable[[Path], object]) -> None:
    path = write(tmp_path).with_name("other.db")
    other(path)
    with Store(tmp_path, SPEC) as store, pytest.raises(UserError) as caught:
        store.missing(keys(1))
    assert str(path) in caught.value.what
    assert caught.value.hint
