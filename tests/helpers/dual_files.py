"""Small random dual encoders for tests, each in its true on-disk format, and what its vendor's code computes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from harness.models.dual.checkpoints import open_named
from harness.types import ModelSettings

TOWER = {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT = "Two (Red)  dogs: isn't it?"
LETTERS = "▁abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ!?.,'"
SPECIAL = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "<mask>": 4}


@dataclass(frozen=True, slots=True)
class Kind:
    """A family: a function that writes a checkpoint, and its vendor's vectors of texts and images."""

    write: Callable[[Path], None]
    text: Callable[[Path, str], torch.Tensor]
    """Returns the vector of a text, which is already cleaned if the tokenizer does not clean it."""
    image: Callable[[Path, Image.Image], torch.Tensor]
    clean: str
    """`TEXT`, cleaned as in the vendor's code."""


def save(model: transformers.PreTrainedModel, folder: Path) -> None:
    """Writes a network with weights large enough that every input shows in the output."""
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        parameter.data = torch.randn_like(parameter) * 0.2 + float("norm" in name and name.endswith("weight"))
    model.save_pretrained(folder)


def write_clip(folder: Path) -> None:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {letter: at for at, letter in enumerate([*letters, *(f"{each}</w>" for each in letters)])}
    special = {"<|startoftext|>": len(ids), "<|endoftext|>": len(ids) + 1}
    transformers.CLIPTokenizer(vocab={**ids, **special}, merges=[]).save_pretrained(folder)
    text = {**TOWER, "vocab_size": len(ids) + 2, "max_position_embeddings": 16}
    config = transformers.CLIPConfig(
        text_config={**text, "bos_token_id": len(ids), "eos_token_id": 2},  # as in OpenAI's own config.json
        vision_config={**TOWER, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    save(transformers.CLIPModel(config), folder)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    transformers.CLIPImageProcessorPil(**size).save_pretrained(folder)


def clip_text(folder: Path, text: str) -> torch.Tensor:
    model = transformers.CLIPModel.from_pretrained(folder)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    inputs = tokenizer([text], truncation=True, max_length=16, return_tensors="pt")
    return model.get_text_features(**inputs).pooler_output[0]


def _features(kind: type, folder: Path, image: Image.Image, processor: type) -> torch.Tensor:
    inputs = processor.from_pretrained(folder)(images=[image], return_tensors="pt")
    return kind.from_pretrained(folder).get_image_features(**inputs).pooler_output[0]


def _siglip_config(kind: type, vocabulary: int, **vision: int) -> transformers.PreTrainedConfig:
    text = {**TOWER, "vocab_size": vocabulary, "max_position_embeddings": 12, "projection_size": 32}
    return kind(text_config=text, vision_config={**TOWER, "patch_size": 8, **vision})


def write_siglip(folder: Path) -> None:
    """Writes a SigLIP whose tokenizer is a Unigram model with SigLIP's special tokens and no cleaning."""
    pieces = [("<unk>", 0.0), ("</s>", 0.0), *((letter, -4.0) for letter in LETTERS)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    names = {"unk_token": "<unk>", "eos_token": "</s>", "pad_token": "</s>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    change_json(folder / "tokenizer_config.json", tokenizer_class="SiglipTokenizer", do_lower_case=True)
    save(transformers.SiglipModel(_siglip_config(transformers.SiglipConfig, len(pieces), image_size=32)), folder)
    transformers.SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


def siglip_text(folder: Path, text: str) -> torch.Tensor:
    """Takes a clean text. The tokenizer's class in transformers is not used, because it needs sentencepiece."""
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), eos_token="</s>", pad_token="</s>"
    )
    inputs = tokenizer([text], padding="max_length", truncation=True, max_length=12, return_tensors="pt")
    model = transformers.SiglipModel.from_pretrained(folder)
    return model.get_text_features(input_ids=inputs["input_ids"]).pooler_output[0]


def _write_gemma(kind: type, folder: Path) -> int:
    ids = {**SPECIAL, **{letter: len(SPECIAL) + at for at, letter in enumerate(LETTERS)}}
    ids |= {f"<0x{byte:02X}>": len(ids) + byte for byte in range(256)}
    kind(vocab=ids, merges=[], add_bos_token=False, add_eos_token=True, padding_side="right").save_pretrained(folder)
    return len(ids)


def write_siglip2_fixed(folder: Path) -> None:
    vocabulary = _write_gemma(transformers.GemmaTokenizer, folder)
    save(transformers.SiglipModel(_siglip_config(transformers.SiglipConfig, vocabulary, image_size=32)), folder)
    transformers.SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


def write_siglip2(folder: Path) -> None:
    vocabulary = _write_gemma(transformers.Siglip2Tokenizer, folder)
    save(transformers.Siglip2Model(_siglip_config(transformers.Siglip2Config, vocabulary, num_patches=16)), folder)
    transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16).save_pretrained(folder)


def _siglip2_text(kind: type, tokenizer: type) -> Callable[[Path, str], torch.Tensor]:
    def text(folder: Path, text: str) -> torch.Tensor:
        tokens = tokenizer.from_pretrained(folder, add_bos_token=False, add_eos_token=True)
        inputs = tokens([text], padding="max_length", truncation=True, max_length=12, return_tensors="pt")
        return kind.from_pretrained(folder).get_text_features(input_ids=inputs["input_ids"]).pooler_output[0]

    return text


def write_blip2(folder: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS.lower(), *(f"##{letter}" for letter in LETTERS.lower())]
    ids = {word: at for at, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    around = [("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    former = {"vocab_size": len(ids), "max_position_embeddings": 40, "encoder_hidden_size": 32}
    config = transformers.Blip2Config(
        vision_config={**TOWER, "image_size": 32, "patch_size": 8},
        qformer_config={**TOWER, **former, "use_qformer_text_input": True},
        text_config={"model_type": "opt", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1},
        num_query_tokens=4,
        image_text_hidden_size=8,
    )
    save(transformers.Blip2ForImageTextRetrieval(config), folder)
    transformers.BlipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


def blip2_text(folder: Path, text: str) -> torch.Tensor:
    """LAVIS's `extract_features(mode="text").text_embeds[0, 0]`, by the class that transformers has for that side."""
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    inputs = tokenizer([text], truncation=True, max_length=40, return_tensors="pt")
    model = transformers.Blip2TextModelWithProjection.from_pretrained(folder)
    return model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state[0, 0]


def blip2_image(folder: Path, image: Image.Image) -> torch.Tensor:
    """LAVIS's `extract_features(mode="image").image_embeds[0, 0]`: what transformers then projects and normalises."""
    inputs = transformers.BlipImageProcessorPil.from_pretrained(folder)(images=[image], return_tensors="pt")
    model = transformers.Blip2VisionModelWithProjection.from_pretrained(folder)
    seen = []
    model.vision_projection.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(**inputs)
    return seen[0][0, 0]


def _image(kind: type, processor: type) -> Callable[[Path, Image.Image], torch.Tensor]:
    return lambda folder, image: _features(kind, folder, image, processor)


_SIGLIP_IMAGE = _image(transformers.SiglipModel, transformers.SiglipImageProcessorPil)
KINDS: Mapping[str, Kind] = {
    "clip": Kind(write_clip, clip_text, _image(transformers.CLIPModel, transformers.CLIPImageProcessorPil), TEXT),
    "siglip": Kind(write_siglip, siglip_text, _SIGLIP_IMAGE, "two red dogs isnt it"),
    "siglip2-fixed": Kind(
        write_siglip2_fixed,
        _siglip2_text(transformers.SiglipModel, transformers.GemmaTokenizer),
        _SIGLIP_IMAGE,
        TEXT.lower(),
    ),
    "siglip2": Kind(
        write_siglip2,
        _siglip2_text(transformers.Siglip2Model, transformers.Siglip2Tokenizer),
        _image(transformers.Siglip2Model, transformers.Siglip2ImageProcessorPil),
        TEXT.lower(),
    ),
    "blip2": Kind(write_blip2, blip2_text, blip2_image, "two red dogs isn't it?"),
}


def change_json(path: Path, **changes: object) -> None:
    """Changes keys of a JSON file; a value of `...` takes the key away."""
    fields = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in fields.items() if value is not ...}))


def opened(folder: Path | str, *, dtype: str = "auto", **options: str):
    """A handle on a checkpoint, on the CPU."""
    return open_named(str(folder), ModelSettings("cpu", dtype, options=options))
