"""Whether a server is still the model that it was. A few fixed items are embedded at the start of every run.

Servers are not exact to the bit, so their vectors are compared, and not a digest of them. A server is the model whose
probe is within `TOLERANCE` of its own for every item. That model keeps the digest of the probe that was seen first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

from harness.errors import UserError
from harness.files.reading import read_object
from harness.files.writing import explain_os_errors, write_atomic
from harness.identity import model_fingerprint
from harness.media.images import png_of
from harness.models.endpoints.embedder import EndpointEmbedder
from harness.models.endpoints.message import Part, image_part
from harness.types import FloatArray, Role

TOLERANCE = 0.02
"""Largest distance of two unit vectors of one item, `sqrt(2 - 2 cos)`, within which a server is the same model.

Half precision and the company of other requests move a vector by up to about 0.01. Other weights, another template or
another way of pooling move it by far more.
"""
FOLDER = "endpoints"
_WORDS = "A red bicycle leans against the old wall of a farm near the sea. "
_TEXTS: Sequence[tuple[Role, str, str]] = (
    ("query", "", "A red bicycle leans against a wall."),
    ("target", "", "Die Größe des Bildes: 漢字, naïve, 12 × 7."),
    ("query", "Find a picture that shows this: ", "two horses by the river"),
    ("target", "", _WORDS * 6),
)
_SIDE = 64


@dataclass(frozen=True, slots=True)
class PastProbe:
    """A probe that was seen before."""

    digest: str
    date: str
    vectors: FloatArray


def probe(embedder: EndpointEmbedder) -> FloatArray:
    """Embeds the fixed items: texts in both roles, and a drawn image if the model takes images.

    Raises: UserError if the server does not answer, or gives vectors that mean nothing.
    """
    features = [embedder.compose(instruction, text, (), role, text) for role, instruction, text in _TEXTS]
    if "image" in embedder.spec.modalities:
        features.append(embedder.compose("", "", [(_drawing(),)], "target", "a drawn image"))
    vectors = embedder.embed(features)
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.all(np.isfinite(lengths) & (lengths > 0)):
        what = f"{embedder.spec.name} gives vectors that are not finite, or all zero, for simple texts."
        raise UserError(what, "Look at what the server runs, and in which precision.")
    if np.ptp(vectors / lengths[:, None], axis=0).max() < 1e-6:
        what = f"{embedder.spec.name} gives one vector for different texts."
        raise UserError(what, "Check --model-option dialect=NAME and the template of the server.")
    return vectors


def digest_of(vectors: FloatArray, embedder: EndpointEmbedder, memory: Path | None, note: Callable[[str], None]) -> str:
    """The digest that stands for a server with this probe. That of an earlier probe is taken if it is near.

    Args:
        vectors: the probe `(n, d)`.
        embedder: the server's model, whose spec has no digest yet.
        memory: the folder of the embedding store, in which probes are kept; None: nothing is remembered.
        note: hears that the server was another model before.

    Raises: UserError if the disk refuses.
    """
    fresh = PastProbe(_digest(vectors), f"{datetime.now(UTC):%Y-%m-%d}", vectors)
    if memory is None:
        return fresh.digest
    path = memory / FOLDER / f"{model_fingerprint(embedder.spec)[:16]}.json"
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{path}.lock")
    with lock:  # all processes of a run agree
        before = _read(path)
        near = min(before, key=lambda each: distance(vectors, each.vectors), default=None)
        if near is not None and distance(vectors, near.vectors) <= TOLERANCE:
            return near.digest
        _write(path, embedder.spec.name, [*before, fresh])
    if near is not None:
        last = before[-1]
        note(
            f"{embedder.spec.name} is another model than on {last.date}: the server's vectors of a fixed probe moved "
            f"by up to {distance(vectors, last.vectors):.3f}, and {TOLERANCE} is taken as rounding. What was embedded "
            "before is kept, and is not used."
        )
    return fresh.digest


def distance(one: FloatArray, other: FloatArray) -> float:
    """The largest distance between the unit vectors of an item; infinite for another shape."""
    if one.shape != other.shape:
        return float("inf")
    units = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (one, other)]
    return float(np.linalg.norm(units[0] - units[1], axis=1).max())


def _digest(vectors: FloatArray) -> str:
    return hashlib.sha256(np.ascontiguousarray(vectors, dtype="<f4").tobytes()).hexdigest()[:12]


def _read(path: Path) -> list[PastProbe]:
    if not path.exists():
        return []
    try:
        entries = read_object(path)["probes"]
        assert isinstance(entries, list)
        return [PastProbe(each["digest"], each["date"], np.array(each["vectors"], np.float32)) for each in entries]
    except (KeyError, TypeError, ValueError, AssertionError):
        raise UserError(f"{path} does not hold probes of a server.", "Remove it: the server is asked anew.") from None


def _write(path: Path, name: str, probes: Sequence[PastProbe]) -> None:
    entries = [{"digest": each.digest, "date": each.date, "vectors": each.vectors.tolist()} for each in probes]
    write_atomic(path, json.dumps({"name": name, "probes": entries}) + "\n")


def _drawing() -> Part:
    """A picture with a bright square in a ramp of colours."""
    ramp = np.linspace(0, 255, _SIDE, dtype=np.uint8)
    picture = np.stack([np.broadcast_to(ramp, (_SIDE, _SIDE)), np.broadcast_to(ramp[:, None], (_SIDE, _SIDE))], axis=-1)
    picture = np.dstack([picture, np.full((_SIDE, _SIDE), 64, np.uint8)])
    picture[16:40, 16:40] = (250, 220, 40)
    return image_part("image/png", png_of(Image.fromarray(picture)), _SIDE * _SIDE)
