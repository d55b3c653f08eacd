"""The recipes of the generative models: one row for each. Every fact is from the place that `source` names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from harness.models.vlm import prompts as prompt
from harness.models.vlm import resize as pixels
from harness.models.vlm.family import Limits, Turn, VlmFamily
from harness.models.vlm.llava_next import IMAGE as LLAVA_IMAGE
from harness.models.vlm.llava_next import LLAVA_NEXT
from harness.models.vlm.mllama import BEGIN, MLLAMA
from harness.models.vlm.mllama import IMAGE as MLLAMA_IMAGE
from harness.models.vlm.qwen import IMAGE, QWEN2, QWEN3, QWEN25, VISION
from harness.models.vlm.video import FILM, VIDEO, NativeVideo, PlaceInTime, by_number, by_second, by_text

if TYPE_CHECKING:
    from PIL.Image import Image

_PATCH = 28 * 28
_PATCH3 = 32 * 32
_CONTEXT = 9 * 128_000 // 10
"""Visual tokens that qwen_vl_utils leaves a video by default: nine tenths of the context."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a checkpoint is used. What is not said here is read from its files."""

    name: str
    hub: str
    family: VlmFamily
    prompt: Callable[[Turn], str]
    source: str
    base: str | None = None
    """The model that its adapter is for, where that is not what adapter_config.json says."""
    processor: str | None = None
    """Where tokenizer and image processor come from, if from elsewhere."""
    first: Callable[[Image], Image] | None = None
    """Done to an image before anything else."""
    fit: Limits | None = None
    """The image is fitted to these before the processor sees it, which fits it to `limits`."""
    limits: Limits | None = None
    max_length: int | None = None
    flat: bool = False
    """Visual tokens are placed like words, although the architecture could place them in two dimensions."""
    pooling: Literal["last", "mean"] = "last"
    bidirectional: bool = False
    frames: str = ""
    """Which frames of a video are seen; empty: the model is shown no videos here."""
    film: NativeVideo | None = None
    """Pixels of a video that is seen as such; without them each frame is seen as an image."""
    mark: PlaceInTime = by_number
    """How such a video stands in time."""
    note: str = ""

    @property
    def modalities(self) -> tuple[str, ...]:
        return ("text", "image", "video") if self.frames else ("text", "image")


_joined_qwen = partial(prompt.joined, image=IMAGE)
_joined_llava = partial(prompt.joined, image=LLAVA_IMAGE)
_in_system = partial(prompt.in_system, image=VISION, ending="<|endoftext|>")
_high = partial(pixels.square, side=1344)
_tiny = partial(pixels.grow_to_square, edge=28, side=56)
_MISTRAL = "llava-hf/llava-v1.6-mistral-7b-hf"
_VLM2VEC = "github TIGER-AI-Lab/VLM2Vec"
_B3_NOTE = "its prefixes of answers and captions are left to the option target_instruction, since they go by the task"


def _vlm2vec(size: str) -> Recipe:
    return Recipe(
        f"vlm2vec-qwen2-vl-{size.lower()}",
        f"TIGER-Lab/VLM2Vec-Qwen2VL-{size}",
        QWEN2,
        _joined_qwen,
        f"{_VLM2VEC}, branch v1: src/model.py, src/model_utils.py, src/dataset.py",
        base=f"Qwen/Qwen2-VL-{size}-Instruct",
        first=_high,
        limits=(256 * _PATCH, 1280 * _PATCH),
        flat=True,
    )


def _b3(size: str) -> Recipe:
    return Recipe(
        f"b3-qwen2-{size.lower()}",
        f"raghavlite/B3_Qwen2_{size}",
        QWEN2,
        _joined_qwen,
        "github raghavlite/B3: README.md, eval_mmeb_simple.py",
        first=_tiny,
        limits=(4 * _PATCH, 1280 * _PATCH),
        flat=True,
        note=_B3_NOTE,
    )


def _gme(size: str) -> Recipe:
    return Recipe(
        f"gme-qwen2-vl-{size.lower()}",
        f"Alibaba-NLP/gme-Qwen2-VL-{size}-Instruct",
        QWEN2,
        _in_system,
        "mteb gme_v_models.py; VLM2Vec gme_inference.py (of a video it takes the middle frame)",
        fit=(4 * _PATCH, 16384 * _PATCH),
        limits=(4 * _PATCH, 1280 * _PATCH),
        max_length=1800,
        flat=True,
        frames=pixels.MIDDLE,
        note="of a video it sees the middle frame",
    )


def _ops(size: str) -> Recipe:
    return Recipe(
        f"ops-mm-embedding-v1-{size.lower()}",
        f"OpenSearch-AI/Ops-MM-embedding-v1-{size}",
        QWEN2,
        _in_system,
        "model card and ops_mm_embedding_v1.py",
        fit=(256 * _PATCH, 1280 * _PATCH),
        limits=(4 * _PATCH, 1280 * _PATCH),
        frames="uniform:8",
        note="of a video it sees 8 frames; their number is ours",
    )


