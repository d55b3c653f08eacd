"""MMEB-train from a hub on loopback: pinned, both splits, taken up where it broke off."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants
from PIL import Image

from harness.errors import UserError
from tests.helpers import llave_files
from tests.helpers.hub_server import Hub
from tests.helpers.training_files import BASE, Recorder, write_start
from trainers.config import TrainingConfig, override
from trainers.data.hub import TrainSource
from trainers.data.training_data import load_training_data
from trainers.train import train

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
OLD, NEW = "a1" * 20, "b2" * 20
REPO = "TIGER-Lab/MMEB-train"


def rows(name: str, question: str) -> bytes:
    images = [f"images/{name}/Train/{number}.png" for number in range(4)]
    empty = [""] * 4
    columns = {"qry": [f"<|image_1|>\n{question}\n"] * 4, "qry_image_path": images}
    table = pa.table({**columns, "pos_text": list("abcd"), "pos_image_path": empty})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def images(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(4):
            picture = io.BytesIO()
            Image.effect_noise((16, 16), 90).save(picture, "PNG")
            archive.writestr(f"{name}/Train/{number}.png", picture.getvalue())
    return buffer.getvalue()


def commit(question: str) -> dict[str, bytes]:
    found = {f"images_zip/{name}.zip": images(name) for name in ("Shapes", "Colours")}
    for split, asked in (("original", question), ("diverse_instruction", f"Please: {question}")):
        found |= {
            f"{name}/{split}-00000-of-00001.parquet": rows(name, asked)
            for name in ("Shapes", "Colours")
            if (name, split) != ("Colours", "diverse_instruction")
        }
    return found


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A fresh machine. The library reads its variables on import, so within one process its constants are set."""
    with Hub(repo=REPO, commits={OLD: commit("what colour ?"), NEW: commit("what number ?")}, main=OLD) as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)
        template = running.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        monkeypatch.setenv("LLAVE_CACHE", str(tmp_path / "llave"))
        yield running


def config(*settings: str) -> TrainingConfig:
    return override(override(BASE, [f"data={REPO}", "datasets=Shapes,Colours", "batch=4"]), settings)


def questions(made: TrainingConfig) -> set[str]:
    found = load_training_data(made)
    return {subset.pair(row).query.text.splitlines()[1] for subset in found.subsets for row in range(len(subset))}


def test_rows_and_images_are_fetched_once_and_every_image_is_found(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    found = load_training_data(config())
    assert {subset.name: len(subset) for subset in found.subsets} == {"Shapes": 4, "Colours": 4}
    (medium,) = found.subsets[0].pair(2).query.media
    assert (medium.root / medium.name).is_file()
    first_zip = next(at for at, request in enumerate(hub.requests) if ".zip" in request)
    assert not any("parquet" in request for request in hub.requests[first_zip:]), "rows come before images"
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load_training_data(config()).steps == found.steps
    assert hub.requests == []


def test_main_is_pinned_a_commit_may_be_named_and_both_splits_are_there(hub: Hub):
    assert questions(config()) == {"what colour ?"}
    hub.main = NEW
    assert questions(config()) == {"what colour ?"}
    assert questions(config(f"data={REPO}@{NEW}")) == {"what number ?"}
    assert questions(config("datasets=Shapes", "split=diverse_instruction")) == {"Please: what colour ?"}


def test_a_run_records_the_commit_and_goes_on_with_it_elsewhere(hub: Hub, tmp_path: Path):
    start = f"model={write_start(tmp_path / 'begin')}"
    folder = train(config(start, "max_steps=2"), tmp_path / "run", Recorder())
    assert json.loads((folder / "llave_training.json").read_text())["data"] == f"{REPO}@{OLD}"
    hub.main = NEW
    TrainSource().pin.unlink()  # as on another machine, after the data has changed
    assert train(config(start, "max_steps=2"), tmp_path / "run", Recorder(), resume=True) == folder
    with pytest.raises(UserError, match="data was"):
        train(config(start, "max_steps=2", f"data={REPO}@{NEW}"), tmp_path / "run", Recorder(), resume=True)


def test_a_broken_download_goes_on_where_it_broke(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)
    hub.cut = 1000
    assert questions(config()) == {"what colour ?"}
    assert hub.ranges == ["bytes=1000-"]


def test_images_at_hand_are_not_fetched(hub: Hub, tmp_path: Path):
    for name in ("Shapes", "Colours"):
        with zipfile.ZipFile(io.BytesIO(hub.commits[OLD][f"images_zip/{name}.zip"])) as archive:
            archive.extractall(tmp_path / "mine" / "images")
    load_training_data(config(f"images={tmp_path / 'mine'}"))
    assert not any(".zip" in request for request in hub.requests)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((f"data={REPO}@{'c3' * 20}",), "no commit or branch"),
        (("datasets=Shape",), "Did you mean Shapes"),
        (("split=diverse_instruction",), "has no Colours/diverse_instruction"),
        (("data=TIGER-Lab/none",), "no public dataset"),
    ],
)
def test_what_the_hub_does_not_have_is_said(hub: Hub, settings: tuple[str, ...], said: str):
    with pytest.raises(UserError, match=said) as refused:
        load_training_data(config(*settings))
    assert refused.value.hint


def test_offline_with_nothing_here(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE") as refused:
        load_training_data(config())
    assert "--data DIR" in refused.value.hint
