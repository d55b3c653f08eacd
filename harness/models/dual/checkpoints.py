"""The dual encoders that have short names, and the sources of their recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from harness.models.dual.embedder import MODALITIES, SEVERAL, open_dual
from harness.models.dual.families import FAMILIES
from harness.types import ModelRow

_MMEB = "github TIGER-AI-Lab/VLM2Vec, branch v1, evaluation/"


@dataclass(frozen=True, slots=True)
class DualModel:
    """A checkpoint on the hub. Width, text limit and image size are read from its own files."""

    name: str
    """The short name."""
    hub: str
    """The name on the hub."""
    source: str
    """The source of its recipe, besides its family's class in transformers."""


MODELS = (
    DualModel("clip-vit-base-patch32", "openai/clip-vit-base-patch32", _MMEB + "eval_clip.py"),
    DualModel("clip-vit-large-patch14", "openai/clip-vit-large-patch14", _MMEB + "eval_clip.py; on the leaderboard"),
    DualModel(
        "openclip-vit-l-14-datacomp",
        "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
        _MMEB + "eval_openclip.py; which checkpoint the published row used is in dispute",
    ),
    DualModel("openclip-vit-h-14", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K", _MMEB + "eval_openclip.py"),
    DualModel("openclip-vit-bigg-14", "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k", _MMEB + "eval_openclip.py"),
    DualModel("bge-vl-base", "BAAI/BGE-VL-base", "github VectorSpaceLab/MegaPairs, modeling_MMRet_CLIP.py"),
    DualModel("bge-vl-large", "BAAI/BGE-VL-large", "github VectorSpaceLab/MegaPairs, modeling_MMRet_CLIP.py"),
    DualModel("siglip-base-patch16-224", "google/siglip-base-patch16-224", _MMEB + "eval_siglip.py; padding corrected"),
    DualModel(
        "siglip-so400m-patch14-384", "google/siglip-so400m-patch14-384", _MMEB + "eval_siglip.py; padding corrected"
    ),
    DualModel(
        "siglip2-so400m-patch14-384",
        "google/siglip2-so400m-patch14-384",
        "huggingface.co/google/siglip2-base-patch16-224/discussions/22 (lower case, 64 tokens)",
    ),
    DualModel(
        "siglip2-base-patch16-naflex",
        "google/siglip2-base-patch16-naflex",
        "transformers' documentation of Siglip2Model",
    ),
    DualModel("blip2-itm-vit-g", "Salesforce/blip2-itm-vit-g", _MMEB + "eval_blip.py; LAVIS models/blip2_models"),
)
ALIASES: Mapping[str, str] = {model.name: model.hub for model in MODELS}
_TITLES = {"clip": "CLIP or OpenCLIP", "siglip": "SigLIP or SigLIP 2", "siglip2": "SigLIP 2 NaFlex", "blip-2": "BLIP-2"}
_VERIFIED = "documented: vendor's recipe on a small random checkpoint; released weights not run"

_SEVERAL = tuple(dict.fromkeys(SEVERAL.values()))
open_named = partial(open_dual, aliases=ALIASES)
ROWS = (
    *(
        ModelRow(
            family.prefixes[0],
            f"a {_TITLES[family.model_type]} checkpoint: NAME on the hub, or FOLDER; videos: mean over frames",
            MODALITIES,
            open_named,
            _VERIFIED,
            family.model_type,
            several_media=_SEVERAL,
        )
        for family in FAMILIES
    ),
    *(
        ModelRow(model.name, model.hub, MODALITIES, open_named, _VERIFIED, hub=model.hub, several_media=_SEVERAL)
        for model in MODELS
    ),
)
