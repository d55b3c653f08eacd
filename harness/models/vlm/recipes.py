"""The recipes of the generative models. The source of all facts of a recipe is in its field `source`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from harness.models.vlm import prompts as prompt
from harness.models.vlm import resize as pixels
from harness.models.vlm.family import PixelLimits, Turn, VlmFamily
from harness.models.vlm.llava_next import IMAGE_TOKEN as LLAVA_IMAGE
from harness.models.vlm.llava_next import LLAVA_NEXT
from harness.models.vlm.mllama import BEGIN_TOKEN, MLLAMA
from harness.models.vlm.mllama import IMAGE_TOKEN as MLLAMA_IMAGE
from harness.models.vlm.qwen import IMAGE_TOKEN, MARKED_IMAGE, QWEN2, QWEN3, QWEN25
from harness.models.vlm.video import (
    MARKED_VIDEO,
    VIDEO_TOKEN,
    NativeVideo,
    TimestampRule,
    by_number,
    by_second,
    by_text,
)

if TYPE_CHECKING:
    from PIL.Image import Image

    from harness.types import SeveralMedia

_PATCH = 28 * 28
"""Number of pixels of a visual token in Qwen2-VL and Qwen2.5-VL."""
_PATCH3 = 32 * 32
"""The same for Qwen3-VL."""
_CONTEXT = 9 * 128_000 // 10
"""Maximum number of visual tokens of a video, by default of qwen_vl_utils: nine tenths of the context."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a checkpoint is used. Everything else is read from its files."""

    name: str
    hub: str
    """The checkpoint's name on the hub."""
    family: VlmFamily
    prompt: Callable[[Turn], str]
    source: str
    """The code or page that the recipe is taken from."""
    base: str | None = None
    """The base model of an adapter, if it is not the one that adapter_config.json names."""
    processor: str | None = None
    """The checkpoint with tokenizer and image processor, if it is another one."""
    preprocess: Callable[[Image], Image] | None = None
    """Resizes an image before all other steps."""
    fit_limits: PixelLimits | None = None
    """Pixel limits that an image is resized to before it goes to the image processor."""
    pixel_limits: PixelLimits | None = None
    """Pixel limits of the image processor."""
    max_length: int | None = None
    """Maximum number of tokens in a sequence."""
    flat_positions: bool = False
    """Whether visual tokens have the positions of words, although the architecture has M-RoPE."""
    pooling: Literal["last", "mean"] = "last"
    """Whether the vector is the state of the last token or the mean of all."""
    bidirectional: bool = False
    """Whether attention is bidirectional."""
    frames: str = ""
    """The frames of a video that the model sees. If it is empty, the model sees no videos."""
    native_video: NativeVideo | None = None
    """Pixel limits of videos with their own tokens. Without them each frame is an image."""
    timestamps: TimestampRule = by_number
    """How videos with their own tokens are placed in time."""
    several_media: SeveralMedia = "interleaved"
    """What the prompt does with several media."""
    note: str = ""
    """What a user should know, for `llave models`."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """The kinds of media that the model takes, and text."""
        return ("text", "image", "video") if self.frames else ("text", "image")


_joined_qwen = partial(prompt.joined, image=IMAGE_TOKEN)
_joined_llava = partial(prompt.joined, image=LLAVA_IMAGE)
_in_system = partial(prompt.in_system, image=MARKED_IMAGE, ending="<|endoftext|>")
_high = partial(pixels.square, side=1344)
_tiny = partial(pixels.grow_to_square, edge=28, side=56)
_MISTRAL = "llava-hf/llava-v1.6-mistral-7b-hf"
_VLM2VEC = "github TIGER-AI-Lab/VLM2Vec"
_B3_NOTE = "the prefixes of its targets depend on the task: set the option target_instruction"


def _vlm2vec(size: str) -> Recipe:
    return Recipe(
        f"vlm2vec-qwen2-vl-{size.lower()}",
        f"TIGER-Lab/VLM2Vec-Qwen2VL-{size}",
        QWEN2,
        _joined_qwen,
        f"{_VLM2VEC}, branch v1: src/model.py, src/model_utils.py, src/dataset.py",
        base=f"Qwen/Qwen2-VL-{size}-Instruct",
        preprocess=_high,
        pixel_limits=(256 * _PATCH, 1280 * _PATCH),
        flat_positions=True,
    )


def _b3(size: str) -> Recipe:
    return Recipe(
        f"b3-qwen2-{size.lower()}",
        f"raghavlite/B3_Qwen2_{size}",
        QWEN2,
        _joined_qwen,
        "github raghavlite/B3: README.md, eval_mmeb_simple.py",
        preprocess=_tiny,
        pixel_limits=(4 * _PATCH, 1280 * _PATCH),
        flat_positions=True,
        note=_B3_NOTE,
    )


def _gme(size: str) -> Recipe:
    return Recipe(
        f"gme-qwen2-vl-{size.lower()}",
        f"Alibaba-NLP/gme-Qwen2-VL-{size}-Instruct",
        QWEN2,
        _in_system,
        "mteb gme_v_models.py; VLM2Vec gme_inference.py (of a video it takes the middle frame)",
        fit_limits=(4 * _PATCH, 16384 * _PATCH),
        pixel_limits=(4 * _PATCH, 1280 * _PATCH),
        max_length=1800,
        flat_positions=True,
        frames=pixels.MIDDLE,
        several_media="in-order",
        note="of a video it sees the middle frame",
    )


def _ops(size: str) -> Recipe:
    return Recipe(
        f"ops-mm-embedding-v1-{size.lower()}",
        f"OpenSearch-AI/Ops-MM-embedding-v1-{size}",
        QWEN2,
        _in_system,
        "model card and ops_mm_embedding_v1.py",
        fit_limits=(256 * _PATCH, 1280 * _PATCH),
        pixel_limits=(4 * _PATCH, 1280 * _PATCH),
        frames="uniform:8",
        several_media="in-order",
        note="of a video it sees 8 frames; its code does not say how many",
    )


def _lamra(name: str, hub: str, family: VlmFamily, timestamps: TimestampRule) -> Recipe:
    return Recipe(
        name,
        hub,
        family,
        partial(prompt.one_word_chat, image=MARKED_IMAGE, video=MARKED_VIDEO),
        "github Code-kunkun/LamRA: demo.py, datasets, collators",
        fit_limits=(4 * _PATCH, 300 * _PATCH),
        pixel_limits=(4 * _PATCH, 300 * _PATCH),
        frames="fps:2:768",
        native_video=NativeVideo((128 * _PATCH, 768 * _PATCH), _CONTEXT * _PATCH),
        timestamps=timestamps,
        several_media="in-order",
        note="the positions of visual tokens in the public code are unknown: here they have row, column and time; "
        "frames of videos are sized by the defaults of qwen_vl_utils, of an unknown release",
    )


def _moca(size: str) -> Recipe:
    return Recipe(
        f"moca-qwen2.5-vl-{size.lower()}",
        f"moca-embed/MoCa-Qwen25VL-{size}",
        QWEN25,
        partial(prompt.joined, image=MARKED_IMAGE),
        "github haon-chen/MoCa: demo.py, src/vlm_backbone, scripts/eval_mmeb.sh",
        processor=f"Qwen/Qwen2.5-VL-{size}-Instruct",
        preprocess=partial(pixels.grow_edges, edge=28),
        pixel_limits=(256 * _PATCH, 1024 * _PATCH),
        max_length=1280,
        pooling="mean",
        bidirectional=True,
    )


def _qwen3(size: str) -> Recipe:
    return Recipe(
        f"qwen3-vl-embedding-{size.lower()}",
        f"Qwen/Qwen3-VL-Embedding-{size}",
        QWEN3,
        partial(prompt.represent, image=MARKED_IMAGE, video=MARKED_VIDEO),
        "github QwenLM/Qwen3-VL-Embedding: src/models/qwen3_vl_embedding.py",
        fit_limits=(4 * _PATCH3, 1800 * _PATCH3),
        pixel_limits=(4 * _PATCH3, 1800 * _PATCH3),
        max_length=8192,
        frames="fps:1:64",
        native_video=NativeVideo((128 * _PATCH3, 768 * _PATCH3), 10 * 768 * _PATCH3),
        timestamps=by_text,
        several_media="in-order",
        note="of a video it sees 1 frame per second, at most 64, as in its code; mteb takes 2 per second",
    )


def _bge(stage: str) -> Recipe:
    return Recipe(
        f"bge-vl-mllm-{stage.lower()}",
        f"BAAI/BGE-VL-MLLM-{stage}",
        LLAVA_NEXT,
        partial(prompt.instructed, image=LLAVA_IMAGE),
        "modeling_llavanext_for_embedding.py of the checkpoint; github VectorSpaceLab/MegaPairs",
        preprocess=partial(pixels.square, side=512),
        several_media="in-order",
    )


RECIPES: tuple[Recipe, ...] = (
    _vlm2vec("2B"),
    _vlm2vec("7B"),
    Recipe(
        "vlm2vec-v2.0",
        "VLM2Vec/VLM2Vec-V2.0",
        QWEN2,
        partial(prompt.joined, image=IMAGE_TOKEN, video=VIDEO_TOKEN),
        f"{_VLM2VEC}: src/model/processor.py, experiments; mteb vlm2vec_models.py",
        base="Qwen/Qwen2-VL-2B-Instruct",
        preprocess=_tiny,
        pixel_limits=(4 * _PATCH, 1280 * _PATCH),
        flat_positions=True,
        frames="fps:2:64",
        native_video=NativeVideo((128 * _PATCH, 360 * 420), _CONTEXT * _PATCH),
        note="of a video it sees 2 frames per second, at most 64, as in mteb; its demo takes 1 per second",
    ),
    _b3("2B"),
    _b3("7B"),
    _gme("2B"),
    _gme("7B"),
    _ops("2B"),
    _ops("7B"),
    _lamra("lamra-ret", "code-kunkun/LamRA-Ret", QWEN2, by_number),
    _lamra("lamra-ret-qwen2.5-vl", "code-kunkun/LamRA-Ret-Qwen2.5VL-7b", QWEN25, by_second),
    _moca("3B"),
    _moca("7B"),
    _qwen3("2B"),
    _qwen3("8B"),
    Recipe(
        "vlm2vec-llava-next",
        "TIGER-Lab/VLM2Vec-LLaVa-Next",
        LLAVA_NEXT,
        _joined_llava,
        f"{_VLM2VEC}, branch v1: src/model_utils.py, src/dataset.py, README.md",
        processor=_MISTRAL,
        preprocess=_high,
        max_length=4096,
    ),
    Recipe(
        "unime-llava-1.6-7b",
        "DeepGlint-AI/UniME-LLaVA-1.6-7B",
        LLAVA_NEXT,
        _joined_llava,
        "github deepglint/UniME: README.md, its evaluation on MMEB",
        processor=_MISTRAL,
        preprocess=partial(pixels.square, side=336),
        max_length=4096,
        note="prompted as in its evaluation on MMEB, without a chat template",
    ),
    Recipe(
        "e5-v",
        "royokong/e5-v",
        LLAVA_NEXT,
        partial(prompt.one_word_llama, image=LLAVA_IMAGE),
        f"github kongds/E5-V: retrieval.py; image and text together: {_VLM2VEC}, src/model/processor.py",
        max_length=8192,
        several_media="in-order",
        note="the place of an instruction is unknown: here it comes before a query's text",
    ),
    _bge("S1"),
    _bge("S2"),
    Recipe(
        "mme5-mllama-11b",
        "intfloat/mmE5-mllama-11b-instruct",
        MLLAMA,
        partial(prompt.begun, image=MLLAMA_IMAGE, begin=BEGIN_TOKEN),
        "github haon-chen/mmE5: demo.py, src/collator.py, scripts/eval",
        max_length=256,
    ),
)
