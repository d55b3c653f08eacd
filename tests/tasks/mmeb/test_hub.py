"""The hub source from end to end, against a hub on loopback."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants
from PIL import Image

from harness.errors import UserError
from harness.types import Task
from tasks.mmeb.hub import HubSource
from tests.helpers.hub_server import Hub

OLD, NEW = "a1" * 20, "b2" * 20
ROOT = Path(__file__).resolve().parents[3]


def parquet(question: str) -> bytes:
    """Two rows: an image and a text against two texts, a text against two images."""
    table = pa.table(
        {
            "qry_text": [f"<|image_1|>\n{question}\n", "Find the red one.\n"],
            "qry_img_path": ["Shapes/red.png", ""],
            "tgt_text": [["red", "blue"], ["<|image_1|>\nRepresent the image.\n"] * 2],
            "tgt_img_path": [["", ""], ["Shapes/red.png", "Shapes/blue.png"]],
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def images() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for colour in ("red", "blue"):
            picture = io.BytesIO()
            Image.effect_noise((64, 64), 90).save(picture, "PNG")
            archive.writestr(f"Shapes/{colour}.png", picture.getvalue())
    return buffer.getvalue()


@pytest.fixture
def hub() -> Iterator[Hub]:
    pictures = images()
    commits = {
        commit: {"Shapes/test-00000-of-00001.parquet": parquet(question), "images.zip": pictures}
        for commit, question in ((OLD, "What colour?"), (NEW, "What shape?"))
    }
    with Hub(commits=commits, main=OLD) as running:
        yield running


@pytest.fixture
def source(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubSource:
    """A fresh machine. The library reads its variables on import, so here its constants are set instead."""
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    return HubSource(cache=tmp_path / "llave")


def shapes(source: HubSource, name: str = "Shapes") -> Task:
    return Task(name, None, None, None, None, source)


def refusal(source: HubSource, name: str = "Shapes") -> str:
    with pytest.raises(UserError) as caught:
        source.info(shapes(source, name))
    return str(caught.value)


def test_first_use_fetches_and_every_later_one_asks_nothing(hub: Hub, source: HubSource) -> None:
    first = source.info(shapes(source))
    assert first.source == "TIGER-Lab/MMEB-eval"
    assert first.revision == OLD
    assert [path.read_bytes() for path in first.files] == [hub.commits[OLD]["Shapes/test-00000-of-00001.parquet"]]
    assert first.media_root is not None
    assert sorted(path.name for path in (first.media_root / "Shapes").iterdir()) == ["blue.png", "red.png"]
    assert hub.requests
    hub.requests.clear()
    assert source.info(shapes(source)) == first
    assert hub.requests == []


def test_rows_are_those_of_the_same_files_in_a_folder(hub: Hub, source: HubSource, tmp_path: Path) -> None:
    from tasks.mmeb.folder import FolderSource

    (tmp_path / "own/Shapes").mkdir(parents=True)
    for name, data in hub.commits[OLD].items():
        (tmp_path / "own" / name).write_bytes(data)
    with zipfile.ZipFile(tmp_path / "own/images.zip") as archive:
        archive.extractall(tmp_path / "own/images")
    folder = FolderSource(data=tmp_path / "own", images=tmp_path / "own/images")

    ours, theirs = source.load(shapes(source)), folder.load(shapes(source))
    assert [query.item.full_text for query in ours.queries] == [query.item.full_text for query in theirs.queries]
    assert [target.full_text for target in ours.targets] == [target.full_text for target in theirs.targets]
    for one, other in zip(ours.queries, theirs.queries, strict=True):
        assert one.candidates.tolist() == other.candidates.tolist()
        assert one.positives.tolist() == other.positives.tolist()
    mine = [media for item in (*ours.targets, ours.queries[0].item) for media in item.media]
    assert len(mine) == 3
    assert all((media.root / media.name).is_file() for media in mine)


def test_the_scope_in_a_name_does_not_change_the_files(source: HubSource) -> None:
    assert source.info(shapes(source, "Shapes@global")) == source.info(shapes(source))


def test_rows_are_checked_before_the_images_are_fetched(hub: Hub, source: HubSource) -> None:
    with pytest.raises(UserError, match="has 2 rows, but Shapes has 1000"):
        source.info(replace(shapes(source), num_queries=1000))
    assert not any("images.zip" in request for request in hub.requests)


def test_a_commit_once_used_is_kept_when_main_moves(hub: Hub, source: HubSource) -> None:
    source.info(shapes(source))
    hub.main = NEW
    assert source.info(shapes(source)).revision == OLD
    assert OLD in source.describe()
    source.pin.unlink()
    assert source.info(shapes(source)).revision == NEW


def test_a_named_commit_is_taken_as_it_is_and_a_branch_is_pinned_on_its_own(hub: Hub, source: HubSource) -> None:
    by_commit = HubSource(revision=NEW, cache=source.cache)
    assert by_commit.info(shapes(by_commit)).revision == NEW
    assert not any(request.startswith("GET /api") for request in hub.requests)
    assert not source.pin.parent.exists()
    assert source.info(shapes(source)).revision == OLD
    others = (HubSource("me/MMEB-eval", cache=source.cache), HubSource(revision="v1", cache=source.cache))
    assert len({each.pin for each in (source, *others)}) == 3


def test_two_commits_lie_side_by_side(hub: Hub, source: HubSource) -> None:
    old = source.info(shapes(source))
    newer = HubSource(revision=NEW, cache=source.cache)
    new = newer.info(shapes(newer))
    assert old.files[0].read_bytes() != new.files[0].read_bytes()
    assert old.media_root != new.media_root


def test_offline_with_everything_cached_and_the_zip_deleted(
    hub: Hub, source: HubSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = source.info(shapes(source))
    (first.files[0].parents[1] / "images.zip").resolve().unlink()
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert source.info(shapes(source)) == first
    assert hub.requests == []


def test_offline_with_nothing_cached(hub: Hub, source: HubSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for each in (source, HubSource(revision=OLD, cache=source.cache)):
        said = refusal(each)
        assert "HF_HUB_OFFLINE" in said
        assert "--data DIR" in said
        assert "images.zip" in said
    assert hub.requests == []


def test_no_network(source: HubSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:1/{repo_id}/resolve/{revision}/{filename}"
    )
    for each in (source, HubSource(revision=OLD, cache=source.cache)):
        said = refusal(each)
        assert "cannot be reached" in said
        assert "--data DIR" in said


def test_a_broken_download_goes_on_where_it_broke(hub: Hub, source: HubSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)
    hub.cut = 1000
    info = source.info(shapes(source))
    assert hub.ranges == ["bytes=1000-"]
    assert info.files[0].read_bytes() == hub.commits[OLD]["Shapes/test-00000-of-00001.parquet"]


def test_what_the_hub_does_not_have(hub: Hub, source: HubSource) -> None:
    said = refusal(source, "Shape")
    assert "Did you mean Shapes?" in said
    assert not any("images.zip" in request or "/cdn/" in request for request in hub.requests), "images come last"
    del hub.commits[OLD]["images.zip"]
    assert "has no images.zip" in refusal(source)
    assert f"no commit or branch {'c3' * 20}" in refusal(HubSource(revision="c3" * 20, cache=source.cache))
    assert "no public dataset 'TIGER-Lab/MMEB-evil'" in refusal(HubSource("TIGER-Lab/MMEB-evil", cache=source.cache))
    assert "no public dataset 'not a name'" in refusal(HubSource("not a name", cache=source.cache))


def test_a_gated_repository_says_how_to_log_in(hub: Hub, source: HubSource) -> None:
    hub.gated = True
    said = refusal(source)
    assert "needs permission" in said
    assert "hf auth login" in said


def test_a_hub_that_is_down(hub: Hub, source: HubSource) -> None:
    hub.status = 503
    assert "--data DIR" in refusal(source)
    assert not source.pin.exists()


def test_a_spoiled_pin_is_an_error_and_not_a_new_commit(source: HubSource) -> None:
    source.info(shapes(source))
    source.pin.write_text("main\n")
    assert "does not hold a commit" in refusal(source)


def test_the_environment_of_the_hub_library_is_honoured(hub: Hub, tmp_path: Path) -> None:
    script = (
        "from harness.types import Task; from tasks.mmeb.hub import HubSource; s = HubSource();"
        "info = s.info(Task('Shapes', None, None, None, None, s)); print(info.files[0]); print(info.media_root)"
    )
    own = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "LLAVE_CACHE": str(tmp_path / "llave")}
    command = [sys.executable, "-c", script]
    online, offline = (
        subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **own, "HF_HUB_OFFLINE": flag},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for flag in ("0", "1")
    )
    assert online == offline
    rows, pictures = map(Path, online.split())
    assert rows.is_relative_to(tmp_path / "hf")
    assert pictures.is_relative_to(tmp_path / "llave")
