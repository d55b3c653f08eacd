"""UniIR CLIP_SF against OpenAI's CLIP as its code has it, written here, on small random weights under its names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from harness.errors import UserError
from harness.models.dual.text import as_sentence
from harness.models.dual.uniir import ROWS, open_uniir
from harness.types import Item, ModelSettings
from tests.harness.models.dual.test_embedder import pixels
from tests.helpers import llave_files
from tests.helpers.dual_files import TOWER, write_clip
from tests.helpers.llave_files import change_weights, embed, picture

one_thread = pytest.fixture(autouse=True, scope="module")(llave_files.one_thread)
WIDTH, HEADS, LAYERS, OUT = TOWER["hidden_size"], TOWER["num_attention_heads"], TOWER["num_hidden_layers"], 24
ROUNDING = 5e-6


class Block(nn.Module):
    """One layer, as OpenAI names its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        inner = TOWER["intermediate_size"]
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(WIDTH, inner), "c_proj": nn.Linear(inner, WIDTH)})

    def forward(self, states, mask=None):
        seen = self.ln_1(states)
        states = states + self.attn(seen, seen, seen, attn_mask=mask, need_weights=False)[0]
        hidden = self.mlp["c_fc"](self.ln_2(states))
        return states + self.mlp["c_proj"](hidden * torch.sigmoid(1.702 * hidden))


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block() for _ in range(LAYERS))

    def forward(self, states, mask=None):
        for block in self.resblocks:
            states = block(states, mask)
        return states


class Visual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(WIDTH))
        self.positional_embedding = nn.Parameter(torch.zeros(17, WIDTH))
        self.conv1 = nn.Conv2d(3, WIDTH, 8, 8, bias=False)
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = Stack()
        self.proj = nn.Parameter(torch.zeros(WIDTH, OUT))

    def forward(self, image):
        patches = self.conv1(image).flatten(2).transpose(1, 2)
        whole = torch.cat([self.class_embedding.expand(len(image), 1, -1), patches], dim=1) + self.positional_embedding
        return self.ln_post(self.transformer(self.ln_pre(whole))[:, 0]) @ self.proj


