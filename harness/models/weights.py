"""The weights of a network of transformers: counted, loaded, and accounted for by name and shape."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UserError
from harness.models.checkpoint_files import ADAPTER_CONFIG, JsonFile, opening
from harness.models.network_config import check_depth, read_network_config, without_ours

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

INDEX = "model.safetensors.index.json"
"""The file that says which tensor lies in which shard."""
_MAX_NAMES_SHOWN = 5
_MAX_SIZE_RATIO = 2
_FROM_ORIGIN = "Take config.json from where the weights came from."


class WeightSizes(NamedTuple):
    """How many tensors there are, and how many numbers in them."""

    tensors: int
    numbers: int


def count_parameters(folder: Path) -> int | None:
    """Counts the numbers in the tensors of a folder's model from the headers of its files; None if one is damaged."""
    sizes = weight_sizes(folder)
    return (sizes.numbers or None) if sizes else None


def check_shards(folder: Path) -> None:
    """Raises UserError if the weights of a folder are shards without an index, or shards outside of the folder."""
    file = folder / INDEX
    if file.is_file():
        named = JsonFile.read(file)
        shards = named.fields.get("weight_map")
        if not isinstance(shards, dict) or any(Path(str(each)).name != each for each in shards.values()):
            raise named.wrong("weight_map")
        lost = sorted({each for each in shards.values() if not (folder / str(each)).is_file()})
        if lost:
            what = f"{folder / str(lost[0])} is missing, and {INDEX} names it."
            raise UserError(what, f"Copy all shards: {_some(lost)}.")
    elif shards := sorted(path.name for path in folder.glob("model-*-of-*.safetensors")):
        raise UserError(
            f"{folder} has the shards {_some(shards)}, but no {INDEX}, which says what lies in which.",
            f"Copy {INDEX} from where the shards came from.",
        )


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

    if (folder / ADAPTER_CONFIG).is_file():  # transformers would load the adapter's base in place of the weights
        what = f"{folder} holds whole weights and an adapter, and it is not known which of them counts."
        raise UserError(what, f"If the adapter is merged into the weights, remove {folder / ADAPTER_CONFIG}.")
    config = _read_config(kind, folder, weights)
    again = f"Copy or download config.json and the weights in {folder} again, from one place."
    with opening(folder, f"a checkpoint that transformers can open as {kind.__name__}", again):
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


def _read_config(
    kind: type[PreTrainedModel], folder: Path, weights: Mapping[str, torch.Tensor] | None
) -> PreTrainedConfig:
    """Reads config.json.

    For missing keys transformers takes the values of a large model. Its missing weights would then fill the memory
    before they could be reported.

    Raises:
        UserError: if it describes no network, or one that is far larger than the weights.
    """
    import torch

    file = read_network_config(folder)
    given = weight_sizes(folder) if weights is None else _sizes_of(each.shape for each in weights.values())
    if given is not None:
        check_depth(file, given.tensors)
    with opening(file.path, f"a configuration of {kind.__name__}", _FROM_ORIGIN):
        fields, _ = kind.config_class.get_config_dict(folder)
        config: PreTrainedConfig = kind.config_class.from_dict(without_ours(fields))
        with torch.device("meta"):
            needed = sum(each.numel() for each in kind(config).parameters())
    if given is not None and needed > _MAX_SIZE_RATIO * given.numbers:
        raise UserError(
            f"{file.path} describes a network of {needed:,} numbers; its weights hold {given.numbers:,}. "
            "A key that says how large it is may be missing.",
            _FROM_ORIGIN,
        )
    return config


def weight_sizes(folder: Path) -> WeightSizes | None:
    """Returns the sizes of a folder's weights; None if a file is damaged, which loading reports."""
    from safetensors import SafetensorError, safe_open

    shapes: list[Sequence[int]] = []
    for file in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(file, framework="np") as tensors:
                shapes += [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118
        except (SafetensorError, OSError):
            return None
    return _sizes_of(shapes)


def _sizes_of(shapes: Iterable[Sequence[int]]) -> WeightSizes:
    numbers = [math.prod(shape) for shape in shapes]
    return WeightSizes(len(numbers), sum(numbers))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_NAMES_SHOWN]) + (", ..." if len(names) > _MAX_NAMES_SHOWN else "")
