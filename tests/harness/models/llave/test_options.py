"""Tests of LLaVE's options as a user writes them."""

from __future__ import annotations

import pytest
from torch.nn import Linear

from harness.errors import UserError
from harness.models.llave.options import LlaveOptions
from harness.settings import read_settings
from tests.helpers.llave_files import opened, write_checkpoint


def parse_options(given: dict[str, str]) -> LlaveOptions:
    return read_settings(LlaveOptions(), given, "option of LLaVE")


def test_options_are_read():
    assert parse_options({}) == LlaveOptions()
    given = {"max_length": "8192", "grid": "6x4", "frames": "fps:0.50:16", "query_instruction": "Find: "}
    assert parse_options(given) == LlaveOptions(8192, (6, 4), "fps:0.5:16", "Find: ")
    assert parse_options({"target_instruction": ""}).target_instruction == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_length", "0"), ("max_length", "many"), ("max_length", "2.5")]
    + [("attention", "eager")]
    + [("grid", each) for each in ("2", "2x", "x2", "0x2", "2x2x2", "")],
)
def test_nonsense_is_refused_by_name(name, value):
    with pytest.raises(UserError, match=name):
        parse_options({name: value})


@pytest.mark.parametrize("frames", ["32", "2.5", "-1", "fps:nan", "fps:0"])
def test_no_choice_of_frames_is_refused(frames):
    with pytest.raises(UserError, match="Frames of a video cannot be chosen"):
        parse_options({"frames": frames})


def test_flash_attention_is_asked_for_by_name_and_refused_where_it_cannot_be(tmp_path, monkeypatch):
    folder = write_checkpoint(tmp_path / "tiny")
    monkeypatch.setenv("LLAVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("harness.models.llave.embedder.find_spec", lambda _name: None)
    with pytest.raises(UserError, match="needs flash-attn, which is not installed"):
        opened(folder, attention="flash_attention_2", dtype="bfloat16")
    monkeypatch.setattr("harness.models.llave.embedder.find_spec", lambda _name: object())
    with pytest.raises(UserError, match="does not compute in float32"):
        opened(folder, attention="flash_attention_2")
    monkeypatch.setattr("harness.models.checkpoints.try_out", lambda *_: None)
    asked = []
    monkeypatch.setattr(
        "harness.models.llave.network.load_network", lambda *given: asked.append(given[-1]) or Linear(1, 1)
    )
    opened(folder, attention="flash_attention_2", dtype="bfloat16").load()
    opened(folder).load()
    assert asked == ["flash_attention_2", "sdpa"]


def test_an_unknown_option_is_met_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean frames"):
        parse_options({"frame": "8"})
