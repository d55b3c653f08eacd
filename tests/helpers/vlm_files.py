"""Small random checkpoints of the generative families, in the files and under the names that releases have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from harness.models.vlm.embedder import open_vlm
from harness.types import MEDIA_TOKEN as M
from harness.types import Item, ModelSettings
from tests.helpers.llave_files import picture

WIDTH, INNER = 32, 48
TEXT = {
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "max_position_embeddings": 4096,
}
QWEN_TOKENS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
LLAMA_TOKENS = [
    "<|begin_of_text|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|image|>",
    "<|python_tag|>",
]
VOCABULARY = 288
MROPE = {"type": "mrope", "mrope_section": [2, 3, 3]}
QWEN_IDS = {"image_token_id": 262, "video_token_id": 263, "vision_start_token_id": 259, "vision_end_token_id": 260}
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def write_qwen2(folder: Path) -> Path:
    """Qwen2-VL, as the 2B is released: a flat config, with a tied LM head."""
    vision = {"depth": 2, "embed_dim": 16, "mlp_ratio": 2, "num_heads": 2, "in_chans": 3, "hidden_size": WIDTH}
    vision |= {"patch_size": 14, "spatial_merge_size": 2, "spatial_patch_size": 14, "temporal_patch_size": 2}
    config = {**TEXT, **QWEN_IDS, "vocab_size": VOCABULARY, "rope_theta": 1e6, "rope_scaling": MROPE}
    config |= {"tie_word_embeddings": True, "vision_config": vision, "use_sliding_window": False}
    _write(folder, "Qwen2VLForConditionalGeneration", {"model_type": "qwen2_vl", **config}, _old_qwen)
    return _write_qwen_rest(folder, patch=14)


def write_qwen25(folder: Path) -> Path:
    """Qwen2.5-VL, as released: a flat config, windows in its vision tower, a separate LM head."""
    vision = {"depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "in_chans": 3, "patch_size": 14}
    vision |= {"out_hidden_size": WIDTH, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 56}
    vision |= {"fullatt_block_indexes": [1], "tokens_per_second": 2, "hidden_act": "silu"}
    config = {**TEXT, **QWEN_IDS, "vocab_size": VOCABULARY, "rope_theta": 1e6, "rope_scaling": MROPE}
    config |= {"tie_word_embeddings": False, "vision_config": vision, "use_sliding_window": False}
    _write(folder, "Qwen2_5_VLForConditionalGeneration", {"model_type": "qwen2_5_vl", **config}, _old_qwen)
    return _write_qwen_rest(folder, patch=14)


def write_qwen3(folder: Path) -> Path:
    """Qwen3-VL-Embedding: nested configs, features of its vision tower added to several layers of the text."""
    vision = {"depth": 3, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "in_channels": 3}
    vision |= {"patch_size": 16, "out_hidden_size": WIDTH, "spatial_merge_size": 2, "temporal_patch_size": 2}
    vision |= {"num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]}
    rope = {"rope_type": "default", "mrope_interleaved": True, "mrope_section": [2, 3, 3]}
    text = {**TEXT, "model_type": "qwen3_vl_text", "head_dim": 16, "rope_theta": 5e6, "rope_scaling": rope}
    config = {**QWEN_IDS, "text_config": text | {"vocab_size": VOCABULARY}, "vision_config": vision}
    config |= {"model_type": "qwen3_vl", "tie_word_embeddings": True}
    _write(folder, "Qwen3VLForConditionalGeneration", config, lambda name: name)
    return _write_qwen_rest(folder, patch=16)


def write_llava_next(folder: Path) -> Path:
    """LLaVA-NeXT on Mistral, as released: CLIP's tower, crops of 28 pixels."""
    vision = {"model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3}
    vision |= {"num_attention_heads": 2, "image_size": 28, "patch_size": 7, "projection_dim": 8, "vocab_size": 32000}
    grids = [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]]
    text = {**TEXT, "model_type": "mistral", "vocab_size": VOCABULARY, "sliding_window": None, "rope_theta": 1e6}
    config = {"model_type": "llava_next", "text_config": text, "vision_config": vision, "image_grid_pinpoints": grids}
    config |= {"image_token_index": 257, "vision_feature_layer": -2, "vision_feature_select_strategy": "default"}
    _write(folder, "LlavaNextForConditionalGeneration", config, _old_llava)
    size = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}, "image_grid_pinpoints": grids}
    _write_json(folder / "preprocessor_config.json", {"image_processor_type": "LlavaNextImageProcessor", **size})
    return _write_tokenizer(folder, ["<s>", "<image>", "<pad>", "</s>"], begin="<s>", pad="<pad>")


