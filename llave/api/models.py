"""What a user may give as a model: a name, a folder, a class, an embedder object or a handle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Protocol, TypeAlias

from harness.errors import UserError
from harness.types import ModelHandle, ModelSettings, ModelSpec, Scalar
from llave.words.answer import answering


class HasSpec(Protocol):
    """An embedder, as far as types are checked: `prepare` and `embed` may have features of any type."""

    @property
    def spec(self) -> ModelSpec:
        """What decides the model's vectors."""


Model: TypeAlias = str | Path | type | HasSpec | ModelHandle
"""A name from `llave.models()` or on the hub, a folder, a server, `package.module:Class`, a class, or an embedder."""

PAGE = "docs/add-a-model.md shows a complete one."


def _ignore(_: str) -> None:
    """Takes a note that nobody reads."""


def model_settings(
    device: str,
    dtype: str,
    seed: int,
    options: Mapping[str, Scalar] | None,
    trust_remote_code: bool,
    store: str | Path | None = None,
) -> ModelSettings:
    """The settings of a model, with options as the command line would give them."""
    given = {name: _written(value) for name, value in (options or {}).items()}
    return ModelSettings(device, dtype, seed, given, trust_remote_code, None if store is None else Path(store))


def open_models(
    given: Model | Sequence[Model], settings: ModelSettings, note: Callable[[str], None] = _ignore
) -> list[ModelHandle]:
    """A handle for each model, each name once. Raises UserError for what is no model, and for no model at all."""
    models: list[Model] = [*given] if isinstance(given, list | tuple) else [given]  # type: ignore[list-item]
    if not models:
        raise UserError("No model is named.", "Give one, such as 'classical'; `llave.models()` lists them.")
    return [
        open_one(each, settings, note) for number, each in enumerate(models) if not _is_repeat(each, models[:number])
    ]


@answering()
def open_one(model: Model, settings: ModelSettings, note: Callable[[str], None] = _ignore) -> ModelHandle:
    """A handle on a model, which is not loaded yet. `note` receives how a folder or a name was recognized.

    Raises:
        UserError: for an unknown name, for an object that is no embedder, and for settings that an object cannot take.
    """
    from harness.models import open_model
    from harness.models.custom import open_class, open_object

    match model:
        case ModelHandle():
            return model
        case str() | Path():
            return open_model(str(model), settings, note)
        case type():
            return open_class(f"{model.__module__}:{model.__qualname__}", model, settings)
    lacks = [name for name in ("spec", "prepare", "embed") if not hasattr(model, name)]
    if lacks:
        raise UserError(f"{_named(model)} is no embedder: it has no {', no '.join(lacks)}.", _advice(model))
    if changed := _changed(settings):
        raise UserError(
            f"{_named(model)} is an object, so {', '.join(changed)} cannot be set here.",
            "Make it with these settings, and leave them out; or give its class.",
        )
    return open_object(model)


def _is_repeat(model: Model, before: Sequence[Model]) -> bool:
    """Whether a model was named before. Objects are compared by identity."""
    return any(model is each or (isinstance(model, str | Path) and str(model) == str(each)) for each in before)


def _changed(settings: ModelSettings) -> list[str]:
    """Settings that differ from their defaults and would be ignored."""
    usual = ModelSettings(memory=settings.memory)
    names = [each.name for each in fields(settings)]
    return [name for name in names if getattr(settings, name) != getattr(usual, name)]


def _named(model: object) -> str:
    """What to call an object in a message."""
    return f"{type(model).__module__}.{type(model).__qualname__}"


def _advice(model: object) -> str:
    """A hint for an object that is no embedder, by the methods that it has."""
    if hasattr(model, "encode"):
        return (
            "Name the model instead, such as 'sentence-transformers/NAME-OR-FOLDER': its weights are then identified. "
            f"Or wrap it in a class with spec, prepare and embed. {PAGE}"
        )
    if callable(model):
        return f"A function says nothing of its weights. Write a class with spec, prepare and embed around it. {PAGE}"
    return f"Give a name from `llave.models()`, a folder, or an object with spec, prepare and embed. {PAGE}"


def _written(value: Scalar) -> str:
    """A value as `--model-option` would have it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
