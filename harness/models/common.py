"""Code that all models share: handles, what can be trained, settings that are honoured or refused, and plain text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, cast, runtime_checkable

from harness.encoding.oom import enough_to_load
from harness.errors import UserError
from harness.media.frame_policy import FramePolicy
from harness.media.images import open_image
from harness.media.video import map_frames
from harness.progress import prints_are_messages
from harness.settings import ReadAs
from harness.types import MEDIA_TOKEN, Embedder, Features, Media, ModelHandle, ModelSettings, ModelSpec

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor, nn

T = TypeVar("T")

FLOAT_TYPES = ("float32", "bfloat16", "float16")
FRAMES = ReadAs(lambda text: str(FramePolicy.parse(text)))
"""Reads a choice of frames, such as `fps:3:32`, and writes it in its one canonical form."""

TEXT = ReadAs(str)
"""Reads any text, `none` included, into a field that is None if it is not given."""


def handle(
    spec: ModelSpec,
    load: Callable[[], Embedder[T]],
    *,
    needs_answers: bool = False,
    check: Callable[[], None] = lambda: None,
) -> ModelHandle:
    """Returns the handle on a model.

    Args:
        spec: the model's identity.
        load: loads the weights and returns the embedder. A lack of memory becomes a UserError.
        needs_answers: whether the model is a `Learner`.
        check: raises UserError if the model's files have changed.
    """

    def guarded() -> Embedder[object]:
        with prints_are_messages(), enough_to_load(spec.name):
            return cast("Embedder[object]", load())

    return ModelHandle(spec, guarded, needs_answers, check)


@runtime_checkable
class Trainable(Embedder[T], Protocol[T]):
    """An embedder that is made of modules of torch, and so can be trained."""

    @property
    def network(self) -> nn.Module:
        """All weights. Training changes them in place, and decides which of them have gradients."""

    def forward(self, features: Sequence[Features[T]]) -> Tensor:
        """Returns the vectors `(n, d)` of `embed`, with a graph. The mode of the network decides about dropout."""

    def save(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Writes a checkpoint in the model's own format into an empty folder, without a change to the network.

        `weights` are on the CPU, and named as in the state dict of `network`.
        """


def cpu_only(name: str, settings: ModelSettings) -> None:
    """Raises UserError for a device or a dtype that a model without a network cannot use."""
    for flag, value, plain in (("--device", settings.device, "cpu"), ("--dtype", settings.dtype, "float32")):
        if value not in ("auto", plain):
            raise UserError(f"{name} runs in {plain} only, not in {value}.", f"Leave {flag} out for this model.")


def torch_device(settings: ModelSettings) -> str:
    """Returns the device to run on. `auto` is CUDA if it is available, else the CPU.

    Raises:
        UserError: if the device cannot be used.
    """
    import torch

    if settings.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=settings.device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"--device {settings.device} cannot be used: {reason}", "Try --device cpu, or auto.") from None
    return settings.device


def float_type(settings: ModelSettings) -> str:
    """Returns the dtype to run in. `auto` is float32, so that the device does not change the model's identity.

    Raises:
        UserError: for an unknown dtype.
    """
    if settings.dtype == "auto":
        return "float32"
    if settings.dtype not in FLOAT_TYPES:
        raise UserError(f"--dtype {settings.dtype} is not known.", f"Choose auto or one of {', '.join(FLOAT_TYPES)}.")
    return settings.dtype


def half_on_gpu(settings: ModelSettings) -> str:
    """Returns the dtype of models that were trained in bfloat16. `auto` is bfloat16 on a GPU and float32 on the CPU.

    Raises:
        UserError: for an unknown dtype.
    """
    on_gpu = settings.dtype == "auto" and settings.device != "cpu" and torch_device(settings).startswith("cuda")
    return "bfloat16" if on_gpu else float_type(settings)


def map_pictures(
    medium: Media, choose: Callable[[int, float], Sequence[int]], keep: Callable[[Image], T]
) -> Sequence[T]:
    """Opens an image, or decodes frames of a video, and keeps `keep(picture)` of each.

    Args:
        medium: the image or the video.
        choose: returns indexes of frames from the number of frames and the rate per second.
        keep: makes of a picture what the model needs, which is smaller than a whole frame.

    Raises:
        BadMedia: if the file cannot be used.
    """
    return [keep(open_image(medium))] if medium.kind == "image" else map_frames(medium, choose, keep)


def side_by_side(images: Sequence[Image]) -> Image:
    """Returns one picture of several, from left to right, each at the height of the lowest."""
    from PIL import Image as Pillow

    height = min(image.height for image in images)
    sized = [image.resize((max(1, image.width * height // image.height), height)) for image in images]
    joined = Pillow.new("RGB", (sum(image.width for image in sized), height))
    left = 0
    for image in sized:
        joined.paste(image, (left, 0))
        left += image.width
    return joined


def plain_text(text: str) -> str:
    """Returns the text without media tokens and the newline after each, for models that have no media tokens."""
    return without_media(text.replace(f"{MEDIA_TOKEN}\n", ""))


def without_media(text: str) -> str:
    """Returns the text without media tokens, also those that arise when one is taken away from inside another."""
    while MEDIA_TOKEN in text:
        text = text.replace(MEDIA_TOKEN, "")
    return text


def no_options(name: str, settings: ModelSettings) -> None:
    """Raises UserError for every `--model-option`, for models that have no options."""
    for key in settings.options:
        raise UserError(f"{name} has no option {key!r}; it has no options.", "Leave --model-option out.")
