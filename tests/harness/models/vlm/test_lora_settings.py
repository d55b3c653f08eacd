"""Laws of an adapter's settings: each key of peft is merged as peft merges it, or refused by name."""

from __future__ import annotations

import dataclasses
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from harness.errors import UserError
from harness.models.vlm.lora import merge_adapter
from harness.models.vlm.lora_config import read_adapter_config
from harness.models.vlm.qwen import QWEN2
from tests.helpers import llave_files, vlm_files
from tests.helpers.llave_files import copied
from tests.helpers.vlm_files import change_json

peft = pytest.importorskip("peft")
one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
Q = "language_model.layers.0.self_attn.q_proj"
V = "language_model.layers.1.self_attn.v_proj"

MERGED: dict[str, list[dict]] = {
    "task_type": [{"task_type": "CAUSAL_LM"}],
    "r": [{"r": 6}],
    "lora_alpha": [{"lora_alpha": 13}, {"lora_alpha": 8 * 2**0.5}],
    "lora_dropout": [{"lora_dropout": 0.5}],
    "target_modules": [
        {"target_modules": ["self_attn.q_proj", "up_proj", "fc1"]},
        {"target_modules": r".*language_model.*\.(q_proj|down_proj)"},
    ],
    "exclude_modules": [{"exclude_modules": ["layers.0.self_attn.q_proj"]}, {"exclude_modules": r".*layers\.1.*"}],
    "layers_to_transform": [{"layers_to_transform": [1]}, {"layers_to_transform": 0}],
    "layers_pattern": [{"layers_pattern": "layers", "layers_to_transform": [1]}],
    "fan_in_fan_out": [{"fan_in_fan_out": True}],
    "use_rslora": [{"use_rslora": True}],
    "use_dora": [{"use_dora": True}],
    "rank_pattern": [{"rank_pattern": {"q_proj": 2, r"layers\.1.*v_proj": 6}}],
    "alpha_pattern": [{"alpha_pattern": {f"^model.{Q}": 3, "v_proj": 9.5}, "use_rslora": True}],
    "init_lora_weights": [
        *({"init_lora_weights": kind} for kind in (False, "gaussian", "orthogonal", "pissa", "olora")),
        {"init_lora_weights": "pissa", "use_rslora": True, "rank_pattern": {"q_proj": 2}, "lora_alpha": 11},
        {"init_lora_weights": "olora", "lora_alpha": 11},
        {"init_lora_weights": "pissa", "use_dora": True},
    ],
    "lora_bias": [{"lora_bias": True}],
}
"""Settings that peft builds and that are merged here, by key."""
HARMLESS: dict[str, object] = {
    "auto_mapping": {"base_model_class": "Other", "parent_library": "elsewhere"},
    "base_model_name_or_path": "somebody/else",
    "inference_mode": True,
    "peft_version": "0.17.0",
    "megatron_core": "another.core",
    "qalora_group_size": 32,
    "corda_config": {"corda_method": "kpm"},
    "eva_config": {"rho": 3.0},
    "lora_ga_config": {"scale": "unit"},
    "revision": "0" * 40,
}
"""Values that decide no merged weight."""
REFUSED: dict[str, list[object]] = {
    "peft_type": ["ADALORA", None],
    "bias": ["all", "lora_only"],
    "modules_to_save": [["lm_head"]],
    "init_lora_weights": ["pissa_niter_4", "corda", "loftq", "lora_ga", "PISSA", "new", 1],
    "megatron_config": [{"hidden_size": 2}],
    "trainable_token_indices": [[1], {"embed_tokens": [1]}],
    "loftq_config": [{"loftq_bits": 4}],
    "velora_config": [{"num_groups": 2}],
    "alora_invocation_tokens": [[1, 2]],
    "use_qalora": [True, 0],
    "monteclora_config": [{"num_samples": 2}],
    "layer_replication": [[[0, 2], [1, 2]]],
    "target_parameters": [["experts.gate_up_proj"]],
    "use_bdlora": [{"nblocks": 2}],
    "arrow_config": [{"top_k": 2}],
    "kasa_config": [{"beta": 0.1}],
    "ensure_weight_tying": [True],
    "enable_lora": [[True, False]],
    "r": [0, -1, 2.5, "4", True, None, 10**400, float("inf")],
    "lora_alpha": [0, float("nan"), float("inf"), 10**400, "8"],
    "rank_pattern": [{"q_proj": 0}, ["q_proj"], {"q_proj": "2"}],
    "alpha_pattern": [{"q_proj": -1}],
    "use_dora": ["yes", 1],
    "lora_bias": ["yes"],
    "target_modules": [None, [], "all-linear", [1]],
    "layers_to_transform": ["1", [1.5], True],
    "exclude_modules": [3],
    "a_key_of_tomorrow": [1, "", False, "x" * 10_000],
}
"""Values that are refused, by key."""


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return vlm_files.write_qwen2(tmp_path_factory.mktemp("base") / "base")


