"""Where a generative model's files lie: weights or an adapter, the adapter's base, tokenizer and image processor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.models.checkpoints import FoundCheckpoint, download, find_checkpoint
from harness.models.llave.config import JsonFile
from harness.models.vlm.lora import CONFIG, WEIGHTS, read_adapter_config, with_adapter_weights
from harness.models.vlm.options import VlmOptions
from harness.models.vlm.recipes import Recipe

_PROCESSORS = ("preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True, slots=True)
class VlmFiles:
    """`network` has the weights, and `adapter` what is merged into them, if anything."""

    network: FoundCheckpoint
    adapter: FoundCheckpoint | None
    processor: FoundCheckpoint

    @property
    def main(self) -> FoundCheckpoint:
        """What the user named."""
        return self.adapter or self.network

    @property
    def width(self) -> int | None:
        """Of the vectors, if config.json says it: some leave out what their class in transformers takes anyhow."""
        fields = JsonFile.read(self.network.folder / "config.json").fields
        text = fields.get("text_config")
        width = (text if isinstance(text, dict) else fields).get("hidden_size")
        return width if isinstance(width, int) else None


def find_files(recipe: Recipe, rest: str, options: VlmOptions) -> VlmFiles:
    """Finds everything without reading weights. `rest` is a folder or a name on the hub. Raises UserError.

    In a folder with both, the adapter counts and the weights do not: some releases have it merged into those already.
    """
    main = _find(rest)
    adapter = main if (main.folder / CONFIG).is_file() else None
    network = main if adapter is None else _base(recipe, adapter, options)
    config = JsonFile.read(network.folder / "config.json")
    if config.fields.get("model_type") != recipe.family.model_type:
        raise UserError(
            f"{config.path} has model_type {config.fields.get('model_type')!r}; {recipe.name} is a recipe for "
            f"{recipe.family.model_type!r}.",
            "Name a checkpoint of that kind, or the recipe of this one: `llave models` lists them.",
        )
    return VlmFiles(network, adapter, _processor(recipe, main, network, options))


def load_folders(files: VlmFiles) -> tuple[Path, Path | None]:
    """The folders of the network and of the adapter with their weights in them, downloaded if need be."""
    adapter = files.adapter
    if adapter is None:
        return files.network.whole(), None
    folder = adapter.folder if adapter.commit is None else download(adapter.name, adapter.commit, (CONFIG, WEIGHTS))
    with_adapter_weights(folder)  # before its base is downloaded, which is far larger
    return files.network.whole(), folder


def _find(rest: str) -> FoundCheckpoint:
    folder = Path(rest).expanduser()
    if rest and (folder / CONFIG).is_file():
        return FoundCheckpoint(folder.resolve().name, with_adapter_weights(folder), None)
    return find_checkpoint(rest, "", ())


def _base(recipe: Recipe, adapter: FoundCheckpoint, options: VlmOptions) -> FoundCheckpoint:
    named = read_adapter_config(adapter.folder).fields.get("base_model_name_or_path")
    base = options.base or recipe.base or (named if isinstance(named, str) else "")
    try:
        return find_checkpoint(base, "", ())
    except UserError as error:
        what = f"{adapter.name} is an adapter; its base model cannot be used. {error.what}"
        raise UserError(what, "Name its folder: --model-option base=FOLDER") from None


def _processor(recipe: Recipe, main: FoundCheckpoint, network: FoundCheckpoint, options: VlmOptions) -> FoundCheckpoint:
    """What the user says; what the recipe says; else what lies with the weights, or with the base."""
    elsewhere = options.processor
    if elsewhere is None and (main.commit is not None or not _has_processor(main.folder)):
        elsewhere = recipe.processor
    if elsewhere is None:
        found = main if _has_processor(main.folder) else network
    elif (folder := Path(elsewhere).expanduser()).is_dir():
        found = FoundCheckpoint(folder.resolve().name, folder, None)
    else:
        found = find_checkpoint(elsewhere, "", ())
    if not _has_processor(found.folder):
        raise UserError(
            f"{found.folder} lacks tokenizer.json or {_PROCESSORS[0]}.",
            "Copy all of the checkpoint, or name where they are: --model-option processor=FOLDER",
        )
    return found


def _has_processor(folder: Path) -> bool:
    return (folder / "tokenizer.json").is_file() and any((folder / name).is_file() for name in _PROCESSORS)
