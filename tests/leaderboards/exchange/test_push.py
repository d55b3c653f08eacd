"""`llave push` offers results to the hub when it is told to, and never else."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants, parse_eval_result_entries
from yaml import safe_load

from llave.cli.main import main
from tests.helpers.hub_server import Hub
from tests.helpers.record_values import write

REPO = "org/m"


@pytest.fixture
def hub(monkeypatch) -> Iterator[Hub]:
    with Hub(repo=REPO, kind="models") as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", running.endpoint)
        monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
        yield running


@pytest.fixture
def results(tmp_path) -> Path:
    write(tmp_path / "in", "GQA", "m", [1, 0, 0, 1])
    return tmp_path / "in"


def _push(*words: object) -> int:
    return main(["push", *map(str, words)])


def test_nothing_is_sent_unless_it_is_asked_for(hub, results, capsys):
    assert _push(results, "--repo", REPO) == 0
    said = capsys.readouterr()
    assert safe_load(said.out)[0]["value"] == 50.0
    assert "Nothing was sent" in said.err
    assert (hub.requests, hub.offered) == ([], [])


def test_a_pull_request_holds_one_file_that_the_hub_reads(hub, results, capsys):
    assert _push(results, "--repo", REPO, "--open") == 0
    assert f"{hub.endpoint}/{REPO}/discussions/7" in capsys.readouterr().out
    ((parameters, lines),) = hub.offered
    assert parameters == {"create_pr": "1"}
    header, file = lines
    assert header["value"]["summary"] == "Add 1 evaluation result of llave-bench"
    assert file["value"]["path"] == ".eval_results/llave-bench.yaml"
    (entry,) = parse_eval_result_entries(safe_load(base64.b64decode(file["value"]["content"])))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("TIGER-Lab/MMEB-eval", "GQA", 50.0)


@pytest.mark.parametrize(
    ("repo", "status", "said"),
    [("org/other", 1, "did not take the pull request"), ("a b/c", 2, "no name of a repository")],
)
def test_a_refusal_is_said_in_a_sentence(hub, results, capsys, repo, status, said):
    assert _push(results, "--repo", repo, "--open") == status
    complaint = capsys.readouterr().err
    assert said in complaint
    assert "hf_of_a_test" not in complaint
    assert hub.offered == []


def test_results_of_several_models_are_none_of_a_repository(hub, results, capsys):
    write(results, "GQA", "n", [1, 1])
    assert _push(results, "--repo", REPO) == 2
    assert "These are results of m, n" in capsys.readouterr().err
    assert _push(results, "--repo", REPO, "--model", "n") == 0
