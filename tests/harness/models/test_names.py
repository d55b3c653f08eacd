"""Names of models on the hub, against a hub on loopback: known rows, what files say, and what the hub refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

import llave as front
from harness.errors import UserError
from harness.models import ROWS, open_model
from harness.models.checkpoints import SETTINGS
from harness.types import ModelSettings, ModelSpec
from tests.conftest import Folder, Place
from tests.helpers import dual_files, llave_files, vlm_files
from tests.helpers.hub_server import Hub

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
COMMIT, OTHER = "a1" * 20, "b2" * 20


def _sentence(folder: Path) -> None:
    from tests.helpers.sentence_files import write_clip

    write_clip(folder)
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    (folder / "modules.json").write_text(json.dumps(modules))


FAMILIES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "llava_qwen": ("llave/", llave_files.write_checkpoint),
    "clip": ("clip/", dual_files.write_clip),
    "siglip": ("siglip/", dual_files.write_siglip),
    "siglip2": ("siglip2/", dual_files.write_siglip2),
    "blip-2": ("blip2/", dual_files.write_blip2),
    "modules.json": ("sentence-transformers/", _sentence),
}
"""What the files of a checkpoint say, the prefix of the row that opens it, and a function that writes one."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A fresh machine. The library reads its variables on import, so its constants are set instead."""
    with Hub(repo="ours/Model-1.0", kind="models", main=COMMIT) as running:
        template = running.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        yield running


def _put(hub: Hub, folder: Path, commit: str = COMMIT) -> None:
    files = (path for path in folder.rglob("*") if path.is_file())
    hub.commits[commit] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _opened(name: str) -> tuple[ModelSpec, list[str]]:
    said: list[str] = []
    return open_model(name, ModelSettings(), said.append).spec, said


def _refused(name: str) -> UserError:
    with pytest.raises(UserError) as caught:
        open_model(name, ModelSettings())
    return caught.value


def test_every_family_that_says_its_kind_is_tested():
    assert {row.model_type for row in ROWS if row.model_type} <= FAMILIES.keys()


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_name_and_its_folder_are_the_model_that_the_prefix_names(hub: Hub, kind: str, tmp_path: Path):
    prefix, write = FAMILIES[kind]
    folder = tmp_path / "Model"
    if kind != "llava_qwen":
        folder.mkdir()
    write(folder)
    _put(hub, folder)
    spec, said = _opened(hub.repo)
    assert spec == open_model(prefix + hub.repo, ModelSettings()).spec
    assert (spec.name, spec.revision) == (prefix + hub.repo, COMMIT)
    assert len(said) == 1
    assert kind in said[0]
    assert prefix in said[0]
    assert not any("safetensors" in each for each in hub.requests), "no weights are fetched to know a model"
    assert _opened(f"{hub.repo}@{COMMIT}")[0] == spec
    local, said = _opened(str(folder))
    assert replace(local, name="", revision="", about={}) == replace(spec, name="", revision="", about={})
    assert kind in said[0]


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_is_in_the_cache_is_found_without_the_hub(hub: Hub, kind: str, tmp_path: Path, monkeypatch):
    folder = tmp_path / "Model"
    if kind != "llava_qwen":
        folder.mkdir()
    FAMILIES[kind][1](folder)
    _put(hub, folder)
    online = _opened(hub.repo)
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert _opened(hub.repo) == online
    assert hub.requests == []


@pytest.mark.parametrize("name", ["openai/clip-vit-base-patch32", "zhibinlan/LLaVE-2B", "Qwen/Qwen3-VL-Embedding-2B"])
def test_the_hub_name_of_a_known_row_is_that_row_at_any_commit(hub: Hub, name: str, tmp_path: Path):
    row = next(row for row in ROWS if row.hub == name)
    folder = tmp_path / "Model"
    if name.startswith("zhibinlan"):
        llave_files.write_checkpoint(folder)
    elif name.startswith("openai"):
        folder.mkdir()
        dual_files.write_clip(folder)
    else:
        vlm_files.write_qwen3(folder)
    hub.repo = name
    _put(hub, folder)
    _put(hub, folder, OTHER)
    spec, said = _opened(name)
    assert said == []
    assert spec == _opened(row.name)[0] == _opened(f"{name}@{COMMIT}")[0] == _opened(f"{row.name}@{COMMIT}")[0]
    assert _opened(f"{name}@{OTHER}")[0] == replace(spec, revision=OTHER, options=_at(spec, OTHER))


def _at(spec: ModelSpec, commit: str) -> dict[str, object]:
    """The options with the commit of a processor that is the checkpoint's own."""
    return {key: commit if value == spec.revision else value for key, value in spec.options.items()}


def test_every_known_checkpoint_is_one_row():
    hubs = [row.hub for row in ROWS if row.hub]
    assert len(hubs) == len(set(hubs)) > 30


