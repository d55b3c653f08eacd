"""Finds the hidden state that a network returns as its vector: layer, token, and whether a norm follows.

While one item is embedded, the outputs of all modules are recorded. Then they are compared with the vector.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from harness.doctor.finding import Finding, ModelUnderTest, Probe
from harness.doctor.probes import Probes
from harness.types import FloatArray

if TYPE_CHECKING:
    from torch import Tensor, nn

_NAME = "pooled state"
_INNER = "Pool after the last layer. If another layer is intended, name it in the option `layer` of the spec."
_DEPTH = 3
"""Number of levels of attributes in which networks are searched for."""


@dataclass(frozen=True, slots=True)
class _State:
    """An output of a module that has the width of the vector. States are listed in the order of time."""

    module: str
    tokens: int
    sequence: bool
    pooled: str
    """The part of it that is the vector, such as `token 7 of 7`; empty if there is none."""


@dataclass(frozen=True, slots=True)
class _Stack:
    """A list of similar layers. `layers` maps the number of a layer to the index of its state."""

    name: str
    layers: Mapping[int, int]
    size: int


def pooled_state(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that the vector is the state after the last layer. Notes it if it is the state before the final norm."""
    if model.spec.is_late:
        return Finding(_NAME, "skipped", "The model has a vector for every token of an item, so it pools none.")
    networks = list(_networks(model.embedder)) if "torch" in sys.modules else []
    if not networks:
        return Finding(_NAME, "skipped", "The embedder holds no torch module, so there is nothing to compare.")
    probe = (probes.texts[1:2] or probes.images or probes.videos)[0]
    for network in networks:
        states = _record(model, network, probe)
        stack = _last_stack(network, states)
        found = _judge(states, stack) if stack else None
        if found:
            return _unless_declared(found, model)
    says = "In no layer is the vector the state of a token or the mean of all tokens. It is pooled in another way."
    return Finding(_NAME, "skipped", f"{says} So this check is not possible.")


def _judge(states: Sequence[_State], stack: _Stack) -> Finding | None:
    """Returns the finding for the states that match the vector; None if no state matches."""
    end, last = max(stack.layers.values()), stack.size - 1
    hits = [at for at, state in enumerate(states) if state.pooled and state.sequence]
    after = [at for at in hits if at > end]
    if after:
        state, kept = states[after[0]], stack.layers.get(last) in hits
        what = "the state after the last layer" if kept else "the state after the last layer and a norm"
        return Finding(_NAME, "pass", f"The vector is {what} ({state.module}), {state.pooled}.")
    if stack.layers.get(last) in hits:
        pooled = states[stack.layers[last]].pooled
        if not any(state.sequence for state in states[end + 1 :]):
            return Finding(_NAME, "pass", f"The vector is the state after the last layer, {pooled}; no norm follows.")
        says = f"The vector is the state after the last layer, {pooled}, before the final norm."
        return Finding(_NAME, "note", says, "Most published recipes pool after the norm. Check that yours does not.")
    inner_layers = [layer for layer, at in stack.layers.items() if at in hits]
    if inner_layers:
        layer = max(inner_layers)
        says = f"The vector is the state after layer {layer + 1} of {stack.size}, {states[stack.layers[layer]].pooled}."
        return Finding(_NAME, "fail", says, _INNER)
    if hits:
        state = states[hits[0]]
        says = f"The vector is the output of {state.module}, {state.pooled}, before the last layer."
        return Finding(_NAME, "fail", says, _INNER)
    heads = [state for state in states[end + 1 :] if state.pooled and state.module]
    if heads:
        return Finding(_NAME, "pass", f"The vector is the output of {heads[0].module}, after the last layer.")
    return None


def _unless_declared(finding: Finding, model: ModelUnderTest) -> Finding:
    if finding.verdict == "fail" and model.spec.options.get("layer") is not None:
        return Finding(_NAME, "note", f"{finding.says} The spec declares layer {model.spec.options['layer']}.")
    return finding


