"""The model under training: trainable parts, adapters, and batching of items with similar cost.

Imports torch.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from harness.errors import UserError
from harness.files.tensors import write_tensors
from harness.models.checkpoints import TRAINED_ADAPTER
from harness.models.common import Trainable
from harness.types import MEDIA_TOKEN, Item, Media
from trainers.config import NetworkPart, TrainingConfig
from trainers.data.loader import PreparedItem, PreparedItems
from trainers.data.sampler import by_length
from trainers.data.training_data import check_matryoshka
from trainers.engine.state import split

if TYPE_CHECKING:
    from peft import LoraConfig

_REST = "non_lora_trainables.safetensors"
"""File beside the adapter with other trained weights, such as the projector's, as the network names them."""
_SIDE = 32
GROUPS = 4
"""Number of forward passes for a batch, so that short items are not padded to the length of long ones."""
_PARTS: Mapping[NetworkPart, re.Pattern[str]] = {
    "projector": re.compile(r"(^|\.)(projector|multi_modal_projector|(deepstack_)?merger(_list)?|image_newline)(\.|$)"),
    "head": re.compile(r"(^|\.)(head|visual_projection|text_projection)\.|^[1-9]\d*\."),
    "vision": re.compile(r"(^|\.)(tower|vision_tower|vision_model|visual)\."),
}
"""What the names of weights have in them, by part. The first match counts, and all others are of the language model."""


class ItemEncoder(nn.Module):
    """Embeds items in their order: unit vectors `(n, width)`, unless the model's similarity is the dot product.

    With `peers` (other processes), every group of items passes through every part of the network in the same order. A
    group without an item that does so gets `blank`, which does not count. Otherwise the others would wait for a process
    with only text, or take its gradients for those of other weights.
    """

    def __init__(
        self, embedder: Trainable[object], blank: PreparedItem, *, peers: bool = False, groups: int = GROUPS
    ) -> None:
        super().__init__()
        self.network = embedder.network
        self.blank = blank
        self._forward = embedder.forward  # no attribute is the embedder itself, which may be a module too
        self._is_cosine = embedder.spec.similarity == "cosine"
        self._peers = peers
        self._groups = groups

    def forward(self, items: Sequence[PreparedItem]) -> Tensor:
        """Vectors `(n, width)` in fp32."""
        groups = by_length([item.features.cost for item in items], min(self._groups, len(items)))
        vectors = torch.cat([self._embed([items[index] for index in group]) for group in groups])
        order = torch.tensor([index for group in groups for index in group], device=vectors.device)
        return vectors[torch.argsort(order)]

    def _embed(self, items: Sequence[PreparedItem]) -> Tensor:
        blank = [self.blank.features] if self._peers and not any(item.complete for item in items) else []
        vectors = self._forward([*(item.features for item in items), *blank])[: len(items)].float()
        return normalize(vectors, dim=-1) if self._is_cosine else vectors


def ready(embedder: Trainable[object], config: TrainingConfig, *, peers: bool = False) -> ItemEncoder:
    """The encoder of a model under training, with parts frozen and adapters in place, as the config says.

    Raises UserError if nothing would be trained, or if vectors are shorter than the config needs.
    """
    blank = _blank_item(embedder)
    traced = trace(embedder, blank)
    check_matryoshka(config, traced.width)
    make_trainable(embedder.network, config, traced.unused)
    return ItemEncoder(embedder, blank, peers=peers, groups=GROUPS if config.micro_batch is None else 1)


def part_of(name: str) -> NetworkPart:
    """The part of a network that a weight with this name belongs to."""
    return next((part for part, pattern in _PARTS.items() if pattern.search(name)), "language")


class Traced(NamedTuple):
    """What a vector tells of a network."""

    width: int
    unused: tuple[nn.Parameter, ...]
    """Parameters that no vector depends on, such as the temperature that CLIP was trained with."""


def trace(embedder: Trainable[object], blank: PreparedItem) -> Traced:
    """Embeds an item that passes through every part of the network, and sees what its vector depends on."""
    parameters = list(embedder.network.requires_grad_(True).parameters())
    with torch.random.fork_rng(devices=[]):
        vectors = embedder.forward([blank.features])
    used = _leaves(vectors)
    return Traced(vectors.shape[-1], tuple(each for each in parameters if id(each) not in used))


