"""Vectors that survive anything: many writers, kills at any moment, full and read-only disks, damage."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.encoding import store_file
from harness.encoding.store import Store
from harness.encoding.store_file import FORMAT, TOKENS_FORMAT
from harness.errors import UserError
from harness.identity import fingerprint
from harness.types import ModelSpec
from tests.helpers.image_files import without_rights
from tests.helpers.store_child import BATCH, SPEC, key, keys, vectors

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path, SPEC) as opened:
        yield opened


def child(root: Path, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.helpers.store_child", str(root), *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def files(store: Store, ending: str = ".db") -> list[str]:
    return sorted(path.name for path in store.folder.iterdir() if path.name.endswith(ending))


def refusal(store: Store) -> UserError:
    """What a store says to everything."""
    errors = []
    for work in (lambda: store.missing(keys(1)), lambda: store.get(keys(1)), store.width):
        with pytest.raises(UserError) as caught:
            work()
        errors.append(caught.value)
    assert len({str(error) for error in errors}) == 1
    assert errors[0].hint
    return errors[0]


def test_vectors_come_back_as_they_were_in_any_order_with_repeats(store: Store) -> None:
    store.put(keys(*range(1200)), vectors(*range(1200), width=3))
    order = [5, 1199, 5, 0, 700, 5]
    found = store.get(keys(*order))
    assert found.dtype == np.float32
    assert np.array_equal(found, vectors(*order, width=3))


def test_what_is_missing_keeps_its_order_and_loses_its_repeats(store: Store) -> None:
    assert store.missing(keys(3, 1, 3)) == keys(3, 1)
    store.put(keys(1, 2), vectors(1, 2))
    assert store.missing(keys(9, 1, 4, 9, 2, 3, 4)) == keys(9, 4, 3)
    assert store.missing([]) == []


def test_an_empty_store_has_no_width_and_no_file(store: Store) -> None:
    assert store.width() is None
    assert store.get([]).shape == (0, 0)
    assert not store.folder.exists()


@pytest.mark.parametrize("width", [1, 384, 3584, 8192])
def test_the_width_is_that_of_the_vectors(store: Store, width: int) -> None:
    store.put(keys(1, 2), vectors(1, 2, width=width))
    assert store.width() == width
    assert np.array_equal(store.get(keys(2)), vectors(2, width=width))


def test_every_float_survives_to_the_last_bit(store: Store) -> None:
    row = np.array([[0.0, -0.0, 1e-45, 3.4028235e38, -1 / 3, np.inf]], dtype=np.float32)
    store.put(keys(1), row)
    assert store.get(keys(1)).tobytes() == row.tobytes()


@pytest.mark.parametrize("layout", [np.float64, np.float16, ">f4", "columns"])
def test_other_layouts_are_stored_as_fp32(store: Store, layout: str) -> None:
    plain = vectors(1, 2, width=8).round(1)
    given = np.asfortranarray(plain) if layout == "columns" else plain.astype(layout)
    store.put(keys(1, 2), given)
    assert np.array_equal(store.get(keys(1, 2)), given.astype(np.float32))


def test_a_key_stored_twice_keeps_its_first_vector(store: Store) -> None:
    store.put(keys(1, 2), vectors(1, 2))
    store.put(keys(2, 3), vectors(7, 8))
    assert np.array_equal(store.get(keys(1, 2, 3)), vectors(1, 2, 8))


def test_nothing_of_a_batch_is_stored_if_it_does_not_fit_its_keys(store: Store) -> None:
    with pytest.raises(ValueError, match="zip"):
        store.put(keys(1, 2, 3), vectors(1, 2))
    assert store.missing(keys(1, 2, 3)) == keys(1, 2, 3)


def test_reading_is_the_union_of_all_writers_and_the_first_file_wins(tmp_path: Path) -> None:
    with Store(tmp_path, SPEC) as one, Store(tmp_path, SPEC) as two, Store(tmp_path, SPEC) as reader:
        two.check_writable()  # so that the first file is not the first writer's
        one.put(keys(1, 2), vectors(1, 2, seed=1))
        assert reader.missing(keys(1, 2, 3)) == keys(3)
        two.put(keys(2, 3), vectors(2, 3, seed=2))
        wanted = np.concatenate([vectors(1, seed=1), vectors(2, 3, seed=2)])
        for each in (one, two, reader):
            assert each.missing(keys(1, 2, 3, 4)) == keys(4)
            assert np.array_equal(each.get(keys(1, 2, 3)), wanted)
    assert len(files(one)) == 2
    with Store(tmp_path, SPEC) as later:
        assert np.array_equal(later.get(keys(1, 2, 3)), wanted)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 9), max_size=4)), max_size=8),
    st.lists(st.integers(0, 12), max_size=6),
)
@settings(max_examples=30, deadline=None)
def test_a_store_is_a_dictionary_for_any_history(
    tmp_path_factory: pytest.TempPathFactory, puts: list[tuple[int, list[int]]], asked: list[int]
) -> None:
    root = tmp_path_factory.mktemp("store")
    stores = [Store(root, SPEC) for _ in range(3)]
    for each in stores:
        each.check_writable()
    held: list[dict[int, int]] = [{}, {}, {}]
    for turn, (writer, numbers) in enumerate(puts):
        stores[writer].put(keys(*numbers), vectors(*numbers, width=4, seed=turn))
        held[writer] = dict.fromkeys(numbers, turn) | held[writer]
    union = held[2] | held[1] | held[0]
    assert stores[0].missing(keys(*asked)) == list(
        dict.fromkeys(key(number) for number in asked if number not in union)
    )
    there = [number for number in asked if number in union]
    found = stores[1].get(keys(*there))
    for row, number in zip(found, there, strict=True):
        assert np.array_equal(row, vectors(number, width=4, seed=union[number])[0])
    for each in stores:
        each.close()


def test_models_do_not_see_each_other(tmp_path: Path) -> None:
    other = ModelSpec("org/model", "2", "test/1", options={"pixels": 448})
    with Store(tmp_path, SPEC) as one, Store(tmp_path, other) as two:
        one.put(keys(1), vectors(1))
        assert two.missing(keys(1)) == keys(1)


def test_a_store_says_whose_it_is_and_holds_no_pickle(store: Store) -> None:
    store.put(keys(1), vectors(1))
    fields = json.loads((store.folder / "spec.json").read_text())
    assert fields.pop("store_format") == FORMAT
    assert store.folder.name == f"org--model-{fingerprint(fields)[:16]}"
    assert {path.suffix for path in store.folder.iterdir()} == {".db", ".json", ".lock"}


def test_what_another_process_stores_is_seen_at_once(store: Store, tmp_path: Path) -> None:
    assert store.missing(keys(0)) == keys(0)
    with child(tmp_path, "loop", 0, 1):
        pass
    assert store.missing(keys(0)) == []


def test_processes_that_write_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    writers = [child(tmp_path, "loop", start, 4) for start in (0, 2 * BATCH, 4 * BATCH)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    everything = range(8 * BATCH)
    with Store(tmp_path, SPEC) as store:
        assert store.missing(keys(*everything)) == []
        assert np.array_equal(store.get(keys(*everything)), vectors(*everything))


def test_a_live_writer_sends_the_next_to_a_file_of_its_own_and_a_dead_one_leaves_its_file(tmp_path: Path) -> None:
    holder = child(tmp_path, "hold")
    assert said(holder) == "holds"
    with Store(tmp_path, SPEC) as second:
        second.put(keys(1), vectors(1))
        assert len(files(second)) == 2
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with Store(tmp_path, SPEC) as third, Store(tmp_path, SPEC) as fourth:
        third.check_writable()
        fourth.check_writable()
        assert len(files(third)) == 2


def check_whole_batches(root: Path) -> int:
    """Checks what killed writers left, then goes on from there. Returns the batches found."""
    with Store(root, SPEC) as store:
        count = 0
        while not store.missing(keys(count * BATCH)):
            batch = range(count * BATCH, (count + 1) * BATCH)
            assert np.array_equal(store.get(keys(*batch)), vectors(*batch)), "a batch is there as a whole"
            count += 1
        rest = keys(*range(count * BATCH, (count + 5) * BATCH))
        assert store.missing(rest) == rest, "or not at all"
    return count


@pytest.mark.parametrize("statement", [0, 1, BATCH // 2, BATCH, BATCH + 1])
def test_a_writer_killed_within_a_transaction_leaves_whole_batches(tmp_path: Path, statement: int) -> None:
    process = child(tmp_path, "die", statement)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert check_whole_batches(tmp_path) == 1
    with child(tmp_path, "loop", BATCH, 1) as again:
        assert said(again) == "stored"
    assert check_whole_batches(tmp_path) == 2


def test_what_a_killed_writer_had_half_written_is_rolled_back_by_whoever_comes_next(tmp_path: Path) -> None:
    child(tmp_path, "die", BATCH).communicate()
    with Store(tmp_path, SPEC) as store:
        assert files(store, "-journal"), "the kill came too early to prove anything"
        assert store.missing(keys(0, BATCH)) == keys(BATCH)
        assert not files(store, "-journal")
        store.put(keys(BATCH), vectors(BATCH))
        assert np.array_equal(store.get(keys(0, BATCH)), vectors(0, BATCH))


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_a_file_whose_making_was_cut_short_is_as_good_as_new(
    tmp_path: Path, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, Store(tmp_path, SPEC) as cut:
        cut_short = (*store_file._SCHEMAS[FORMAT][:done], "SELECT no_such_function()")
        patch.setattr(store_file, "_SCHEMAS", {FORMAT: cut_short})
        with pytest.raises(UserError, match="no_such_function"):
            cut.check_writable()
    with Store(tmp_path, SPEC) as store:
        assert store.missing(keys(1)) == keys(1)
        store.put(keys(1), vectors(1))
        assert store.missing(keys(1)) == []
        assert len(files(store)) == 1


def test_writers_killed_at_random_moments_leave_whole_batches(tmp_path: Path) -> None:
    chance = random.Random(7)
    found = 0
    for _ in range(5):
        process = child(tmp_path, "loop", found * BATCH, 100)
        assert said(process) == "stored"
        time.sleep(chance.random() * 0.15)
        process.kill()
        process.communicate()
        before, found = found, check_whole_batches(tmp_path)
        assert found > before


def test_a_newer_format_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with Store(tmp_path, SPEC) as old:
        old.put(keys(1), vectors(1))
        path = old.folder / files(old)[0]
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {TOKENS_FORMAT + 1}")
        connection.execute(f"PRAGMA application_id = {store_file._APPLICATION + TOKENS_FORMAT + 1}")
    connection.close()
    for work in (Store.width, Store.check_writable):
        with Store(tmp_path, SPEC) as store, pytest.raises(UserError, match="newer version") as caught:
            work(store)
        assert str(path) in caught.value.what
        assert "Upgrade" in caught.value.hint


@pytest.mark.parametrize("damage", ["garbage", "cut", "zeros", "short"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    with Store(tmp_path, SPEC) as old:
        old.put(keys(*range(100)), vectors(*range(100)))
        path = old.folder / files(old)[0]
    data = path.read_bytes()
    worse = {
        "garbage": b"garbage " * 1000,
        "cut": data[: 4 * 16384],
        "zeros": data[:16384] + bytes(len(data) - 16384),
        "short": b"SQLite",
    }
    path.write_bytes(worse[damage])
    with Store(tmp_path, SPEC) as store:
        error = refusal(store)
    assert str(path) in error.what
    assert "damaged" in error.what
    path.unlink()  # as the hint says
    with Store(tmp_path, SPEC) as store:
        assert store.missing(keys(1)) == keys(1)


def test_a_store_without_the_right_to_write_can_be_read(public_folder: Path) -> None:
    with Store(public_folder, SPEC) as old:
        old.put(keys(1, 2), vectors(1, 2))
    with without_rights(public_folder), Store(public_folder, SPEC) as store:
        assert store.missing(keys(1, 2, 3)) == keys(3)
        assert np.array_equal(store.get(keys(2, 1)), vectors(2, 1))
        for work in (store.check_writable, lambda: store.put(keys(3), vectors(3))):
            with pytest.raises(UserError, match="cannot be written") as caught:
                work()
            assert str(store.folder) in caught.value.what
            assert caught.value.hint
    assert len(files(store)) == 1


def test_what_a_killed_writer_left_needs_the_right_to_write_once(public_folder: Path) -> None:
    child(public_folder, "die", BATCH).communicate()
    with without_rights(public_folder), Store(public_folder, SPEC) as store:
        assert "--store" in refusal(store).hint
    with Store(public_folder, SPEC) as store:
        store.width()
    with without_rights(public_folder), Store(public_folder, SPEC) as store:
        assert store.missing(keys(0, BATCH)) == keys(BATCH)


def test_a_disk_that_fills_up_keeps_the_batches_before(tmp_path: Path) -> None:
    process = child(tmp_path, "fill", 12_000_000)
    lines = process.communicate()[0].splitlines()
    stored = lines.count("stored")
    assert 0 < stored < 10
    assert str(tmp_path) in lines[stored]
    assert "are kept" in lines[stored + 1]
    assert check_whole_batches(tmp_path) == stored


def test_a_full_database_is_called_a_full_disk(store: Store) -> None:
    store.put(keys(1), vectors(1))
    store._open_writer()._connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(UserError, match="disk is full") as caught:
        store.put(keys(*range(2, 100)), vectors(*range(2, 100)))
    assert str(store.folder) in caught.value.what
    assert store.missing(keys(1, 2, 99)) == keys(2, 99)
    store.put(keys(2), vectors(2))


def test_a_folder_that_cannot_be_made_is_found_out_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Store(tmp_path / "file", SPEC) as store, pytest.raises(UserError) as caught:
        store.check_writable()
    assert "file" in caught.value.what
    assert os.listdir(tmp_path) == ["file"]