def write_mllama(folder: Path) -> Path:
    """Mllama: a text model with cross-attention in one of its layers."""
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_global_layers": 1}
    vision |= {"attention_heads": 2, "image_size": 28, "patch_size": 14, "max_num_tiles": 4, "vision_output_dim": 32}
    vision |= {"intermediate_layers_indices": [0], "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1], [2, 2]]}
    vision |= {"supported_aspect_ratios": [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]]}
    text = {**TEXT, "model_type": "mllama_text_model", "vocab_size": VOCABULARY, "cross_attention_layers": [1]}
    text |= {"num_hidden_layers": 3, "rope_theta": 500000.0, "pad_token_id": 262}
    config = {"model_type": "mllama", "text_config": text, "vision_config": vision, "image_token_index": 260}
    _write(folder, "MllamaForConditionalGeneration", config, _old_mllama)
    size = {"size": {"height": 28, "width": 28}, "max_image_tiles": 4, "image_mean": CLIP_MEAN, "image_std": CLIP_STD}
    _write_json(folder / "preprocessor_config.json", {"image_processor_type": "MllamaImageProcessor", **size})
    return _write_tokenizer(folder, [*LLAMA_TOKENS, "<|pad|>"], begin="<|begin_of_text|>", pad="<|pad|>")


WRITERS: Mapping[str, Callable[[Path], Path]] = {
    "qwen2_vl": write_qwen2,
    "qwen2_5_vl": write_qwen25,
    "qwen3_vl": write_qwen3,
    "llava_next": write_llava_next,
    "mllama": write_mllama,
}


def opened(name: str, *, dtype: str = "auto", **options: str):
    """A handle on a model, on the CPU."""
    return open_vlm(name, ModelSettings("cpu", dtype, options=options))


def mmeb_items(root: Path) -> dict[str, Item]:
    """Items as the loader of MMEB gives them: image with text, text, a bare text, an image."""
    one, two = picture(root, 90, 60), picture(root, 50, 110, seed=1)
    asked = f"{M}\nRepresent the given image with the following question:"
    found = "Find me an everyday image that matches the given caption:"
    return {
        "asked": Item(" What is it?\n", (one,), asked),
        "found": Item(" a dog.\n", (), found),
        "answer": Item("a dog"),
        "image": Item("\n", (two,), f"{M}\nRepresent the given image."),
    }


ROLES = {"asked": "query", "found": "query", "answer": "target", "image": "target"}


def change_json(path: Path, **changes: object) -> None:
    """Changes keys of a JSON file; a value of `...` takes the key away."""
    fields = {**json.loads(path.read_text()), **changes}
    _write_json(path, {key: value for key, value in fields.items() if value is not ...})


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> Mapping[str, Path]:
    """One checkpoint of each family."""
    root = tmp_path_factory.mktemp("vlm")
    return {kind: write(root / kind) for kind, write in WRITERS.items()}


def _write(folder: Path, kind: str, config: Mapping[str, object], rename: Callable[[str], str]) -> None:
    """config.json, and random weights that let every input through to the output."""
    folder.mkdir(parents=True)
    _write_json(folder / "config.json", {"architectures": [kind], **config})
    network = getattr(transformers, kind)
    with torch.device("meta"):
        shapes = {
            name: each.shape
            for name, each in network(network.config_class.from_pretrained(folder)).state_dict().items()
        }
    generator = torch.Generator().manual_seed(7)
    weights = {}
    for name, shape in shapes.items():
        scale = name.endswith("weight") and ("norm" in name or "ln_" in name)
        if not (name == "lm_head.weight" and config.get("tie_word_embeddings")):
            weights[rename(name)] = torch.randn(shape, generator=generator) * 0.15 + float(scale)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _old_qwen(name: str) -> str:
    return name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")


def _old_llava(name: str) -> str:
    name = name.replace("model.vision_tower.", "vision_tower.vision_model.").replace(
        "lm_head", "language_model.lm_head"
    )
    return name.replace("model.language_model.", "language_model.model.").removeprefix("model.")


def _old_mllama(name: str) -> str:
    name = name.replace("model.language_model.", "language_model.model.").replace("lm_head", "language_model.lm_head")
    return name.removeprefix("model.")


def _write_qwen_rest(folder: Path, patch: int) -> Path:
    sizes = {"patch_size": patch, "temporal_patch_size": 2, "merge_size": 2, "min_pixels": 3136, "max_pixels": 12845056}
    values = {"image_mean": CLIP_MEAN, "image_std": CLIP_STD}
    _write_json(
        folder / "preprocessor_config.json", {"image_processor_type": "Qwen2VLImageProcessor", **sizes, **values}
    )
    return _write_tokenizer(folder, QWEN_TOKENS, begin=None, pad="<|endoftext|>")


def _write_tokenizer(folder: Path, special: list[str], begin: str | None, pad: str) -> Path:
    """Bytes and special tokens, whose ids start at 256."""
    vocabulary = {letter: at for at, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    if begin:
        around = [(begin, tokenizer.token_to_id(begin))]
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{begin} $A", special_tokens=around)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": pad, "bos_token": begin}
    _write_json(folder / "tokenizer_config.json", settings)
    return folder


def _write_json(path: Path, fields: Mapping[str, object]) -> None:
    path.write_text(json.dumps(fields))


def embed(model, items, role="query") -> np.ndarray:
    """Vectors of items that share one batch; `role` is one for all, or one for each."""
    roles = [role] * len(items) if isinstance(role, str) else role
    return model.embed([model.prepare(*each) for each in zip(items, roles, strict=True)]).numpy()
