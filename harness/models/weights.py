"""The weights of a network of transformers: counted, loaded, and accounted for by name and shape."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.encoding.oom import is_out_of_memory
from harness.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

_MAX_NAMES_SHOWN, _MAX_REASON = 5, 300
_MAX_SIZE_RATIO = 2


def count_parameters(folder: Path) -> int | None:
    """Counts the numbers in the tensors of a folder's model from the headers of its files; None if one is damaged."""
    from safetensors import SafetensorError, safe_open

    total = 0
    for file in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(file, framework="np") as tensors:
                total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
        except (SafetensorError, OSError):
            return None  # loading reports the damage
    return total or None


def load_network(
    kind: type[PreTrainedModel],
    folder: Path,
    dtype: str,
    device: str,
    *,
    unused: Sequence[str] = (),
    weights: Mapping[str, torch.Tensor] | None = None,
) -> PreTrainedModel:
    """Loads a network of the class `kind`, in evaluation mode and without gradients.

    Args:
        kind: a class of transformers.
        folder: the checkpoint's folder.
        dtype: the dtype's name in torch.
        device: the device to run on.
        unused: beginnings of names of weights that the network does not need.
        weights: used instead of the folder's weight files, if given.

    Raises:
        UserError: naming every weight that is missing, unexpected or misshapen, except for the unused ones.
    """
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    try:
        config = kind.config_class.from_pretrained(folder)
        _check_size(kind, config, folder, weights)
        network, report = kind.from_pretrained(
            folder if weights is None else None,
            config=config,
            state_dict=None if weights is None else dict(weights),
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError, StrictDataclassError) as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:_MAX_REASON]
        raise UserError(f"{folder} cannot be loaded: {reason}", "Copy or download the checkpoint again.") from error
    misshapen = [f"{name} {list(had)} instead of {list(due)}" for name, had, due in report["mismatched_keys"]]
    account(
        folder,
        report["missing_keys"],
        [name for name in report["unexpected_keys"] if not name.startswith(tuple(unused))],
        misshapen,
    )
    return network.to(device).eval().requires_grad_(False)


def account(folder: Path, missing: Collection[str], unexpected: Collection[str], misshapen: Collection[str]) -> None:
    """Raises UserError naming the weights that are not what config.json describes, if there are any."""
    refuse(folder, {"missing": sorted(missing), "unexpected": sorted(unexpected), "misshapen": sorted(misshapen)})


def refuse(folder: Path, faults: Mapping[str, Sequence[str]]) -> None:
    """Raises UserError if there is any fault. `faults` has names of weights by what is wrong with them."""
    if any(faults.values()):
        raise UserError(
            f"The weights in {folder} are not those that its config.json describes. "
            + " ".join(f"{len(names)} {fault}: {_some(names)}." for fault, names in faults.items() if names),
            "Nothing was embedded. Copy or download the checkpoint again, config.json and weights together.",
        )


def _check_size(
    kind: type[PreTrainedModel],
    config: PreTrainedConfig,
    folder: Path,
    weights: Mapping[str, torch.Tensor] | None,
) -> None:
    """Raises UserError if config.json describes a network that is far larger than the weights.

    For missing keys transformers takes the values of a large model. Its missing weights would then fill the memory
    before they could be reported.
    """
    import torch

    given = count_parameters(folder) if weights is None else sum(each.numel() for each in weights.values())
    with torch.device("meta"):
        needed = sum(each.numel() for each in kind(config).parameters())
    if given is not None and needed > _MAX_SIZE_RATIO * given:
        raise UserError(
            f"{folder / 'config.json'} describes a network of {needed:,} numbers; its weights hold {given:,}. "
            "A key that says how large it is may be missing.",
            "Take config.json from where the weights came from.",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_NAMES_SHOWN]) + (", ..." if len(names) > _MAX_NAMES_SHOWN else "")
