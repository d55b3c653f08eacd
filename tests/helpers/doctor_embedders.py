"""A small embedder that keeps every law, and others that break one law each. Named for what is wrong with them.

The healthy one runs a causal recurrence over a sequence of vectors, one for each word and some for each picture, and
pools the last state; so padding, masks and places matter in it as they do in a language model.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from PIL.Image import Image, fromarray
from PIL.Image import open as open_file
from PIL.ImageOps import exif_transpose

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


@cache
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


class Printed(Healthy):
    """Embeds the printed form of the pixels."""

    def see(self, medium: Media) -> Sequence[FloatArray]:
        pictures = [open_image(medium)] if medium.kind == "image" else spread_frames(medium, 8)
        return [_word(repr(np.asarray(each))) for each in pictures]


class Hashed(Healthy):
    """Embeds the bytes of pixels."""

    def see(self, medium: Media) -> Sequence[FloatArray]:
        pictures = [open_image(medium)] if medium.kind == "image" else spread_frames(medium, 8)
        return [_word(str(zlib.crc32(each.tobytes()))) for each in pictures]


class PrintedText(Healthy):
    """Embeds the whole text as one word."""

    def words(self, item: Item) -> Sequence[str]:
        return [repr(item.full_text)]


class Turning(Healthy):
    """Applies the turn in the EXIF data."""

    def see(self, medium: Media) -> Sequence[FloatArray]:
        if medium.kind == "video":
            return super().see(medium)
        with open_file(medium.root / medium.name) as picture:
            return [_look(exif_transpose(picture).convert("RGB"))]


class BlueFirst(Healthy):
    """Sees frames with blue first, as OpenCV gives them, and images with red first."""

    def see(self, medium: Media) -> Sequence[FloatArray]:
        if medium.kind == "image":
            return super().see(medium)
        return self.frames([_look(_exchanged(each)) for each in spread_frames(medium, 8)])


class FramesApart(Healthy):
    """Sees frames in a way of its own: their numbers are in another order than those of images."""

    def see(self, medium: Media) -> Sequence[FloatArray]:
        seen = super().see(medium)
        return seen if medium.kind == "image" else [np.roll(each, 7) for each in seen]


class Seeing(Healthy):
    """Knows colours and places: of a picture the darkness of its quarters, of a text the same by its words."""

    spec = replace(Healthy.spec, options={"width": WIDTH + 12, "frame_order": "kept"})

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:
        features = super().prepare(item, role)
        meaning = np.zeros((4, 3), np.float32)
        for medium in item.media:
            if medium.kind == "image":
                dark = 255 - np.asarray(self.shown(medium).resize((2, 2), 4), np.float32)
                meaning += dark.reshape(4, 3) / 10
        at = ("bottom" in item.text) * 2 + ("right" in item.text)
        for number, absent in enumerate(({1, 2}, {0, 2}, {0, 1}, {0, 1, 2})):
            if ("red", "green", "blue", "black")[number] in item.text.split():
                meaning[at, list(absent)] += 2
        rows = np.pad(features.data, ((0, 0), (0, 12)))
        rows[0, WIDTH:] = meaning.ravel()
        return replace(features, data=rows)

    def shown(self, medium: Media) -> Image:
        return open_image(medium)

    def embed(self, features: Sequence[Features[FloatArray]]) -> object:
        plain = [replace(each, data=each.data[:, :WIDTH]) for each in features]
        return np.hstack([np.asarray(super().embed(plain)), [10 * each.data[0, WIDTH:] for each in features]])


class ColoursExchanged(Seeing):
    """Means red where it sees blue."""

    def shown(self, medium: Media) -> Image:
        return _exchanged(open_image(medium))


class Grey(Healthy):
    """Sees no colours."""

    def see(self, medium: Media) -> Sequence[FloatArray]:
        if medium.kind == "video":
            return super().see(medium)
        return [
            _look(
                fromarray(
                    np.broadcast_to(
                        np.asarray(open_image(medium)).mean(-1, keepdims=True).astype(np.uint8),
                        (*open_image(medium).size[::-1], 3),
                    ).copy()
                )
            )
        ]


class Cropped(Healthy):
    """Sees the middle of a picture."""

    def see(self, medium: Media) -> Sequence[FloatArray]:
        if medium.kind == "video":
            return super().see(medium)
        picture = open_image(medium)
        return [_look(picture.crop((12, 12, picture.width - 12, picture.height - 12)))]


class Ascii(Healthy):
    """Drops other letters than those of ASCII."""

    def words(self, item: Item) -> Sequence[str]:
        return item.full_text.encode("ascii", "ignore").decode().split()


class NamedFiles(Healthy):
    """Remembers pictures by the name of their file."""

    def __init__(self) -> None:
        self.known: dict[str, Sequence[FloatArray]] = {}

    def see(self, medium: Media) -> Sequence[FloatArray]:
        if medium.name not in self.known:
            self.known[medium.name] = super().see(medium)
        return self.known[medium.name]


class ById(Healthy):
    """Remembers items by their id()."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, Role], Features[FloatArray]] = {}

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:
        if (id(item), role) not in self.known:
            self.known[id(item), role] = super().prepare(item, role)
        return self.known[id(item), role]


