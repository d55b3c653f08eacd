"""Null models: what no benchmark should reward, and the one that knows the answers.

`null/constant` scores chance to the last digit, `null/random` scores chance, `null/nan` is refused, `null/oracle`
scores 100 %. Whatever else they score is a fault of the task or of the engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np

from harness.identity import fingerprint, item_key
from harness.media.images import resolve
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
)

MODALITIES = ("text", "image", "video")
WIDTH = 1024
"""Wide enough that thousands of random directions stay far apart."""

Content: TypeAlias = bytes
"""What an item is known by: role, texts, and the bytes of its media."""


class NullEmbedder:
    """An embedder whose vector is a function of an item's content and role alone."""

    def __init__(self, spec: ModelSpec, vector: Callable[[Item, Role], FloatArray]) -> None:
        self.spec = spec
        self._vector = vector

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:
        return Features(self._vector(item, role))

    def embed(self, features: Sequence[Features[FloatArray]]) -> FloatArray:
        return np.stack([feature.data for feature in features])


class OracleEmbedder(NullEmbedder):
    """A target has a random direction of its own; a query points to the middle of its right targets.

    So every right target comes before every wrong one. Two cases where no function of the item can reach 100 %: queries
    of identical content whose answers differ, and a query with more than about thirty right answers.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec, self._direction)
        self._answers: Mapping[Content, Sequence[Content]] = {}

    def learn(self, pairs: Iterable[tuple[Item, Item]]) -> ModelSpec:
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
    digests = []
    for medium in item.media:
        with resolve(medium).open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return item_key("null", item, role, digests)


def _noise(content: bytes) -> FloatArray:
    """A random direction `(WIDTH,)`, the same for the same bytes on every machine and in every version of numpy."""
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
    spec = ModelSpec(name, revision="1", adapter="null/1", options=options.get(name, {}), modalities=MODALITIES)
    return handle(spec, partial(make, spec), needs_answers=name == "null/oracle")


def _row(name: str, summary: str, make: Callable[[ModelSpec], Embedder[FloatArray]]) -> ModelRow:
    return ModelRow(name, summary, MODALITIES, partial(_open, make), verified="tests")


ROWS = (
    _row(
        "null/constant", "one vector for everything: exactly chance, and 100 % under the official protocol", _constant
    ),
    _row("null/random", "a random vector for each content and role: chance (--seed)", _random),
    _row("null/oracle", "is told the right answers: 100 %", OracleEmbedder),
    _row("null/nan", "vectors that are not numbers: must be refused", _nan),
)
