"""Tests of every recipe against its public code's computation, written here with plain calls of transformers.

The reference uses the whole model with its LM head and all hidden states, and transformers' own processor. The prompts
are literals, and the padding side is the public code's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch.nn.functional import normalize

from harness.media.images import open_image
from harness.models.vlm.recipes import RECIPES, Recipe
from harness.types import Item
from tests.helpers import llave_files, vlm_files
from tests.helpers.vlm_files import ROLES, embed, mmeb_items, opened

folders = vlm_files.folders
one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
ROUNDING = 5e-6
VISION = "<|vision_start|><|image_pad|><|vision_end|>"
SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
ANSWER = "<|im_end|>\n<|im_start|>assistant\n"
ASK = "Represent the given image with the following question:"
FIND = "Find me an everyday image that matches the given caption:"
SHOW = "Represent the given image."
LLAMA = "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n \n"


def joined(image: str) -> tuple[str, ...]:
    return f"{image}\n{ASK} What is it?\n", f"{FIND} a dog.\n", "a dog", f"{image}\n{SHOW}\n"


def chat(system: str, user: str, end: str) -> str:
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}{ANSWER}{end}"


IN_SYSTEM = (
    chat(ASK, f"{VISION}What is it?", "<|endoftext|>"),
    chat(FIND, "a dog.", "<|endoftext|>"),
    f"{SYSTEM}a dog{ANSWER}<|endoftext|>",
    f"{SYSTEM}{VISION}{ANSWER}<|endoftext|>",
)
# The public prompt has the answer and the next turn of the assistant too; the vector is taken before them.
EMB = f"{ANSWER}<emb>.<|im_end|>\n<|im_start|>assistant\n"
ONE_WORD_CHAT = (
    f"{SYSTEM}{VISION}{ASK} What is it?\nSummarize above image and sentence in one word: {EMB}",
    f"{SYSTEM}{FIND} a dog.\nSummarize above sentence in one word: {EMB}",
    f"{SYSTEM}a dog\nSummarize above sentence in one word: {EMB}",
    f"{SYSTEM}{VISION}\nSummarize above image in one word: {EMB}",
)
REPRESENT = (
    chat(ASK, f"{VISION}What is it?", ""),
    chat(FIND, "a dog.", ""),
    chat("Represent the user's input.", "a dog", ""),
    chat(SHOW, VISION, ""),
)
ONE_WORD = (
    LLAMA.format(f"<image>\n{ASK} What is it?\nSummary above image and text in one word: "),
    LLAMA.format(f"{FIND} a dog.\nSummary above sentence in one word: "),
    LLAMA.format("a dog\nSummary above sentence in one word: "),
    LLAMA.format("<image>\nSummary above image in one word: "),
)
INSTRUCTED = (
    f"[INST] \n <instruct> {ASK} <query> What is it? \n <image> [/INST]",
    f"[INST] \n <instruct> {FIND} <query> a dog. \n [/INST]",
    "[INST]  a dog \n [/INST]",
    "[INST]  <image> [/INST]",
)
BEGUN = tuple(text.replace("<|image|>\n", "<|image|><|begin_of_text|>") for text in joined("<|image|>"))


@dataclass(frozen=True)
class Public:
    """How public code runs a model: prompts of the four items, what is done to an image, pixels, positions, pooling."""

    prompts: tuple[str, ...]
    pixels: tuple[int, int] = (0, 0)
    resize: Callable[[Image.Image], Image.Image] = lambda image: image
    flat: bool = False
    left: bool = True


def at(width: int, height: int) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.resize((width, height))


def by_size(sizes: Mapping[tuple[int, int], tuple[int, int]]) -> Callable[[Image.Image], Image.Image]:
    """What qwen_vl_utils' smart_resize gives for the two images, worked out by hand."""
    return lambda image: image.resize(sizes[image.size])


