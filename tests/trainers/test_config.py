"""Settings: recipes as published, values as written, and nonsense refused."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from tests.helpers.mmeb_files import shared
from trainers.config import FREE, TrainingConfig, differences, override, to_json
from trainers.estimate import estimate
from trainers.recipes import RECIPES, find_recipe


@pytest.fixture(scope="module")
def published() -> dict:
    return json.loads(shared("mmeb", "published_scores.json").read_text())["llave_training_setup"]


@pytest.mark.parametrize("size", ["0.5B", "2B", "7B"])
def test_the_llave_recipes_are_the_published_ones(published: dict, size: str):
    config = find_recipe(f"llave-{size.lower()}")
    assert config.lr == published["learning_rate"][f"LLaVE-{size}"]
    assert (config.batch, config.epochs, config.warmup) == (256, published["epochs"], published["warmup_ratio"])
    assert (config.alpha, config.weight_decay) == (published["alpha"], published["weight_decay"])
    assert 1 / config.scale == pytest.approx(published["temperature"])
    assert (config.cap, config.max_length) == (published["max_per_dataset"], published["max_length"])
    assert (config.frozen, config.precision, config.grid) == (("tower",), "bf16", "2x2")
    assert published["backbones"][f"LLaVE-{size}"].lower().split("-")[-1] in config.start.lower()


@pytest.mark.parametrize("name", [name for name in RECIPES if "infonce" in name])
def test_a_baseline_differs_from_its_recipe_in_alpha_alone(name: str):
    other = find_recipe(name.replace("infonce", "llave") if name != "demo-infonce" else "demo")
    assert replace(other, recipe=name, alpha=0.0) == find_recipe(name)


def test_the_llave_recipe_has_the_published_number_of_pairs():
    found = estimate(find_recipe("llave-2b"), 8)
    assert sum(found.pairs.values()) == 662_163
    assert len(found.pairs) == 20
    assert found.negatives == 31
    assert found.steps == 662_163 // 256
    # SigLIP so400m has 428 million parameters, of which a layer of 15 and a head of 16 are cut off; Qwen2.5 1.5B 1,544
    assert found.frozen == pytest.approx(428e6 - 15e6 - 16e6, rel=0.01)
    assert found.trainable == pytest.approx(1544e6 + 4e6, rel=0.01)


@pytest.mark.parametrize("name", RECIPES)
def test_a_config_survives_its_file(name: str):
    config = find_recipe(name)
    assert differences(config, json.loads(to_json(config))) == {}
    assert set(json.loads(to_json(config))) == {each.name for each in fields(TrainingConfig)}


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("lr=2e-5", "lr", 2e-5),
        ("micro_batch=none", "micro_batch", None),
        ("micro_batch=4", "micro_batch", 4),
        ("frozen=tower,projector", "frozen", ("tower", "projector")),
        ("frozen=", "frozen", ()),
        ("widths=64,128", "widths", (64, 128)),
        ("betas=0.9,0.95", "betas", (0.9, 0.95)),
        ("learn_scale=True", "learn_scale", True),
        ("weights=MSCOCO_t2i:2,A-OKVQA:0.5", "weights", {"MSCOCO_t2i": 2.0, "A-OKVQA": 0.5}),
        ("datasets=A,B", "datasets", ("A", "B")),
        ("data=a=b", "data", "a=b"),
    ],
)
def test_a_setting_is_read_as_its_kind(setting: str, name: str, value: object):
    assert getattr(override(find_recipe("llave-2b"), [setting]), name) == value


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("alfa=3", "alpha"),
        ("alpha", "name=value"),
        ("alpha=-1", "alpha is -1"),
        ("batch=x", "whole number"),
        ("batch=0", "batch is 0"),
        ("accumulate=3", "3 equal parts"),
        ("accumulate=256", "no negatives"),
        ("precision=fp64", "fp32, bf16"),
        ("learn_scale=yes", "true, false"),
        ("split=train", "diverse_instruction"),
        ("frozen=tower,projector,language", "no part of the network"),
        ("lr=inf", "lr is inf"),
        ("lr=nan", "lr is nan"),
        ("epochs=inf", "epochs is inf"),
        ("widths=8 width_weights=1,2", "1 widths have 2 weights"),
        ("widths=8 width_weights=0", "width_weights are (0.0,)"),
        ("frozen=eyes", "tower, projector, language"),
        ("warmup=1", "share of the steps"),
        ("grid=2by2", "columns x rows"),
        ("weights=A", "weights"),
        ("eval_every=300", "multiple of save_every"),
        ("betas=0.9", "two numbers"),
        ("recipe=other", "no setting"),
    ],
)
def test_nonsense_is_refused_with_a_remedy(setting: str, said: str):
    with pytest.raises(UserError) as refused:
        override(find_recipe("llave-2b"), setting.split())
    assert said in str(refused.value)
    assert refused.value.hint


def test_a_setting_is_given_once_and_a_recipe_is_known():
    with pytest.raises(UserError, match="twice"):
        override(find_recipe("demo"), ["lr=1", "lr=2"])
    with pytest.raises(UserError, match="Did you mean llave-2b"):
        find_recipe("llave-2")


@given(st.sampled_from(sorted(each.name for each in fields(TrainingConfig))))
def test_only_what_decides_no_weight_may_change_on_resuming(name: str):
    saved = json.loads(to_json(find_recipe("demo")))
    found = differences(find_recipe("demo"), {**saved, name: "other"})
    assert list(found) == ([] if name in FREE else [name])


def test_the_page_says_what_each_setting_takes():
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`(\w+)`", "".join(rows)))
    assert {each.name for each in fields(TrainingConfig)} - named == {"recipe"}
