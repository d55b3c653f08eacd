"""The families of dual encoders: which network, how texts are written for it, and where its vectors are taken from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from harness.models.dual.text import TextRule, as_caption, siglip_rule

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

Pixels: TypeAlias = "Mapping[str, Tensor]"
"""What an image processor of transformers gives: `pixel_values` and, of some, what goes with them."""


@dataclass(frozen=True, slots=True)
class DualFamily:
    """One architecture. `text` and `image` give vectors of one width, `(n, d)`."""

    prefixes: tuple[str, ...]
    """What stands before a folder or a name; the first is the model's name in results."""
    model_type: str
    rule: Callable[[Path], TextRule]
    """How texts are written, for the checkpoint in a folder."""
    section: str
    """Where config.json says how large the text side is."""
    usual: Mapping[str, int]
    """What transformers takes where that section is silent."""
    width: tuple[str, str, int]
    """Where config.json says how wide vectors are: section (empty: none), key, what transformers takes otherwise."""
    kind: str
    """The class in transformers."""
    eye: str
    """The image processor's class there, for checkpoints that do not name theirs."""
    text: Callable[[PreTrainedModel, Tensor, Tensor], Tensor]
    """From ids and the mask of those that are not padding."""
    image: Callable[[PreTrainedModel, Pixels], Tensor]
    full_length: bool = False
    """Texts are padded to the limit, whatever their batch: the vector is taken at the last place."""
    weights: Callable[[Path], Mapping[str, Tensor]] | None = None
    """Reads weights that have other names than transformers gives them."""


def _clip_text(network: PreTrainedModel, ids: Tensor, mask: Tensor) -> Tensor:
    """At the first end token, as its own code does; but the tokenizer's, since older config.json name another id."""
    import torch

    rows = torch.arange(len(ids), device=ids.device)
    ends = ids[rows, mask.sum(1) - 1]
    states = network.text_model(input_ids=ids, attention_mask=mask).last_hidden_state
    vectors: Tensor = network.text_projection(states[rows, (ids == ends[:, None]).int().argmax(1)])
    return vectors


def _siglip_text(network: PreTrainedModel, ids: Tensor, _mask: Tensor) -> Tensor:
    """At the last place, without a mask: the model was trained to attend to its padding."""
    vectors: Tensor = network.get_text_features(input_ids=ids).pooler_output
    return vectors


def _features(network: PreTrainedModel, pixels: Pixels) -> Tensor:
    vectors: Tensor = network.get_image_features(**pixels).pooler_output
    return vectors


def _blip2_text(network: PreTrainedModel, ids: Tensor, mask: Tensor) -> Tensor:
    """The Q-Former's first text token ([CLS]), before the projection that training contrasted."""
    states = network.qformer(
        query_embeds=network.embeddings(input_ids=ids), query_length=0, attention_mask=mask
    ).last_hidden_state
    vectors: Tensor = states[:, 0]
    return vectors


def _blip2_image(network: PreTrainedModel, pixels: Pixels) -> Tensor:
    """The first of the Q-Former's queries, before the projection; the Q-Former keeps fp32 in every dtype."""
    import torch

    seen = network.vision_model(pixels["pixel_values"]).last_hidden_state.to(network.query_tokens.dtype)
    states = network.qformer(
        query_embeds=network.query_tokens.expand(len(seen), -1, -1),
        encoder_hidden_states=seen,
        encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device),
    ).last_hidden_state
    vectors: Tensor = states[:, 0]
    return vectors


CLIP = DualFamily(
    prefixes=("clip/",),
    model_type="clip",
    rule=lambda _folder: TextRule("bos_token", "eos_token"),
    section="text_config",
    usual={"max_position_embeddings": 77, "vocab_size": 49408},
    width=("", "projection_dim", 512),
    kind="CLIPModel",
    eye="CLIPImageProcessor",
    text=_clip_text,
    image=_features,
)
SIGLIP = DualFamily(
    prefixes=("siglip/", "siglip2/"),
    model_type="siglip",
    rule=siglip_rule,
    section="text_config",
    usual={"max_position_embeddings": 64, "vocab_size": 32000},
    width=("vision_config", "hidden_size", 768),
    kind="SiglipModel",
    eye="SiglipImageProcessor",
    text=_siglip_text,
    image=_features,
    full_length=True,
)
SIGLIP2 = DualFamily(
    prefixes=("siglip2/", "siglip/"),
    model_type="siglip2",
    rule=siglip_rule,
    section="text_config",
    usual={"max_position_embeddings": 64, "vocab_size": 32000},
    width=("vision_config", "hidden_size", 768),
    kind="Siglip2Model",
    eye="Siglip2ImageProcessor",
    text=_siglip_text,
    image=_features,
    full_length=True,
)
BLIP2 = DualFamily(
    prefixes=("blip2/",),
    model_type="blip-2",
    rule=lambda _folder: TextRule("cls_token", "sep_token", as_caption, most_words=50),
    section="qformer_config",
    usual={"max_position_embeddings": 512, "vocab_size": 30522},
    width=("qformer_config", "hidden_size", 768),
    kind="Blip2ForImageTextRetrieval",
    eye="BlipImageProcessor",
    text=_blip2_text,
    image=_blip2_image,
)
FAMILIES = (CLIP, SIGLIP, SIGLIP2, BLIP2)
