"""Checkpoints of all families with random weights, at a small shape and at true shapes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from harness.models.dual.checkpoints import open_named
from harness.models.llave.weights import released_name
from harness.models.vlm.embedder import open_vlm
from harness.types import ModelHandle, ModelSettings
from lib.device import usual_dtype
from lib.llave_shapes import random_network, write_config

SHAPES = ("small", "full")
WORDS = [f"{first}{second}{third}" for first in "bdgklmnprst" for second in "aeiou" for third in "dlmnrst"]
"""Words of three letters. Each is one token of CLIP's and Qwen's tokenizers, or two."""
_PROMPTS = (
    "system\nRepresent the user's input.\nuser\nassistant\nYou are a helpful assistant.\nSummarize above image and "
    "sentence in one word: Represent the given medium: "
)
_TOKENS = 1500
_QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")
_PADS = ("<|image_pad|>", "<|video_pad|>")
_SMALL = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 4}
_SMALL_TOWER = {**_SMALL, "hidden_size": 192, "intermediate_size": 512, "num_attention_heads": 3}
_SMALL_LANGUAGE = {**_SMALL, "num_key_value_heads": 2, "vocab_size": 32_000}
_LAYERS = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")


@dataclass(frozen=True, slots=True)
class FamilyShape:
    """A family: how its checkpoint is written, and how the project opens it."""

    write: Callable[[Path, str], transformers.PreTrainedConfig]
    """Writes tokenizer and image processor for a shape, and returns the configuration of its network."""
    network: str
    """The network's class in transformers."""
    prefix: str
    """What stands before a folder in a model's name."""
    open: Callable[[str, ModelSettings], ModelHandle]
    chat: bool = False
    """Whether it is a generative model."""


def write_checkpoint(family: str, shape: str, folder: Path, device: str) -> str:
    """Writes a checkpoint with random weights, drawn on the device. Returns the model's name on the command line."""
    row = FAMILIES[family]
    folder.mkdir(parents=True, exist_ok=True)
    config = row.write(folder, shape)
    torch.manual_seed(0)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(usual_dtype(device))
    try:
        with torch.device(device):
            network = getattr(transformers, row.network)(config)
    finally:
        torch.set_default_dtype(usual)
    network.save_pretrained(folder)
    return f"{row.prefix}{folder}"


def write_llave(shape: str, folder: Path, device: str) -> str:
    """Writes LLaVE with random weights in the released layout. Returns its name on the command line."""
    network = random_network(write_config(folder, shape), device, usual_dtype(device))
    _write_qwen_tokenizer(folder)
    weights = {released_name(name): tensor.contiguous() for name, tensor in network.named_parameters()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return f"llave/{folder}"


def _clip(folder: Path, shape: str) -> transformers.CLIPConfig:
    trained = _bytes_and_words(trainers.BpeTrainer(vocab_size=_TOKENS, end_of_word_suffix="</w>", show_progress=False))
    ids: dict[str, int] = dict(trained["vocab"])
    for letter in sorted(pre_tokenizers.ByteLevel.alphabet()):
        for token in (letter, f"{letter}</w>"):
            ids.setdefault(token, len(ids))
    begin, end = len(ids), len(ids) + 1
    ids |= {"<|startoftext|>": begin, "<|endoftext|>": end}
    merges = [tuple(pair) for pair in trained["merges"]]
    transformers.CLIPTokenizer(vocab=ids, merges=merges, model_max_length=77).save_pretrained(folder)
    transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224}
    ).save_pretrained(folder)
    text, tower, width = _SMALL, _SMALL_TOWER, 256
    if shape == "full":
        text = dict(zip(_LAYERS, (768, 3072, 12, 12), strict=True))
        tower, width = dict(zip(_LAYERS, (1024, 4096, 24, 16), strict=True)), 768
    return transformers.CLIPConfig(
        text_config={**text, "vocab_size": 49_408, "bos_token_id": begin, "eos_token_id": end},
        vision_config={**tower, "image_size": 224, "patch_size": 14},
        projection_dim=width,
    )


