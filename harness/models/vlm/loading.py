"""Loads what a generative model consists of: tokenizer, image processor, weights, an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UserError
from harness.models.checkpoint_files import read_tokenizer_json
from harness.models.checkpoints import load_network
from harness.models.vlm.family import VlmFamily
from harness.models.vlm.llava_next import LLAVA_NEXT, check_grids
from harness.models.vlm.lora import merge_adapter
from harness.models.vlm.recipes import Recipe
from harness.models.vlm.video import VIDEO

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import BaseImageProcessor, PreTrainedModel

_HEADS = ("lm_head.", "language_model.lm_head.")
"""Beginnings of the names of the vocabulary's head, which an embedding does not need."""


class LoadedVlm(NamedTuple):
    """A model, ready to embed."""

    tokenizer: Tokenizer
    processor: BaseImageProcessor
    network: PreTrainedModel


def load_chat(
    recipe: Recipe, processor_folder: Path, folder: Path, adapter: Path | None, dtype: str, device: str
) -> LoadedVlm:
    """Loads from folders. Raises UserError for a file, a token or a weight that is not as it should be."""
    import transformers

    family = recipe.family
    tokenizer = _read_tokenizer(processor_folder, family)
    processor = _read_processor(processor_folder, family)
    network = load_network(getattr(transformers, family.network), folder, dtype, device, unused=_HEADS)
    expected = [(family.token, network.config.image_token_id)]
    expected += [(VIDEO, network.config.video_token_id)] if recipe.film else []
    for text, number in expected:
        if (token := tokenizer.token_to_id(text)) != number:
            raise UserError(
                f"{text} is token {token} in {processor_folder}; config.json of {folder} says {number}.",
                "Take tokenizer and weights from the same checkpoint.",
            )
    if family is LLAVA_NEXT:
        check_grids(processor, network.config)
    if adapter is not None:
        network = merge_adapter(network, adapter, family.renamed)
    return LoadedVlm(tokenizer, processor, network)


def _read_tokenizer(folder: Path, family: VlmFamily) -> Tokenizer:
    """tokenizer.json as it stands. Raises UserError if a token is missing that prompts need."""
    tokenizer = read_tokenizer_json(folder)
    missing = [token for token in family.special if tokenizer.token_to_id(token) is None]
    if missing:
        raise UserError(
            f"The tokenizer in {folder} lacks {', '.join(missing)}.", "Take tokenizer.json from where the weights are."
        )
    return tokenizer


def _read_processor(folder: Path, family: VlmFamily) -> BaseImageProcessor:
    import transformers

    kind = getattr(transformers, family.processor)
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        what = f"The image processor in {folder} cannot be read: {reason}"
        raise UserError(what, "Copy or download the checkpoint again.") from None
