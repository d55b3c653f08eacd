"""`llave.train`: from a recipe to a checkpoint, from Python."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from harness.errors import UserError
from harness.types import Scalar
from llave.words.answer import answering

Setting: TypeAlias = Scalar | Sequence[str | int | float] | Mapping[str, float]
"""A value of a training setting: as in Python, or as `--set` has it."""


def train(
    recipe: str,
    *,
    data: str | Path | None = None,
    images: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    **settings: Setting,
) -> Path:
    """Trains a model by a recipe, in this process.

    Args:
        recipe: such as `demo`, `demo-infonce`, `llave-2b`, `infonce-2b`.
        data: a folder in MMEB-train's layout, a .jsonl file of pairs, or a name on the hub; else the recipe's.
        images: the folder that image paths are relative to; found beside the data if None.
        out: where checkpoints go; `runs/RECIPE` if None.
        resume: whether to continue from the newest checkpoint in `out`, if there is one.
        progress: whether to show a progress bar.
        **settings: changes of the recipe, such as `max_steps=100`; docs/training.md lists them all.

    Returns:
        The folder of the last checkpoint, which `evaluate` takes as a model.

    Raises:
        UserError: for an unknown recipe or setting, for unusable data, and for a folder that holds another run. After
            the first step too; checkpoints until then are kept.

    Example:
        >>> import llave
        >>> checkpoint = llave.train("demo", seed=1)  # doctest: +SKIP
    """
    from llave.api.progress import shown
    from trainers.config import override
    from trainers.recipes import find_recipe

    given = {name: str(value) for name, value in (("data", data), ("images", images)) if value is not None}
    changes = [f"{name}={_written(name, value)}" for name, value in {**given, **settings}.items()]
    # an old name of a setting is warned about at the line that calls this function
    with answering():
        chosen = find_recipe(recipe)
    config = override(chosen, changes, lambda text: warnings.warn(text, FutureWarning, stacklevel=4))
    from trainers.train import train as run

    with shown(progress) as bar:
        return run(config, Path("runs", config.recipe) if out is None else Path(out), bar, resume=resume)


def _written(name: str, value: object) -> str:
    """A value as `--set` has it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ",".join(f"{key}:{each}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if not isinstance(value, str | int | float | Path):
        raise UserError(f"The setting {name} cannot be {value!r:.80}.", "Give a number, a text, or a list of them.")
    return str(value)
