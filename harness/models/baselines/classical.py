"""A baseline without a network: shape and colour of images and frames, and character n-grams of texts.

It needs no download. Images and texts fill separate halves of the vector, so an image cannot match a text. In a task
that compares images with texts, all candidates tie, and the result says so.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
from PIL.Image import Image

from harness.media.frame_policy import FramePolicy
from harness.models.common import FRAMES, cpu_only, handle, map_pictures, plain_text
from harness.settings import read_settings
from harness.types import Features, FloatArray, Item, ModelHandle, ModelRow, ModelSettings, ModelSpec, Role

SIDE = 64
CELLS, DIRECTIONS = 8, 8
COLOURS = (16, 8, 4)
"""Number of bins of hue, saturation and value."""
IMAGE_WIDTH = CELLS * CELLS * DIRECTIONS + COLOURS[0] * COLOURS[1] * COLOURS[2]
TEXT_WIDTH = 1024
NGRAMS = (3, 4, 5)
MODALITIES = ("text", "image", "video")


@dataclass(frozen=True, slots=True)
class ClassicalOptions:
    """Options that a user can set."""

    frames: Annotated[str, FRAMES] = "uniform:8"
    """The frames of a video that the model sees. Their descriptors are averaged."""


class ClassicalEmbedder:
    """An embedder whose vectors have `IMAGE_WIDTH + TEXT_WIDTH` numbers and do not depend on the batch."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self._choose = FramePolicy.parse(str(spec.options["frames"])).choose

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:  # noqa: ARG002 - the same for both roles
        """Computes the vector from the media and the text after the instruction. Raises BadMedia.

        The instruction is the same for all items of a task, so it does not distinguish them. It is used only if an item
        has neither media nor another text.
        """
        text = plain_text(item.text).strip()
        if not text and not item.media:
            text = plain_text(item.full_text).strip()
        image_part = (
            _mean([each for medium in item.media for each in map_pictures(medium, self._choose, _describe)])
            if item.media
            else np.zeros(IMAGE_WIDTH)
        )
        text_part = _hash_ngrams(text) if text or not item.media else np.zeros(TEXT_WIDTH)
        return Features(np.concatenate([image_part, text_part]).astype(np.float32))

    def embed(self, features: Sequence[Features[FloatArray]]) -> FloatArray:
        """Returns the vectors `(n, IMAGE_WIDTH + TEXT_WIDTH)` in fp32."""
        return np.stack([feature.data for feature in features])


def _describe(picture: Image) -> FloatArray:
    """Gradient directions in each cell of a grid (HOG) and a colour histogram, both after a square root (Hellinger).

    OpenCV 5 no longer has `HOGDescriptor`, so HOG is computed here. The mean of the gradient part is subtracted, since
    it is similar in all photographs and would hide the rest.
    """
    import cv2

    small = cv2.resize(np.asarray(picture), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    across, down = (cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, ksize=1) for dx in (1, 0))
    strength, angle = cv2.cartToPolar(across, down)
    direction = (angle * (DIRECTIONS / (2 * np.pi))).astype(np.int32) % DIRECTIONS
    planes = np.where(direction[..., None] == np.arange(DIRECTIONS), strength[..., None], np.float32(0))
    shape = np.sqrt(cv2.resize(planes, (CELLS, CELLS), interpolation=cv2.INTER_AREA)).ravel()

    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
    colour = np.sqrt(cv2.calcHist([hsv], [0, 1, 2], None, list(COLOURS), [0, 180, 0, 256, 0, 256])).ravel()
    return _unit(np.concatenate([_unit(shape - shape.mean()), _unit(colour)]))


def _hash_ngrams(text: str) -> FloatArray:
    """Signed hashing of character n-grams, which cross word borders. Counts enter as `1 + log(count)`."""
    padded = f" {' '.join(text.casefold().split())} "
    grams = (padded[i : i + n] for n in NGRAMS for i in range(max(1, len(padded) - n + 1)))
    codes, counts = np.unique([zlib.crc32(gram.encode("utf-8", "surrogatepass")) for gram in grams], return_counts=True)
    weights = (1 + np.log(counts)) * np.where(codes >> 31, 1, -1)
    return _unit(np.bincount(codes % TEXT_WIDTH, weights, TEXT_WIDTH).astype(np.float32))


def _mean(vectors: Sequence[FloatArray]) -> FloatArray:
    return _unit(np.mean(vectors, axis=0))


def _unit(vector: FloatArray) -> FloatArray:
    """The vector at length 1. A vector of zeros stays as it is."""
    length = np.linalg.norm(vector)
    return vector / length if length else vector


def _open(name: str, settings: ModelSettings) -> ModelHandle:
    import cv2

    cpu_only(name, settings)
    spec = ModelSpec(
        name,
        revision="1",
        adapter="classical/1",
        options={
            "opencv": cv2.__version__,
            **asdict(read_settings(ClassicalOptions(), settings.options, f"option of {name}")),
            "instruction": "ignored",
            "frame_order": "ignored",
        },
        modalities=MODALITIES,
        several_media="mean",
    )
    return handle(spec, lambda: ClassicalEmbedder(spec))


ROWS = (
    ModelRow(
        "classical",
        "colour, gradients and character n-grams: a weak baseline, no download",
        MODALITIES,
        _open,
        "tests",
        several_media=("mean",),
    ),
)