def _siglip2(folder: Path, shape: str) -> transformers.SiglipConfig:
    """The files of the fixed resolution: SigLIP's network with Gemma's tokenizer."""
    letters = sorted({*"▁\n", *"".join(WORDS), *_PROMPTS})
    names = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *letters, *(f"<0x{byte:02X}>" for byte in range(256)))
    ids = {name: at for at, name in enumerate(names)}
    ends = {"model_max_length": 64, "add_bos_token": False, "add_eos_token": True, "padding_side": "right"}
    transformers.GemmaTokenizer(vocab=ids, merges=[], **ends).save_pretrained(folder)
    transformers.SiglipImageProcessorPil(size={"height": 384, "width": 384}).save_pretrained(folder)
    text, tower, vocabulary = _SMALL_TOWER, _SMALL_TOWER, 32_000
    if shape == "full":
        text = tower = dict(zip(_LAYERS, (1152, 4304, 27, 16), strict=True))
        vocabulary = 256_000
    positions = {"max_position_embeddings": 64, "projection_size": text["hidden_size"]}
    return transformers.SiglipConfig(
        text_config={**text, **positions, "vocab_size": vocabulary},
        vision_config={**tower, "image_size": 384, "patch_size": 14},
    )


def _qwen2(folder: Path, shape: str) -> transformers.Qwen2VLConfig:
    tokens = _qwen_files(folder, patch=14)
    language, rope = _SMALL_LANGUAGE, [8, 12, 12]
    tower = {"depth": 2, "embed_dim": 192, "num_heads": 3, "mlp_ratio": 3}
    if shape == "full":
        language = {**dict(zip(_LAYERS, (1536, 8960, 28, 12), strict=True)), "num_key_value_heads": 2}
        language |= {"vocab_size": 151_936}
        tower, rope = {"depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4}, [16, 24, 24]
    scaling = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": rope}
    return transformers.Qwen2VLConfig(
        **tokens,
        text_config={**language, "rope_parameters": scaling, "max_position_embeddings": 32_768},
        vision_config={**tower, "hidden_size": language["hidden_size"], "patch_size": 14},
    )


def _qwen3(folder: Path, shape: str) -> transformers.Qwen3VLConfig:
    tokens = _qwen_files(folder, patch=16)
    language, rope, head = _SMALL_LANGUAGE, [12, 10, 10], 64
    tower = {"depth": 2, "hidden_size": 192, "intermediate_size": 512, "num_heads": 3}
    tower |= {"deepstack_visual_indexes": [0, 1]}
    if shape == "full":
        language = {**dict(zip(_LAYERS, (2048, 6144, 28, 16), strict=True)), "num_key_value_heads": 8}
        language |= {"vocab_size": 151_936}
        tower = {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16}
        tower |= {"deepstack_visual_indexes": [5, 11, 17]}
        rope, head = [24, 20, 20], 128
    scaling = {"rope_type": "default", "rope_theta": 5e6, "mrope_interleaved": True, "mrope_section": rope}
    return transformers.Qwen3VLConfig(
        **tokens,
        text_config={**language, "head_dim": head, "rope_parameters": scaling, "max_position_embeddings": 32_768},
        vision_config={**tower, "out_hidden_size": language["hidden_size"], "patch_size": 16},
    )


def _qwen_files(folder: Path, patch: int) -> Mapping[str, int]:
    """Writes Qwen's tokenizer and image processor. Returns the ids that config.json names."""
    tokenizer = _write_qwen_tokenizer(folder)
    transformers.Qwen2VLImageProcessorPil(
        patch_size=patch, temporal_patch_size=2, merge_size=2, size={"shortest_edge": 3136, "longest_edge": 12_845_056}
    ).save_pretrained(folder)
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    return dict(zip(names, map(tokenizer.token_to_id, (*_PADS, *_QWEN[3:])), strict=True))


def _write_qwen_tokenizer(folder: Path) -> Tokenizer:
    special = [*_QWEN, *_PADS]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained = _bytes_and_words(trainers.BpeTrainer(vocab_size=_TOKENS, initial_alphabet=alphabet, show_progress=False))
    tokenizer = Tokenizer(models.BPE(trained["vocab"], [tuple(pair) for pair in trained["merges"]]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=_QWEN[0]).save_pretrained(folder)
    return tokenizer


def _bytes_and_words(trainer: trainers.BpeTrainer) -> Mapping[str, list[str]]:
    """Vocabulary and merges of a tokenizer that knows the words and prompts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator([" ".join(WORDS), _PROMPTS], trainer)
    found: Mapping[str, list[str]] = json.loads(tokenizer.to_str())["model"]
    return found


FAMILIES: Mapping[str, FamilyShape] = {
    "clip": FamilyShape(_clip, "CLIPModel", "clip/", open_named),
    "siglip2": FamilyShape(_siglip2, "SiglipModel", "siglip2/", open_named),
    "qwen2-vl": FamilyShape(_qwen2, "Qwen2VLModel", "vlm/lamra-ret=", open_vlm, chat=True),
    "qwen3-vl": FamilyShape(_qwen3, "Qwen3VLModel", "vlm/qwen3-vl-embedding-2b=", open_vlm, chat=True),
}