def whole(base: Path):
    return transformers.Qwen2VLForConditionalGeneration.from_pretrained(base, dtype=torch.float32)


def write(folder: Path, base: Path, **settings) -> Path:
    """A trained adapter, as peft saves it."""
    torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = peft.LoraConfig(**{"r": 4, "target_modules": ["q_proj", "v_proj"], **settings})
        model = peft.get_peft_model(whole(base), config)
    for name, each in model.named_parameters():
        if "magnitude" in name:
            each.data *= torch.rand_like(each) + 0.5
        elif ".lora_" in name:
            each.data = torch.randn_like(each) * 0.3
    model.save_pretrained(folder)
    return folder


def merged(folder: Path, base: Path) -> dict[str, torch.Tensor]:
    return merge_adapter(whole(base).model, folder, QWEN2.adapter_renames).state_dict()


def by_peft(folder: Path, base: Path) -> dict[str, torch.Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.PeftModel.from_pretrained(whole(base), folder).merge_and_unload().model.state_dict()


def check_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        np.testing.assert_allclose(found[name].numpy(), tensor.numpy(), atol=2e-5, err_msg=name)


def test_every_key_of_the_installed_peft_is_tried():
    """A key that a later version adds must be put into one of the tables."""
    known = {each.name for each in dataclasses.fields(peft.LoraConfig)} - {"runtime_config"}
    assert not known - MERGED.keys() - HARMLESS.keys() - REFUSED.keys()


CASES = [pytest.param(each, id=f"{key}-{i}") for key, listed in MERGED.items() for i, each in enumerate(listed)]


@pytest.mark.parametrize("settings", CASES)
def test_what_is_understood_is_merged_as_by_peft(base, tmp_path, settings):
    known = {each.name for each in dataclasses.fields(peft.LoraConfig)}
    if settings.keys() - known:
        pytest.skip(f"peft {peft.__version__} has no {settings.keys() - known}")
    folder = write(tmp_path / "adapter", base, **settings)
    found = merged(folder, base)
    check_same(found, by_peft(folder, base))
    plain = whole(base).model.state_dict()
    assert max(float((found[name] - plain[name]).abs().max()) for name in plain) > 1e-2


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("adapters") / "adapter", base)


@pytest.fixture(scope="module")
def weights(adapter, base) -> dict[str, torch.Tensor]:
    return merged(adapter, base)


@pytest.mark.parametrize(("key", "value"), HARMLESS.items())
def test_what_is_harmless_changes_nothing(base, adapter, weights, tmp_path, key, value):
    folder = copied(adapter, tmp_path / "adapter")
    change_json(folder / "adapter_config.json", **{key: value})
    check_same(merged(folder, base), weights)


@pytest.mark.parametrize("key", REFUSED)
def test_all_else_is_refused_by_name(adapter, tmp_path, key):
    for value in REFUSED[key]:
        folder = copied(adapter, tmp_path / str(REFUSED[key].index(value)))
        change_json(folder / "adapter_config.json", **{key: value})
        with pytest.raises(UserError, match=rf"adapter_config\.json says {key} = ") as caught:
            read_adapter_config(folder)
        assert caught.value.hint
        assert len(caught.value.what) < 400


@pytest.mark.parametrize("key", ["peft_type", "r", "lora_alpha", "target_modules"])
def test_a_key_that_is_missing_is_named(adapter, tmp_path, key):
    folder = copied(adapter, tmp_path / "adapter")
    path = folder / "adapter_config.json"
    fields = json.loads(path.read_text())
    del fields[key]
    path.write_text(json.dumps(fields))
    with pytest.raises(UserError, match=f"lacks '{key}'"):
        read_adapter_config(folder)


