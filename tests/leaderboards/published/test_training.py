"""Declared training data: its names exist, every declaration has a source, and nothing else is claimed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import leaderboards.published
from harness.models import ROWS
from leaderboards.published import published_rows
from leaderboards.published.training import declared_training
from tasks.catalog import all_tasks
from tasks.suites import find_suite

CONTENT = json.loads(Path(leaderboards.published.__file__).with_name("training.json").read_text())
NAMES = {
    *(row.model for row in published_rows()),
    *(row.name.rpartition("/")[2] for row in ROWS),
    *(str(row.hub).rpartition("/")[2] for row in ROWS if row.hub),
}


def test_sets_name_tasks_that_exist_and_mmeb_train_is_the_in_distribution_part():
    sets = {each["name"]: each["tasks"] for each in CONTENT["sets"]}
    assert {task for tasks in sets.values() for task in tasks or ()} <= all_tasks().keys()
    assert set(sets["MMEB-train"]) == set(find_suite("mmeb-ind").tasks)
    assert all(each["source"] for kind in CONTENT.values() for each in kind)
    assert {name for each in CONTENT["models"] for name in each["sets"]} == sets.keys()


@pytest.mark.parametrize("pattern", [name for each in CONTENT["models"] for name in each["names"]])
def test_every_pattern_is_of_a_known_model_and_no_model_has_two(pattern):
    assert any(re.fullmatch(pattern, name.casefold()) for name in NAMES)
    for name in NAMES:
        found = [each for each in CONTENT["models"] if any(re.fullmatch(own, name.casefold()) for own in each["names"])]
        assert len(found) <= 1, name


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("zhibinlan/LLaVE-2B", "MMEB-train: 20 of 36"),
        ("vlm/gme-qwen2-vl-2b=some/folder", "M-BEIR, COCO, ImageNet, LAION: 11 of 36"),
        ("MMRet-MLLM (zero-shot)", "MegaPairs: zero-shot"),
        ("VLM2Vec-V2 (2B)", "MMEB-train, MMEB-V2 train: 20 or more of 36"),
    ],
)
def test_a_line_counts_the_tasks_of_the_suite(model, line):
    assert declared_training(model).line(find_suite("mmeb").tasks) == line


@pytest.mark.parametrize("model", ["", "classical", "mine/llave-2b-tuned", "my-vlm2vec", "checkpoint-300", "CLIP"])
def test_what_nobody_declares_stays_unknown(model):
    assert declared_training(model) is None
