"""Which files a name in data may lead to: those in the folders that the user named, whatever links lead there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BadMedia, UserError
from harness.media.places import check_inside, resolve, walk
from harness.types import Media
from tasks.catalog import resolve_tasks
from tasks.jsonl import read_items
from tasks.video.files import find_videos, video_sets
from trainers.data.mmeb_train import RowChoice, load_subsets

BYTES = b"not empty"


def _as_it_is(data: Path, _: Path) -> Path:
    return data


def _linked_root(data: Path, free: Path) -> Path:
    free.mkdir()
    (free / "data").symlink_to(data)
    return free / "data"


def _root_below_a_link(data: Path, free: Path) -> Path:
    free.symlink_to(data.parent)
    return free / data.name


def _links_inside(data: Path, _: Path) -> Path:
    """The files lie elsewhere in the folder, and links of other names lead to them."""
    store = data / ".files"
    store.mkdir()
    for number, file in enumerate(sorted(path for path in data.rglob("*.*") if path.is_file())):
        file.rename(store / str(number))
        file.symlink_to(os.path.relpath(store / str(number), file.parent))
    return data


def _cache_of_the_hub(data: Path, free: Path) -> Path:
    """A snapshot as the hub's library keeps it: every file is a link into `blobs`."""
    snapshot = free / "datasets--me--mine" / "snapshots" / ("a" * 40)
    snapshot.parent.mkdir(parents=True)
    data.rename(snapshot)
    blobs = free / "datasets--me--mine" / "blobs"
    blobs.mkdir()
    for number, file in enumerate(sorted(path for path in snapshot.rglob("*.*") if path.is_file())):
        file.rename(blobs / str(number))
        file.symlink_to(os.path.relpath(blobs / str(number), file.parent))
    return snapshot


LAYOUTS: list[Callable[[Path, Path], Path]] = [
    _as_it_is,
    _linked_root,
    _root_below_a_link,
    _links_inside,
    _cache_of_the_hub,
]


