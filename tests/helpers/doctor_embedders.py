"""A small embedder that keeps every law, and others that break one law each. Named for what is wrong with them.

The healthy one runs a causal recurrence over a sequence of vectors, one for each word and some for each picture, and
pools the last state; so padding, masks and places matter in it as they do in a language model.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL.Image import Image

from harness.errors import UserError
from harness.media.images import open_image
from harness.media.video import spread_frames
from harness.types import MEDIA_TOKEN, Features, FloatArray, Item, Media, ModelSpec, Role

WIDTH, LIMIT = 16, 200
_MIX = np.random.default_rng(0).standard_normal((WIDTH, WIDTH)).astype(np.float32) / 8
_EYE = np.random.default_rng(1).standard_normal((48, WIDTH)).astype(np.float32)


class Healthy:
    spec = ModelSpec(
        "healthy",
        "1",
        "toy/1",
        options={"width": WIDTH, "frame_order": "kept"},
        modalities=("text", "image", "video"),
        several_media="interleaved",
    )

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:
        states = [_word(f"<{role}>"), *(row for medium in item.media for row in self.see(medium))]
        states += [_word(each) for each in self.words(item)]
        return Features(np.stack(states), len(states), truncated=len(states) > LIMIT)

    def words(self, item: Item) -> Sequence[str]:
        return item.full_text.split()

    def see(self, medium: Media) -> Sequence[FloatArray]:
        pictures = [open_image(medium)] if medium.kind == "image" else spread_frames(medium, 8)
        return self.frames([_look(each) for each in pictures])

    def frames(self, seen: Sequence[FloatArray]) -> Sequence[FloatArray]:
        return seen

    def embed(self, features: Sequence[Features[FloatArray]]) -> object:
        sequences = [feature.data[:LIMIT] for feature in features]
        return self.pool(sequences)

    def pool(self, sequences: Sequence[FloatArray]) -> FloatArray:
        longest = max(map(len, sequences))
        states = self.run(np.stack([np.pad(each, ((0, longest - len(each)), (0, 0))) for each in sequences]))
        return np.stack([states[row, len(each) - 1] for row, each in enumerate(sequences)])

    def run(self, padded: FloatArray) -> FloatArray:
        """States `(n, length, WIDTH)`, each of what came before it."""
        state, states = np.zeros((len(padded), WIDTH), np.float32), []
        for step in range(padded.shape[1]):
            state = np.tanh(0.9 * state + state @ _MIX + padded[:, step])
            states.append(state)
        return np.stack(states, axis=1)


def _word(word: str) -> FloatArray:
    return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(WIDTH).astype(np.float32) / 2


def _look(picture: Image) -> FloatArray:
    return np.asarray(picture.resize((4, 4)), np.float32).ravel() @ _EYE / 1000


class LeftPadded(Healthy):
    """Pads on the left, but pools the token whose index is the length."""

    def pool(self, sequences: Sequence[FloatArray]) -> FloatArray:
        longest = max(map(len, sequences))
        states = self.run(np.stack([np.pad(each, ((longest - len(each), 0), (0, 0))) for each in sequences]))
        return np.stack([states[row, len(each) - 1] for row, each in enumerate(sequences)])


class Unmasked(Healthy):
    """Pools the mean of the padding too."""

    def pool(self, sequences: Sequence[FloatArray]) -> FloatArray:
        longest = max(map(len, sequences))
        padded = np.stack([np.pad(each, ((0, longest - len(each)), (0, 0))) for each in sequences])
        return self.run(padded).mean(axis=1)


class BatchDependent(Healthy):
    """Takes out a part of the batch's mean."""

    def embed(self, features: Sequence[Features[FloatArray]]) -> object:
        vectors = np.asarray(super().embed(features))
        return vectors - 0.3 * vectors.mean(axis=0)


class Sorted(Healthy):
    """Sorts by length and forgets to undo it."""

    def embed(self, features: Sequence[Features[FloatArray]]) -> object:
        return super().embed(sorted(features, key=lambda feature: len(feature.data)))