def _blank_item(embedder: Trainable[object]) -> PreparedItem:
    """A letter, and a grey image if the model sees any: it passes through every part of the network."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as place:
        Image.new("RGB", (_SIDE, _SIDE), "gray").save(Path(place) / "blank.png")
        item = Item(f"{MEDIA_TOKEN}\na", (Media("image", "blank.png", Path(place)),))
        return PreparedItems(embedder, 0)(item, "query")


def _leaves(vectors: Tensor) -> set[int]:
    """The ids of the tensors that gradients of `vectors` end in."""
    found, seen, waiting = set[int](), set[object](), [vectors.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if (variable := getattr(node, "variable", None)) is not None:
            found.add(id(variable))
        waiting += [each for each, _ in node.next_functions]
    return found


def make_trainable(network: nn.Module, config: TrainingConfig, unused: Collection[nn.Parameter]) -> None:
    """Freezes parts, inserts adapters, and turns on gradient checkpointing, as the config says.

    Raises UserError if nothing is left to train.
    """
    network.train().requires_grad_(True)
    left = {id(each) for each in unused}
    if config.lora_rank:
        _put_adapters(network, config, left)
    for name, parameter in network.named_parameters():
        if part_of(name) in config.frozen or id(parameter) in left:
            parameter.requires_grad_(False)
    if not any(each.requires_grad for each in network.parameters()):
        parts = ", ".join(sorted({part_of(name) for name, _ in network.named_parameters()}))
        raise UserError(f"Nothing of {config.model} would be trained: it has {parts}.", "Leave one out of frozen.")
    for module in network.modules():
        own = list(module.parameters())
        if own and not any(each.requires_grad for each in own):
            module.eval()  # so that what is frozen has no dropout
    if config.gradient_checkpointing:
        _checkpoint_activations(network, config)


def _checkpoint_activations(network: nn.Module, config: TrainingConfig) -> None:
    parts = list(_outermost(network, "gradient_checkpointing_enable"))
    if not parts:
        raise UserError(
            f"{config.model} has no gradient checkpointing.", "Set gradient_checkpointing=false, or micro_batch."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about a new name, which older releases do not have
        for part in parts:
            part.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})  # type: ignore[operator]


def _outermost(module: nn.Module, method: str) -> Iterator[nn.Module]:
    """The modules that have a method, without those inside of one."""
    if hasattr(module, method):
        yield module
        return
    for child in module.children():
        yield from _outermost(child, method)


def plain_weights(state: Mapping[str, Tensor], config: TrainingConfig) -> dict[str, Tensor]:
    """The weights under the names of the network without adapters, which are merged. In the precision of the run."""
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    plain = {}
    for name, tensor in state.items():
        if ".lora_" in name:
            continue
        if name.endswith(".base_layer.weight"):
            at = name.removesuffix("base_layer.weight")
            up, down = state[f"{at}lora_B.default.weight"], state[f"{at}lora_A.default.weight"]
            tensor = tensor + up @ down * (config.lora_alpha / config.lora_rank)
        cast = tensor.to(dtype) if tensor.is_floating_point() else tensor
        plain[name.replace(".base_layer.", ".")] = cast.contiguous()
    return plain


def write_weights(
    folder: Path,
    embedder: Trainable[object],
    config: TrainingConfig,
    weights: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
) -> None:
    """Writes a checkpoint in the model's own format with all weights, and the adapter if there is one.

    Args:
        folder: the checkpoint.
        embedder: the model.
        config: the settings of the run.
        weights: every weight as the network names it.
        tensors: the training state, which says what is trained.

    Raises:
        UserError: if the disk is full.
    """
    embedder.save(folder, plain_weights(weights, config))
    if config.lora_rank:
        adapter, root = folder / TRAINED_ADAPTER, _adapted(embedder.network).name
        write_tensors(adapter / "adapter_model.safetensors", adapter_weights(weights, root))
        targets = sorted({name.partition(".lora_")[0].removeprefix(root) for name in weights if ".lora_" in name})
        _adapter_config(config, targets).save_pretrained(str(adapter))
        trained = [name.removeprefix("network.") for name in split(tensors)[0]]
        if rest := plain_weights({name: weights[name] for name in trained if name in weights}, config):
            write_tensors(adapter / _REST, rest)


def adapter_weights(state: Mapping[str, Tensor], root: str) -> dict[str, Tensor]:
    """The adapters' weights, under the names that peft gives them when it wraps the module at `root`."""
    return {
        f"base_model.model.{name.removeprefix(root).replace('.default', '')}": tensor.contiguous()
        for name, tensor in state.items()
        if ".lora_" in name
    }


class _Adapted(NamedTuple):
    name: str
    """Beginning of the names of its weights: empty, or with a dot at its end."""
    module: nn.Module


def _adapted(network: nn.Module) -> _Adapted:
    """The module that a user of peft wraps: the outermost of transformers that has a part of the language model."""
    from transformers import PreTrainedModel

    for name, module in network.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(module, PreTrainedModel) and any(
            part_of(prefix + n) == "language" for n, _ in module.named_parameters()
        ):
            return _Adapted(prefix, module)
    return _Adapted("", network)


def _adapter_config(config: TrainingConfig, targets: Sequence[str]) -> LoraConfig:
    try:
        from peft import LoraConfig
    except ImportError:
        raise UserError(
            "Adapters need the package peft, which is not installed.", 'pip install "llave-bench[train]"'
        ) from None
    return LoraConfig(
        base_model_name_or_path=config.model,
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(targets),
    )


def _put_adapters(network: nn.Module, config: TrainingConfig, unused: Collection[int]) -> None:
    """Puts adapters into all linear layers of the language model, whose other weights are frozen."""
    prefix, root = _adapted(network)
    targets = [
        name
        for name, module in root.named_modules()
        if isinstance(module, nn.Linear)
        and part_of(f"{prefix}{name}.weight") == "language"
        and id(module.weight) not in unused
    ]
    if not targets:
        what = f"Adapters are put into linear layers of a language model, and {config.model} has none."
        raise UserError(what, "Leave lora_rank out.")
    adapter = _adapter_config(config, targets)
    from peft import inject_adapter_in_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        inject_adapter_in_model(adapter, root)
    for name, parameter in network.named_parameters():
        if part_of(name) == "language":
            parameter.requires_grad_(".lora_" in name)
