"""Training settings under the names that older versions gave them.

Checkpoints and results carry the settings of their run. Those that older versions wrote must still resume and compare.
"""

from __future__ import annotations

from collections.abc import Mapping

RENAMED: Mapping[str, str] = {
    "start": "model",
    "cap": "max_rows_per_dataset",
    "accumulate": "gradient_accumulation_steps",
    "epochs": "num_train_epochs",
    "steps": "max_steps",
    "scale": "temperature",
    "learn_scale": "learn_temperature",
    "widths": "matryoshka_dims",
    "width_weights": "matryoshka_weights",
    "lr": "learning_rate",
    "warmup": "warmup_ratio",
    "clip": "max_grad_norm",
    "save_every": "save_steps",
    "keep": "save_total_limit",
    "log_every": "logging_steps",
    "eval_every": "eval_steps",
    "tensorboard": "report_to",
}
"""The present name of each setting by its old name. Values stay, except those of `scale` and `tensorboard`."""
_TOWER, _VISION = "tower", "vision"
"""The former and the present name of a part of the network."""


def current_setting(name: str, value: object) -> tuple[str, object]:
    """A setting's present name and the value under it. Text stays text, and other names are returned as they are."""
    if name == "tensorboard":
        on = value is True or value == "true"
        return RENAMED[name], ("tensorboard" if on else "") if isinstance(value, str) else [name] if on else []
    if name == "frozen":
        return name, value.replace(_TOWER, _VISION) if isinstance(value, str) else _parts(value)
    return RENAMED.get(name, name), _inverse(value) if name == "scale" else value


def current_settings(settings: Mapping[str, object]) -> dict[str, object]:
    """Settings as a file holds them, under their present names and in the same order."""
    return dict(current_setting(name, value) for name, value in settings.items())


def _parts(value: object) -> object:
    return [_VISION if each == _TOWER else each for each in value] if isinstance(value, list | tuple) else value


def _inverse(value: object) -> object:
    """1 / value. Zero and what is not a number are returned as they are, for the reader of the setting to refuse."""
    try:
        number = float(value) if isinstance(value, int | float | str) else 0.0
    except ValueError:
        return value
    if not number:
        return value
    return str(1 / number) if isinstance(value, str) else 1 / number
