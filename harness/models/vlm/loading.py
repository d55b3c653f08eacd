"""Finds and loads the files of a generative embedder: weights, an adapter and its base, tokenizer, image processor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UserError
from harness.models.checkpoint_files import ADAPTER_CONFIG as CONFIG
from harness.models.checkpoint_files import PROCESSORS, JsonFile, processor_file, read_image_processor
from harness.models.checkpoints import FoundCheckpoint, find_checkpoint, with_weights
from harness.models.fitting import check_ids, check_pixels, check_settings, embedding_rows
from harness.models.hub import download
from harness.models.network_config import read_network_config
from harness.models.tokenizer import PromptTokenizer
from harness.models.vlm.family import VlmFamily
from harness.models.vlm.lora import WEIGHTS, merge_adapter, with_adapter_weights
from harness.models.vlm.lora_config import read_adapter_config
from harness.models.vlm.options import VlmOptions
from harness.models.vlm.recipes import Recipe
from harness.models.vlm.video import VIDEO_TOKEN
from harness.models.weights import load_network

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from transformers import BaseImageProcessor, PreTrainedModel

_HEADS = ("lm_head.", "language_model.lm_head.")
"""Beginnings of the names of the LM head's weights, which an embedder does not need."""


@dataclass(frozen=True, slots=True)
class VlmFiles:
    """The checkpoints that make up a model. The adapter, if there is one, is merged into the network."""

    network: FoundCheckpoint
    adapter: FoundCheckpoint | None
    processor: FoundCheckpoint

    @property
    def main(self) -> FoundCheckpoint:
        """The checkpoint that the user named, and the others as what it refers to."""
        return (self.adapter or self.network).referring_to({each.folder: each for each in self._others}.values())

    @property
    def _others(self) -> list[FoundCheckpoint]:
        return [self.network, self.processor] if self.adapter else [self.processor]

    @property
    def width(self) -> int | None:
        """The width of the vectors, if config.json has it. Some files leave out the default of transformers."""
        fields = JsonFile.read(self.network.folder / "config.json").fields
        text = fields.get("text_config")
        width = (text if isinstance(text, dict) else fields).get("hidden_size")
        return width if isinstance(width, int) else None


class LoadedVlm(NamedTuple):
    """The parts of a model that is ready to embed."""

    tokenizer: PromptTokenizer
    image_processor: BaseImageProcessor
    network: PreTrainedModel


def find_files(recipe: Recipe, written: str, options: VlmOptions) -> VlmFiles:
    """Finds all checkpoints of a model without reading weights.

    In a folder with an adapter and weights only the adapter is used, because some releases have merged it into the
    weights too.

    Args:
        recipe: the model's recipe.
        written: a folder, or a name on the hub.
        options: the user's options, which can name the base and the processor.

    Raises:
        UserError: if something is missing, or if the checkpoint is not of the recipe's family.
    """
    has_adapter = (Path(written).expanduser() / CONFIG).is_file()
    check = with_adapter_weights if has_adapter else with_weights
    main = find_checkpoint(written, check=check, run_in_name=not has_adapter)
    adapter = main if (main.folder / CONFIG).is_file() else None
    network = main if adapter is None else _base(recipe, adapter, options)
    config = read_network_config(network.folder)
    if config.fields.get("model_type") != recipe.family.model_type:
        raise UserError(
            f"{config.path} has model_type {config.fields.get('model_type')!r}; {recipe.name} is a recipe for "
            f"{recipe.family.model_type!r}.",
            "Name a checkpoint of that kind, or the recipe of this one: `llave models` lists them.",
        )
    return VlmFiles(network, adapter, _processor(recipe, main, network, options))


