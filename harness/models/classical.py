"""A baseline without a network: shape and colour of images and frames, character n-grams of text. Needs no download.

Image and text have a half of the vector each, so an image says nothing about a text; where a task needs that, every
candidate scores the same and the result says that they tie.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from PIL.Image import Image

from harness.errors import unknown_name
from harness.media.frame_policy import FramePolicy
from harness.media.images import open_image
from harness.media.video import read_frames
from harness.models.common import cpu_only, handle, plain_text
from harness.types import Features, FloatArray, Item, Media, ModelHandle, ModelRow, ModelSettings, ModelSpec, Role

SIDE = 64
CELLS, DIRECTIONS = 8, 8
COLOURS = (16, 8, 4)
"""Bins of hue, saturation and value."""
IMAGE_WIDTH = CELLS * CELLS * DIRECTIONS + COLOURS[0] * COLOURS[1] * COLOURS[2]
TEXT_WIDTH = 1024
NGRAMS = (3, 4, 5)
FRAMES = "uniform:8"
"""Which frames of a video are seen, unless the option `frames` says otherwise; their descriptors are averaged."""
MODALITIES = ("text", "image", "video")


class ClassicalEmbedder:
    """Vectors of `IMAGE_WIDTH + TEXT_WIDTH`. Each is made alone, from its item only, so no batch can change it."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self._frames = FramePolicy.parse(str(spec.options["frames"]))

    def prepare(self, item: Item, role: Role) -> Features[FloatArray]:  # noqa: ARG002 - the same for both roles
        """Reads the text after the instruction: what all items of a task say in common tells none of them apart.

        An item with neither text of its own nor media stands for its full text, empty or not.
        """
        text = plain_text(item.text).strip()
        if not text and not item.media:
            text = plain_text(item.full_text).strip()
        image_part = (
            _mean([_describe(picture) for medium in item.media for picture in self._pictures(medium)])
            if item.media
            else np.zeros(IMAGE_WIDTH)
        )
        text_part = _hash_ngrams(text) if text or not item.media else np.zeros(TEXT_WIDTH)
        return Features(np.concatenate([image_part, text_part]).astype(np.float32))

    def embed(self, features: Sequence[Features[FloatArray]]) -> FloatArray:
        return np.stack([feature.data for feature in features])

    def _pictures(self, medium: Media) -> Sequence[Image]:
        return [open_image(medium)] if medium.kind == "image" else read_frames(medium, self._frames.choose)


def _describe(picture: Image) -> FloatArray:
    """Gradient directions in each cell of a grid (HOG) and a colour histogram, both after a square root (Hellinger).

    OpenCV 5 no longer has `HOGDescriptor`, hence the few lines here. The mean of the gradient part is taken out: it is
    much the same in every photograph and would hide the rest.
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
    """Signed hashing of character n-grams that cross word borders; counts enter as `1 + log(count)`."""
    padded = f" {' '.join(text.casefold().split())} "
    grams = (padded[i : i + n] for n in NGRAMS for i in range(max(1, len(padded) - n + 1)))
    codes, counts = np.unique([zlib.crc32(gram.encode("utf-8", "surrogatepass")) for gram in grams], return_counts=True)
    weights = (1 + np.log(counts)) * np.where(codes >> 31, 1, -1)
    return _unit(np.bincount(codes % TEXT_WIDTH, weights, TEXT_WIDTH).astype(np.float32))


def _mean(vectors: Sequence[FloatArray]) -> FloatArray:
    return _unit(np.mean(vectors, axis=0))


def _unit(vector: FloatArray) -> FloatArray:
    """The vector at length 1; zeros stay zeros."""
    length = np.linalg.norm(vector)
    return vector / length if length else vector


def _open(name: str, settings: ModelSettings) -> ModelHandle:
    import cv2

    cpu_only(name, settings)
    for key in settings.options:
        if key != "frames":
            raise unknown_name(f"option of {name}", key, ["frames"], "Its option is frames, such as frames=fps:3:32.")
    spec = ModelSpec(
        name,
        revision="1",
        adapter="classical/1",
        options={
            "opencv": cv2.__version__,
            "frames": str(FramePolicy.parse(settings.options.get("frames", FRAMES))),
            "instruction": "ignored",
            "frame_order": "ignored",
        },
        modalities=MODALITIES,
    )
    return handle(spec, lambda: ClassicalEmbedder(spec))


ROWS = (
    ModelRow("classical", "colour, gradients and character n-grams: a floor, no download", MODALITIES, _open, "tests"),
)