def hand_made(folder: Path, r: int, tensors: dict[str, torch.Tensor], **settings) -> Path:
    """A folder in peft's format, which peft did not write."""
    folder.mkdir()
    fields = {"peft_type": "LORA", "r": r, "lora_alpha": 3, "target_modules": [f"model.{Q}"], **settings}
    (folder / "adapter_config.json").write_text(json.dumps(fields))
    save_file(
        {f"base_model.model.model.{Q}.{name}": each.contiguous() for name, each in tensors.items()},
        folder / "adapter_model.safetensors",
    )
    return folder


def factors(base: Path, r: int) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    weight = whole(base).model.get_submodule(Q).weight.detach()
    torch.manual_seed(1)
    down, up = torch.randn(r, weight.shape[1]) * 0.2, torch.randn(weight.shape[0], r) * 0.2
    return weight.numpy().astype(float), down, up


def initial(kind: str, weight: np.ndarray, r: int) -> np.ndarray:
    """What an initialisation takes out of the base: the formulas of the two papers."""
    if kind == "pissa":
        left, values, right = np.linalg.svd(weight, full_matrices=False)
        return (left[:, :r] * values[:r]) @ right[:r]
    left, right = np.linalg.qr(weight)  # OLoRA takes the first columns, times lora_alpha / r
    return 3 / r * left[:, :r] @ right[:r]


@pytest.mark.parametrize("kind", ["pissa", "olora"])
def test_pissa_and_olora_start_from_what_is_left_of_the_base(base, tmp_path, kind):
    weight, down, up = factors(base, 2)
    tensors = {"lora_A.weight": down, "lora_B.weight": up}
    found = merged(hand_made(tmp_path / kind, 2, tensors, init_lora_weights=kind), base)[f"{Q}.weight"]
    plain = weight + 3 / 2 * (up @ down).numpy()
    np.testing.assert_allclose(found.numpy(), plain - initial(kind, weight, 2), atol=1e-5)
    assert np.abs(found.numpy() - plain).max() > 1e-2
    converted = merged(hand_made(tmp_path / "converted", 2, tensors, init_lora_weights=True), base)
    np.testing.assert_allclose(converted[f"{Q}.weight"].numpy(), plain, atol=1e-5)


def test_lora_bias_is_added_to_the_bias(base, tmp_path):
    _, down, up = factors(base, 2)
    bias = torch.arange(len(up)) / 7
    tensors = {"lora_A.weight": down, "lora_B.weight": up, "lora_B.bias": bias}
    found = merged(hand_made(tmp_path / "bias", 2, tensors, lora_bias=True), base)[f"{Q}.bias"]
    wanted = whole(base).model.get_submodule(Q).bias.detach() + 3 / 2 * bias
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), atol=1e-6)
    del tensors["lora_B.bias"]
    with pytest.raises(UserError, match=r"missing.*q_proj\.lora_B\.default\.bias"):
        merged(hand_made(tmp_path / "lacking", 2, tensors, lora_bias=True), base)


def test_a_bias_without_a_place_is_refused(base, tmp_path):
    folder = write(tmp_path / "adapter", base, lora_bias=True, target_modules=["o_proj"])
    with pytest.raises(UserError, match="lora_bias = true, and 2 modules have no bias"):
        merged(folder, base)


def test_an_alora_is_refused_because_it_cannot_be_merged(base, tmp_path):
    folder = write(tmp_path / "adapter", base, task_type="CAUSAL_LM", alora_invocation_tokens=[5, 6])
    with pytest.raises(UserError, match=r"alora_invocation_tokens = \[5, 6\]") as caught:
        read_adapter_config(folder)
    assert "from token to token" in caught.value.hint