class Mindful(Healthy):
    """Adds a part of the vector of the batch before."""

    last: FloatArray | float = 0.0

    def embed(self, features: Sequence[Features[FloatArray]]) -> object:
        vectors = np.asarray(super().embed(features))
        mixed, self.last = vectors + 0.2 * self.last, vectors[0]
        return mixed


class SizedByTheBatch(Healthy):
    """Brings all pictures of a batch to the size of the first one."""

    def pool(self, sequences: Sequence[FloatArray]) -> FloatArray:
        sizes = np.array([len(each) for each in sequences], np.float32)
        return super().pool(
            [each * (1 + 0.01 * (size != sizes[0])) for each, size in zip(sequences, sizes, strict=True)]
        )


class Crowded(Healthy):
    """Has a buffer for a hundred items."""

    def pool(self, sequences: Sequence[FloatArray]) -> FloatArray:
        return super().pool([*sequences[:100], *sequences[: max(0, len(sequences) - 100)]])


class HalfPrecision(Healthy):
    """Sums the squares of many items in 16 bits, which overflow."""

    def embed(self, features: Sequence[Features[FloatArray]]) -> object:
        vectors = np.asarray(super().embed(features))
        with np.errstate(over="ignore", invalid="ignore"):
            return vectors * (np.float16(500.0) * np.float16(len(features)) / np.float16(500.0) / len(features))


class Constant(Healthy):
    """Adds a constant to every vector."""

    def embed(self, features: Sequence[Features[FloatArray]]) -> object:
        return np.asarray(super().embed(features)) + 5


class Dotted(Healthy):
    """Says that its vectors, whose lengths differ by far, are for the dot product."""

    spec = replace(Healthy.spec, similarity="dot")

    def embed(self, features: Sequence[Features[FloatArray]]) -> object:
        vectors = np.asarray(super().embed(features))
        return vectors * np.exp(8 * np.sin(3 * vectors[:, :1]))


class CutAtTheStart(Healthy):
    """Keeps the last 77 words."""

    def words(self, item: Item) -> Sequence[str]:
        return super().words(item)[-77:]


class CutAt77(Healthy):
    """Keeps the first 77 words, and does not say so."""

    def words(self, item: Item) -> Sequence[str]:
        return super().words(item)[:77]


class MuteBesideVideos(Healthy):
    """Drops the text of an item that has a video."""

    def words(self, item: Item) -> Sequence[str]:
        return [] if any(each.kind == "video" for each in item.media) else super().words(item)


class OneTarget(Healthy):
    """Reads texts as queries only."""

    def words(self, item: Item) -> Sequence[str]:
        return super().words(item)

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:
        return super().prepare(replace(item, text="", instruction="") if role == "target" else item, role)


class FirstRole(Healthy):
    """Takes the role of a batch's first item for all."""

    def embed(self, features: Sequence[Features[FloatArray]]) -> object:
        first = features[0].data[0]
        return super().embed([replace(each, data=np.stack([first, *each.data[1:]])) for each in features])


class RolesExchanged(Healthy):
    """Puts the prompt of queries before targets."""

    spec = replace(Healthy.spec, options={**Healthy.spec.options, "query_instruction": "Find it: "})

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:
        return super().prepare(replace(item, instruction="Find it: ") if role == "target" else item, role)


class PromptsExchanged(Healthy):
    """Puts the prompt of queries before targets, and treats both alike in all else."""

    spec = replace(Healthy.spec, options={**Healthy.spec.options, "query_prompt": "query: "})

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:
        text = item.text if role == "query" else f"query: {item.text}"
        return super().prepare(replace(item, text=text), "query")


class Unhinged(Healthy):
    """Salts words with Python's hash, which differs from process to process."""

    def words(self, item: Item) -> Sequence[str]:
        return [f"{hash(each)}" for each in super().words(item)]


def _exchanged(picture: Image) -> Image:
    return fromarray(np.asarray(picture)[..., ::-1].copy())
