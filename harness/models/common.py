"""What adapters share: settings that are honoured or refused, never ignored; plain text; handles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from harness.encoding.oom import enough_to_load
from harness.errors import UserError
from harness.types import MEDIA_TOKEN, Embedder, ModelHandle, ModelSettings, ModelSpec

T = TypeVar("T")

FLOAT_TYPES = ("float32", "bfloat16", "float16")


def handle(spec: ModelSpec, load: Callable[[], Embedder[T]], *, needs_answers: bool = False) -> ModelHandle:
    """A handle on an embedder whose type of features stays its own business: `embed` gets what `prepare` returned."""

    def guarded() -> Embedder[object]:
        with enough_to_load(spec.name):
            return cast("Embedder[object]", load())

    return ModelHandle(spec, guarded, needs_answers)


def cpu_only(name: str, settings: ModelSettings) -> None:
    """Refuses a device or a dtype that a model without a network cannot honour."""
    for flag, value, plain in (("--device", settings.device, "cpu"), ("--dtype", settings.dtype, "float32")):
        if value not in ("auto", plain):
            raise UserError(f"{name} runs in {plain} only, not in {value}.", f"Leave {flag} out for this model.")


def no_options(name: str, settings: ModelSettings) -> None:
    """Refuses every `--model-option`, for models that have none."""
    for key in settings.options:
        raise UserError(f"{name} has no option {key!r}; it has none at all.", "Leave --model-option out.")


def torch_device(settings: ModelSettings) -> str:
    """The device to run on; `auto` is CUDA where there is one, else the CPU. Raises UserError if it cannot be used."""
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
    """The dtype to run in; `auto` is float32 on every device, so that no device changes what a vector is known by."""
    if settings.dtype == "auto":
        return "float32"
    if settings.dtype not in FLOAT_TYPES:
        raise UserError(f"--dtype {settings.dtype} is not known.", f"Choose auto or one of {', '.join(FLOAT_TYPES)}.")
    return settings.dtype


def half_on_gpu(settings: ModelSettings) -> str:
    """The dtype to run in, for models that were trained in bfloat16: `auto` is that on a GPU, float32 on the CPU."""
    on_gpu = settings.dtype == "auto" and settings.device != "cpu" and torch_device(settings).startswith("cuda")
    return "bfloat16" if on_gpu else float_type(settings)


def plain_text(text: str) -> str:
    """The text without its media tokens and the newline after each, for models that have no place for them."""
    return text.replace(f"{MEDIA_TOKEN}\n", "").replace(MEDIA_TOKEN, "")
