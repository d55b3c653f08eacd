"""What is known of the published models without their files, against other published figures about them."""

from __future__ import annotations

import json

import pytest
import torch

from harness.models.llave.network import LlaveNetwork
from tests.helpers.mmeb_files import shared
from trainers.data.published import ROUNDED, TRAIN_ROWS
from trainers.estimate import _shape
from trainers.recipes import find_recipe


@pytest.mark.parametrize(("size", "billions"), [("0.5b", 0.894), ("2b", 1.95), ("7b", 8.03)])
def test_shapes_have_the_parameters_that_the_leaderboard_lists(size: str, billions: float):
    """The 7B's count has a vocabulary head of its own, which embedding needs none of."""
    config = find_recipe(f"llave-{size}")
    shape = _shape(config)
    with torch.device("meta"):
        network = LlaveNetwork(shape)
    head = network.language.embed_tokens.weight.numel() if size == "7b" else 0
    total = head + sum(each.numel() for each in network.parameters())
    assert total / 1e9 == pytest.approx(billions, rel=0.003)


def test_rows_are_the_published_ones():
    found = json.loads(shared("mmeb", "datasets.json").read_text())
    ours = dict(TRAIN_ROWS)
    for row in found["datasets"]:
        if row["train_subset"] is None:
            continue
        mine = ours.pop(row["train_subset"])
        exact, both = row["num_train_exact_one_split"], row["num_train_rows_both_splits_hf_viewer"]
        assert (row["train_subset"] in ROUNDED) == (exact is None)
        assert mine == (exact if exact is not None else round(float(both.removesuffix("k")) * 500))
    assert ours == {}
    capped = sum(min(rows, 50_000) for rows in TRAIN_ROWS.values())
    assert capped == 662_163
