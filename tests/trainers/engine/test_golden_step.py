"""A step of LLaVE's public code, through the whole network, was recorded; ours has its loss and every gradient."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from harness.models.llave.weights import released_name
from harness.types import MEDIA_TOKEN, Item, Media
from tests.helpers import llave_files
from tests.helpers.llave_files import copied, opened
from tests.helpers.mmeb_files import shared
from trainers.loss.gradcache import cached_step
from trainers.loss.hardness import hardness_weighted_infonce

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)


@pytest.fixture(scope="module")
def golden() -> Path:
    return shared("golden")


@pytest.fixture(scope="module")
def model(golden: Path, tmp_path_factory: pytest.TempPathFactory):
    return opened(copied(golden / "checkpoint", tmp_path_factory.mktemp("step") / "checkpoint")).load()


@pytest.fixture(scope="module")
def prompts(golden: Path, model):
    """By the recorded item's id."""

    def prepared(record: dict[str, str]):
        media = (Media("image", record["image"], golden),) if record.get("image") else ()
        return model.prepare(Item(record["raw_text"].replace("<|image_1|>", MEDIA_TOKEN), media), "query").data

    records = json.loads((golden / "items.json").read_text(encoding="utf-8"))
    return {each["id"]: prepared(each) for each in records if not each.get("frames")}


@pytest.mark.parametrize("alpha", [9, 0])
def test_a_cached_step_has_the_recorded_loss_and_gradients(golden: Path, model, prompts, alpha: int) -> None:
    steps = json.loads((golden / "train_step.json").read_text(encoding="utf-8"))
    (row,) = (each for each in steps if each["alpha"] == alpha)
    network = model.network.requires_grad_(True)
    network.tower.requires_grad_(False)
    network.zero_grad()
    query, target = ([prompts[name] for name in side] for side in zip(*row["pairs"], strict=True))
    loss = cached_step(
        network,
        [query[:3], query[3:]],
        [target[:1], target[1:]],
        partial(hardness_weighted_infonce, scale=row["logit_scale"], alpha=row["alpha"]),
        parameters=[each for each in network.parameters() if each.requires_grad],
    )
    assert loss.item() == pytest.approx(row["loss"], abs=1e-4)
    found = {released_name(name): each.grad for name, each in network.named_parameters() if each.grad is not None}
    assert len(found) == row["n_grad_tensors"]
    with np.load(golden / "train_step_grads.npz") as arrays:
        for name, gradient in found.items():
            expected = arrays[f"alpha{alpha}/{name}"][: len(gradient)]
            largest = np.abs(expected).max()
            np.testing.assert_allclose(gradient[: len(expected)].numpy(), expected, rtol=0, atol=1e-4 * largest + 1e-6)
