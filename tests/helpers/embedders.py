"""Embedders of a user's own, for tests: named on the command line as `tests.helpers.embedders:Hashed`.

`EMBEDDER_LOG` names a file that gets one line for each batch; `EMBEDDER_SECONDS` is what a batch takes;
`EMBEDDER_FORBIDDEN` makes the constructor fail.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.media.images import open_image
from harness.types import Features, FloatArray, Item, ModelSpec, Role


class Prepared(NamedTuple):
    """A vector, and what it is of."""

    label: str
    vector: FloatArray


def _spec(name: str, *modalities: str) -> ModelSpec:
    return ModelSpec(name, revision="1", adapter="hashed/1", modalities=modalities)


class Hashed:
    """A random direction for each role, text and picture."""

    spec = _spec("hashed", "text", "image")

    def __init__(self) -> None:
        assert "EMBEDDER_FORBIDDEN" not in os.environ, "this model must not be loaded"

    def prepare(self, item: Item, role: Role) -> Features[Prepared]:
        content = hashlib.sha256(f"{role}|{item.instruction}|{item.text}".encode())
        for medium in item.media:
            content.update(open_image(medium).tobytes())
        seed = int.from_bytes(content.digest()[:8], "little")
        label = f"{role}|{item.full_text}|{','.join(medium.name for medium in item.media)}|{content.hexdigest()[:8]}"
        vector = np.random.default_rng(seed).standard_normal(16).astype(np.float32)
        return Features(Prepared(label, vector), cost=64)

    def embed(self, features: Sequence[Features[Prepared]]) -> FloatArray:
        time.sleep(float(os.environ.get("EMBEDDER_SECONDS", "0")))
        if "EMBEDDER_LOG" in os.environ:
            with open(os.environ["EMBEDDER_LOG"], "a", encoding="utf-8") as file:
                file.write(json.dumps([feature.data.label for feature in features]) + "\n")
        return np.stack([feature.data.vector for feature in features])


class Late(Hashed):
    """Up to five random directions for each role, text and picture."""

    spec = ModelSpec("late", revision="1", adapter="late/1", similarity="maxsim", several_media="united")

    def embed(self, features: Sequence[Features[Prepared]]) -> list[FloatArray]:
        return [
            np.stack([np.roll(row, turn) for turn in range(1 + len(each.data.label) % 5)])
            for row, each in zip(super().embed(features), features, strict=True)
        ]


class TextOnly(Hashed):
    """Sees no image."""

    spec = _spec("text-only", "text")


class Double(Hashed):
    """Bears the name and the revision of another model."""

    spec = ModelSpec("hashed", revision="1", adapter="double/1", options={"sign": -1})


class Slashed(Hashed):
    """A name that looks like `Dashed`'s once it is made safe for a path."""

    spec = _spec("a/b", "text", "image")


class Dashed(Hashed):
    """See `Slashed`."""

    spec = _spec("a--b", "text", "image")


class Marked(Hashed):
    """A name that a terminal might take for markup."""

    spec = _spec("[red]x[/nothing]", "text", "image")


class Brittle(Hashed):
    """Fails on whatever mentions `fragile`."""

    spec = _spec("brittle", "text", "image")

    def embed(self, features: Sequence[Features[Prepared]]) -> FloatArray:
        vectors = super().embed(features)
        vectors[[index for index, each in enumerate(features) if "fragile" in each.data.label]] = np.nan
        return vectors


class BrokenPeer(Hashed):
    """Fails in all processes but the first; its vectors take a while."""

    spec = _spec("broken-peer", "text", "image")

    def embed(self, features: Sequence[Features[Prepared]]) -> FloatArray:
        return super().embed(features) * np.float32(np.nan if os.environ.get("RANK", "0") != "0" else 1)


class Unloadable(Hashed):
    """Its weights are missing."""

    spec = _spec("unloadable", "text", "image")

    def __init__(self) -> None:
        from harness.errors import UserError

        raise UserError("The weights are not there.", "Fetch them.")


class Talkative(Hashed):
    """Prints what it does, as some libraries do."""

    spec = _spec("talkative", "text", "image")

    def __init__(self) -> None:
        super().__init__()
        sys.stdout.write("loading weights\n")

    def prepare(self, item: Item, role: Role) -> Features[Prepared]:
        sys.stdout.write("preparing\n")
        return super().prepare(item, role)

    def embed(self, features: Sequence[Features[Prepared]]) -> FloatArray:
        sys.stdout.write("embedding\n")
        return super().embed(features)


class Interrupted(Hashed):
    """Somebody presses Ctrl-C during the second batch of several items."""

    spec = _spec("interrupted", "text", "image")
    batches = 0

    def embed(self, features: Sequence[Features[Prepared]]) -> FloatArray:
        self.batches += len(features) > 1
        if self.batches == 2:
            raise KeyboardInterrupt
        return super().embed(features)
