"""A bundle gives the board of the results that it was made from, anywhere, and never leaves its folder."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from harness.errors import UserError
from harness.results.rows import read_rows
from leaderboards.contents import content_of, places_of
from leaderboards.exchange.bundle import VECTORS, opened
from leaderboards.load import load
from leaderboards.pictures import Pictures
from leaderboards.submission.bundle import write_bundle
from leaderboards.submission.validate import validate
from llave.cli.main import main
from tasks.catalog import all_tasks
from tests.helpers.page_values import page_board, picture


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LLAVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bundle(tmp_path) -> Path:
    page_board(tmp_path / "results", images=picture(tmp_path / "images"))
    made = write_bundle(tmp_path / "all.zip", [tmp_path / "results"], pictures=True)
    assert (made.results, made.imported, made.pictures) == (6, 0, 1)
    return tmp_path / "all.zip"


def test_a_bundle_has_the_results_it_was_made_from(bundle, tmp_path):
    sent, found = load([tmp_path / "results"]).records, load([bundle]).records
    assert {each.result.identity: each.result.metrics for each in found} == {
        each.result.identity: each.result.metrics for each in sent
    }


def test_its_pictures_are_found_when_the_originals_are_gone(bundle, tmp_path, cache):
    shutil.rmtree(tmp_path / "images")
    shutil.rmtree(tmp_path / "results")
    record = load([bundle]).records[0]
    content = content_of({"text": "", "media": ["pictures/a.png"]}, [places_of(record.result)])
    (image,) = Pictures().open(content.media[0])
    assert max(image.size) <= 320
    assert all(str(cache) in str(place.folder) for place in places_of(record.result))


def test_it_names_no_folder_of_its_author(bundle, tmp_path):
    with zipfile.ZipFile(bundle) as archive:
        assert not any(str(tmp_path).encode() in archive.read(name) for name in archive.namelist())


def test_equal_results_give_equal_bytes(bundle, tmp_path):
    write_bundle(tmp_path / "again.zip", [tmp_path / "results"], pictures=True)
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()
    write_bundle(tmp_path / "twice.zip", [bundle], pictures=True)
    assert len(load([tmp_path / "twice.zip"]).records) == 6


def test_the_commands_open_it(bundle, tmp_path, capsys):
    folder = tmp_path / "results"
    assert main(["bundle", str(folder), "-o", str(tmp_path / "small.zip")]) == 0
    assert "6 results" in capsys.readouterr().out
    for place in (folder, bundle, tmp_path / "small.zip"):
        assert main(["board", str(place), "--format", "csv"]) == 0
    boards = capsys.readouterr().out
    third = len(boards) // 3
    assert boards[:third] == boards[third : 2 * third] == boards[2 * third :]
    assert main(["validate", str(bundle)]) in (0, 1)
    assert "in 6 results" in capsys.readouterr().out
    assert main(["bundle", str(folder), "-o", str(tmp_path / "x.tar")]) == 2


@pytest.mark.parametrize("name", ["../out.json", "/etc/out.json", "a/../../out.json", "a\\..\\out.json"])
def test_an_entry_never_leaves_its_folder(tmp_path, cache, name):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, "{}")
    with pytest.raises(UserError, match="is refused"):
        load([tmp_path / "bad.zip"])
    assert list(tmp_path.rglob("*out.json")) == []


def test_links_bombs_and_damage_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", b"0" * 10_000_000)
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04")
    for name, said in (("link", "a link"), ("bomb", "bomb"), ("cut", "cannot be read as a zip")):
        with pytest.raises(UserError, match=said):
            load([tmp_path / f"{name}.zip"])


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Bundles of results in listed candidates, in a whole pool, and of a clustering: with the vectors, and without."""
    folder = tmp_path_factory.mktemp("run")
    tasks = ["demo-color", "demo-graded", "demo-shape@clustering"]
    flags = ["--limit", "5", "--out", str(folder / "out"), "-q"]
    assert main(["run", "classical", "--tasks", *tasks, *flags, "--store", str(folder / "store")]) == 0
    for store in ("store", "none"):
        words = ["bundle", str(folder / "out"), "-o", str(folder / f"{store}.zip"), "--vectors"]
        assert main([*words, "--store", str(folder / store)]) == 0
    return folder


@pytest.fixture
def vectors(run) -> Path:
    """The folder of a bundle with vectors."""
    return opened(run / "store.zip")


def _problems(folder: Path) -> list[str]:
    return [each.what for each in validate(folder, all_tasks()).problems if "ectors" in each.what]


def test_rows_follow_from_the_vectors_of_a_bundle(vectors):
    files = sorted(vectors.rglob(f"*{VECTORS}"))
    assert [file.name.partition(".")[0] for file in files] == ["demo-color", "demo-graded"]
    assert _problems(vectors) == []
    records = {record.result.task: record for record in load([vectors]).records}
    for file in files:
        queries = load_file(file)["queries"]
        assert len(queries) == records[file.name.partition(".")[0]].result.num_queries


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda arrays: arrays["queries"].__setitem__(3, -arrays["queries"][3]), "the similarity"),
        (lambda arrays: arrays["queries"].__setitem__(3, np.nan), "lack one of query 3"),
        (lambda arrays: arrays.update(queries=arrays["queries"][:-1]), "vectors of 4"),
        (lambda arrays: arrays.update(targets=arrays["targets"][:, :-1]), "of one width"),
        (lambda arrays: arrays.pop("targets"), "of one width"),
        (lambda arrays: arrays.update(targets=arrays["targets"][:1]), "lack one of query"),
    ],
)
def test_vectors_that_say_otherwise_are_named(vectors, change, said):
    (file,) = vectors.rglob(f"demo-color{VECTORS}")
    arrays = {name: array.copy() for name, array in load_file(file).items()}
    change(arrays)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, file)
    assert [said in each for each in _problems(vectors)] == [True]


def test_a_nearer_target_that_is_not_listed_is_named_where_the_pool_is_whole(vectors):
    (file,) = vectors.rglob(f"demo-graded{VECTORS}")
    (record,) = [each for each in load([vectors]).records if each.result.task == "demo-graded"]
    arrays = {name: array.copy() for name, array in load_file(file).items()}
    listed = {top["target"] for row in read_rows(record.path, record.result) for top in row["top"]}
    free = next(number for number in range(len(arrays["targets"])) if number not in listed)
    arrays["targets"][free] = arrays["queries"][0]
    save_file(arrays, file)
    assert ["not listed" in each for each in _problems(vectors)] == [True]


def test_a_damaged_file_of_vectors_is_named(vectors):
    next(vectors.rglob(f"demo-color{VECTORS}")).write_bytes(b"nothing")
    assert ["cannot be read" in each for each in _problems(vectors)] == [True]


def test_a_result_whose_vectors_are_not_stored_goes_without(run):
    folder = opened(run / "none.zip")
    assert list(folder.rglob(f"*{VECTORS}")) == []
    assert len(load([run / "none.zip"]).records) == 3
