"""LLaVE checkpoints for tests: a small random one in the released on-disk format, and the recorded one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from harness.models.llave.embedder import open_llave
from harness.types import MEDIA_TOKEN, Item, Media, ModelSettings

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TOWER = "model.vision_tower.vision_tower.vision_model."
WIDTH, INNER, LAYERS, HEADS, KV_HEADS, VOCABULARY = 32, 48, 2, 4, 2, 262
VISION = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
SIZE, PATCH = 56, 14
CONFIG: Mapping[str, object] = {
    "architectures": ["LlavaQwenForCausalLM"],
    "model_type": "llava_qwen",
    "hidden_act": "silu",
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "vocab_size": VOCABULARY,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "rope_scaling": None,
    "image_aspect_ratio": "anyres_max_9",
    "image_grid_pinpoints": "(1x1),...,(2x2)",
    "mm_newline_position": "grid",
    "mm_patch_merge_type": "spatial_unpad",
    "mm_projector_type": "mlp2x_gelu",
    "mm_spatial_pool_mode": "bilinear",
    "mm_vision_tower": "tower",
    "tokenizer_model_max_length": 4096,
}


def layer_shapes(prefix: str, width: int, inner: int, heads: int, kv_heads: int) -> dict[str, tuple[int, ...]]:
    """One layer of Qwen2."""
    narrow = width // heads * kv_heads
    attention = {"q": width, "k": narrow, "v": narrow}
    return {
        **{f"{prefix}self_attn.{name}_proj.weight": (rows, width) for name, rows in attention.items()},
        **{f"{prefix}self_attn.{name}_proj.bias": (rows,) for name, rows in attention.items()},
        f"{prefix}self_attn.o_proj.weight": (width, width),
        f"{prefix}mlp.gate_proj.weight": (inner, width),
        f"{prefix}mlp.up_proj.weight": (inner, width),
        f"{prefix}mlp.down_proj.weight": (width, inner),
        f"{prefix}input_layernorm.weight": (width,),
        f"{prefix}post_attention_layernorm.weight": (width,),
    }


def tower_shapes(prefix: str, layers: int) -> dict[str, tuple[int, ...]]:
    """SigLIP's vision model up to its last norm."""
    width, inner = VISION["hidden_size"], VISION["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.patch_embedding.weight": (width, 3, PATCH, PATCH),
        "embeddings.patch_embedding.bias": (width,),
        "embeddings.position_embedding.weight": ((SIZE // PATCH) ** 2, width),
        "post_layernorm.weight": (width,),
        "post_layernorm.bias": (width,),
    }
    for number in range(layers):
        layer = f"encoder.layers.{number}."
        for name in ("self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj"):
            shapes |= {f"{layer}{name}.weight": (width, width), f"{layer}{name}.bias": (width,)}
        for name in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{layer}{name}.weight": (width,), f"{layer}{name}.bias": (width,)}
        shapes |= {f"{layer}mlp.fc1.weight": (inner, width), f"{layer}mlp.fc1.bias": (inner,)}
        shapes |= {f"{layer}mlp.fc2.weight": (width, inner), f"{layer}mlp.fc2.bias": (width,)}
    return {prefix + name: shape for name, shape in shapes.items()}


def random_weights(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, torch.Tensor]:
    """Weights that let every input through to the output: norms near one, everything else small."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator) * 0.15 + float("norm" in name and name.endswith("weight"))
        for name, shape in shapes.items()
    }


def write_checkpoint(folder: Path) -> Path:
    """A small random checkpoint. Its tower's folder has other weights, a layer more and a head, as a real one has."""
    folder.mkdir(parents=True)
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, WIDTH),
        "model.norm.weight": (WIDTH,),
        "model.image_newline": (WIDTH,),
        "model.mm_projector.0.weight": (WIDTH, VISION["hidden_size"]),
        "model.mm_projector.0.bias": (WIDTH,),
        "model.mm_projector.2.weight": (WIDTH, WIDTH),
        "model.mm_projector.2.bias": (WIDTH,),
        **tower_shapes(TOWER, VISION["num_hidden_layers"] - 1),
    }
    for number in range(LAYERS):
        shapes |= layer_shapes(f"model.layers.{number}.", WIDTH, INNER, HEADS, KV_HEADS)
    save_file(random_weights(shapes, 0), folder / "model.safetensors")
    change_config(folder, **CONFIG)
    _write_tokenizer(folder)
    tower = folder / "tower"
    tower.mkdir()
    change_config(tower, model_type="siglip_vision_model", image_size=SIZE, patch_size=PATCH, **VISION)
    whole = {**tower_shapes("vision_model.", VISION["num_hidden_layers"]), "vision_model.head.probe": (1, 1, 16)}
    save_file(random_weights(whole, 1), tower / "model.safetensors")
    return folder


def change_config(folder: Path, **changes: object) -> Path:
    """Changes keys of config.json; a value of `...` takes the key away."""
    path = folder / "config.json"
    fields = {**(json.loads(path.read_text()) if path.exists() else {}), **changes}
    path.write_text(json.dumps({key: value for key, value in fields.items() if value is not ...}))
    return folder


def change_weights(folder: Path, changes: Mapping[str, torch.Tensor | None]) -> Path:
    """Changes tensors of model.safetensors; None takes one away."""
    path = folder / "model.safetensors"
    fields = {**load_file(path), **changes}
    save_file({name: tensor for name, tensor in fields.items() if tensor is not None}, path)
    return folder


def copied(source: Path, target: Path) -> Path:
    """A writable copy of a folder."""
    target.mkdir()
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        place.mkdir() if path.is_dir() else shutil.copyfile(path, place)
    return target


def opened(folder: Path | str, *, dtype: str = "auto", **options: object):
    """A handle on a checkpoint, on the CPU."""
    return open_llave(
        f"llave/{folder}", ModelSettings("cpu", dtype, options={key: str(value) for key, value in options.items()})
    )


def embed(model, items, role="query") -> np.ndarray:
    """Vectors of items that share one batch."""
    return model.embed([model.prepare(item, role) for item in items]).numpy()


def picture(folder: Path, width: int, height: int, seed: int = 0) -> Media:
    """An image file of noise on a slope."""
    slope = np.add.outer(np.arange(height) / height, np.arange(width) / width)[..., None] * 100
    noise = np.random.default_rng(seed).integers(0, 56, (height, width, 3))
    path = folder / f"{width}x{height}-{seed}.png"
    Image.fromarray((slope + noise).astype(np.uint8)).save(path)
    return Media("image", path.name, folder)


def lossless_video(path: Path, frames: np.ndarray, rate: float) -> Media:
    """A video file whose frames decode to exactly these, `(n, height, width, 3)`."""
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("decord", reason="decord has no wheel for this platform")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), rate, frames.shape[2:0:-1])
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return Media("video", path.name, path.parent)


def shown(text: str, *media: Media) -> Item:
    """An item whose text has `<image>` in the place of its media."""
    return Item(text.replace("<image>", MEDIA_TOKEN), media)


def one_thread() -> Iterator[None]:
    """Runs torch on one thread: small networks are slower on many threads, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _write_tokenizer(folder: Path) -> None:
    """Bytes and the three special tokens."""
    vocabulary = {letter: at for at, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    added = {str(256 + at): {"content": token, "special": True} for at, token in enumerate(SPECIAL)}
    settings = {"tokenizer_class": "Qwen2Tokenizer", "model_max_length": 4096, "added_tokens_decoder": added}
    names = {"pad_token": SPECIAL[0], "eos_token": SPECIAL[2], "additional_special_tokens": SPECIAL[1:]}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, **names}))