def _lamra(name: str, hub: str, family: VlmFamily, mark: PlaceInTime) -> Recipe:
    return Recipe(
        name,
        hub,
        family,
        partial(prompt.one_word_chat, image=VISION, video=FILM),
        "github Code-kunkun/LamRA: demo.py, datasets, collators",
        fit=(4 * _PATCH, 300 * _PATCH),
        limits=(4 * _PATCH, 300 * _PATCH),
        frames="fps:2:768",
        film=NativeVideo((128 * _PATCH, 768 * _PATCH), _CONTEXT * _PATCH),
        mark=mark,
        note="which positions the public code gives to visual tokens is unknown: here they have row, column and time; "
        "frames of videos are sized by the defaults of qwen_vl_utils, of which release is unknown",
    )


def _moca(size: str) -> Recipe:
    return Recipe(
        f"moca-qwen2.5-vl-{size.lower()}",
        f"moca-embed/MoCa-Qwen25VL-{size}",
        QWEN25,
        partial(prompt.joined, image=VISION),
        "github haon-chen/MoCa: demo.py, src/vlm_backbone, scripts/eval_mmeb.sh",
        processor=f"Qwen/Qwen2.5-VL-{size}-Instruct",
        first=partial(pixels.grow_edges, edge=28),
        limits=(256 * _PATCH, 1024 * _PATCH),
        max_length=1280,
        pooling="mean",
        bidirectional=True,
    )


def _qwen3(size: str) -> Recipe:
    return Recipe(
        f"qwen3-vl-embedding-{size.lower()}",
        f"Qwen/Qwen3-VL-Embedding-{size}",
        QWEN3,
        partial(prompt.represent, image=VISION, video=FILM),
        "github QwenLM/Qwen3-VL-Embedding: src/models/qwen3_vl_embedding.py",
        fit=(4 * _PATCH3, 1800 * _PATCH3),
        limits=(4 * _PATCH3, 1800 * _PATCH3),
        max_length=8192,
        frames="fps:1:64",
        film=NativeVideo((128 * _PATCH3, 768 * _PATCH3), 10 * 768 * _PATCH3),
        mark=by_text,
        note="of a video it sees 1 frame a second and at most 64, as its code has it; mteb takes 2 a second",
    )


def _bge(stage: str) -> Recipe:
    return Recipe(
        f"bge-vl-mllm-{stage.lower()}",
        f"BAAI/BGE-VL-MLLM-{stage}",
        LLAVA_NEXT,
        partial(prompt.instructed, image=LLAVA_IMAGE),
        "modeling_llavanext_for_embedding.py of the checkpoint; github VectorSpaceLab/MegaPairs",
        first=partial(pixels.square, side=512),
    )


RECIPES: tuple[Recipe, ...] = (
    _vlm2vec("2B"),
    _vlm2vec("7B"),
    Recipe(
        "vlm2vec-v2.0",
        "VLM2Vec/VLM2Vec-V2.0",
        QWEN2,
        partial(prompt.joined, image=IMAGE, video=VIDEO),
        f"{_VLM2VEC}: src/model/processor.py, experiments; mteb vlm2vec_models.py",
        base="Qwen/Qwen2-VL-2B-Instruct",
        first=_tiny,
        limits=(4 * _PATCH, 1280 * _PATCH),
        flat=True,
        frames="fps:2:64",
        film=NativeVideo((128 * _PATCH, 360 * 420), _CONTEXT * _PATCH),
        note="of a video it sees 2 frames a second and at most 64, as mteb has it; its demo takes 1 a second",
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
        first=_high,
        max_length=4096,
    ),
    Recipe(
        "unime-llava-1.6-7b",
        "DeepGlint-AI/UniME-LLaVA-1.6-7B",
        LLAVA_NEXT,
        _joined_llava,
        "github deepglint/UniME: README.md, its evaluation on MMEB",
        processor=_MISTRAL,
        first=partial(pixels.square, side=336),
        max_length=4096,
        note="prompted as its evaluation on MMEB is, without a chat template",
    ),
    Recipe(
        "e5-v",
        "royokong/e5-v",
        LLAVA_NEXT,
        partial(prompt.one_word_llama, image=LLAVA_IMAGE),
        f"github kongds/E5-V: retrieval.py; image and text together: {_VLM2VEC}, src/model/processor.py",
        max_length=8192,
        note="where an instruction goes is unknown: here it stands before a query's text",
    ),
    _bge("S1"),
    _bge("S2"),
    Recipe(
        "mme5-mllama-11b",
        "intfloat/mmE5-mllama-11b-instruct",
        MLLAMA,
        partial(prompt.begun, image=MLLAMA_IMAGE, begin=BEGIN),
        "github haon-chen/mmE5: demo.py, src/collator.py, scripts/eval",
        max_length=256,
    ),
)