def load_vlm(recipe: Recipe, files: VlmFiles, dtype: str, device: str) -> LoadedVlm:
    """Downloads missing weights and loads all parts. Raises UserError for a file, token or weight that does not fit."""
    import transformers

    family, processor_folder = recipe.family, files.processor.folder
    adapter = _adapter_folder(files.adapter)  # before its base is downloaded, which is far larger
    folder = files.network.weights_folder()
    tokenizer = _read_tokenizer(processor_folder, family)
    image_processor = read_image_processor(processor_folder, family.image_processor)
    network = load_network(getattr(transformers, family.network), folder, dtype, device, unused=_HEADS)
    expected = [(family.image_token, network.config.image_token_id)]
    expected += [(VIDEO_TOKEN, network.config.video_token_id)] if recipe.native_video else []
    for text, number in expected:
        if (token := tokenizer.id_of(text)) != number:
            raise UserError(
                f"{text} is token {token} in {processor_folder / 'tokenizer.json'}; "
                f"config.json of {folder} says {number}.",
                "Take tokenizer and weights from the same checkpoint.",
            )
    _check_fit(recipe, LoadedVlm(tokenizer, image_processor, network), processor_folder, folder / "config.json")
    if adapter is not None:
        network = merge_adapter(network, adapter, family.adapter_renames)
    return LoadedVlm(tokenizer, image_processor, network)


def _check_fit(recipe: Recipe, parts: LoadedVlm, processors: Path, config_path: Path) -> None:
    """Raises UserError unless tokenizer and image processor are those of the network."""
    family, processor, config = recipe.family, parts.image_processor, parts.network.config
    rows = embedding_rows(parts.network)
    assert rows is not None, "the networks of all families have one table of embeddings"
    check_ids(parts.tokenizer.tokenizer, rows, processors / "tokenizer.json", config_path)
    path = processor_file(processors)
    check_settings(family.same_settings, processor, config, path, config_path)

    def pixels(image: Image) -> Tensor:
        return family.process_images([image], processor, config, recipe.pixel_limits).tensors["pixel_values"]

    check_pixels(pixels, family.pixel_shape(config.vision_config), path, config_path)


def _adapter_folder(adapter: FoundCheckpoint | None) -> Path | None:
    if adapter is None:
        return None
    if adapter.commit is None:
        return adapter.folder
    return with_adapter_weights(download(adapter.name, adapter.commit, (CONFIG, WEIGHTS)))


def _base(recipe: Recipe, adapter: FoundCheckpoint, options: VlmOptions) -> FoundCheckpoint:
    fields = read_adapter_config(adapter.folder).fields
    named, revision = fields.get("base_model_name_or_path"), fields.get("revision")
    base = options.base or recipe.base or (named if isinstance(named, str) else "")
    if revision not in (None, "", "main") and base == named and not Path(base).expanduser().is_dir():
        base = f"{base}@{revision}"
    try:
        return find_checkpoint(base)
    except UserError as error:
        what = f"{adapter.name} is an adapter; its base model cannot be used. {error.what}"
        raise UserError(what, "Name its folder: --model-option base=FOLDER") from None


def _processor(recipe: Recipe, main: FoundCheckpoint, network: FoundCheckpoint, options: VlmOptions) -> FoundCheckpoint:
    """Finds tokenizer and image processor: the option, then the recipe, then the checkpoint, then its base."""
    elsewhere = options.processor
    if elsewhere is None and (main.commit is not None or not _has_processor(main.folder)):
        elsewhere = recipe.processor
    if elsewhere is None:
        found = main if _has_processor(main.folder) else network
    else:
        found = find_checkpoint(elsewhere, check=Path)
    if not _has_processor(found.folder):
        raise UserError(
            f"{found.folder} lacks tokenizer.json or {PROCESSORS[0]}.",
            "Copy all of the checkpoint, or name where they are: --model-option processor=FOLDER",
        )
    return found


def _has_processor(folder: Path) -> bool:
    return (folder / "tokenizer.json").is_file() and any((folder / name).is_file() for name in PROCESSORS)


def _read_tokenizer(folder: Path, family: VlmFamily) -> PromptTokenizer:
    """Loads tokenizer.json. Raises UserError if a token is missing that prompts need."""
    tokenizer = PromptTokenizer.read(folder, (*family.special_tokens, VIDEO_TOKEN))
    missing = [token for token in family.special_tokens if tokenizer.id_of(token) is None]
    if missing:
        raise UserError(
            f"The tokenizer in {folder} lacks {', '.join(missing)}.", "Take tokenizer.json from where the weights are."
        )
    return tokenizer