def test_a_name_is_evaluated_in_python_and_on_the_command_line(
    hub: Hub, llave, tiny: Folder, place: Place, tmp_path: Path
):
    """From the name to a table: settings to know the model, then weights, then vectors."""
    (tmp_path / "Model").mkdir()
    dual_files.write_clip(tmp_path / "Model")
    _put(hub, tmp_path / "Model")
    found = front.evaluate(hub.repo, tiny.data, limit=2, out=place.out, store=place.store, progress=False)
    assert {each.model for each in found} == {f"clip/{hub.repo}"}
    assert any("safetensors" in each for each in hub.requests)
    done = llave("run", hub.repo, "-d", tiny.data, "--limit", "2", *place.flags)
    assert done.code == 0
    assert f"{hub.repo} has model_type clip in config.json, so it is opened as clip/{hub.repo}." in done.err
    assert "3 results skipped because finished" in done.err
    for command in ("doctor", "embed"):
        (tmp_path / "items.jsonl").write_text('{"id": "a", "text": "b"}\n')
        more = (tmp_path / "items.jsonl", "-o", tmp_path / "v.safetensors") if command == "embed" else ()
        done = llave(command, hub.repo, *more)
        assert done.code in (0, 1)
        assert "has model_type clip" in done.err
        refused = llave(command, "ours/Nothing", *more)
        assert refused.code == 2
        assert "the hub has no such model, or it is private" in refused.err


class TestRefusals:
    def test_offline_without_the_files(self, hub: Hub, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        error = _refused("ours/Other")
        assert "HF_HUB_OFFLINE is set" in error.what
        assert "hf download ours/Other" in error.hint
        assert constants.HF_HUB_CACHE in error.hint
        for name in ("openai/clip-vit-base-patch32", "clip-vit-base-patch32"):
            assert "hf download openai/clip-vit-base-patch32" in _refused(name).hint

    def test_a_network_that_is_down(self, hub: Hub, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
        assert "the hub cannot be reached" in _refused("ours/Other").what

    def test_a_hub_that_is_down(self, hub: Hub):
        hub.status = 503
        assert "the hub answers with an error" in _refused("ours/Other").what

    def test_a_private_or_absent_repository(self, hub: Hub):
        error = _refused("ours/Nothing")
        assert "the hub has no such model, or it is private" in error.what
        assert "hf auth login" in error.hint
        assert "HF_TOKEN" in error.hint

    def test_a_gated_repository(self, hub: Hub, tmp_path: Path):
        (tmp_path / "m").mkdir()
        dual_files.write_clip(tmp_path / "m")
        _put(hub, tmp_path / "m")
        hub.gated = True
        error = _refused(hub.repo)
        assert "is gated" in error.what
        assert f"{hub.endpoint}/{hub.repo}" in error.hint
        assert "hf auth login" in error.hint

    def test_a_commit_that_is_not_there(self, hub: Hub, tmp_path: Path):
        hub.commits[COMMIT] = {"config.json": b"{}"}
        assert "no commit" in _refused(f"{hub.repo}@{'c' * 40}").what

    @pytest.mark.parametrize("kind", ["qwen2_vl", "qwen3_vl", "llava_next"])
    def test_a_base_of_several_recipes_needs_one_to_be_named(self, hub: Hub, kind: str):
        hub.commits[COMMIT] = {"config.json": json.dumps({"model_type": kind}).encode()}
        error = _refused(hub.repo)
        assert kind in error.what
        assert f"vlm/RECIPE={hub.repo}" in error.hint

    def test_an_adapter_needs_a_recipe_of_its_base(self, hub: Hub):
        config = {"base_model_name_or_path": "Qwen/Qwen2-VL-2B-Instruct"}
        hub.commits[COMMIT] = {"adapter_config.json": json.dumps(config).encode()}
        error = _refused(hub.repo)
        assert "adapter of Qwen/Qwen2-VL-2B-Instruct" in error.what
        assert "vlm2vec-qwen2-vl-2b" in error.hint
        assert "e5-v" not in error.hint

    @pytest.mark.parametrize("written", ["", "clip/"])
    def test_an_adapter_of_a_dual_encoder_is_to_be_merged_first(self, tmp_path: Path, written: str):
        dual_files.write_clip(tmp_path / "base")
        (tmp_path / "lora").mkdir()
        config = {"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "base")}
        (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps(config))
        error = _refused(f"{written}{tmp_path / 'lora'}")
        assert f"is an adapter of {tmp_path / 'base'}" in error.what
        assert "merge_and_unload" in error.hint

    def test_a_network_of_another_kind_and_a_repository_without_a_model(self, hub: Hub):
        hub.commits[COMMIT] = {"config.json": b'{"model_type": "bert"}'}
        error = _refused(hub.repo)
        assert "bert" in error.what
        assert f"sentence-transformers/{hub.repo}" in error.hint
        hub.commits = {OTHER: {"README.md": b"-"}}
        hub.main = OTHER
        assert "holds no model" in _refused(hub.repo).what

    def test_a_branch_can_move(self, hub: Hub):
        assert "no full commit" in _refused(f"{hub.repo}@main").what


def test_what_is_looked_at_is_among_the_settings():
    """Else a cache that was filled to look could be taken for one with all settings."""
    assert "*.json" in SETTINGS