def _record(model: ModelUnderTest, network: nn.Module, probe: Probe) -> list[_State]:
    """Returns all states of the right width that occur while a probe is embedded."""
    outputs: list[tuple[str, Tensor]] = []
    with ExitStack() as stack:
        for name, module in network.named_modules():
            hook = module.register_forward_hook(partial(_note, outputs, name))
            stack.callback(hook.remove)
        vector = model.batch([probe])[0]
    near = 1e-4 if model.spec.dtype == "float32" else 1e-2  # the rounding error of one operation, not of a network
    return [_state(name, output, vector, near) for name, output in outputs if output.shape[-1] == len(vector)]


def _note(outputs: list[tuple[str, Tensor]], name: str, _module: nn.Module, _inputs: object, output: object) -> None:
    outputs += [(name, tensor) for tensor in _tensors(output)]


def _tensors(output: object) -> Iterator[Tensor]:
    """Yields the float tensors in a module's output, which may be a tensor, a tuple or a mapping."""
    import torch

    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple) else (output,)
    for part in parts:
        if isinstance(part, torch.Tensor) and part.is_floating_point() and part.ndim in (2, 3):
            yield part.detach().clone()


def _state(module: str, output: Tensor, vector: FloatArray, near: float) -> _State:
    rows = output.reshape(-1, output.shape[-1]).double().cpu().numpy()
    goal = vector.astype(np.float64) / np.linalg.norm(vector)
    offered = np.concatenate([rows, rows.mean(axis=0, keepdims=True)])
    sizes = np.linalg.norm(offered, axis=1, keepdims=True)
    gaps = np.linalg.norm(offered / np.where(sizes > 0, sizes, 1) - goal, axis=1)
    best, count = len(offered) - 1 - int(np.argmin(gaps[::-1])), len(rows)
    how = "the mean of all tokens" if best == count and count > 1 else f"token {min(best, count - 1) + 1} of {count}"
    return _State(module, count, output.ndim == 3 or count > 1, how if gaps[best] <= near else "")


def _last_stack(network: nn.Module, states: Sequence[_State]) -> _Stack | None:
    """Returns the list of layers that ran and finished last. Lists inside the layers of another list do not count."""
    from torch import nn

    found: list[_Stack] = []
    for name, module in network.named_modules():
        if not isinstance(module, nn.ModuleList) or len(module) < 2 or not _alike({type(each) for each in module}):
            continue
        if any(name.startswith(f"{stack.name}.") for stack in found):
            continue
        done = {f"{name}.{layer}": layer for layer in range(len(module))}
        layers = {done[state.module]: at for at, state in enumerate(states) if state.module in done}
        found += [_Stack(name, layers, len(module))] if layers else []
    return max(found, key=lambda stack: max(stack.layers.values()), default=None)


def _alike(kinds: set[type]) -> bool:
    """Whether modules are layers: of one class, or of several that are named so, such as Mllama's cross-attention."""
    return len(kinds) == 1 or all(kind.__name__.endswith(("Layer", "Block")) for kind in kinds)


def _networks(holder: object) -> Iterator[nn.Module]:
    """Yields the torch modules in an object's attributes, and in the attributes of those."""
    from torch import nn

    level, seen = [holder], {id(holder)}
    for _ in range(_DEPTH):
        deeper: list[object] = []
        for each in level:
            for value in _attributes(each):
                if id(value) in seen:
                    continue
                seen.add(id(value))
                if isinstance(value, nn.Module):
                    yield value
                elif hasattr(value, "__dict__") and not isinstance(value, type):
                    deeper.append(value)
        level = deeper


def _attributes(holder: object) -> Iterator[object]:
    yield from getattr(holder, "__dict__", {}).values()
    for kind in type(holder).__mro__:
        slots = getattr(kind, "__slots__", ())
        yield from (getattr(holder, name, None) for name in ((slots,) if isinstance(slots, str) else slots))