class PlaceDependent(Healthy):
    """Adds the row's number."""

    def embed(self, features: Sequence[Features[FloatArray]]) -> object:
        return np.asarray(super().embed(features)) + 0.1 * np.eye(WIDTH)[[row % WIDTH for row in range(len(features))]]


class Dropout(Healthy):
    def embed(self, features: Sequence[Features[FloatArray]]) -> object:
        vectors = np.asarray(super().embed(features))
        return vectors * (np.random.default_rng().random(vectors.shape) > 0.2)


class SharedBuffer(Healthy):
    """Threads write to one buffer."""

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:
        self.buffer = super().prepare(item, role)
        time.sleep(0.002)
        return self.buffer


class Blind(Healthy):
    """Reads no pixels."""

    spec = replace(Healthy.spec, modalities=("text", "image"))

    def see(self, medium: Media) -> Sequence[FloatArray]:
        return [_word("<image>")]


class DeafBesideImages(Healthy):
    """Drops the text of an item that has media."""

    def words(self, item: Item) -> Sequence[str]:
        return [] if item.media else super().words(item)


class Uninstructed(Healthy):
    def words(self, item: Item) -> Sequence[str]:
        return item.text.split()


class Shuffled(Healthy):
    """Averages the frames that it says it keeps in order."""

    def frames(self, seen: Sequence[FloatArray]) -> Sequence[FloatArray]:
        return [np.mean(seen, axis=0)]


class OnlyFirst(Healthy):
    """Sees the first medium of an item."""

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:
        return super().prepare(replace(item, media=item.media[:1]), role)


class Orderless(Healthy):
    """Sees media in the order of their names."""

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:
        return super().prepare(replace(item, media=tuple(sorted(item.media, key=lambda each: each.name))), role)


class Placeless(Healthy):
    """Does not see where in the text the media are."""

    def words(self, item: Item) -> Sequence[str]:
        return item.full_text.replace(MEDIA_TOKEN, "").split()


class OneImage(Healthy):
    """Refuses several images."""

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:
        if len(item.media) > 1:
            raise UserError("This model takes one image.", "Give it one.")
        return super().prepare(item, role)


class Boastful(Healthy):
    """Declares videos that it does not take."""

    def see(self, medium: Media) -> Sequence[FloatArray]:
        if medium.kind == "video":
            raise UserError("This model sees no video.")
        return super().see(medium)


class Misspelt(Healthy):
    spec = replace(Healthy.spec, modalities=("text", "images"))


class Narrow(Healthy):
    spec = replace(Healthy.spec, options={"width": 2 * WIDTH})


class Overflowing(Healthy):
    """Infinite for images."""

    def see(self, medium: Media) -> Sequence[FloatArray]:
        return [np.full(WIDTH, np.nan, np.float32)]


class Squeezed(Healthy):
    """Loses the first axis of a batch of one."""

    def embed(self, features: Sequence[Features[FloatArray]]) -> object:
        return np.squeeze(np.asarray(super().embed(features)))


class Collapsed(Healthy):
    def pool(self, sequences: Sequence[FloatArray]) -> FloatArray:
        return np.ones((len(sequences), WIDTH), np.float32)


class Uncounted(Healthy):
    """Cuts long items and does not say so."""

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:
        return replace(super().prepare(item, role), truncated=False)


class Rounded(Healthy):
    """Off by about 0.5 % in a way that depends on the neighbours' lengths."""

    def pool(self, sequences: Sequence[FloatArray]) -> FloatArray:
        vectors, longest = super().pool(sequences), max(map(len, sequences))
        noise = np.random.default_rng(longest).standard_normal(WIDTH).astype(np.float32)
        noisy: FloatArray = vectors * (1 + 0.005 * noise)
        return noisy


class RoundedInBfloat16(Rounded):
    spec = replace(Healthy.spec, dtype="bfloat16")
