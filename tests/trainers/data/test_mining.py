"""Hard negatives: an exact search, what is left out of it, and training that reads what it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UserError
from tests.helpers.training_files import COLOURS, Recorder, config, write_place
from trainers.data.mining import MiningRule, search, similar_groups
from trainers.data.sampler import BatchPlan
from trainers.data.training_data import load_training_data
from trainers.train import train


def unit(seed: int, *shape: int) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal(shape)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("count", "margin"), [(1, 0.0), (5, 0.1), (60, -2.0), (3, 2.0)])
def test_negatives_are_the_most_similar_wrong_targets_below_the_margin(count: int, margin: float):
    query, target = unit(0, 300, 6), unit(1, 50, 6)
    right = [{at % 50, (at * 7) % 50} for at in range(300)]
    found = search(query, target, right, MiningRule(count, margin))
    suspects = 0
    for row, (chosen, near) in enumerate(zip(found.negatives, found.nearest, strict=True)):
        scores = query[row].astype(float) @ target.T.astype(float)
        limit = min(scores[at] for at in right[row]) - margin
        wrong = [at for at in range(50) if at not in right[row]]
        suspects += sum(scores[at] > limit for at in wrong)
        assert list(chosen) == sorted((at for at in wrong if scores[at] <= limit), key=lambda at: -scores[at])[:count]
        assert list(near[:5]) == np.argsort(-scores)[:5].tolist()
    assert found.suspects == suspects


def test_ties_are_taken_in_the_order_of_the_targets():
    query, target = np.ones((1, 2), np.float32), np.array([[1, 1], [1, 0], [0, 1], [1, 0], [0, 1]], np.float32)
    found = search(query, target, [{0}], MiningRule(3, 0.0))
    assert found.negatives == [[1, 2, 3]]


@pytest.mark.parametrize("size", [1, 3, 8])
def test_each_pair_is_in_one_group_and_groups_have_similar_pairs(size: int):
    target = unit(2, 40, 4)
    near = search(target, target, [{at} for at in range(40)], MiningRule()).nearest
    groups = similar_groups(near, np.arange(40), size)
    assert set(groups) == set(range(groups.max() + 1))
    assert np.bincount(groups).max() <= size
    inside = [target[a] @ target[b] for a in range(40) for b in range(a) if groups[a] == groups[b]]
    if size > 1:
        assert np.mean(inside) > np.mean(target @ target.T) + 0.2


def test_batches_of_similar_pairs_have_whole_groups_and_every_pair_once():
    groups = [[at // 3 for at in range(30)], [at // 3 for at in range(18)]]
    plan = BatchPlan.over({"a": 30, "b": 18}, {}, batch=8, parts=1, mode="similar", seed=0, groups=groups)
    seen = [pair for step in range(plan.steps_per_epoch) for pair in plan.at(step)[0]]
    assert len(set(seen)) == len(seen) == 48
    for step in range(plan.steps_per_epoch):
        members = [(subset, groups[subset][row]) for subset, row in plan.at(step)[0]]
        assert sum(members.count(each) < 3 for each in set(members)) <= 2
    mixed = BatchPlan.over({"a": 30, "b": 18}, {}, batch=8, parts=1, mode="mixed", seed=0)
    assert [plan.at(0), plan.at(1)] != [mixed.at(0), mixed.at(1)]
    assert plan.at(6) != plan.at(0), "another epoch, another order"


def test_what_is_mined_is_trained_on(tmp_path: Path, llave):
    """The classical model sees the colours of words and pictures, so each negative has another one."""
    place, mined = write_place(tmp_path / "place"), tmp_path / "place" / "mined.jsonl"
    done = llave(
        *("mine", "classical", "--data", place / "data", "--dataset", "ask", "-o", mined, "--negatives", 2),
        *("--store", tmp_path / "store", "--margin=-2"),
    )
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in mined.read_text().splitlines()]
    assert len(lines) == 12
    for line in lines:
        names = {each["text"] for each in line["negatives"]}
        assert names == set(COLOURS) - {line["positive"]["text"]}
    made = config(place, "hard_negatives=true", "batch=6", "max_steps=1", "batches=similar", "datasets=mined")
    made = replace(made, data=str(mined), images=str(place / "data" / "images"))
    before = load_training_data(config(place, "datasets=ask", "batch=6")).sample()
    after = load_training_data(made).sample()
    assert [(pair.query, pair.target) for pair in after] == [(pair.query, pair.target) for pair in before]
    assert train(made, place / "on-mined", Recorder()).name == "checkpoint-1"


def test_batches_of_similar_pairs_need_groups(tmp_path: Path):
    place = write_place(tmp_path)
    with pytest.raises(UserError, match=r"has no group.*similar") as refused:
        load_training_data(config(place, "batches=similar"))
    assert "llave mine" in refused.value.hint
