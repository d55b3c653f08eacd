"""LLaVE at its true shapes with random weights, and a network that works as the public code does. See README.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence

from harness.models.llave.config import LlaveConfig, read_config
from harness.models.llave.network import LlaveNetwork
from harness.models.llave.prompt import LlaveInput
from harness.models.llave.vision import Size, VisualInput, image_layout
from harness.models.tokenizer import PromptTokenizer
from trainers.data.published import SHAPES

_LANGUAGE = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
_SMALL = {**dict(zip(_LANGUAGE, (256, 1024, 4, 4, 2), strict=True)), "vocab_size": 32_000}
_SMALL_TOWER = {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 3}
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SHAPE_NAMES = ("small", "llave-0.5b", "llave-2b", "llave-7b")


def write_config(folder: Path, shape: str) -> LlaveConfig:
    """Writes the config.json of a released checkpoint's shape, or of a small one with images of the same size."""
    language = dict(zip(SHAPE_NAMES, (_SMALL, *SHAPES.values()), strict=True))[shape]
    tower = "google/siglip-so400m-patch14-384" if shape != "small" else "siglip"
    config = {
        "model_type": "llava_qwen",
        "hidden_act": "silu",
        **language,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "image_aspect_ratio": "anyres_max_9",
        "image_grid_pinpoints": "(1x1),...,(6x6)",
        "mm_patch_merge_type": "spatial_unpad",
        "mm_projector_type": "mlp2x_gelu",
        "mm_spatial_pool_mode": "bilinear",
        "mm_vision_tower": tower,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if shape == "small":
        (folder / tower).mkdir()
        seen = {"model_type": "siglip_vision_model", **_SMALL_TOWER, "image_size": 384, "patch_size": 14}
        (folder / tower / "config.json").write_text(json.dumps(seen))
    return read_config(folder)


def word_tokenizer(words: Sequence[str]) -> PromptTokenizer:
    """Returns a tokenizer with one token for each word, and LLaVE's special tokens."""
    names = dict.fromkeys((*_SPECIAL, "<unk>", *words))
    tokenizer = Tokenizer(models.WordLevel({name: at for at, name in enumerate(names)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), "isolated")]
    )
    tokenizer.add_special_tokens(list(_SPECIAL))
    return PromptTokenizer.from_fields(json.loads(tokenizer.to_str()))


def random_network(config: LlaveConfig, device: str, dtype: torch.dtype) -> LlaveNetwork:
    """Returns a network with random weights, drawn on the device. Its constants are the real ones."""
    with torch.device("meta"):
        network = LlaveNetwork(config)
    network = network.to(dtype).to_empty(device=device)
    generator = torch.Generator(device).manual_seed(0)
    for name, weight in network.named_parameters():
        if weight.dim() == 1 and name.endswith("weight"):
            nn.init.ones_(weight)
        else:
            nn.init.normal_(weight, std=0.02, generator=generator)
    _exact_rotation(network, device)
    network.tower.embeddings.position_ids = torch.arange(config.tower.side**2, device=device)[None]
    return network.eval().requires_grad_(False)


def in_dtype(network: LlaveNetwork, dtype: torch.dtype) -> LlaveNetwork:
    """Casts the weights in place. The constants of positions stay in fp32, as where a checkpoint is loaded."""
    network.to(dtype)
    _exact_rotation(network, str(network.image_newline.device))
    return network


def _exact_rotation(network: LlaveNetwork, device: str) -> None:
    network.language.rotary_emb = type(network.language.rotary_emb)(network.language.config).to(device)


class AsPublic:
    """The same weights, used as the public code uses them.

    Batches are in the order of arrival, with a mask over the padding. For every text a black image is encoded and
    dropped. The states of every layer are kept, and logits over the vocabulary are computed for every token.
    """

    def __init__(self, network: LlaveNetwork) -> None:
        self._network = network
        crops = np.zeros((2, network.tower.config.image_size, network.tower.config.image_size, 3), np.uint8)
        self._dummy = VisualInput(crops, image_layout(Size(1, 1), Size(1, 1), network.side, 9))

    def __call__(self, prompts: Sequence[LlaveInput]) -> Tensor:
        network = self._network
        rows = list(network._rows(prompts))
        if blind := [prompt for prompt in prompts if not prompt.pictures]:
            network.visual_tokens([self._dummy] * len(blind))
        lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
        padded = pad_sequence(rows, batch_first=True)
        mask = torch.arange(padded.shape[1], device=padded.device) < lengths[:, None]
        kept = network.language(
            inputs_embeds=padded, attention_mask=mask.long(), use_cache=False, output_hidden_states=True
        )
        logits = (kept.last_hidden_state @ network.language.embed_tokens.weight.T).float()
        states = kept.hidden_states[-1]
        vectors: Tensor = normalize(states[torch.arange(len(rows)), lengths - 1].float(), dim=-1)
        del logits
        return vectors


def packed(network: LlaveNetwork, prompts: Sequence[LlaveInput]) -> Tensor:
    """Embeds all prompts in one sequence without padding. A mask lets each prompt attend only to itself."""
    rows = list(network._rows(prompts))
    lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
    owner = torch.repeat_interleave(torch.arange(len(rows), device=lengths.device), lengths)
    place = torch.cat([torch.arange(len(row), device=lengths.device) for row in rows])
    seen = (owner[:, None] == owner) & (place[:, None] >= place)
    states = network.language(
        inputs_embeds=torch.cat(rows)[None], attention_mask=seen[None, None], position_ids=place[None], use_cache=False
    ).last_hidden_state[0]
    vectors: Tensor = normalize(states[torch.cumsum(lengths, 0) - 1].float(), dim=-1)
    return vectors


def useful_flops(network: LlaveNetwork, lengths: Sequence[int], crops: int) -> float:
    """Returns the multiplications and additions that the items need, without padding.

    They are 2 for each weight and token, and the two products of attention, of which a causal mask saves half.
    """
    language, tower = network.language.config, network.tower.config
    words = sum(each.numel() for name, each in network.language.named_parameters() if "embed_tokens" not in name)
    sight = sum(each.numel() for part in (network.tower, network.projector) for each in part.parameters())
    patches = network.side**2
    causal = sum(2.0 * n * n for n in lengths) * language.hidden_size * language.num_hidden_layers
    whole = 4.0 * patches**2 * tower.hidden_size * tower.num_hidden_layers * crops
    return 2.0 * words * sum(lengths) + 2.0 * sight * patches * crops + causal + whole
