"""Training under DeepSpeed: the weights are those of one process, and checkpoints those of any other run."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from harness.errors import UserError
from tests.helpers import llave_files, training_files
from tests.helpers.train_child import FAILED, LOST, REFUSED, UNEVEN, Sharding, in_children
from tests.helpers.training_files import config, run, same, write_place
from trainers.engine.checkpoint import checkpoints
from trainers.engine.launch import join
from trainers.engine.zero import fill_config

forget_precision = pytest.fixture(autouse=True)(training_files.forget_precision)
one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
installed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="llave-bench[deepspeed] is not installed"
)
WIDTH = 20
STAGES = [*(pytest.param(each, marks=pytest.mark.exhaustive) for each in ("zero1", "zero2")), "zero3"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return write_place(tmp_path_factory.mktemp("zero"))


@pytest.fixture(scope="module")
def alone(place: Path) -> Path:
    return run(place, "alone", *UNEVEN)


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


@installed
@pytest.mark.parametrize("stage", STAGES)
def test_it_trains_and_goes_on_as_one_process_does_with_or_without_it(place: Path, alone: Path, stage: Sharding):
    assert in_children(place, stage, UNEVEN, processes=2, kill_at=3, sharding=stage) == [-9, LOST]
    assert [each.name for each in checkpoints(place / stage)] == ["checkpoint-2"]
    shutil.copytree(place / stage, place / f"left-{stage}")
    assert in_children(place, stage, UNEVEN, processes=2, resume=True, sharding=stage) == [0, 0]
    assert same(alone, place / stage / "checkpoint-4", 2e-5)
    assert same(alone, run(place, f"left-{stage}", *UNEVEN, resume=True), 2e-5)


@installed
def test_in_16_bits_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(place: Path):
    settings = ["precision=bf16", "gradient_checkpointing=true", "lora_rank=2", "lora_dropout=0", "weight_decay=0.1"]
    assert in_children(place, "whole", settings, processes=2, sharding="zero3") == [0, 0]
    assert in_children(place, "killed", settings, processes=2, kill_at=3, sharding="zero3") == [-9, LOST]
    assert in_children(place, "killed", settings, processes=2, resume=True, sharding="zero3") == [0, 0]
    assert same(place / "whole" / "checkpoint-4", place / "killed" / "checkpoint-4")
    assert losses(place / "whole") == losses(place / "killed")
    run(place, "plain", *settings)
    assert losses(place / "whole") == pytest.approx(losses(place / "plain"), rel=0.02)


@installed
@pytest.mark.parametrize("stage", STAGES)
def test_what_is_not_finite_stops_before_it_is_saved(place: Path, stage: Sharding):
    burst = [
        "learning_rate=1e30",
        "max_grad_norm=0",
        "save_steps=1",
        "save_total_limit=9",
        "max_steps=9",
        "precision=bf16",
    ]
    assert in_children(place, f"burst-{stage}", burst, sharding=stage) == [FAILED]
    assert 0 < len(checkpoints(place / f"burst-{stage}")) < 9


@installed
def test_a_device_or_a_config_that_cannot_be_had_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch):
    assert in_children(place, "odd", ["batch=7"], processes=2, sharding="zero2") == [REFUSED, REFUSED]
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(UserError, match="launcher"):
        join(config(place))


def test_deepspeed_that_is_missing_is_named_with_its_extra(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setattr("trainers.engine.launch.find_spec", lambda name: None)
    with pytest.raises(UserError, match="DeepSpeed is not installed") as refused:
        join(config(place))
    assert "llave-bench[deepspeed]" in refused.value.hint


def made(**changes: object) -> dict[str, object]:
    """As accelerate hands it on."""
    off = {"enabled": False}
    return {"zero_optimization": {"stage": 2}, "bf16": dict(off), "fp16": dict(off), **changes}


def test_what_the_config_leaves_open_is_the_recipe(place: Path):
    zero = {"stage": 3, "reduce_bucket_size": "auto", "stage3_prefetch_bucket_size": "auto", "overlap_comm": True}
    given = made(zero_optimization=zero, train_batch_size="auto", gradient_clipping="auto")
    fill_config(given, config(place, "batch=8", "max_grad_norm=0.5", "gradient_accumulation_steps=2"), 2, WIDTH)
    assert (given["train_batch_size"], given["train_micro_batch_size_per_gpu"]) == (8, 4)
    assert (given["gradient_accumulation_steps"], given["gradient_clipping"]) == (1, 0.5)
    assert zero == {**zero, "reduce_bucket_size": 400, "stage3_prefetch_bucket_size": 360, "overlap_comm": True}
    assert given["data_types"] == {"grad_accum_dtype": "fp32"}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"train_batch_size": 16}, "train_batch_size: 16, and the recipe 8"),
        ({"gradient_accumulation_steps": 4}, "gradient_accumulation_steps: 4, and the recipe 1"),
        ({"gradient_clipping": 0.3}, r"gradient_clipping: 0\.3, and the recipe 1\.0"),
        ({"bf16": {"enabled": True}}, "enabled: True, and the recipe False"),
        ({"fp16": {"enabled": True}}, "'fp16'"),
        ({"optimizer": {"type": "Lamb"}}, "'optimizer'"),
        ({"zero_optimization": {"stage": 0}}, "stage 0"),
    ],
)
def test_what_contradicts_the_recipe_is_refused(place: Path, changes: dict[str, object], what: str):
    with pytest.raises(UserError, match=what):
        fill_config(made(**changes), config(place, "batch=8"), 2, WIDTH)