class OpenaiClip(nn.Module):
    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.visual = Visual()
        self.transformer = Stack()
        self.token_embedding = nn.Embedding(vocabulary, WIDTH)
        self.positional_embedding = nn.Parameter(torch.zeros(16, WIDTH))
        self.ln_final = nn.LayerNorm(WIDTH)
        self.text_projection = nn.Parameter(torch.zeros(WIDTH, OUT))
        self.logit_scale = nn.Parameter(torch.zeros([]))

    def encode_text(self, ids):
        states = self.token_embedding(ids) + self.positional_embedding
        mask = torch.full((16, 16), -torch.inf).triu(1)
        states = self.ln_final(self.transformer(states, mask))
        return states[torch.arange(len(ids)), ids.argmax(-1)] @ self.text_projection


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("LLAVE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def vendor() -> OpenaiClip:
    torch.manual_seed(1)
    model = OpenaiClip(514)
    for name, parameter in model.named_parameters():
        parameter.data = torch.randn_like(parameter) * 0.2 + float("ln_" in name and name.endswith("weight"))
    return model.eval()


@pytest.fixture
def folder(vendor, tmp_path) -> Path:
    """What the conversion leaves: weights under the wrapper's names, settings and tokenizer of OpenAI's checkpoint."""
    root = tmp_path / "clip-sf"
    root.mkdir()
    write_clip(root)
    save_file({f"clip_model.{name}": each for name, each in vendor.state_dict().items()}, root / "model.safetensors")
    return root


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    root = tmp_path_factory.mktemp("media")
    return [picture(root, 50, 40, 0), picture(root, 33, 90, 1)]


def opened(folder: Path | str, **options: str):
    return open_uniir(f"uniir/{folder}", ModelSettings("cpu", options=options))


def fused(vendor: OpenaiClip, folder: Path, text: str, image) -> torch.Tensor:
    """UniIR's `encode_multimodal_input`: each side times its mask, added."""
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    ids = torch.zeros(1, 16, dtype=torch.long)
    found = torch.tensor(tokenizer([text], truncation=True, max_length=16)["input_ids"])
    ids[:, : found.shape[1]] = found
    seen = torch.zeros(1, 3, 32, 32)
    if image is not None:
        seen = transformers.CLIPImageProcessorPil.from_pretrained(folder)([image], return_tensors="pt")["pixel_values"]
    has_text, has_image = float(bool(text)), float(image is not None)
    with torch.no_grad():
        return (vendor.encode_text(ids) * has_text + vendor.visual(seen) * has_image)[0]


def test_vectors_are_the_vendors(vendor, folder, media):
    item = Item("two dogs", (media[0],), "Find ")
    cases = [
        (item, "query", "Find two dogs.", pixels(media[0])),
        (item, "target", "Two dogs.", pixels(media[0])),
        (Item("  a cat?\r\n"), "query", "A cat?", None),
        (Item("", (media[1],), "Represent the image."), "target", "", pixels(media[1])),
        (Item("x" * 50), "target", "X" * 50 + ".", None),
    ]
    model = opened(folder).load()
    features = [model.prepare(item, role) for item, role, _, _ in cases]
    found = model.embed(features)
    wanted = torch.stack([fused(vendor, folder, text, image) for _, _, text, image in cases])
    np.testing.assert_allclose(found, wanted, atol=ROUNDING)
    assert [each.truncated for each in features] == [False] * 4 + [True]


def test_texts_are_written_as_sentences():
    for text, sentence in (
        ("a dog", "A dog."),
        (' "Is it?" ', "Is it?"),
        ("", ""),
        ("A dog\r\n", "A dog."),
        ("x!", "X!"),
    ):
        assert as_sentence(text) == sentence


def test_candidates_are_read_with_their_instruction_where_that_is_asked_for(folder):
    item = Item("dogs", (), "Find: ")
    usual, all_read = opened(folder), opened(folder, instructions="all")
    assert usual.spec.options["instructions"] == "queries"
    assert usual.spec.revision == all_read.spec.revision
    assert usual.spec != all_read.spec
    as_target, as_query = (embed(all_read.load(), [item], role) for role in ("target", "query"))
    np.testing.assert_array_equal(as_target, as_query)


def test_every_weight_is_accounted_for(folder):
    name = "clip_model.visual.transformer.resblocks.1.attn.in_proj_weight"
    own = load_file(folder / "model.safetensors")[name]
    for changes, says in (
        ({name: None}, "3 missing: .*layers.1.self_attn.q_proj.weight"),
        ({name: torch.ones(9, 3)}, "3 misshapen: "),
        ({name: own, "clip_model.queue": torch.ones(3)}, r"1 unexpected: clip_model\.queue"),
    ):
        with pytest.raises(UserError, match=says):
            opened(change_weights(folder, changes)).load()


def test_a_plain_clip_and_a_damaged_file_are_refused(folder, tmp_path):
    (tmp_path / "plain").mkdir()
    write_clip(tmp_path / "plain")
    with pytest.raises(UserError, match=r"logit_scale \(not a weight of CLIP_SF\)"):
        opened(tmp_path / "plain").load()
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(UserError, match="is not a file with the weights of CLIP_SF"):
        opened(folder).load()


def test_the_released_pickle_is_refused_with_what_converts_it(folder):
    (folder / "model.safetensors").rename(folder / "clip_sf_large.pth")
    with pytest.raises(UserError, match=r"has no model\.safetensors") as caught:
        opened(folder)
    code = caught.value.hint.split("python -c '")[1].removesuffix("'")
    compile(code, "conversion", "exec")
    assert "weights_only=True" in code


def test_the_row_says_what_it_is():
    (row,) = ROWS
    assert row.name == "uniir/"
    with pytest.raises(UserError, match="There is no folder"):
        row.open("uniir/nowhere", ModelSettings("cpu"))
