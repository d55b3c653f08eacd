"""A small LLaVE checkpoint in the released format, with random weights and a tokenizer of whole words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.files.tensors import write_tensors
from harness.files.writing import explain_os_errors, write_atomic
from harness.models.llave.config import MODEL_TYPE, LlaveConfig, read_config
from harness.models.llave.weights import released_name

TOWER = "siglip"
_SPECIAL, _UNKNOWN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), "<unk>"
_TEMPLATE = ("system", "user", "assistant")
_SYSTEM = "you are a helpful assistant."
_WIDTH = 128
_CONFIG: Mapping[str, object] = {
    "architectures": ["LlavaQwenForCausalLM"],
    "model_type": MODEL_TYPE,
    "hidden_act": "silu",
    "hidden_size": _WIDTH,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "image_aspect_ratio": "anyres_max_9",
    "image_grid_pinpoints": "(1x1),...,(1x1)",
    "mm_newline_position": "grid",
    "mm_patch_merge_type": "spatial_unpad",
    "mm_spatial_pool_mode": "bilinear",
    "mm_projector_type": "mlp2x_gelu",
    "mm_vision_tower": TOWER,
    "tokenizer_model_max_length": 512,
    "torch_dtype": "float32",
}
_TOWER: Mapping[str, object] = {
    "model_type": "siglip_vision_model",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 48,
    "patch_size": 12,
}


def write_scratch(folder: Path, words: Iterable[str], seed: int) -> None:
    """Writes a checkpoint with this vocabulary. The same seed gives the same weights. Raises UserError."""
    vocabulary = {word: at for at, word in enumerate((*_SPECIAL, _UNKNOWN, *sorted({*words, *_TEMPLATE})))}
    with explain_os_errors(folder):
        (folder / TOWER).mkdir(parents=True, exist_ok=True)
        _write_json(folder / "config.json", {**_CONFIG, "vocab_size": len(vocabulary)})
        _write_json(folder / TOWER / "config.json", _TOWER)
        _write_tokenizer(folder, vocabulary)
        _write_weights(folder, read_config(folder), seed)


def _write_tokenizer(folder: Path, vocabulary: Mapping[str, int]) -> None:
    """Writes a tokenizer of lower-case words and single punctuation marks. White space makes no tokens."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel(dict(vocabulary), unk_token=_UNKNOWN))
    # the system prompt is the same in all texts: without it, training takes a sixth less time
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(_SYSTEM, "")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), "isolated")]
    )
    tokenizer.add_special_tokens(list(_SPECIAL))
    write_atomic(folder / "tokenizer.json", tokenizer.to_str())
    added = {str(vocabulary[token]): {"content": token, "special": True} for token in _SPECIAL}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "added_tokens_decoder": added}
    _write_json(folder / "tokenizer_config.json", {**settings, "pad_token": _SPECIAL[0], "unk_token": _UNKNOWN})


def _write_weights(folder: Path, config: LlaveConfig, seed: int) -> None:
    import torch

    from harness.models.llave.network import LlaveNetwork

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = LlaveNetwork(config)
        torch.nn.init.normal_(network.image_newline, std=_WIDTH**-0.5)
    weights = {released_name(name): tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_tensors(folder / "model.safetensors", weights)


def _write_json(path: Path, fields: Mapping[str, object]) -> None:
    write_atomic(path, json.dumps(fields, indent=1) + "\n")