@pytest.mark.parametrize("layout", LAYOUTS[1:], ids=lambda each: each.__name__[1:])
def test_a_tree_behind_links_gives_the_same_digests_identities_and_results(tiny, tmp_path, llave, layout):
    def run(data: Path, name: str) -> dict[str, object]:
        flags = ("--out", tmp_path / name, "--store", tmp_path / f"{name}-store")
        done = llave("run", "classical", "--data", data, *flags)
        assert done.code == 0, done.err
        files = sorted((tmp_path / name).rglob("*.json"))
        rows = {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.queries.jsonl")}
        from harness.results.verified import read_result

        results = [read_result(path).result for path in files]
        return {each.task: (each.identity, each.dataset["digest"], each.metrics) for each in results} | rows

    straight = run(tiny.data, "straight")
    assert run(layout(tiny.data, tmp_path / "free"), "linked") == straight


@pytest.mark.parametrize("layout", LAYOUTS[1:], ids=lambda each: each.__name__[1:])
def test_videos_and_their_captions_are_found_behind_links(tmp_path, layout):
    data = tmp_path / "mine"
    for name in ("a.mp4", "deep/b.mp4"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(BYTES)
    (data / "captions.csv").write_text("video_id,sentence\na,first\nb,second\n")
    (found,) = video_sets(layout(data, tmp_path / "free"))
    assert find_videos(found.videos, ["a", "b"]) == {"a": "a.mp4", "b": "deep/b.mp4"}
    for task in resolve_tasks(data=found.folder):
        for query in task.source.load(task).queries:
            assert all(resolve(medium).read_bytes() == BYTES for medium in query.item.media)


def test_a_folder_of_videos_that_is_a_link_is_searched_and_a_circle_ends(tmp_path):
    (tmp_path / "bulk").mkdir()
    (tmp_path / "bulk" / "a.mp4").write_bytes(BYTES)
    data = tmp_path / "data"
    data.mkdir()
    (data / "clips").symlink_to(tmp_path / "bulk")
    (data / "round").symlink_to(data)
    assert find_videos(data, ["a"]) == {"a": "clips/a.mp4"}
    assert [here for here, _, _ in walk(data)] == [data, data / "clips"]


def _parquet(data: Path, name: str, roots: tuple[Path, ...]) -> list[Media]:
    from tests.helpers.mmeb_files import columns, write_subset

    write_subset(data, "Own", columns([("q", name, [("a", ""), ("b", "")])]))
    (task,) = resolve_tasks(data=data, images=data, roots=roots)
    return [medium for query in task.source.load(task).queries for medium in query.item.media]


def _instruct(data: Path, name: str, roots: tuple[Path, ...]) -> list[Media]:
    from tests.helpers.mmeb_files import columns, write_subset

    values = columns([("q", name, [("a", ""), ("b", "")])]) | {"qry_inst": ["<|image_1|>"], "tgt_inst": [""]}
    write_subset(data, "Own", values)
    (task,) = resolve_tasks(data=data, images=data, roots=roots)
    return [medium for query in task.source.load(task).queries for medium in query.item.media]


def _jsonl(data: Path, name: str, roots: tuple[Path, ...]) -> list[Media]:
    import json

    lines = [{"target": "t", "text": "t"}, {"query": "q", "image": name, "positives": ["t"]}]
    (data / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (task,) = resolve_tasks(data=data / "mine.jsonl", roots=roots)
    return [medium for query in task.source.load(task).queries for medium in query.item.media]


def _items(data: Path, name: str, roots: tuple[Path, ...]) -> list[Media]:
    import json

    (data / "items.jsonl").write_text(json.dumps({"id": "a", "image": name}))
    return [medium for each in read_items(data / "items.jsonl", roots=roots) for medium in each.item.media]


def _pairs(data: Path, name: str, roots: tuple[Path, ...]) -> list[Media]:
    import json

    (data / "pairs.jsonl").write_text(json.dumps({"query": {"image": name}, "positive": "t"}))
    (subset,) = load_subsets(data / "pairs.jsonl", None, RowChoice("original", (), None), roots)
    return list(subset.media())


def _train(data: Path, name: str, roots: tuple[Path, ...]) -> list[Media]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (data / "Own").mkdir(exist_ok=True)
    columns = {"qry": ["<|image_1|> q"], "qry_image_path": [name], "pos_text": ["t"], "pos_image_path": [""]}
    pq.write_table(pa.table(columns), data / "Own" / "original-0.parquet")
    (subset,) = load_subsets(data, data, RowChoice("original", (), None), roots)
    return list(subset.media())


READERS = [_parquet, _instruct, _jsonl, _items, _pairs, _train]


@pytest.mark.parametrize("read", READERS, ids=lambda each: each.__name__[1:])
def test_every_reader_refuses_what_leads_out_and_takes_what_is_allowed(tmp_path, read):
    data, bulk = tmp_path / "data", tmp_path / "bulk"
    data.mkdir()
    bulk.mkdir()
    (bulk / "a.png").write_bytes(BYTES)
    (data / "link.png").symlink_to(bulk / "a.png")
    (data / "linked").symlink_to(bulk)
    names = {"link.png": True, "linked/a.png": True, str(bulk / "a.png"): True, "../bulk/a.png": False}
    for name, can_be_allowed in names.items():
        (medium,) = read(data, name, ())
        with pytest.raises(BadMedia) as caught:
            resolve(medium)
        assert (f"--allow-root {bulk}" in caught.value.hint) == can_be_allowed
        (medium,) = read(data, name, (bulk,))
        if can_be_allowed:
            assert resolve(medium) == bulk / "a.png"
        else:
            with pytest.raises(BadMedia, match="leaves the folder"):
                resolve(medium)


def test_an_absolute_path_into_a_root_is_not_outside(tmp_path):
    (tmp_path / "a.png").write_bytes(BYTES)
    assert resolve(Media("image", str(tmp_path / "a.png"), tmp_path)) == tmp_path / "a.png"


def test_files_of_rows_and_captions_that_lead_out_are_refused_too(tiny, tmp_path):
    bulk = tmp_path / "bulk"
    shutil.move(tiny.data / "Find", bulk)
    (tiny.data / "Find").symlink_to(bulk)
    with pytest.raises(UserError, match=r"is a link to .*bulk.*outside of") as caught:
        [task.source.info(task) for task in resolve_tasks(data=tiny.data)]
    assert f"--allow-root {bulk}" in caught.value.hint
    tasks = resolve_tasks(data=tiny.data, roots=(bulk,))
    assert {task.name: len(task.source.load(task).queries) for task in tasks}["Find"] == 12


def test_blobs_count_only_beside_the_snapshot_that_has_the_root(tmp_path):
    """A link named `blobs`, and blobs of another repository, allow nothing."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "a.png").write_bytes(BYTES)
    root = tmp_path / "repo" / "snapshots" / "a"
    root.mkdir(parents=True)
    (tmp_path / "repo" / "blobs").symlink_to(secret)
    (root / "a.png").symlink_to(secret / "a.png")
    with pytest.raises(BadMedia, match="outside"):
        resolve(Media("image", "a.png", root))


@pytest.mark.parametrize(
    ("target", "said", "remedy"),
    [
        ("nowhere.png", "a broken link to nowhere.png", "Mend the link"),
        ("../.git/annex/objects/aa/bb/c.png", "a broken link to ../.git/annex/objects", "git annex get"),
    ],
)
def test_a_broken_link_is_called_one(tmp_path, target, said, remedy):
    (tmp_path / "l.png").symlink_to(target)
    with pytest.raises(BadMedia, match=said) as caught:
        resolve(Media("image", "l.png", tmp_path))
    assert remedy in caught.value.hint


@pytest.mark.parametrize(
    ("content", "tool"),
    [("/annex/objects/SHA256E-s12--abc.png\n", "git annex get"), ("version https://git-lfs.github.com/spec/v1", "lfs")],
)
@pytest.mark.parametrize("kind", ["image", "video"])
def test_a_file_that_stands_for_one_that_was_not_fetched_is_called_so(tmp_path, content, tool, kind):
    from harness.media.digests import Digests

    (tmp_path / "a.mp4").write_text(content)
    with pytest.raises(
        BadMedia, match=r"it is a (Git LFS|git-annex) pointer; the file itself was not fetched"
    ) as caught:
        Digests(tmp_path / "digests.db").media(Media(kind, "a.mp4", tmp_path))
    assert tool in caught.value.hint


@given(st.lists(st.sampled_from(["..", ".", "a", "up", "/", "in", "", "a.png"]), max_size=6).map("/".join))
def test_whatever_the_name_nothing_outside_is_reached(tmp_path_factory, name):
    base = tmp_path_factory.mktemp("law")
    root = base / "root"
    (root / "a").mkdir(parents=True)
    (base / "a.png").write_bytes(BYTES)
    (root / "a" / "a.png").write_bytes(BYTES)
    (root / "up").symlink_to(base)
    (root / "in").symlink_to("a")
    try:
        found = resolve(Media("image", name, root))
    except BadMedia:
        return
    assert found == root / "a" / "a.png"


def test_a_check_of_a_file_names_it(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "x").write_bytes(BYTES)
    (tmp_path / "data" / "x").symlink_to("../x")
    check_inside(tmp_path / "data" / "x", [tmp_path])
    with pytest.raises(UserError, match="data/x is a link to"):
        check_inside(tmp_path / "data" / "x", [tmp_path / "data"])
