"""Names to tasks and models. Other packages add theirs through entry points; nobody has to fork."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.types import Embedder, ModelSpec


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What the command line says about loading a model; `auto` leaves the choice to the adapter."""

    device: str = "auto"
    dtype: str = "auto"
    seed: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    """What `--model-option` gave. An adapter takes what it knows and refuses the rest."""
    trust_remote_code: bool = False
    """Whether code that a checkpoint brings along may run, and then only from a pinned revision."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelHandle:
    """A model that can be identified before it is loaded, so that finished work is found without loading it."""

    spec: ModelSpec
    load: Callable[[], Embedder[object]]


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One line of `llave models`. A name that ends in `/` takes the rest of what the user wrote."""

    name: str
    summary: str
    modalities: tuple[str, ...]
    open: Callable[[str, ModelSettings], ModelHandle]
    """Called with the name as the user wrote it. Raises UserError for what cannot be loaded."""
    verified: str = ""
    """How far the adapter is known to be right."""
    model_type: str = ""
    """A folder whose config.json has this `model_type` may be named as it is."""
