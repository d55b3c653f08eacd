"""Adapters (LoRA, DoRA, PiSSA, OLoRA) of generative models, which peft merges into the weights."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UserError
from harness.models.checkpoint_files import ADAPTER_CONFIG, JsonFile, opening
from harness.models.vlm.lora_config import FROM_BASE, read_adapter_config
from harness.models.weights import account

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel

WEIGHTS = "adapter_model.safetensors"
_KEY = re.compile(
    r"(?:base_model\.model\.)?(?P<module>.+)\.(?P<part>lora_[AB]|lora_magnitude_vector)"
    r"(?:\.default)?(?P<end>\.weight|\.bias)?"
)
_PLACES = ("exclude_modules", "layers_pattern", "layers_to_transform")
_PASSED = ("fan_in_fan_out", "lora_bias", "use_dora", "use_rslora")
_CONVERT = """If it comes as adapter_model.bin, convert it in its folder, without running code:
python -c 'import torch; from safetensors.torch import save_file
w = torch.load("adapter_model.bin", map_location="cpu", weights_only=True)
save_file({k: v.clone().contiguous() for k, v in w.items()}, "adapter_model.safetensors", {"format": "pt"})'
Then name the folder."""


def with_adapter_weights(folder: Path) -> Path:
    """Returns the folder. Raises UserError unless it has the adapter's weights in safetensors."""
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder} has an adapter, but no {WEIGHTS}.", f"Copy all of the checkpoint. {_CONVERT}")
    return folder


class _Adapter(NamedTuple):
    """An adapter's tensors, by their names in peft's model of our network."""

    file: JsonFile
    tensors: Mapping[str, Tensor]
    written: Mapping[str, str]
    """The name of each module in the adapter's file, by its name in our network."""
    renamed: Sequence[tuple[str, str]]
    """The beginnings of names that the file uses, and those in our network."""


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
        import peft  # noqa: F401
    except ImportError:
        raise UserError(
            f"{folder} holds an adapter, and peft is not installed.", "pip install 'llave-bench[train]'"
        ) from None

    adapter = _read(folder, renamed)
    hint = "Compare it with the one that was released, or try another version of peft."
    with opening(folder / ADAPTER_CONFIG, "an adapter that peft can merge", hint):
        _check_places(network, adapter, renamed)
        merged = _load(network, adapter)
    return merged.eval().requires_grad_(False)


def _load(network: PreTrainedModel, adapter: _Adapter) -> PreTrainedModel:
    """Lets peft build the adapter, fills in its tensors, and merges. Raises UserError for a tensor without a place."""
    from peft import get_peft_model

    config = _peft_config(adapter)
    _check_ranks(adapter, config)
    adapted: PeftModel = get_peft_model(network, config)
    prefix = "base_model.model."
    due = {name: each for name, each in adapted.state_dict().items() if ".lora_" in name}
    given = {prefix + name: tensor for name, tensor in adapter.tensors.items()}
    misshapen = [
        f"{name} {list(tensor.shape)} instead of {list(due[name].shape)}"
        for name, tensor in given.items()
        if name in due and tensor.shape != due[name].shape
    ]
    account(adapter.file.path.parent, due.keys() - given.keys(), given.keys() - due.keys(), misshapen)
    adapted.load_state_dict(given, strict=False)
    merged: PreTrainedModel = adapted.merge_and_unload()
    return merged


def _peft_config(adapter: _Adapter) -> LoraConfig:
    """The settings for peft, with a module of our network for each in the file.

    PiSSA and OLoRA take their initial part out of the base, which peft does again. All others start from nothing here.
    """
    from peft import LoraConfig

    fields = adapter.file.fields
    start = fields.get("init_lora_weights")
    return LoraConfig(
        r=fields["r"],
        lora_alpha=fields["lora_alpha"],
        rank_pattern=_by_module(adapter, "rank_pattern"),
        alpha_pattern=_by_module(adapter, "alpha_pattern"),
        target_modules=sorted(adapter.written),
        init_lora_weights=start if start in FROM_BASE else True,
        **{key: True for key in _PASSED if fields.get(key)},
    )


