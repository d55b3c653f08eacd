"""Adapters (LoRA, DoRA) of generative models, which peft merges into the weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.models.checkpoint_files import JsonFile
from harness.models.weights import account

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_KEY = re.compile(
    r"(?:base_model\.model\.)?(?P<module>.+)\.(?P<part>lora_[AB]|lora_magnitude_vector)(?:\.default)?(?P<end>\.weight)?"
)
_NOTHING: tuple[object, ...] = (None, False, [], {})
_ACCEPTED: Mapping[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    "modules_to_save": _NOTHING,
    "rank_pattern": _NOTHING,
    "alpha_pattern": _NOTHING,
    "fan_in_fan_out": _NOTHING,
    "trainable_token_indices": _NOTHING,
    "layers_to_transform": _NOTHING,
    "exclude_modules": _NOTHING,
}
"""Settings that change what is merged, and the values that are supported."""
_CONVERT = """If it comes as adapter_model.bin, convert it in its folder, without running code:
python -c 'import torch; from safetensors.torch import save_file
w = torch.load("adapter_model.bin", map_location="cpu", weights_only=True)
save_file({k: v.clone().contiguous() for k, v in w.items()}, "adapter_model.safetensors", {"format": "pt"})'
Then name the folder."""


def read_adapter_config(folder: Path) -> JsonFile:
    """Reads adapter_config.json. Raises UserError for a kind of adapter that is not supported."""
    file = JsonFile.read(folder / CONFIG)
    for key, accepted in _ACCEPTED.items():
        if file.fields.get(key) not in accepted:
            raise file.wrong(key)
    return file


def with_adapter_weights(folder: Path) -> Path:
    """Returns the folder. Raises UserError unless it has the adapter's weights in safetensors."""
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder} has an adapter, but no {WEIGHTS}.", f"Copy all of the checkpoint. {_CONVERT}")
    return folder


def merge_adapter(network: PreTrainedModel, folder: Path, renamed: Sequence[tuple[str, str]]) -> PreTrainedModel:
    """Merges an adapter into the weights of a network.

    Args:
        network: the base model.
        folder: the adapter's folder.
        renamed: beginnings of module names in the adapter, and their names in `network`. The first match is used.

    Raises:
        UserError: if peft is not installed, or naming every weight that is missing, unexpected or misshapen.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise UserError(
            f"{folder} holds an adapter, and peft is not installed.", "pip install 'llave-bench[train]'"
        ) from None
    file = read_adapter_config(folder)
    tensors = _read(folder / WEIGHTS, renamed)
    modules = {name.rpartition(".lora_")[0] for name in tensors}
    known = {name for name, _ in network.named_modules()}
    targets = file.fields.get("target_modules")
    ends = tuple(f".{name}" for name in targets) if isinstance(targets, list) else ()
    lacking = {name for name in known if name.endswith(ends)} - modules
    missing, unexpected = ([f"an adapter of {name}" for name in names] for names in (lacking, modules - known))
    account(folder, missing, unexpected, [])
    config = LoraConfig(
        r=file.integer("r"),
        lora_alpha=file.integer("lora_alpha"),
        use_dora=bool(file.fields.get("use_dora")),
        use_rslora=bool(file.fields.get("use_rslora")),
        target_modules=sorted(modules),
    )
    adapted = get_peft_model(network, config)
    prefix = "base_model.model."
    due = {name: each for name, each in adapted.state_dict().items() if ".lora_" in name}
    given = {prefix + name: tensor for name, tensor in tensors.items()}
    misshapen = [
        f"{name} {list(tensor.shape)} instead of {list(due[name].shape)}"
        for name, tensor in given.items()
        if name in due and tensor.shape != due[name].shape
    ]
    account(folder, due.keys() - given.keys(), given.keys() - due.keys(), misshapen)
    adapted.load_state_dict(given, strict=False)
    merged: PreTrainedModel = adapted.merge_and_unload()
    return merged.eval().requires_grad_(False)


def _read(path: Path, renamed: Sequence[tuple[str, str]]) -> Mapping[str, Tensor]:
    """Reads an adapter's tensors, by their names in peft's model of our network."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found: Mapping[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        what = f"{path} is missing, cut short or damaged: {error}"
        raise UserError(what, "Copy or download the file again.") from None
    parsed = {name: _KEY.fullmatch(name) for name in found}
    account(path.parent, [], [name for name, match in parsed.items() if match is None], [])
    tensors = {}
    for name, match in parsed.items():
        assert match is not None
        begin, place = next(((old, new) for old, new in renamed if match["module"].startswith(old)), ("", ""))
        module = place + match["module"].removeprefix(begin)
        tensors[f"{module}.{match['part']}.default.weight"] = found[name]
    return tensors
