"""Fingerprints: what a vector and a result are known by. One small recipe, versioned.

A key covers everything that can change what it names and nothing that cannot. Changing this file changes the keys of
every stored vector; raise `RECIPE` when you do, so that old vectors miss instead of being served as new ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from harness.types import Item, ModelSpec, Role, Scalar

RECIPE = 1

PIXEL_LIBRARIES: Mapping[str, tuple[str, ...]] = {"image": ("pillow",), "video": ("decord", "av", "pillow")}
"""The libraries whose version decides the pixels of each kind of medium."""


def fingerprint(fields: Mapping[str, object]) -> str:
    """SHA-256 over canonical JSON: sorted keys, no white space, no NaN."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def model_fields(spec: ModelSpec) -> dict[str, object]:
    """Everything in a spec that can change a vector. `similarity` only compares vectors, so it is not among them."""
    return {
        "recipe": RECIPE,
        "name": spec.name,
        "revision": spec.revision,
        "adapter": spec.adapter,
        "dtype": spec.dtype,
        "options": dict(spec.options),
        "modalities": sorted(spec.modalities),
    }


def model_fingerprint(spec: ModelSpec) -> str:
    """Identity of a model."""
    return fingerprint(model_fields(spec))


def item_key(model: str, item: Item, role: Role, media_digests: Sequence[str]) -> bytes:
    """Key of one vector, 32 bytes: model, role, instruction, text, and the bytes of every medium in order.

    `model` is a `model_fingerprint`; `media_digests` are SHA-256 digests, one for each of `item.media`.
    """
    parts = [f"item/{RECIPE}", model, role, item.instruction, item.text]
    for medium, digest in zip(item.media, media_digests, strict=True):
        parts += [medium.kind, _pixel_versions(medium.kind), digest]
    state = hashlib.sha256()
    for part in parts:  # each after its length, so that nothing can move from one part to the next
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.digest()


def result_fingerprint(
    *, task: Mapping[str, object], data: str, model: str, protocol: str, settings: Mapping[str, Scalar]
) -> str:
    """Identity of a result: what was asked (`task`), of which rows (`data`), of which model, under which rule."""
    asked = {"task": dict(task), "data": data, "model": model, "protocol": protocol, "settings": dict(settings)}
    return fingerprint({"recipe": RECIPE, **asked})


@cache
def library_version(name: str) -> str:
    """Version of an installed distribution, or `none`."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _pixel_versions(kind: str) -> str:
    return ";".join(f"{name}={library_version(name)}" for name in PIXEL_LIBRARIES[kind])