K = 28 * 28
PLAIN = joined("<|image_pad|>")
# 90x60 and 50x110: at least 4 blocks; at least 256 (from 5400 pixels, edges grow by 6.096; from 5500, by 6.041)
FIT_4 = by_size({(90, 60): (84, 56), (50, 110): (56, 112)})
FIT_256 = by_size({(90, 60): (560, 392), (50, 110): (308, 672)})
FIT_32 = by_size({(90, 60): (96, 64), (50, 110): (64, 96)})
GME = Public(IN_SYSTEM, (4 * K, 1280 * K), FIT_4, flat=True)
OPS = Public(IN_SYSTEM, (4 * K, 1280 * K), FIT_256)
LAMRA = Public(ONE_WORD_CHAT, (3136, 12845056), FIT_4)
MOCA = Public(joined(VISION), (256 * K, 1024 * K), left=False)
QWEN3 = Public(REPRESENT, (4096, 1843200), FIT_32, left=False)
HIGH = Public(PLAIN, (256 * K, 1280 * K), at(1344, 1344), flat=True)
LOW = Public(PLAIN, (4 * K, 1280 * K), flat=True)
B3 = Public(PLAIN, (4 * K, 1280 * K), flat=True)
BGE = Public(INSTRUCTED, resize=at(512, 512))
PUBLIC = {
    "vlm2vec-qwen2-vl-2b": HIGH,
    "vlm2vec-qwen2-vl-7b": HIGH,
    "vlm2vec-v2.0": LOW,
    "b3-qwen2-2b": B3,
    "b3-qwen2-7b": B3,
    "gme-qwen2-vl-2b": GME,
    "gme-qwen2-vl-7b": GME,
    "ops-mm-embedding-v1-2b": OPS,
    "ops-mm-embedding-v1-7b": OPS,
    "lamra-ret": LAMRA,
    "lamra-ret-qwen2.5-vl": LAMRA,
    "moca-qwen2.5-vl-3b": MOCA,
    "moca-qwen2.5-vl-7b": MOCA,
    "qwen3-vl-embedding-2b": QWEN3,
    "qwen3-vl-embedding-8b": QWEN3,
    "vlm2vec-llava-next": Public(joined("<image>"), resize=at(1344, 1344)),
    "unime-llava-1.6-7b": Public(joined("<image>"), resize=at(336, 336)),
    "e5-v": Public(ONE_WORD),
    "bge-vl-mllm-s1": BGE,
    "bge-vl-mllm-s2": BGE,
    "mme5-mllama-11b": Public(BEGUN, left=False),
}
SAME = {"7b", "8b", "s2"}
"""Ends of names whose recipe is that of a smaller model, so that running them again would show nothing."""


class ImagesOnly:
    """transformers' processors of the Qwen families want a video processor, which needs torchvision."""

    def __new__(cls, kind: type, **parts: object):
        def check(self, name, part):
            return None if part is None else kind.check_argument_for_proper_class(self, name, part)

        return type(kind.__name__, (kind,), {"check_argument_for_proper_class": check})(**parts)


def processor_of(kind: str, folder: Path, pixels: tuple[int, int], left: bool):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left" if left else "right")
    if kind == "mllama":
        images = transformers.MllamaImageProcessorPil.from_pretrained(folder)
        return transformers.MllamaProcessor(images, tokenizer)
    if kind == "llava_next":
        images = transformers.LlavaNextImageProcessorPil.from_pretrained(folder)
        return transformers.LlavaNextProcessor(
            images, tokenizer, 7, "default", image_token="<image>", num_additional_image_tokens=1
        )
    size = {"min_pixels": pixels[0], "max_pixels": pixels[1]}
    images = transformers.Qwen2VLImageProcessorPil.from_pretrained(folder, **size)
    names = {"qwen2_vl": "Qwen2VLProcessor", "qwen2_5_vl": "Qwen2_5_VLProcessor", "qwen3_vl": "Qwen3VLProcessor"}
    kind_ = getattr(transformers, names[kind])
    return ImagesOnly(kind_, image_processor=images, tokenizer=tokenizer, video_processor=None)


