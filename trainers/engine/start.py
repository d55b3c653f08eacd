"""What a run starts from: any model that the harness opens and that is made of modules of torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from harness.errors import UserError
from harness.models import custom, is_named, open_model
from harness.models.checkpoint_files import JsonFile
from harness.models.checkpoints import find_checkpoint
from harness.models.common import Trainable
from harness.models.llave.embedder import ALIASES
from harness.models.llave.embedder import PREFIX as LLAVE
from harness.models.vlm.embedder import PREFIX as VLM
from harness.types import ModelHandle, ModelSettings
from trainers.config import SCRATCH, TrainingConfig
from trainers.data.published import SHAPES
from trainers.engine.initial_checkpoint import open_initial_checkpoint

if TYPE_CHECKING:
    from trainers.engine.initial_checkpoint import InitialCheckpoint

FOLDER = "{folder}"
_KINDS = ("clip/", "siglip/", "siglip2/", "blip2/", "sentence-transformers/", VLM)
"""Beginnings of names of models that write checkpoints of their own kind."""
_PAGE = "docs/training.md says which models can be trained."


@dataclass(frozen=True, slots=True)
class Opening:
    """How a checkpoint of a run is opened: a model's name and its options. `{folder}` stands for the checkpoint."""

    model: str
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def record(self) -> dict[str, object]:
        """What `harness.models.open_model` reads from a checkpoint."""
        return {"model": self.model, "options": dict(self.options)}

    def open(self, folder: Path, device: str) -> ModelHandle:
        """A handle on a checkpoint. Raises UserError."""
        options = {name: value.replace(FOLDER, str(folder)) for name, value in self.options.items()}
        settings = ModelSettings("auto" if ":" in self.model else device, options=options)
        return open_model(self.model.replace(FOLDER, str(folder)), settings)


@dataclass(frozen=True, slots=True)
class Start:
    """A model that was found, before its weights are read."""

    opening: Opening
    load: Callable[[], Trainable[object]]
    """Loads the weights in fp32 on the CPU. Raises UserError for a model that cannot be trained."""


def open_start(config: TrainingConfig, template: Path) -> Start:
    """Finds the model of a config. For LLaVE, writes its files without weights to `template`. Raises UserError."""
    if is_llave(config.model):
        initial = open_initial_checkpoint(config, template)
        return Start(Opening(LLAVE + FOLDER), lambda: _llave(initial))
    if config.grid is not None:
        raise UserError(f"grid is {config.grid}, and {config.model} is no LLaVE.", "Leave grid out.")
    handle = _open(config, Opening(config.model, _options(config)))
    return Start(_opening(config, handle), lambda: _trainable(config, handle))


def is_llave(model: str) -> bool:
    """Whether a setting `model` names `scratch`, or a checkpoint in LLaVE's format. Raises UserError."""
    name = model.partition("@")[0]
    if model == SCRATCH or model.startswith(LLAVE) or name in ALIASES or (name in SHAPES and not Path(name).is_dir()):
        return True
    if is_named(model):
        return False
    config = find_checkpoint(model, check=Path).folder / "config.json"
    return config.is_file() and "mm_vision_tower" in JsonFile.read(config).fields


def _llave(initial: InitialCheckpoint) -> Trainable[object]:
    return cast("Trainable[object]", initial.embedder(initial.network()))


def _open(config: TrainingConfig, opening: Opening) -> ModelHandle:
    device, dtype = ("auto", "auto") if custom.NAME.fullmatch(config.model) else ("cpu", "float32")
    return open_model(config.model, ModelSettings(device, dtype, options=opening.options))


def _options(config: TrainingConfig) -> dict[str, str]:
    return {} if config.max_length is None else {"max_length": str(config.max_length)}


def _opening(config: TrainingConfig, handle: ModelHandle) -> Opening:
    """How checkpoints of another kind than LLaVE are opened. Raises UserError for what cannot be trained."""
    spec, options = handle.spec, _options(config)
    if custom.NAME.fullmatch(config.model):
        return Opening(config.model, {**options, "folder": FOLDER})
    kind = next((each for each in _KINDS if spec.adapter.startswith(each)), None)
    if kind is None:
        raise UserError(f"{config.model} ({spec.adapter}) cannot be trained.", _PAGE)
    recipe = f"{spec.name.removeprefix(VLM).partition('=')[0]}=" if kind == VLM else ""
    return Opening(f"{kind}{recipe}{FOLDER}", options)


def _trainable(config: TrainingConfig, handle: ModelHandle) -> Trainable[object]:
    embedder = handle.load()
    if not isinstance(embedder, Trainable):
        raise UserError(f"{config.model} cannot be trained: it has no network, forward and save.", _PAGE)
    return embedder
