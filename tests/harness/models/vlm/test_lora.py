"""Tests of adapters: peft's own result, the names in released files, and an error for every missing part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize

from harness.errors import UserError
from harness.identity import model_fingerprint
from harness.types import Item
from tests.helpers import llave_files, vlm_files
from tests.helpers.llave_files import copied
from tests.helpers.vlm_files import change_json, embed, opened

peft = pytest.importorskip("peft")
one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
NAME = "vlm2vec-qwen2-vl-2b"
TARGETS = [
    "qkv_proj",
    "o_proj",
    "gate_up_proj",
    "down_proj",
    "k_proj",
    "q_proj",
    "out_proj",
    "v_proj",
    "gate_proj",
    "up_proj",
]
TEXTS = ["a dog", "Find me an everyday image: two cats on a wall.\n"]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return vlm_files.write_qwen2(tmp_path_factory.mktemp("base") / "base")


def whole(base: Path):
    return transformers.Qwen2VLForConditionalGeneration.from_pretrained(base, dtype=torch.float32)


def write_adapter(folder: Path, base: Path, *, dora: bool, new_names: bool = False):
    """An adapter as released, and peft's own model of it, not merged."""
    config = peft.LoraConfig(r=4, lora_alpha=12, target_modules=TARGETS, use_dora=dora, init_lora_weights="gaussian")
    torch.manual_seed(3)
    model = peft.get_peft_model(whole(base), config)
    for name, each in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(each, std=0.3)
        elif "magnitude" in name:
            each.data *= torch.rand_like(each) + 0.5
    model.save_pretrained(folder)
    change_json(folder / "adapter_config.json", base_model_name_or_path="somebody/else")
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    if not new_names:  # as transformers 4.46 named its modules
        old = {name.replace("model.language_model.", "model."): each for name, each in tensors.items()}
        tensors = {name.replace("model.visual.", "visual."): each for name, each in old.items()}
    save_file(tensors, path)
    return model


def reference(model) -> np.ndarray:
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.folder)
    vectors = []
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            vectors.append(normalize(model(**ids, output_hidden_states=True).hidden_states[-1][:, -1], dim=-1)[0])
    return torch.stack(vectors).numpy()


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("new_names", [False, True])
def test_an_adapter_is_merged_as_peft_computes_it(base, tmp_path, dora, new_names):
    model = write_adapter(tmp_path / "adapter", base, dora=dora, new_names=new_names).eval()
    model.folder = base
    loaded = opened(f"vlm/{NAME}={tmp_path / 'adapter'}", base=str(base)).load()
    found = embed(loaded, [Item(text) for text in TEXTS], "target")
    np.testing.assert_allclose(found, reference(model), atol=5e-6)
    plain = embed(opened(f"vlm/{NAME}={base}").load(), [Item(text) for text in TEXTS], "target")
    assert np.abs(found - plain).max() > 1e-2


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "adapter"
    write_adapter(folder, base, dora=False)
    return folder


def test_identity_follows_adapter_and_base(base, adapter, tmp_path):
    first = opened(f"vlm/{NAME}={adapter}", base=str(base)).spec
    assert first.revision != first.options["base"]
    other_base = copied(base, tmp_path / "base")
    change_json(other_base / "config.json", rms_norm_eps=1e-5)
    other = copied(adapter, tmp_path / "adapter")
    change_json(other / "adapter_config.json", lora_alpha=13)
    specs = [
        first,
        opened(f"vlm/{NAME}={adapter}", base=str(other_base)).spec,
        opened(f"vlm/{NAME}={other}", base=str(base)).spec,
    ]
    assert len({model_fingerprint(spec) for spec in specs}) == 3


def change_adapter(folder: Path, changes: dict[str, torch.Tensor | None]) -> None:
    path = folder / "adapter_model.safetensors"
    tensors = {**load_file(path), **changes}
    save_file({name: each for name, each in tensors.items() if each is not None}, path)


LAYER = "base_model.model.model.layers.0.self_attn.q_proj.lora_"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({f"{LAYER}A.weight": None}, "missing.*q_proj.lora_A"),
        ({f"{LAYER}A.weight": None, f"{LAYER}B.weight": None}, "missing: an adapter of .*layers.0.self_attn.q_proj"),
        ({"base_model.model.model.layers.9.mlp.up_proj.lora_A.weight": torch.zeros(4, 32)}, "layers.9.mlp.up_proj"),
        ({f"{LAYER}A.weight": torch.zeros(4, 31)}, r"misshapen.*q_proj.lora_A.*\[4, 31\] instead of \[4, 32\]"),
        ({"base_model.model.lm_head.weight": torch.zeros(2)}, "unexpected: base_model.model.lm_head.weight"),
    ],
)
def test_every_weight_must_find_its_place(base, adapter, tmp_path, changes, said):
    folder = copied(adapter, tmp_path / "adapter")
    change_adapter(folder, changes)
    with pytest.raises(UserError, match=said):
        opened(f"vlm/{NAME}={folder}", base=str(base)).load()


@pytest.mark.parametrize(
    ("key", "value"), [("peft_type", "IA3"), ("bias", "all"), ("modules_to_save", ["lm_head"]), ("r", 0)]
)
def test_another_kind_of_adapter_is_refused(base, adapter, tmp_path, key, value):
    folder = copied(adapter, tmp_path / "adapter")
    change_json(folder / "adapter_config.json", **{key: value})
    with pytest.raises(UserError, match=key):
        opened(f"vlm/{NAME}={folder}", base=str(base)).load()


def test_a_pickled_adapter_is_refused_with_a_way_out(base, adapter, tmp_path):
    folder = copied(adapter, tmp_path / "adapter")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(UserError, match="weights_only=True"):
        opened(f"vlm/{NAME}={folder}", base=str(base))


def test_a_truncated_adapter_is_refused(base, adapter, tmp_path):
    folder = copied(adapter, tmp_path / "adapter")
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match="not a whole file of weights"):
        opened(f"vlm/{NAME}={folder}", base=str(base)).load()


def test_a_base_that_is_not_there_is_named(adapter):
    with pytest.raises(UserError, match=r"base model.*/nowhere") as caught:
        opened(f"vlm/{NAME}={adapter}", base="/nowhere")
    assert "base=FOLDER" in caught.value.hint


def test_merged_weights_beside_an_adapter_are_not_adapted_twice(base, adapter, tmp_path):
    """As VLM2Vec-Qwen2VL-7B is released."""
    both = copied(adapter, tmp_path / "both")
    for path in base.iterdir():
        (both / path.name).write_bytes(path.read_bytes())
    items = [Item(text) for text in TEXTS]
    wanted = embed(opened(f"vlm/{NAME}={adapter}", base=str(base)).load(), items)
    np.testing.assert_array_equal(embed(opened(f"vlm/{NAME}={both}", base=str(base)).load(), items), wanted)


def test_the_adapter_of_a_release_says_its_base_where_the_recipe_does_not(base, adapter, tmp_path):
    folder = copied(adapter, tmp_path / "adapter")
    change_json(folder / "adapter_config.json", base_model_name_or_path=str(base))
    assert (
        opened(f"vlm/b3-qwen2-2b={folder}").spec.options["base"] == opened(f"vlm/gme-qwen2-vl-2b={base}").spec.revision
    )