def test_a_converted_pissa_is_a_plain_lora(base, tmp_path):
    """The two ways to save the same training: peft's conversion doubles rank and alpha, which may be no integer."""
    model = peft.get_peft_model(
        whole(base), peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights="pissa", use_rslora=True)
    )
    model.peft_config["default"].init_lora_weights = True
    model.save_pretrained(tmp_path / "initial")
    model.peft_config["default"].init_lora_weights = "pissa"
    for name, each in model.named_parameters():
        if ".lora_" in name:
            each.data += torch.randn_like(each) * 0.2
    model.save_pretrained(tmp_path / "pissa")
    model.save_pretrained(tmp_path / "plain", path_initial_model_for_weight_conversion=str(tmp_path / "initial"))
    fields = read_adapter_config(tmp_path / "plain").fields
    assert fields["init_lora_weights"] is True
    assert fields["r"] == 8
    check_same(merged(tmp_path / "plain", base), merged(tmp_path / "pissa", base))


def test_patterns_hold_for_the_names_in_the_file(base, tmp_path):
    """Releases of older transformers name modules otherwise, in the tensors and in the patterns alike."""
    new = write(tmp_path / "new", base, rank_pattern={f"model.{Q}": 2}, alpha_pattern={f"model.{V}": 5})
    old = copied(new, tmp_path / "old")
    names = {f"model.{each}": f"model.{each}".replace("language_model.", "") for each in (Q, V)}
    change_json(old / "adapter_config.json", rank_pattern={names[f"model.{Q}"]: 2})
    change_json(old / "adapter_config.json", alpha_pattern={names[f"model.{V}"]: 5})
    path = old / "adapter_model.safetensors"
    save_file({name.replace("model.language_model.", "model."): each for name, each in load_file(path).items()}, path)
    check_same(merged(old, base), by_peft(new, base))


def test_a_rank_that_the_tensors_do_not_have_takes_no_memory(base, adapter, tmp_path):
    folder = copied(adapter, tmp_path / "adapter")
    change_json(folder / "adapter_config.json", r=900_000_000)
    with pytest.raises(UserError, match=r"misshapen.*lora_A.* of rank \[4\] instead of 900000000"):
        merged(folder, base)


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("model.language_model.embed_tokens.lora_embedding_A", f"{Q}.lora_A.weight"),
        (f"model.{Q}.base_layer.weight", f"{Q}.lora_A.weight"),
        (f"model.{Q}.bias", f"{Q}.lora_A.weight"),
        ("model.language_model.norm.modules_to_save.weight", f"{Q}.lora_A.weight"),
        (f"model.{Q}.lora_magnitude_vector", f"{Q}.lora_A.weight"),
        (f"model.{Q}.lora_B.bias", f"{Q}.lora_A.weight"),
        (f"model.{Q}.lora_A.default.weight", f"{Q}.lora_A.weight"),
        (f"{Q}.lora_A.weight".replace("language_model", "model"), f"{Q}.lora_A.weight"),
        ("model.language_model.layers.0.self_attn.o_proj.lora_A.weight", f"{Q}.lora_A.weight"),
    ],
)
def test_no_tensor_is_ignored(base, adapter, tmp_path, name, like):
    """Neither one of another kind, nor a second one for the same place, nor one of a module that is no target."""
    folder = copied(adapter, tmp_path / "adapter")
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, f"base_model.model.{name}": tensors[f"base_model.model.model.{like}"].clone()}, path)
    with pytest.raises(UserError, match="unexpected: "):
        merged(folder, base)


@pytest.mark.parametrize("pattern", ["(", "*"])
def test_an_expression_that_is_none_is_told(base, adapter, tmp_path, pattern):
    folder = copied(adapter, tmp_path / "adapter")
    change_json(folder / "adapter_config.json", rank_pattern={pattern: 4})
    with pytest.raises(UserError, match="is not an adapter that peft can merge"):
        merged(folder, base)


def test_the_remedy_merges(base, tmp_path, monkeypatch):
    """The command of the message, on a folder that is refused, gives weights as peft merges them."""
    folder = write(tmp_path / "adapter", base, bias="lora_only")
    change_json(folder / "adapter_config.json", base_model_name_or_path=str(base))
    with pytest.raises(UserError, match="bias = ") as caught:
        read_adapter_config(folder)
    monkeypatch.chdir(tmp_path)
    exec(re.search(r"python -c '(.*?)'\n", caught.value.hint, re.DOTALL)[1], {})
    check_same(whole(tmp_path / "merged").model.state_dict(), by_peft(folder, base))
