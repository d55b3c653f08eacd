"""The law of JSON files: whatever a checkpoint says, it loads or a UserError names the file."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.types import Item
from tests.helpers import llave_files
from tests.helpers.checkpoints import WRITERS, opened
from tests.helpers.json_faults import Fault, faults
from tests.helpers.llave_files import copied, embed

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
pytestmark = pytest.mark.usefixtures("offline_cache")
SAMPLE = 20
ITEM = Item("a red cube")
NAMED_FAULTS = [
    ("config.json", {"vocab_size": float("inf")}, "vocab_size = Infinity, which is not an integer"),
    ("config.json", {"rope_theta": float("inf")}, "rope_theta = Infinity"),
    ("config.json", {"num_hidden_layers": 10**9}, "num_hidden_layers = 1000000000, which is more than"),
    ("config.json", {"dtype": "fancy16"}, 'dtype = "fancy16", which is no dtype'),
    ("config.json", {"torch_dtype": 7}, "torch_dtype = 7, which is no dtype"),
    ("config.json", {"quantization_config": {"quant_method": "gptq"}}, "quantization_config.*gptq"),
]
OURS = (
    {"attn_implementation": "flash_attention_2"},
    {"_attn_implementation": "flash_attention_2"},
    {"return_dict": False},
    {"use_cache": False},
    {"output_hidden_states": True},
    {"output_attentions": True},
    {"torchscript": True},
    {"dtype": "torch.bfloat16"},
    {"torch_dtype": "float16"},
)
"""Settings in config.json that are not the file's to decide."""


@pytest.fixture(scope="module", params=WRITERS)
def whole(request, tmp_path_factory) -> tuple[str, Path]:
    """A family and a whole checkpoint of it."""
    family: str = request.param
    return family, WRITERS[family](tmp_path_factory.mktemp("whole") / family)


def _outcome(family: str, folder: Path, fault: Fault, untouched: tuple[str, bytes]) -> str:
    """What is against the law about a fault; empty if nothing is."""
    path = folder / fault.file
    before = path.read_bytes()
    fault.write(folder)
    try:
        handle = opened(family, folder)
        vectors = embed(handle.load(), [ITEM]).tobytes()
        same = (handle.spec.revision, vectors) == untouched
        return "" if same or handle.spec.revision != untouched[0] else f"{fault}: other vectors at the same revision"
    except UserError as error:
        return "" if path.name in str(error) else f"{fault}: {path.name} is not named in {error}"
    except Exception as error:  # noqa: BLE001 -- the law is that there is none
        return f"{fault}: {type(error).__name__} {error}"
    finally:
        path.write_bytes(before)


def _breaches(whole: tuple[str, Path], tmp_path: Path, chosen: list[Fault]) -> list[str]:
    family, folder = whole[0], copied(whole[1], tmp_path / "mine")
    handle = opened(family, folder)
    untouched = handle.spec.revision, embed(handle.load(), [ITEM]).tobytes()
    return [said for fault in chosen if (said := _outcome(family, folder, fault, untouched))]


def test_a_sample_of_faults_loads_or_is_named(whole, tmp_path):
    every = faults(whole[1])
    assert len(every) > 500
    assert _breaches(whole, tmp_path, random.Random(0).sample(every, SAMPLE)) == []


@pytest.mark.exhaustive
def test_every_fault_loads_or_is_named(whole, tmp_path):
    assert _breaches(whole, tmp_path, faults(whole[1])) == []


@pytest.mark.parametrize(("file", "changes", "says"), NAMED_FAULTS, ids=[str(each[1]) for each in NAMED_FAULTS])
@pytest.mark.parametrize("family", ["llave", "qwen2_vl"])
def test_an_absurd_setting_is_named_with_its_value(family, file, changes, says, tmp_path):
    if family == "qwen2_vl" and float("inf") in changes.values():
        pytest.skip("left to transformers")
    folder = WRITERS[family](tmp_path / family)
    llave_files.change_config(folder, **changes)
    with pytest.raises(UserError, match=rf"{file} (says|has a) {says}"):
        opened(family, folder).load()


@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_settings_that_are_ours_change_no_vector(whole, nested, tmp_path):
    family, source = whole
    wanted = embed(opened(family, source).load(), [ITEM])
    folder = copied(source, tmp_path / "other")
    changes: dict[str, object] = {key: value for each in OURS for key, value in each.items()}
    parts = json.loads((folder / "config.json").read_text())
    if family == "sentence":  # whose library reads the file by itself
        changes = {"dtype": "bfloat16", "use_cache": False}
    if nested:
        inner = {key: {**value, **changes} for key, value in parts.items() if isinstance(value, dict)}
        changes = {key: value for key, value in inner.items() if key.endswith("_config")}
    llave_files.change_config(folder, **changes)
    assert (embed(opened(family, folder).load(), [ITEM]) == wanted).all()


@pytest.mark.skipif("sentence" not in WRITERS, reason="sentence-transformers is not installed")
def test_a_dtype_that_the_library_cannot_read_is_named_with_what_to_write(tmp_path):
    folder = WRITERS["sentence"](tmp_path / "sentence")
    llave_files.change_config(folder, dtype="torch.bfloat16")
    with pytest.raises(UserError, match=r'config\.json says dtype = "torch\.bfloat16"') as caught:
        opened("sentence", folder)
    assert caught.value.hint == 'Write "bfloat16" there.'
