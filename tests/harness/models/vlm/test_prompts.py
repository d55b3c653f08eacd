"""Tests of unusual prompts. The usual ones are literals in test_families.py."""

from __future__ import annotations

import pytest

from harness.models.vlm.family import Turn
from harness.models.vlm.recipes import RECIPES
from harness.types import MEDIA_TOKEN as M

PROMPTS = {recipe.name: recipe.prompt for recipe in RECIPES}


def prompt(name: str, text: str, instruction: str = "", *, role: str = "query", images: int = 0) -> str:
    return PROMPTS[name](Turn(instruction, text, role, ("image",) * images))


@pytest.mark.parametrize(
    ("instruction", "system"),
    [
        ("", "Represent the user's input."),
        (f"{M}\n", "Represent the user's input."),
        ("Find a cat", "Find a cat."),
        (" Find a cat? ", "Find a cat?"),
        ("找猫。", "找猫。"),
    ],
)
@pytest.mark.parametrize("role", ["query", "target"])
def test_qwen3_ends_an_instruction_that_ends_in_nothing(instruction, system, role):
    found = prompt("qwen3-vl-embedding-2b", "x", instruction, role=role)
    assert found.startswith(f"<|im_start|>system\n{system}<|im_end|>")


def test_qwen3_says_null_for_nothing():
    assert "user\nNULL<|im_end|>" in prompt("qwen3-vl-embedding-2b", "")
    assert "NULL" not in prompt("qwen3-vl-embedding-2b", "", images=1)


@pytest.mark.parametrize("name", ["gme-qwen2-vl-2b", "ops-mm-embedding-v1-2b"])
def test_a_target_has_the_default_system_text(name):
    one = prompt(name, "x", "Represent the given image.", role="target")
    assert one == prompt(name, "x", role="target") == prompt(name, "x", role="query")


@pytest.mark.parametrize("name", ["gme-qwen2-vl-2b", "lamra-ret", "e5-v", "bge-vl-mllm-s1"])
def test_a_target_that_is_only_an_instruction_keeps_it(name):
    assert "Represent it." in prompt(name, "\n", "Represent it.", role="target")
    assert "Represent it." not in prompt(name, "\n", f"{M}\nRepresent it.", role="target", images=1)


def test_bge_leaves_two_spaces_where_an_instruction_would_be():
    assert prompt("bge-vl-mllm-s1", "a dog") == "[INST] \n <instruct>  <query> a dog \n [/INST]"


@pytest.mark.parametrize("name", ["vlm2vec-v2.0", "moca-qwen2.5-vl-3b", "vlm2vec-llava-next", "mme5-mllama-11b"])
def test_an_image_without_a_place_stands_first_and_a_place_without_an_image_goes(name):
    assert prompt(name, "a dog", images=1) == prompt(name, f"{M}\na dog", images=1)
    assert prompt(name, f"a {M}dog") == prompt(name, "a dog")


def test_mme5_begins_a_text_behind_its_image():
    assert prompt("mme5-mllama-11b", "a dog") == "<|begin_of_text|>a dog"
    assert prompt("mme5-mllama-11b", "a dog", images=1) == "<|image|><|begin_of_text|>a dog"


IMAGE, VIDEO = (f"<|vision_start|><|{kind}_pad|><|vision_end|>" for kind in ("image", "video"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("vlm2vec-v2.0", f"{M} is {M}?", "<|image_pad|> is <|video_pad|>?"),
        ("vlm2vec-v2.0", f"is {M}?", "<|image_pad|>\nis <|video_pad|>?"),
        ("qwen3-vl-embedding-2b", "Same?", f"user\n{VIDEO}{IMAGE}Same?<|im_end|>"),
        (
            "lamra-ret",
            "Same?",
            f"user\n{IMAGE}{VIDEO}Same?\nSummarize above video and image and sentence in one word: ",
        ),
    ],
)
def test_a_video_and_an_image_each_have_their_token(name, text, said):
    assert said in PROMPTS[name](Turn("", text, "query", ("image", "video")))


def test_a_video_without_a_place_stands_first():
    assert PROMPTS["vlm2vec-v2.0"](Turn("", "a dog", "query", ("video",))) == "<|video_pad|> a dog"


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("images", [0, 1, 3])
def test_every_prompt_has_one_image_token_for_each_image(name, images):
    family = next(recipe.family for recipe in RECIPES if recipe.name == name)
    text = " and ".join([M] * images) + " {braces} %s"
    found = prompt(name, text, "Look:", images=images)
    assert found.count(family.image_token) == images
    assert M not in found
    assert "{braces} %s" in found
