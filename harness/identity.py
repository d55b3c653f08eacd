"""Fingerprints that identify models, vectors and results. The recipe is small and has a version.

A key covers everything that can change a vector or a result, and nothing else. A change of this file changes the keys
of all stored vectors. Increase `RECIPE` with it, so that old vectors are not found instead of used as new ones.
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
"""Libraries whose versions can change the pixels of each kind of medium."""

FRAMES = 2
"""Version of the choice of what is frame number n of a video. Increase it when the same file gives other frames."""


def fingerprint(fields: Mapping[str, object]) -> str:
    """Returns the SHA-256 (64 hex digits) of canonical JSON: sorted keys, no white space. Raises: ValueError for NaN.

    Lone surrogates are encoded too, so every string that JSON can hold has a fingerprint.
    """
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def model_fields(spec: ModelSpec) -> dict[str, object]:
    """Returns the fields of a spec that can change a vector.

    `similarity` only compares vectors, so it is left out, but not whether an item has one or many.
    """
    return {
        "recipe": RECIPE,
        "name": spec.name,
        "revision": spec.revision,
        "adapter": spec.adapter,
        "dtype": spec.dtype,
        "options": dict(spec.options),
        "modalities": sorted(spec.modalities),
        **({"vectors": "one for every token"} if spec.is_late else {}),
    }


def model_fingerprint(spec: ModelSpec) -> str:
    """Returns the identity of a model: 64 hex digits."""
    return fingerprint(model_fields(spec))


def item_key(model: str, item: Item, role: Role, media_digests: Sequence[str]) -> bytes:
    """Returns the key of one vector, 32 bytes.

    It covers the model, role, instruction, text, and the bytes of every medium in order. `model` is a
    `model_fingerprint`. `media_digests` are the `MediaInfo.identity` of each of `item.media`.
    """
    parts = [f"item/{RECIPE}", model, role, item.instruction, item.text]
    for medium, digest in zip(item.media, media_digests, strict=True):
        parts += [medium.kind, _pixel_versions(medium.kind), digest]
    state = hashlib.sha256()
    for part in parts:  # lengths come first, so that ("ab", "c") and ("a", "bc") have different keys
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.digest()


def result_fingerprint(
    *, task: Mapping[str, object], data: str, model: str, protocol: str, settings: Mapping[str, Scalar]
) -> str:
    """Returns the identity of a result: 64 hex digits.

    `task` holds the fields of the task that decide scores, `data` is the digest of the rows and their media, and
    `model` is a `model_fingerprint`.
    """
    fields = {"task": dict(task), "data": data, "model": model, "protocol": protocol, "settings": dict(settings)}
    return fingerprint({"recipe": RECIPE, **fields})


@cache
def library_version(name: str) -> str:
    """Returns the version of an installed distribution, or `none`."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _pixel_versions(kind: str) -> str:
    frames = [f"frames={FRAMES}"] if kind == "video" else []
    return ";".join([*frames, *(f"{name}={library_version(name)}" for name in PIXEL_LIBRARIES[kind])])