def _check_ranks(adapter: _Adapter, config: LoraConfig) -> None:
    """Raises UserError for a tensor of another rank than the settings say, before peft makes room for that rank."""
    due = {name: config.rank_pattern.get(_exactly(name), config.r) for name in adapter.written}
    misshapen = [
        f"{name} of rank {list(tensor.shape)[:1]} instead of {due[module]}"
        for name, tensor in adapter.tensors.items()
        if (module := name.rpartition(".lora_A.default.weight")[0]) and tensor.shape[:1] != (due[module],)
    ]
    account(adapter.file.path.parent, [], [], misshapen)


def _exactly(name: str) -> str:
    """An expression of peft's patterns that only this module matches."""
    return f"^{re.escape(name)}"


def _by_module(adapter: _Adapter, key: str) -> dict[str, object]:
    """The values of a pattern by module of our network. Its expressions are for the names in the file."""
    from peft.utils.other import get_pattern_key

    pattern = adapter.file.fields.get(key)
    if not isinstance(pattern, dict):
        return {}
    found = {name: get_pattern_key(list(pattern), written) for name, written in adapter.written.items()}
    return {_exactly(name): pattern[match] for name, match in found.items() if match in pattern}


def _check_places(network: PreTrainedModel, adapter: _Adapter, renamed: Sequence[tuple[str, str]]) -> None:
    """Raises UserError unless the file has tensors for just the modules that the settings name."""
    from peft import LoraConfig
    from peft.tuners.tuners_utils import check_target_module_exists

    fields, folder, given = adapter.file.fields, adapter.file.path.parent, adapter.written
    places = {key: fields[key] for key in _PLACES if fields.get(key) not in (None, "", [])}
    config = LoraConfig(target_modules=fields["target_modules"], **places)

    def named(name: str) -> bool:
        return bool(check_target_module_exists(config, name))

    known = {name for name, _ in network.named_modules()}
    lacking = [
        name
        for name in known - given.keys()
        if all(map(named, _names_in_file(name, adapter.renamed) or _names_in_file(name, renamed) or [name]))
    ]
    strange = [name for name, written in given.items() if name not in known or not named(written)]
    missing, unexpected = ([f"an adapter of {name}" for name in names] for names in (lacking, strange))
    account(folder, missing, unexpected, [])
    bare = [name for name in given if getattr(network.get_submodule(name), "bias", None) is None]
    if fields.get("lora_bias") and bare:
        raise UserError(
            f"{adapter.file.path} says lora_bias = true, and {len(bare)} modules have no bias, such as {min(bare)}.",
            "The adapter's biases cannot be merged into them, so it cannot be used here.",
        )


def _names_in_file(name: str, renamed: Collection[tuple[str, str]]) -> list[str]:
    """The names that a module of our network can have in the adapter's file."""
    return [old + name.removeprefix(new) for old, new in renamed if name.startswith(new)]


def _read(folder: Path, renamed: Sequence[tuple[str, str]]) -> _Adapter:
    """Reads an adapter. Raises UserError for settings that are not understood, and for tensors of another kind."""
    from safetensors.torch import load_file

    file, path = read_adapter_config(folder), folder / WEIGHTS
    with opening(path, "a whole file of weights"):
        found: Mapping[str, Tensor] = load_file(path)
    tensors: dict[str, Tensor] = {}
    written: dict[str, str] = {}
    used, strange = [], []
    for name, match in _parsed(found):
        if match is None:
            strange.append(name)
            continue
        pair = next(((old, new) for old, new in renamed if match["module"].startswith(old)), ("", ""))
        module = pair[1] + match["module"].removeprefix(pair[0])
        place = f"{module}.{match['part']}.default{match['end'] or '.weight'}"
        if place in tensors or written.setdefault(module, match["module"]) != match["module"]:
            strange.append(name)  # a second tensor for one place
        tensors[place] = found[name]
        used += [pair] if pair in renamed and pair not in used else []
    account(folder, [], strange, [])
    return _Adapter(file, tensors, written, used)


def _parsed(names: Collection[str]) -> Iterator[tuple[str, re.Match[str] | None]]:
    return ((name, _KEY.fullmatch(name)) for name in names)
