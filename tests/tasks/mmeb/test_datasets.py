"""The 36 rows, against the facts from which they were written."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from tasks.mmeb.datasets import META_TASKS, NUM_QUERIES, mmeb_tasks
from tasks.mmeb.folder import FolderSource
from tests.helpers.mmeb_files import shared

TASKS = mmeb_tasks(FolderSource(Path("nowhere")))


def test_the_counts_of_mmeb() -> None:
    assert len({task.name for task in TASKS}) == len(TASKS) == 36
    assert Counter(task.meta_task for task in TASKS) == dict(zip(META_TASKS, (10, 10, 12, 4), strict=True))
    assert Counter(task.split for task in TASKS) == {"IND": 20, "OOD": 16}
    assert "CIFAR-100" not in {task.name for task in TASKS}


def test_training_data_is_what_in_distribution_means() -> None:
    for task in TASKS:
        assert (task.train_subset is not None) == (task.split == "IND"), task.name


def test_every_fact_is_the_published_one() -> None:
    facts = json.loads(shared("mmeb", "datasets.json").read_text())["datasets"]
    assert [task.name for task in TASKS] == [fact["name"] for fact in facts]
    for task, fact in zip(TASKS, facts, strict=True):
        assert task.meta_task == fact["meta_task"].lower(), task.name
        assert task.num_queries == fact["num_test_queries"] == NUM_QUERIES, task.name
        assert task.num_candidates == fact["num_candidates_published"], task.name
        for name in (
            "split",
            "query_modality",
            "target_modality",
            "query_instruction",
            "target_instruction",
            "train_subset",
        ):
            assert getattr(task, name) == fact[name], (task.name, name)


def test_texts_that_carry_a_token_without_an_image_are_noted() -> None:
    facts = json.loads(shared("mmeb", "datasets.json").read_text())["datasets"]
    for task, fact in zip(TASKS, facts, strict=True):
        is_odd = fact["query_has_image_token"] and "image" not in fact["query_modality"]
        assert is_odd == any("dropped" in note for note in task.notes), task.name