def public_vectors(recipe: Recipe, folder: Path, items: Sequence[Item]) -> np.ndarray:
    """Batches of items with an image and of items without, as public code needs them."""
    public = PUBLIC[recipe.name]
    kind = recipe.family.model_type
    processor = processor_of(kind, folder, public.pixels, public.left)
    network = transformers.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    if "<emb>" in public.prompts[0]:
        processor.tokenizer.add_tokens("<emb>")
        network.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)
    vectors = [np.empty(0)] * len(items)
    for seen in (True, False):
        chosen = [at for at, item in enumerate(items) if bool(item.media) == seen]
        images = [public.resize(open_image(items[at].media[0])) for at in chosen] if seen else None
        if kind == "mllama" and images:
            images = [[image] for image in images]
        inputs = processor(text=[public.prompts[at] for at in chosen], images=images, padding=True, return_tensors="pt")
        with torch.inference_mode():
            found = pooled(network, inputs, public, recipe, processor.tokenizer)
        for at, vector in zip(chosen, normalize(found, dim=-1).numpy(), strict=True):
            vectors[at] = vector
    return np.stack(vectors)


def pooled(network, inputs, public: Public, recipe: Recipe, tokenizer) -> torch.Tensor:
    mask = inputs["attention_mask"]
    if public.flat:
        inputs["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)[None].expand(3, -1, -1)
    if recipe.name.startswith("moca"):
        return both_ways(network, inputs)
    states = network(**inputs, output_hidden_states=True).hidden_states[-1]
    if "<emb>" in public.prompts[0]:
        answer = (inputs["input_ids"] == tokenizer.convert_tokens_to_ids("<emb>")).int().argmax(1)
        return states[torch.arange(len(states)), answer - 1]
    return states[:, -1] if public.left else states[torch.arange(len(states)), mask.sum(1) - 1]


def both_ways(network, inputs) -> torch.Tensor:
    """Every token attends to every real one, one item at a time; the mean of the last states."""
    full = torch.nn.functional.scaled_dot_product_attention

    def uncaused(query, key, value, **settings):
        return full(query, key, value, **{**settings, "is_causal": False})

    vectors = []
    patches = inputs["image_grid_thw"].prod(1).tolist() if "pixel_values" in inputs else []
    pixels = torch.split(inputs["pixel_values"], patches) if patches else []
    for row, real in enumerate(inputs["attention_mask"].bool()):
        one = {name: inputs[name][row : row + 1, real] for name in ("input_ids", "mm_token_type_ids")}
        if patches:
            one |= {"pixel_values": pixels[row], "image_grid_thw": inputs["image_grid_thw"][row : row + 1]}
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(torch.nn.functional, "scaled_dot_product_attention", uncaused)
            vectors.append(network(**one, output_hidden_states=True).hidden_states[-1][0].mean(0))
    return torch.stack(vectors)


def test_every_recipe_has_a_reference():
    assert set(PUBLIC) == {recipe.name for recipe in RECIPES}


@pytest.mark.parametrize("recipe", [each for each in RECIPES if each.name[-2:] not in SAME], ids=lambda each: each.name)
def test_vectors_are_those_of_the_public_code(recipe, folders, tmp_path):
    items, roles = list(mmeb_items(tmp_path).values()), list(ROLES.values())
    folder = folders[recipe.family.model_type]
    model = opened(f"vlm/{recipe.name}={folder}").load()
    wanted = public_vectors(recipe, folder, items)
    np.testing.assert_allclose(embed(model, items, roles), wanted, atol=ROUNDING)
    off = wanted @ wanted.T - 2 * np.eye(len(items))
    assert off.max() < 0.9999  # the items can be told apart, so that agreement means something


@pytest.mark.parametrize("recipe", [each for each in RECIPES if each.name[-2:] in SAME], ids=lambda each: each.name)
def test_a_larger_model_is_used_as_the_smaller_one_is(recipe):
    smaller = next(each for each in RECIPES if PUBLIC[each.name] is PUBLIC[recipe.name])
    names = (
        "family",
        "fit_limits",
        "pixel_limits",
        "max_length",
        "flat_positions",
        "pooling",
        "bidirectional",
        "frames",
        "native_video",
        "timestamps",
    )
    assert [getattr(recipe, name) for name in names] == [getattr(smaller, name) for name in names]
    assert recipe.prompt.func is smaller.prompt.func
    assert recipe.prompt.keywords == smaller.prompt.keywords
