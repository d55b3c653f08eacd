"""What a checkpoint says of its training, and that it reaches the record of a result."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.models import open_model
from harness.models.checkpoints import TRAINING
from harness.results.files import load_result, write_result
from harness.types import ModelSettings
from tests.helpers.llave_files import write_checkpoint
from tests.helpers.result_values import result

NEW = {"step": 2, "recipe": "demo", "pairs": {"x": 9}, "settings": {"alpha": 0.0, "betas": [0.9, 0.98], "cap": None}}
OLD = {"step": 2, "recipe": "demo", "pairs": {"x": 9}}


@pytest.mark.parametrize("training", [NEW, OLD], ids=["with settings", "of an older version"])
def test_a_result_carries_the_record_of_training_as_it_is(training: dict[str, object], tmp_path: Path):
    folder = write_checkpoint(tmp_path / "checkpoint-2")
    (folder / TRAINING).write_text(json.dumps(training))
    about = open_model(str(folder), ModelSettings()).spec.about
    made = result("A")
    write_result(tmp_path, replace(made, model={**made.model, **about}), [])
    model = load_result(tmp_path / "A.json").model
    assert (model["step"], model["training"]) == (2, training)


def test_numbers_that_are_no_json_become_words(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "checkpoint-2")
    (folder / TRAINING).write_text(json.dumps({"step": 2, "settings": {"clip": float("inf")}}))
    about = open_model(str(folder), ModelSettings()).spec.about
    assert json.loads(json.dumps(about, allow_nan=False))["training"]["settings"] == {"clip": "Infinity"}


@pytest.mark.parametrize("text", ["{", "[1]", '"demo"'])
def test_a_damaged_record_of_training_is_named(text: str, tmp_path: Path):
    folder = write_checkpoint(tmp_path / "checkpoint-2")
    (folder / TRAINING).write_text(text)
    with pytest.raises(UserError, match=TRAINING):
        open_model(str(folder), ModelSettings())
