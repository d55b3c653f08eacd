"""Null models, whose scores are known: chance, an error, or 100 %.

`null/constant` scores exactly chance and `null/random` scores chance. `null/nan` is refused, and `null/oracle` scores
100 %. Any other score shows a fault in the task or in the engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np

from harness.identity import fingerprint, item_key
from harness.media.places import resolve
from harness.media.unchanged import content_digest
from harness.models.common import cpu_only, handle, no_options
from harness.types import (
    Embedder,
    Features,
    FloatArray,
    Item,
    ModelHandle,
    ModelRow,
    ModelSettings,
    ModelSpec,
    Role,
    Scalar,
    SeveralMedia,
)

MODALITIES = ("text", "image", "video")
WIDTH = 1024
"""Width of random vectors, at which thousands of random directions are far apart."""

Content: TypeAlias = bytes
"""A key made from an item's role, its texts, and the bytes of its media."""


class NullEmbedder:
    """An embedder whose vector depends only on an item's content and role."""

    def __init__(self, spec: ModelSpec, vector: Callable[[Item, Role], FloatArray]) -> None:
        self.spec = spec
        self._vector = vector

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:
        """Computes the vector."""
        return Features(self._vector(item, role))

    def embed(self, features: Sequence[Features[FloatArray]]) -> FloatArray:
        """Returns the vectors `(n, width)` in fp32."""
        return np.stack([feature.data for feature in features])


class OracleEmbedder(NullEmbedder):
    """An embedder that knows the right answers, so that every right target ranks before every wrong one.

    A target has a random direction, and a query has the mean direction of its right targets. It cannot reach 100 % in
    two cases: queries with the same content and different answers, and queries with more than about thirty answers.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec, self._direction)
        self._answers: Mapping[Content, Sequence[Content]] = {}

    def learn(self, pairs: Iterable[tuple[Item, Item]]) -> ModelSpec:
        """Stores the right targets of every query, and returns the spec with their digest. Raises BadMedia."""
        answers: dict[Content, set[Content]] = {}
        for query, target in pairs:
            answers.setdefault(_content(query, "query"), set()).add(_content(target, "target"))
        self._answers = {query: sorted(targets) for query, targets in answers.items()}
        digest = fingerprint({query.hex(): [each.hex() for each in right] for query, right in self._answers.items()})
        self.spec = replace(self.spec, options={**self.spec.options, "pairs": digest})
        return self.spec

    def _direction(self, item: Item, role: Role) -> FloatArray:
        content = _content(item, role)
        return _unit(np.mean([_noise(each) for each in self._answers.get(content, (content,))], axis=0))


def _content(item: Item, role: Role) -> Content:
    return item_key("null", item, role, [content_digest(resolve(medium)) for medium in item.media])


def _noise(content: bytes) -> FloatArray:
    """A random unit vector `(WIDTH,)` that depends only on the bytes, on every machine and in every numpy version."""
    values = np.frombuffer(hashlib.shake_256(content).digest(WIDTH), np.uint8)
    return _unit(values.astype(np.float32) - np.float32(127.5))


def _unit(values: FloatArray) -> FloatArray:
    return values / np.linalg.norm(values)


def _constant(spec: ModelSpec) -> NullEmbedder:
    return NullEmbedder(spec, lambda _item, _role: np.full(4, 0.5, np.float32))


def _nan(spec: ModelSpec) -> NullEmbedder:
    return NullEmbedder(spec, lambda _item, _role: np.full(4, np.nan, np.float32))


def _random(spec: ModelSpec) -> NullEmbedder:
    seed = f"{spec.options['seed']}/".encode()
    return NullEmbedder(spec, lambda item, role: _noise(seed + _content(item, role)))


def _open(make: Callable[[ModelSpec], Embedder[FloatArray]], name: str, settings: ModelSettings) -> ModelHandle:
    cpu_only(name, settings)
    no_options(name, settings)
    options: Mapping[str, Mapping[str, Scalar]] = {
        "null/random": {"seed": settings.seed},
        "null/oracle": {"pairs": ""},
    }
    spec = ModelSpec(
        name,
        revision="1",
        adapter="null/1",
        options=options.get(name, {}),
        modalities=MODALITIES,
        several_media=_several(name),
    )
    return handle(spec, partial(make, spec), needs_answers=name == "null/oracle")


def _several(name: str) -> SeveralMedia:
    """Random vectors follow from the whole content of an item, others from none of it."""
    return "interleaved" if name in ("null/random", "null/oracle") else "ignored"


def _row(name: str, summary: str, make: Callable[[ModelSpec], Embedder[FloatArray]]) -> ModelRow:
    opened = partial(_open, make)
    return ModelRow(name, summary, MODALITIES, opened, verified="tests", several_media=(_several(name),))


ROWS = (
    _row(
        "null/constant", "one vector for everything: exactly chance, and 100 % under the official protocol", _constant
    ),
    _row("null/random", "a random vector for each content and role: chance (--seed)", _random),
    _row("null/oracle", "knows the right answers: 100 %", OracleEmbedder),
    _row("null/nan", "vectors that are not numbers: must be refused", _nan),
)
