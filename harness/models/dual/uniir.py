"""UniIR CLIP_SF: CLIP with score-level fusion, whose weights have OpenAI's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.models.checkpoint_files import opening
from harness.models.dual.embedder import MODALITIES, SEVERAL, open_dual
from harness.models.dual.families import CLIP
from harness.models.dual.options import DualOptions
from harness.models.dual.text import TextRule, as_sentence
from harness.types import ModelHandle, ModelRow, ModelSettings

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "uniir/"
_WRAPPER = "clip_model."
_RENAMED: Mapping[str, str] = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.": "vision_model.embeddings.patch_embedding.",
    "visual.ln_pre.": "vision_model.pre_layrnorm.",
    "visual.ln_post.": "vision_model.post_layernorm.",
    "visual.proj": "visual_projection.weight",
    "visual.transformer.resblocks.": "vision_model.encoder.layers.",
    "token_embedding.": "text_model.embeddings.token_embedding.",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "transformer.resblocks.": "text_model.encoder.layers.",
    "ln_final.": "text_model.final_layer_norm.",
    "text_projection": "text_projection.weight",
    "logit_scale": "logit_scale",
}
"""OpenAI's names and their names in transformers. A name that ends in a dot is the beginning of names."""
_IN_LAYERS: Mapping[str, str] = {
    ".attn.out_proj.": ".self_attn.out_proj.",
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
}
_TRANSPOSED = ("visual.proj", "text_projection")
"""Matrices that OpenAI's code multiplies from the right."""
_STACKED = ".attn.in_proj_"
"""Marks a tensor that holds queries, keys and values."""
CONVERT = """The released .pth holds the trainer's whole state, with settings of OmegaConf. Convert it in a new folder:
hf download openai/clip-vit-large-patch14 config.json preprocessor_config.json tokenizer.json tokenizer_config.json \\
  --local-dir .
hf download TIGER-Lab/UniIR checkpoint/CLIP_SF/clip_sf_large.pth --local-dir . && pip install omegaconf
python -c 'import collections, typing, torch; from omegaconf import base, nodes, DictConfig, ListConfig
from safetensors.torch import save_file
torch.serialization.add_safe_globals([DictConfig, ListConfig, base.ContainerMetadata, base.Metadata, nodes.AnyNode,
    typing.Any, dict, list, int, collections.defaultdict])
w = torch.load("checkpoint/CLIP_SF/clip_sf_large.pth", map_location="cpu", weights_only=True)["model"]
save_file({k: v.clone().contiguous() for k, v in w.items()}, "model.safetensors", {"format": "pt"})'"""


def open_uniir(name: str, settings: ModelSettings) -> ModelHandle:
    """Finds and identifies a converted checkpoint: `uniir/FOLDER`. Raises UserError."""
    folder = Path(name.removeprefix(PREFIX)).expanduser()
    if folder.is_dir() and not (folder / "model.safetensors").is_file():
        raise UserError(f"{folder} has no model.safetensors, and pickle files are not opened here.", CONVERT)
    return open_dual(name, settings, families=(UNIIR,), defaults=DualOptions(instructions="queries"))


def read_weights(folder: Path) -> Mapping[str, Tensor]:
    """Reads model.safetensors and renames its weights as in transformers. Raises UserError if it is damaged."""
    from safetensors.torch import load_file

    file = folder / "model.safetensors"
    with opening(file, "a file with the weights of CLIP_SF", "Convert or copy the file again."):
        return dict(pair for name, tensor in load_file(file).items() for pair in _rename(name, tensor))


def _rename(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yields weights by their names in transformers. An unknown weight gets a name that is reported as unexpected."""
    theirs = name.removeprefix(_WRAPPER)
    known = next((each for each in _RENAMED if theirs == each or (each[-1] == "." and theirs.startswith(each))), None)
    if known is None or theirs == name:
        yield f"{name} (not a weight of CLIP_SF)", tensor
        return
    ours = _RENAMED[known] + theirs.removeprefix(known)
    for old, new in _IN_LAYERS.items():
        ours = ours.replace(old, new)
    if _STACKED in ours:
        for part, piece in zip("qkv", tensor.chunk(3), strict=True):
            yield ours.replace(_STACKED, f".self_attn.{part}_proj."), piece
    else:
        yield ours, tensor.T if theirs in _TRANSPOSED else tensor


UNIIR = replace(
    CLIP,
    prefixes=(PREFIX,),
    text_rule=lambda _folder: TextRule("bos_token", "eos_token", as_sentence),
    weights=read_weights,
)
ROWS = (
    ModelRow(
        PREFIX,
        "UniIR CLIP_SF, converted: FOLDER (docs/models-dual.md)",
        MODALITIES,
        open_uniir,
        "documented: vendor's recipe on a small random checkpoint; released weights not run",
        several_media=tuple(dict.fromkeys(SEVERAL.values())),
    ),
)
