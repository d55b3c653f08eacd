"""The families of dual encoders: their networks, how texts are written for them, and where vectors are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from harness.models.dual.text import TextRule, as_caption, siglip_rule
from harness.models.fitting import square_pixels

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel

Pixels: TypeAlias = "Mapping[str, Tensor]"
"""The output of an image processor of transformers: `pixel_values` and, for some, further tensors."""


def _patch_pixels(vision: PreTrainedConfig) -> tuple[int, ...]:
    return (vision.num_channels * vision.patch_size**2,)


@dataclass(frozen=True, slots=True)
class DualFamily:
    """One architecture. `text` and `image` return vectors `(n, d)` of the same width."""

    prefixes: tuple[str, ...]
    """Prefixes of a folder or a name. The first one is used in results."""
    model_type: str
    text_rule: Callable[[Path], TextRule]
    """Returns how texts are written for the checkpoint in a folder."""
    text_section: str
    """The section of config.json with the sizes of the text side."""
    text_defaults: Mapping[str, int]
    """The values of transformers for keys that the section lacks."""
    width: tuple[str, str, int]
    """Where config.json has the width of vectors: section (empty: the top level), key, and default of transformers."""
    network: str
    """The network's class in transformers."""
    image_processor: str
    """The image processor's class in transformers, for checkpoints that do not name theirs."""
    text: Callable[[PreTrainedModel, Tensor, Tensor], Tensor]
    """Computes vectors from the network, ids `(n, length)` and the mask of ids that are not padding."""
    image: Callable[[PreTrainedModel, Pixels], Tensor]
    """Computes vectors from the network and pixels."""
    pixel_shape: Callable[[PreTrainedConfig], tuple[int, ...]] = square_pixels
    """The lengths of the last axes of pixels that the network takes, by its `vision_config`."""
    full_length: bool = False
    """Whether all texts are padded to the limit, because the vector is taken at the last position."""
    weights: Callable[[Path], Mapping[str, Tensor]] | None = None
    """Reads weights whose names differ from those in transformers, if they do."""


def _clip_text(network: PreTrainedModel, ids: Tensor, mask: Tensor) -> Tensor:
    """Vectors at the first end token, as in CLIP's own code.

    The id is the tokenizer's, because older files config.json name another one.
    """
    import torch

    rows = torch.arange(len(ids), device=ids.device)
    ends = ids[rows, mask.sum(1) - 1]
    states = network.text_model(input_ids=ids, attention_mask=mask).last_hidden_state
    vectors: Tensor = network.text_projection(states[rows, (ids == ends[:, None]).int().argmax(1)])
    return vectors


def _siglip_text(network: PreTrainedModel, ids: Tensor, _mask: Tensor) -> Tensor:
    """Vectors at the last position, without a mask: the model was trained to attend to its padding."""
    vectors: Tensor = network.get_text_features(input_ids=ids).pooler_output
    return vectors


def _features(network: PreTrainedModel, pixels: Pixels) -> Tensor:
    vectors: Tensor = network.get_image_features(**pixels).pooler_output
    return vectors


def _blip2_text(network: PreTrainedModel, ids: Tensor, mask: Tensor) -> Tensor:
    """The Q-Former's state of the first text token ([CLS]), before the projection of the contrastive loss."""
    states = network.qformer(
        query_embeds=network.embeddings(input_ids=ids), query_length=0, attention_mask=mask
    ).last_hidden_state
    vectors: Tensor = states[:, 0]
    return vectors


def _blip2_image(network: PreTrainedModel, pixels: Pixels) -> Tensor:
    """The state of the Q-Former's first query, before the projection. The Q-Former stays in fp32 in every dtype."""
    import torch

    features = network.vision_model(pixels["pixel_values"]).last_hidden_state.to(network.query_tokens.dtype)
    states = network.qformer(
        query_embeds=network.query_tokens.expand(len(features), -1, -1),
        encoder_hidden_states=features,
        encoder_attention_mask=torch.ones(features.shape[:2], dtype=torch.long, device=features.device),
    ).last_hidden_state
    vectors: Tensor = states[:, 0]
    return vectors


CLIP = DualFamily(
    prefixes=("clip/",),
    model_type="clip",
    text_rule=lambda _folder: TextRule("bos_token", "eos_token"),
    text_section="text_config",
    text_defaults={"max_position_embeddings": 77, "vocab_size": 49408},
    width=("", "projection_dim", 512),
    network="CLIPModel",
    image_processor="CLIPImageProcessor",
    text=_clip_text,
    image=_features,
)
SIGLIP = DualFamily(
    prefixes=("siglip/", "siglip2/"),
    model_type="siglip",
    text_rule=siglip_rule,
    text_section="text_config",
    text_defaults={"max_position_embeddings": 64, "vocab_size": 32000},
    width=("vision_config", "hidden_size", 768),
    network="SiglipModel",
    image_processor="SiglipImageProcessor",
    text=_siglip_text,
    image=_features,
    full_length=True,
)
SIGLIP2 = DualFamily(
    prefixes=("siglip2/", "siglip/"),
    model_type="siglip2",
    text_rule=siglip_rule,
    text_section="text_config",
    text_defaults={"max_position_embeddings": 64, "vocab_size": 32000},
    width=("vision_config", "hidden_size", 768),
    network="Siglip2Model",
    image_processor="Siglip2ImageProcessor",
    text=_siglip_text,
    image=_features,
    pixel_shape=_patch_pixels,
    full_length=True,
)
BLIP2 = DualFamily(
    prefixes=("blip2/",),
    model_type="blip-2",
    text_rule=lambda _folder: TextRule("cls_token", "sep_token", as_caption, most_words=50),
    text_section="qformer_config",
    text_defaults={"max_position_embeddings": 512, "vocab_size": 30522},
    width=("qformer_config", "hidden_size", 768),
    network="Blip2ForImageTextRetrieval",
    image_processor="BlipImageProcessor",
    text=_blip2_text,
    image=_blip2_image,
)
FAMILIES = (CLIP, SIGLIP, SIGLIP2, BLIP2)
