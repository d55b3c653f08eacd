"""The settings of an adapter: every key of adapter_config.json that is understood, with its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from harness.errors import UserError
from harness.models.checkpoint_files import ADAPTER_CONFIG, JsonFile, how_to_merge, shown

FROM_BASE = ("pissa", "olora")
"""Initialisations that move a part of the base into the adapter. It can be computed from the base again."""
_PLAIN = ("gaussian", "eva", "orthogonal", "mica")
_LARGE = 1e9


def _any(_value: object) -> bool:
    return True


def _unset(value: object) -> bool:
    return value is None or value == [] or value == {}


def _off(value: object) -> bool:
    return value is False or _unset(value)


def _flag(value: object) -> bool:
    return value is None or isinstance(value, bool)


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _LARGE


def _rank(value: object) -> bool:
    return isinstance(value, int) and _positive(value)


def _names(value: object) -> bool:
    listed = isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
    return listed or (isinstance(value, str) and value not in ("", "all-linear"))


def _indices(value: object) -> bool:
    return all(type(each) is int for each in (value if isinstance(value, list) else [value]))


def _optional(rule: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: _unset(value) or rule(value)


def _pattern(rule: Callable[[object], bool]) -> Callable[[object], bool]:
    return _optional(lambda value: isinstance(value, dict) and all(map(rule, value.values())))


def _initialisation(value: object) -> bool:
    return _flag(value) or (isinstance(value, str) and value in (*_PLAIN, *FROM_BASE))


_UNDERSTOOD: Mapping[str, Callable[[object], bool]] = {
    # decide no merged weight
    **dict.fromkeys(
        (
            "auto_mapping",
            "base_model_name_or_path",
            "corda_config",
            "eva_config",
            "inference_mode",
            "lora_dropout",
            "lora_ga_config",
            "megatron_core",
            "merge_weights",
            "peft_version",
            "qalora_group_size",
            "runtime_config",
            "task_type",
        ),
        _any,
    ),
    # used
    "peft_type": lambda value: value == "LORA",
    "r": _rank,
    "lora_alpha": _positive,
    "rank_pattern": _pattern(_rank),
    "alpha_pattern": _pattern(_positive),
    "init_lora_weights": _initialisation,
    **dict.fromkeys(("fan_in_fan_out", "lora_bias", "use_dora", "use_rslora"), _flag),
    "target_modules": _names,
    "exclude_modules": _optional(_names),
    "layers_pattern": lambda value: value == "" or _optional(_names)(value),
    "layers_to_transform": _optional(_indices),
    "revision": lambda value: value is None or isinstance(value, str),
    # only understood where they are off
    "bias": lambda value: value in (None, "none"),
    **dict.fromkeys(
        (
            "alora_invocation_tokens",
            "arrow_config",
            "enable_lora",
            "ensure_weight_tying",
            "kasa_config",
            "layer_replication",
            "loftq_config",
            "megatron_config",
            "modules_to_save",
            "monteclora_config",
            "target_parameters",
            "trainable_token_indices",
            "use_bdlora",
            "use_qalora",
            "velora_config",
        ),
        _off,
    ),
}
_DUE = ("peft_type", "r", "lora_alpha", "target_modules")
_CONVERT = """It changes the base in a way that the adapter's folder does not say. Where it was trained, convert it to a
plain LoRA, and name the new folder:
model.save_pretrained("FOLDER", path_initial_model_for_weight_conversion="INITIAL")"""
_NO_MERGE = "The adapter works differently from token to token, so it has no merged weights. It cannot be used here."
_REMEDIES: Mapping[str, str] = {
    "init_lora_weights": _CONVERT,
    "alora_invocation_tokens": _NO_MERGE,
    "arrow_config": _NO_MERGE,
}


def read_adapter_config(folder: Path) -> JsonFile:
    """Reads adapter_config.json.

    Raises:
        UserError: for a key that is not known, for a value that is not understood, or for a key that is missing.
    """
    file = JsonFile.read(folder / ADAPTER_CONFIG)
    for key, value in file.fields.items():
        rule = _UNDERSTOOD.get(key, _unset)
        if not rule(value):
            raise _refused(file, key)
    for key in _DUE:
        if key not in file.fields:
            raise UserError(f"{file.path} lacks {key!r}.", "Copy or download the adapter again.")
    return file


def _refused(file: JsonFile, key: str) -> UserError:
    why = "which is not supported here" if key in _UNDERSTOOD else "and this key is not known here"
    return UserError(
        f"{file.path} says {key} = {shown(file.fields[key])}, {why}. Its weights cannot be merged without a guess.",
        _REMEDIES.get(key) or how_to_merge(file.fields.get("base_model_name_or_path"), file.path.parent),
    )
