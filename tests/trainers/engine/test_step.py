"""One step from files to gradients, against what the public code's own step was recorded to give."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from accelerate import Accelerator

from harness.models.llave.weights import released_name
from harness.types import MEDIA_TOKEN
from tests.helpers import llave_files
from tests.helpers.mmeb_files import shared
from tests.helpers.training_files import BASE, config, write_pairs, write_start
from trainers.config import override
from trainers.data.loader import BatchLoader, PreparedItems
from trainers.data.training_data import load_training_data
from trainers.engine.backend import AccelerateBackend
from trainers.engine.network import ready
from trainers.engine.start import open_start
from trainers.engine.step import Stepper
from trainers.loss.hardness import hardness_weighted_infonce

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)


def side(record: dict, root: Path) -> dict[str, str]:
    text = record["raw_text"].replace("<|image_1|>", MEDIA_TOKEN).replace("<image>", MEDIA_TOKEN)
    return {"text": text, **({"image": record["image"]} if record.get("image") else {})}


@pytest.mark.parametrize("alpha", [9, 0])
@pytest.mark.parametrize("micro_batch", ["none", "2"])
def test_loss_and_gradients_are_the_recorded_ones(tmp_path: Path, alpha: int, micro_batch: str):
    golden = shared("golden")
    items = {record["id"]: record for record in json.loads((golden / "items.json").read_text())}
    recorded = next(each for each in json.loads((golden / "train_step.json").read_text()) if each["alpha"] == alpha)
    pairs = [{"query": side(items[a], golden), "positive": side(items[b], golden)} for a, b in recorded["pairs"]]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    settings = [
        f"data={path}",
        f"images={golden}",
        f"model={golden / 'checkpoint'}",
        f"alpha={alpha}",
        "temperature=0.02",
    ]
    made = override(BASE, [*settings, "batch=4", "frozen=vision", f"micro_batch={micro_batch}"])

    data, embedder = load_training_data(made), open_start(made, tmp_path / "start").load()
    encoder = ready(embedder, made)
    prepared = PreparedItems(embedder, 0)
    loader = BatchLoader(data.plan, data.subsets, prepared, 0, 1, negatives=False, workers=1)
    (parts,) = loader.steps(0, 1)
    backend = AccelerateBackend(Accelerator(cpu=True), encoder, made)
    (loss,) = Stepper(made, backend, None).gradient(parts)

    assert loss == pytest.approx(recorded["loss"], abs=2e-4)
    gradients = {released_name(n): p.grad.numpy() for n, p in embedder.network.named_parameters() if p.grad is not None}
    expected = np.load(golden / "train_step_grads.npz")
    names = [name for name in expected.files if name.startswith(f"alpha{alpha}/")]
    assert {name.partition("/")[2] for name in names} == set(gradients)
    for name in names:
        ours = gradients[name.partition("/")[2]]
        theirs = expected[name][: len(ours)]
        assert np.abs(ours[: len(theirs)] - theirs).max() < 2e-4 * np.abs(theirs).max() + 1e-5, name


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ("direction=query", {"direction": "query"}),
        ("direction=target", {"direction": "target"}),
        ("false_negative_margin=0.01", {"false_negative_margin": 0.01}),
        ("matryoshka_dims=4,32", {"matryoshka_dims": (4, 32)}),
        ("matryoshka_dims=4,32 matryoshka_weights=1,5", {"matryoshka_dims": (4, 32), "matryoshka_weights": (1, 5)}),
        ("alpha=2", {"alpha": 2}),
    ],
)
def test_settings_of_the_loss_reach_it_and_change_it(tmp_path: Path, settings: str, wanted: dict[str, object]):
    write_pairs(tmp_path / "data")
    write_start(tmp_path / "begin")
    losses = []
    for given in ("", settings):
        made = config(tmp_path, "mask_duplicates=false", *given.split())
        data, embedder = load_training_data(made), open_start(made, tmp_path / "start").load()
        loader = BatchLoader(
            data.plan,
            data.subsets,
            PreparedItems(embedder, 0),
            0,
            1,
            negatives=False,
            workers=1,
        )
        (part,) = next(iter(loader.steps(0, 1)))
        stepper = Stepper(made, AccelerateBackend(Accelerator(cpu=True), ready(embedder, made), made), None)
        losses += stepper.gradient([part])
        pairs = stepper.last_pairs
    assert losses[1] == pytest.approx(
        float(hardness_weighted_infonce(pairs.query, pairs.target, **{"scale": 20, "alpha": 9, **wanted}))
    )
    assert losses[1] != pytest.approx(losses[0], rel=1e-3)
