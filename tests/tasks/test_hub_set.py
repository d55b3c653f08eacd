"""Datasets of the hub, from a name to rows, against a hub on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from harness.errors import UserError
from tasks.catalog import resolve_tasks
from tests.helpers import corpus_files as files
from tests.helpers.hub_server import Hub

FIRST, SECOND = "a1" * 20, "b2" * 20
NAME = Path("org/notes")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one empty repository, and a machine without a cache."""
    with Hub(str(NAME), commits={FIRST: {}, SECOND: {}}, main=FIRST) as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)
        template = running.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        monkeypatch.setenv("LLAVE_CACHE", str(tmp_path / "llave"))
        monkeypatch.chdir(tmp_path)
        yield running


def upload(hub: Hub, folder: Path, commit: str = FIRST) -> None:
    hub.commits[commit] = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def refusal(name: Path = NAME) -> str:
    with pytest.raises(UserError) as caught:
        resolve_tasks(data=name)
    return str(caught.value)


@pytest.mark.parametrize(
    "write", [files.write_beir, files.write_mteb, files.write_mieb, files.write_vidore, files.write_card]
)
def test_a_corpus_of_the_hub_is_the_same_folder(hub: Hub, tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "here" / "notes")
    upload(hub, tmp_path / "here" / "notes")
    [theirs], [own] = resolve_tasks(data=NAME), resolve_tasks(data=tmp_path / "here" / "notes")
    assert theirs.name == own.name
    one, other = theirs.source.load(theirs), own.source.load(own)
    assert [query.id for query in one.queries] == [query.id for query in other.queries]
    assert [target.full_text for target in one.targets] == [target.full_text for target in other.targets]
    assert [tuple(query.positives) for query in one.queries] == [tuple(query.positives) for query in other.queries]
    info = theirs.source.info(theirs)
    assert (info.source, info.revision) == (str(NAME), FIRST)
    hub.requests.clear()
    assert resolve_tasks(data=NAME) == (theirs,)
    assert hub.requests == []


def test_only_the_split_that_is_read_is_fetched(hub: Hub, tmp_path: Path) -> None:
    files.write_beir(tmp_path / "here")
    upload(hub, tmp_path / "here")
    hub.commits[FIRST]["weights.bin"] = b"0" * 1000
    resolve_tasks(data=NAME)
    fetched = {request.partition(f"resolve/{FIRST}/")[2] for request in hub.requests} - {""}
    assert fetched == {"corpus.jsonl", "queries.jsonl", "qrels/test.tsv"}


def test_a_commit_is_kept_when_main_moves_and_another_lies_beside_it(hub: Hub, tmp_path: Path) -> None:
    files.write_beir(tmp_path / "here")
    for commit in (FIRST, SECOND):
        upload(hub, tmp_path / "here", commit)
    [first] = resolve_tasks(data=NAME)
    hub.main = SECOND
    assert resolve_tasks(data=NAME) == (first,)
    [second] = resolve_tasks(data=Path(f"{NAME}@{SECOND}"))
    assert second.source.info(second).revision == SECOND
    assert resolve_tasks(data=Path(f"hf://datasets/{NAME}@{SECOND}")) == (second,)


def test_pictures_beside_a_table_come_with_it(hub: Hub, tmp_path: Path) -> None:
    place = tmp_path / "here"
    (place / "pictures").mkdir(parents=True)
    for number in range(4):
        (place / "pictures" / f"{number}.png").write_bytes(files.picture(number))
    rows = [{"file_name": f"pictures/{number}.png", "label": f"kind {number % 2}"} for number in range(4)]
    (place / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    upload(hub, place)
    [task] = resolve_tasks(data=NAME)
    data = task.source.load(task)
    media = [query.item.media[0] for query in data.queries]
    assert [(each.root / each.name).read_bytes() for each in media] == [files.picture(number) for number in range(4)]


def test_a_set_too_large_for_the_disk_is_refused_before_a_byte_of_it(hub: Hub, tmp_path: Path) -> None:
    files.write_beir(tmp_path / "here")
    upload(hub, tmp_path / "here")
    hub.sizes = {"corpus.jsonl": 10**16}
    said = refusal()
    assert "org/notes needs 10,000,000.0 GB" in said
    assert "LLAVE_CACHE" in said
    assert not any("/cdn/" in request for request in hub.requests)


def test_a_loading_script_is_not_run(hub: Hub) -> None:
    hub.commits[FIRST] = {"notes.py": b"raise SystemExit('run')", "data.zip": b"PK"}
    said = refusal()
    assert "a loading script notes.py. Code of a dataset is not run." in said
    assert "org/notes@refs/convert/parquet" in said


def test_a_repository_without_tables_says_what_it_has(hub: Hub) -> None:
    hub.commits[FIRST] = {"archive.zip": b"PK"}
    said = refusal()
    assert "org/notes holds no tables and no images. It has archive.zip." in said
    assert "--data DIR" in said


def test_splits_of_other_names_are_listed(hub: Hub, tmp_path: Path) -> None:
    files.write_beir(tmp_path / "here")
    (tmp_path / "here/qrels/test.tsv").rename(tmp_path / "here/qrels/extra.tsv")
    upload(hub, tmp_path / "here")
    assert "org/notes/qrels has the splits extra, train, and none is named test." in refusal()
    hub.commits[FIRST]["qrels/dev.tsv"] = hub.commits[FIRST].pop("qrels/extra.tsv")
    [task] = resolve_tasks(data=NAME)
    assert [path.name for path in task.source.info(task).files][-1] == "dev.tsv"


def test_a_gated_set_says_how_to_log_in(hub: Hub, tmp_path: Path) -> None:
    files.write_beir(tmp_path / "here")
    upload(hub, tmp_path / "here")
    hub.gated = True
    said = refusal()
    assert "needs permission" in said
    assert "hf auth login" in said


def test_names_that_neither_the_disk_nor_the_hub_has(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal(Path("org/other"))
    assert "There is no path org/other. There is no public dataset 'org/other' on the hub." in said
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said = refusal(Path("org/other"))
    assert "There is no path org/other. The commit to pin of org/other is not on this machine" in said
