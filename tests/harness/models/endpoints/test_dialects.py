"""Each dialect writes an item as its server documents it, and gives what the server answered, in order."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.errors import BadMedia, UserError
from harness.models.endpoints.dialects import DIALECTS
from harness.types import MEDIA_TOKEN, Item, Media
from tests.helpers.clips import write_clip
from tests.helpers.endpoint_server import hashed

WITH_IMAGES = [name for name, each in DIALECTS.items() if "image" in each.modalities]
WITH_VIDEOS = [name for name, each in DIALECTS.items() if "video" in each.modalities]


def embed(handle, items, role="query"):
    embedder = handle.load()
    return embedder.embed([embedder.prepare(item, role) for item in items])


@pytest.fixture
def picture(tmp_path: Path) -> Media:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.jpg")
    return Media("image", "a.jpg", tmp_path)


def data_of(picture: Media) -> str:
    return base64.b64encode((picture.root / picture.name).read_bytes()).decode()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_vectors_come_back_in_the_order_of_the_items(dialect, opened, server):
    items = [Item(f"text {number}") for number in range(20)]
    handle = opened(dialect, batch="3")
    alone = np.concatenate([embed(handle, [item]) for item in items])
    assert np.array_equal(embed(handle, items), alone)
    assert len(np.unique(alone, axis=0)) == 20
    assert max(server.answered.values()) == 2


@pytest.mark.parametrize("dialect", DIALECTS)
def test_roles_share_no_request_and_lose_no_place(dialect, opened):
    embedder = opened(dialect, batch="7").load()
    roles = ["query" if number % 3 else "target" for number in range(20)]
    features = [embedder.prepare(Item(f"text {number}"), role) for number, role in enumerate(roles)]
    together = embedder.embed(features)
    assert np.array_equal(together, np.concatenate([embedder.embed([each]) for each in features]))


TEXT = "a cat"
URL = "data:image/jpeg;base64,{data}"
CONTENT = [{"type": "image_url", "image_url": {"url": URL}}, {"type": "text", "text": "What is it?"}]
CHAT = {
    "model": "m",
    "messages": [{"role": "user", "content": CONTENT}],
    "encoding_format": "float",
    "add_generation_prompt": True,
}
WRITTEN = {
    "openai": ("/v1/embeddings", {"model": "m", "input": [TEXT], "encoding_format": "float"}),
    "vllm": ("/v1/embeddings", {"model": "m", "input": [TEXT], "encoding_format": "float"}),
    "tei": ("/embed", {"inputs": [TEXT], "normalize": True, "truncate": False}),
    "vllm-chat": ("/v1/embeddings", CHAT),
    "vllm-pooling": ("/pooling", {**CHAT, "task": "embed"}),
    "sglang": (
        "/v1/embeddings",
        {"model": "m", "input": [{"text": "What is it?", "image": "{data}"}], "encoding_format": "float"},
    ),
    "cohere": (
        "/v2/embed",
        {
            "model": "m",
            "input_type": "search_query",
            "inputs": [{"content": CONTENT}],
            "embedding_types": ["float"],
            "truncate": "NONE",
        },
    ),
    "jina": (
        "/v1/embeddings",
        {
            "model": "m",
            "task": "retrieval.query",
            "input": [{"image": "{data}"}],
            "embedding_type": "float",
            "normalized": True,
            "truncate": False,
        },
    ),
    "voyage": (
        "/v1/multimodalembeddings",
        {
            "model": "m",
            "input_type": "query",
            "truncation": False,
            "inputs": [
                {
                    "content": [
                        {"type": "image_base64", "image_base64": URL},
                        {"type": "text", "text": "What is it?"},
                    ]
                }
            ],
        },
    ),
    "gemini": (
        "/v1beta/models/m:batchEmbedContents",
        {
            "requests": [
                {
                    "model": "models/m",
                    "content": {
                        "parts": [{"inlineData": {"mimeType": "image/jpeg", "data": "{data}"}}, {"text": "What is it?"}]
                    },
                }
            ]
        },
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_request_is_what_the_server_documents(dialect, opened, server, picture):
    mixed = Item(f"{MEDIA_TOKEN}\nWhat is it?", (picture,))
    item = Item(TEXT) if dialect not in WITH_IMAGES else Item("", (picture,)) if dialect == "jina" else mixed
    embed(opened(dialect), [item])
    path, body = WRITTEN[dialect]
    assert server.paths == [path]
    assert server.bodies == [json.loads(json.dumps(body).replace("{data}", data_of(picture)))]


def test_the_system_turn_has_the_prompt_and_the_instruction(opened, server):
    handle = opened("vllm-chat", instruction="system", query_prompt="Be brief. ", generation_prompt="false")
    embed(handle, [Item("a cat", (), "Find it: ")])
    (body,) = server.bodies
    assert body["messages"][0] == {"role": "system", "content": [{"type": "text", "text": "Be brief. Find it:"}]}
    assert body["messages"][1]["content"] == [{"type": "text", "text": "a cat"}]
    assert body["add_generation_prompt"] is False


@pytest.mark.parametrize(
    ("dialect", "field"),
    [("openai", "dimensions"), ("cohere", "output_dimension"), ("voyage", "output_dimension"), ("jina", "dimensions")],
)
def test_dimensions_are_asked_for(dialect, field, opened, server):
    handle = opened(dialect, dimensions="8")
    embed(handle, [Item("a")])
    assert server.bodies[0][field] == 8
    assert handle.spec.options["dimensions"] == 8


def test_several_conversations_share_a_request_where_the_user_says_so(opened, server):
    items = [Item(f"text {number}") for number in range(6)]
    several = embed(opened("vllm-chat", batch="3"), items)
    assert [len(body["messages"]) for body in server.bodies] == [3, 3]
    assert np.array_equal(several, embed(opened("vllm-chat"), items))


def test_requests_keep_within_bytes_and_tokens(opened, server):
    embedder = opened("vllm").load()
    features = [embedder.prepare(Item("x" * 39), "query") for _ in range(10)]  # ten tokens each
    list(embedder.stream(features, 30))
    assert sorted(len(body["input"]) for body in server.bodies) == [1, 3, 3, 3]


@pytest.mark.parametrize("dialect", WITH_IMAGES)
def test_the_bytes_of_a_file_are_sent_and_another_format_becomes_png(dialect, opened, server, picture):
    with Image.open(picture.root / picture.name) as image:
        image.save(picture.root / "a.bmp")
        decoded = np.asarray(image.convert("RGB"))
    embed(opened(dialect), [Item("", (picture,)), Item("", (Media("image", "a.bmp", picture.root),))])
    said = json.dumps(server.bodies)
    assert data_of(picture) in said
    png = said[said.index("iVBOR") :].partition('"')[0]
    (picture.root / "b.png").write_bytes(base64.b64decode(png))
    with Image.open(picture.root / "b.png") as image:
        assert np.array_equal(np.asarray(image), decoded)


@pytest.mark.parametrize("dialect", WITH_VIDEOS)
def test_a_video_is_sent_as_its_file_or_as_frames(dialect, opened, server, tmp_path):
    write_clip(tmp_path / "a.mp4")
    video = Item("", (Media("video", "a.mp4", tmp_path),))
    embed(opened(dialect), [video])
    assert base64.b64encode((tmp_path / "a.mp4").read_bytes()).decode() in json.dumps(server.bodies)
    if DIALECTS[dialect].files != 1:
        embed(opened(dialect, frames="uniform:3"), [video])
        assert json.dumps(server.bodies).count("iVBOR") == 3


@pytest.mark.parametrize(
    ("dialect", "options", "what"),
    [
        ("jina", {}, "jina takes a text or an image in an item, not both"),
        ("sglang", {"blank": "x"}, "sglang takes 1 file in an item, not 2"),
    ],
)
def test_what_a_dialect_cannot_carry_is_refused_by_name(dialect, options, what, opened, picture):
    media = (picture,) if dialect == "jina" else (picture, picture)
    with pytest.raises(UserError, match=what):
        opened(dialect, **options).load().prepare(Item("a", media), "query")


def test_a_folder_of_frames_and_a_film_of_another_kind_are_refused(opened, tmp_path):
    write_clip(tmp_path / "a.avi")
    (tmp_path / "frames").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "frames" / "1.png")
    embedder = opened("voyage").load()
    for name, what in (("a.avi", "is an AVI video, and the server takes video/mp4"), ("frames", "folder of frames")):
        with pytest.raises(BadMedia, match=what):
            embedder.prepare(Item("", (Media("video", name, tmp_path),)), "query")


def test_an_empty_item_is_refused_or_sent_as_the_user_says(opened, server):
    with pytest.raises(UserError, match="empty"):
        opened("openai").load().prepare(Item(" "), "target")
    embed(opened("openai", blank="nothing"), [Item("")])
    assert server.bodies[0]["input"] == ["nothing"]


@pytest.mark.parametrize(
    ("dialect", "options", "what"),
    [
        ("vllm", {"query": "x"}, "no use for query=x"),
        ("vllm", {"instruction": "system"}, "no use for instruction=system"),
        ("cohere", {"generation_prompt": "true"}, "no use for generation_prompt"),
        ("openai", {"too_long": "cut"}, "no use for too_long=cut"),
        ("sglang", {"frames": "uniform:2"}, "no use for frames"),
        ("gemini", {"frames": "uniform:7"}, "at most 6 images"),
        ("openai", {"modalities": "text,image"}, "carries no image"),
        ("tei", {"batch": "33"}, "at most 32 items"),
        ("tei", {"colour": "red"}, "no option of a server"),
        ("openai", {"dialect": "opnai"}, "no dialect named 'opnai'"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(dialect, options, what, opened):
    with pytest.raises(UserError, match=what):
        opened(**{"dialect": dialect, **options})


def test_answers_of_other_servers_of_this_kind_are_read(opened):
    assert np.allclose(embed(opened("tei", query="q"), [Item("a")]), hashed(["q|a"]), atol=1e-7)
