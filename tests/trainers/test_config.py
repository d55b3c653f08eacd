"""Settings: recipes as published, values as written, and nonsense refused."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.results.renamed import RENAMED
from tests.helpers.mmeb_files import shared
from trainers.config import ADDED, CHANGEABLE, TrainingConfig, differences, override, to_json
from trainers.estimate import estimate
from trainers.recipes import RECIPES, find_recipe


@pytest.fixture(scope="module")
def published() -> dict:
    return json.loads(shared("mmeb", "published_scores.json").read_text())["llave_training_setup"]


@pytest.mark.parametrize("size", ["0.5B", "2B", "7B"])
def test_the_llave_recipes_are_the_published_ones(published: dict, size: str):
    config = find_recipe(f"llave-{size.lower()}")
    assert config.learning_rate == published["learning_rate"][f"LLaVE-{size}"]
    assert (config.batch, config.num_train_epochs, config.warmup_ratio) == (
        256,
        published["epochs"],
        published["warmup_ratio"],
    )
    assert (config.alpha, config.weight_decay) == (published["alpha"], published["weight_decay"])
    assert config.temperature == published["temperature"]
    assert (config.max_rows_per_dataset, config.max_length) == (published["max_per_dataset"], published["max_length"])
    assert (config.frozen, config.precision, config.grid) == (("vision",), "bf16", "2x2")
    assert published["backbones"][f"LLaVE-{size}"].lower().split("-")[-1] in config.model.lower()


@pytest.mark.parametrize("name", [name for name in RECIPES if "infonce" in name])
def test_a_baseline_differs_from_its_recipe_in_alpha_alone(name: str):
    demo = name.startswith("demo")
    other = find_recipe(name.removesuffix("-infonce") if demo else name.replace("infonce", "llave"))
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
        ("learning_rate=2e-5", "learning_rate", 2e-5),
        ("micro_batch=none", "micro_batch", None),
        ("micro_batch=4", "micro_batch", 4),
        ("frozen=tower,projector", "frozen", ("vision", "projector")),
        ("frozen=", "frozen", ()),
        ("matryoshka_dims=64,128", "matryoshka_dims", (64, 128)),
        ("betas=0.9,0.95", "betas", (0.9, 0.95)),
        ("learn_temperature=True", "learn_temperature", True),
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
        ("alpha", "NAME=VALUE"),
        ("alpha=-1", "alpha is -1"),
        ("hardness=hard", "llave, relative, total, unstopped"),
        ("margin=inf", "margin is inf"),
        ("margin=nan", "margin is nan"),
        ("margin=x", "Write a number"),
        ("batch=x", "whole number"),
        ("batch=0", "batch is 0"),
        ("gradient_accumulation_steps=3", "3 equal parts"),
        ("gradient_accumulation_steps=256", "no negatives"),
        ("precision=fp64", "fp32, bf16"),
        ("learn_temperature=yes", "true, false"),
        ("split=train", "diverse_instruction"),
        ("frozen=vision,projector,language,head", "no part of the network"),
        ("learning_rate=inf", "learning_rate is inf"),
        ("learning_rate=nan", "learning_rate is nan"),
        ("num_train_epochs=inf", "num_train_epochs is inf"),
        ("matryoshka_dims=8 matryoshka_weights=1,2", "matryoshka_dims has 1 values and matryoshka_weights 2"),
        ("matryoshka_dims=8 matryoshka_weights=0", "matryoshka_weights are (0.0,)"),
        ("frozen=eyes", "vision, projector, language, head"),
        ("warmup_ratio=1", "share of the steps"),
        ("grid=2by2", "columns x rows"),
        ("weights=A", "weights"),
        ("eval_steps=300", "multiple of save_steps"),
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
        override(find_recipe("demo"), ["learning_rate=1", "learning_rate=2"])
    with pytest.raises(UserError, match="Did you mean llave-2b"):
        find_recipe("llave-2")


OLD = {
    "start": "scratch",
    "cap": "5",
    "accumulate": "2",
    "epochs": "2.5",
    "steps": "400",
    "scale": "20",
    "learn_scale": "true",
    "widths": "64,128",
    "width_weights": "1,2",
    "lr": "2e-5",
    "warmup": "0.5",
    "clip": "0",
    "save_every": "7",
    "keep": "3",
    "log_every": "9",
    "eval_every": "500",
    "tensorboard": "true",
}
NOW = {"scale": "0.05", "tensorboard": "tensorboard"}
"""Values that have changed with their names."""


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_is_taken_with_one_note(old: str):
    notes: list[str] = []
    recipe = find_recipe("llave-2b")
    value, new = OLD[old], RENAMED[old]
    more = ["matryoshka_dims=4,8"] if old == "width_weights" else []
    found = override(recipe, [f"{old}={value}", *more], notes.append)
    assert found == override(recipe, [f"{new}={NOW.get(old, value)}", *more])
    assert found != override(recipe, more)
    (note,) = notes
    assert note.startswith(f"{old}={value} is now {new}=")


def test_present_names_give_no_note():
    notes: list[str] = []
    override(find_recipe("demo"), ["learning_rate=1", "alpha=3"], notes.append)
    assert notes == []


@pytest.mark.parametrize("settings", [["lr=1", "learning_rate=1"], ["temperature=1", "alpha=1", "scale=1"]])
def test_a_setting_under_both_its_names_is_refused(settings: list[str]):
    with pytest.raises(UserError, match="twice, once under its old name"):
        override(find_recipe("demo"), settings)


@pytest.mark.parametrize("scale", ["0", "x", "inf", "-2", "nan"])
def test_an_old_value_that_cannot_be_used_is_refused(scale: str):
    with pytest.raises(UserError, match="temperature"):
        override(find_recipe("demo"), [f"scale={scale}"])


def test_a_file_with_old_names_is_the_same_run():
    config = find_recipe("demo")
    saved = json.loads(to_json(config))
    old = {name: saved.pop(RENAMED[name]) for name in RENAMED if name != "scale"}
    assert saved.pop("temperature") == 0.05
    assert differences(config, {**saved, **old, "scale": 20.0}) == {}
    assert differences(config, {**saved, **old, "scale": 50.0}) == {"temperature": (0.02, 0.05)}


def test_a_file_from_before_a_setting_was_added_is_the_same_run():
    config = find_recipe("demo")
    saved = {name: value for name, value in json.loads(to_json(config)).items() if name not in ADDED}
    assert differences(config, saved) == {}
    assert differences(replace(config, margin=1.0), saved) == {"margin": (0.0, 1.0)}
    assert {name: getattr(config, name) for name in ADDED} == dict(ADDED)


CHOICES = [name for name, kind in get_type_hints(TrainingConfig).items() if get_origin(kind) is Literal]


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_is_checked_however_the_config_is_made(name: str):
    assert {"hardness", "direction", "split"} <= set(CHOICES)
    with pytest.raises(UserError, match=f"{name} is 'other'") as refused:
        replace(find_recipe("demo"), **{name: "other"})
    assert str(getattr(find_recipe("demo"), name)) in refused.value.hint


@given(st.sampled_from(sorted(each.name for each in fields(TrainingConfig))))
def test_only_what_decides_no_weight_may_change_on_resuming(name: str):
    saved = json.loads(to_json(find_recipe("demo")))
    found = differences(find_recipe("demo"), {**saved, name: "other"})
    assert list(found) == ([] if name in CHANGEABLE else [name])


def test_the_page_says_what_each_setting_takes():
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`(\w+)`", "".join(rows)))
    assert {each.name for each in fields(TrainingConfig)} - named == {"recipe"}
