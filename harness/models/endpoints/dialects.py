"""The dialects. A row says where a request goes, what it holds, and how it is written and answered.

The shapes are those of the vendors' documented interfaces: OpenAI, vLLM (text, chat and pooling), SGLang, Text
Embeddings Inference (TEI), Cohere v2, Jina, Voyage and Gemini.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from harness.models.endpoints.message import Message, Part
from harness.models.endpoints.reading import read_cohere, read_data, read_gemini, read_pooling, read_tei
from harness.types import FloatArray, Role

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
Body: TypeAlias = dict[str, Json]

MEGABYTE = 1_000_000
PICTURES = ("image/png", "image/jpeg", "image/webp", "image/gif")
FILMS = ("video/mp4", "video/webm", "video/x-msvideo", "video/quicktime", "video/mpeg")


@dataclass(frozen=True, slots=True)
class Asking:
    """What a request says beside its items."""

    model: str
    dimensions: int | None
    side: str
    """What the dialect's own field says of the items' role; empty: the field is left out."""
    cut: bool
    """Whether the server cuts what is too long. Otherwise it refuses that."""
    generation_prompt: bool
    blank: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way in which servers take items and give vectors."""

    name: str
    version: str
    """The first part of the path, which a user may write into the URL: `/v1`. Empty: there is none."""
    path: str
    """The rest of the path, with `{model}` in the place of the model."""
    write: Callable[[Asking, Sequence[Message]], Body]
    read: Callable[[object, int], FloatArray]
    """The vectors `(n, d)` of an answer about n items. Raises ValueError for anything else."""
    takes: tuple[str, ...] = ()
    """Types of files."""
    files: int = 0
    """Largest number of images, or of videos, in an item; 0: no limit."""
    mixed: bool = True
    """Whether an item may hold a text and files together."""
    items: int = 32
    """Largest number of items in a request."""
    most_items: int = 2048
    """The same, where the user asks for more than `items`."""
    tokens: int = 0
    """Largest number of tokens in a request; 0: no limit."""
    bytes: int = 100 * MEGABYTE
    """Largest number of bytes of files in a request, in base64."""
    sides: Mapping[Role, str] | None = None
    """What the dialect's field for roles says of queries and targets by itself; None: it has no such field."""
    cuts: bool = True
    """Whether the server can be asked to cut what is too long."""
    silent: int = 0
    """Tokens above which the server cuts without being asked; 0: it never does."""
    chats: bool = False
    """Whether an item is a conversation, with a turn for the system."""
    blank: str = ""
    """The text of an item that has none, where the server would put a text of its own."""
    key: str = ""
    """The usual environment variable of the key."""
    header: str = "authorization"
    host: str = ""
    """The vendor's own host, which asks for the key."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """The kinds of input that it can carry."""
        return ("text", *(kind for kind in ("image", "video") if any(each.startswith(kind) for each in self.takes)))


def _write_openai(asking: Asking, items: Sequence[Message]) -> Body:
    body: Body = {"model": asking.model, "input": [each.text for each in items], "encoding_format": "float"}
    return body | _sized(asking)


def _write_vllm(asking: Asking, items: Sequence[Message]) -> Body:
    return _write_openai(asking, items) | _cut_by_vllm(asking)


def _write_chat(asking: Asking, items: Sequence[Message]) -> Body:
    """One conversation, or a list of them, which vLLM takes since June 2026."""
    talks: list[Json] = [_conversation(each) for each in items]
    body: Body = {"model": asking.model, "messages": talks if len(talks) > 1 else talks[0], "encoding_format": "float"}
    return body | {"add_generation_prompt": asking.generation_prompt} | _sized(asking) | _cut_by_vllm(asking)


def _write_pooling(asking: Asking, items: Sequence[Message]) -> Body:
    return _write_chat(asking, items) | {"task": "embed"}


def _write_sglang(asking: Asking, items: Sequence[Message]) -> Body:
    def item(message: Message) -> Json:
        files: Body = {part.kind: part.content for part in message.files}
        return {"text": message.text or asking.blank} | files

    inputs: list[Json] = [item(each) for each in items]
    return {"model": asking.model, "input": inputs, "encoding_format": "float"} | _sized(asking)


def _write_tei(asking: Asking, items: Sequence[Message]) -> Body:
    body: Body = {"inputs": [each.text for each in items], "normalize": True, "truncate": asking.cut}
    return body | ({"prompt_name": asking.side} if asking.side else {}) | _sized(asking)


def _write_cohere(asking: Asking, items: Sequence[Message]) -> Body:
    inputs: list[Json] = [{"content": _content(each.parts)} for each in items]
    body: Body = {"model": asking.model, "input_type": asking.side, "inputs": inputs, "embedding_types": ["float"]}
    return body | {"truncate": "END" if asking.cut else "NONE"} | _sized(asking, "output_dimension")


def _write_jina(asking: Asking, items: Sequence[Message]) -> Body:
    inputs: list[Json] = [{part.kind: part.text or part.content for part in each.parts} for each in items]
    body: Body = {"model": asking.model, "input": inputs, "embedding_type": "float", "normalized": True}
    return body | {"truncate": asking.cut} | ({"task": asking.side} if asking.side else {}) | _sized(asking)


def _write_voyage(asking: Asking, items: Sequence[Message]) -> Body:
    def part_of(part: Part) -> Json:
        name = "text" if part.kind == "text" else f"{part.kind}_base64"
        return {"type": name, name: part.text or part.url}

    inputs: list[Json] = [{"content": [part_of(part) for part in each.parts]} for each in items]
    body: Body = {"model": asking.model, "input_type": asking.side or None, "truncation": asking.cut, "inputs": inputs}
    return body | _sized(asking, "output_dimension")


def _write_gemini(asking: Asking, items: Sequence[Message]) -> Body:
    def part_of(part: Part) -> Json:
        return {"text": part.text} if part.kind == "text" else {"inlineData": _inline(part)}

    def request(message: Message) -> Json:
        content: Json = {"parts": [part_of(part) for part in message.parts]}
        body: Body = {"model": f"models/{asking.model}", "content": content}
        return body | _sized(asking, "outputDimensionality")

    return {"requests": [request(each) for each in items]}


def _inline(part: Part) -> Json:
    return {"mimeType": part.mime, "data": part.content}


def _conversation(message: Message) -> Json:
    system: list[Json] = [{"role": "system", "content": [{"type": "text", "text": message.system}]}]
    user: Json = {"role": "user", "content": _content(message.parts)}
    return [*(system if message.system else []), user]


def _content(parts: Sequence[Part]) -> Json:
    """Parts as the content of a message of OpenAI's form."""

    def written(part: Part) -> Json:
        if part.kind == "text":
            return {"type": "text", "text": part.text}
        return {"type": f"{part.kind}_url", f"{part.kind}_url": {"url": part.url}}

    return [written(part) for part in parts]


def _sized(asking: Asking, field: str = "dimensions") -> Body:
    return {} if asking.dimensions is None else {field: asking.dimensions}


def _cut_by_vllm(asking: Asking) -> Body:
    return {"truncate_prompt_tokens": -1} if asking.cut else {}


DIALECTS: Mapping[str, Dialect] = {
    each.name: each
    for each in (
        Dialect(
            "openai",
            "/v1",
            "/embeddings",
            _write_openai,
            read_data,
            items=128,
            tokens=300_000,
            cuts=False,
            key="OPENAI_API_KEY",
            host="api.openai.com",
        ),
        Dialect("vllm", "/v1", "/embeddings", _write_vllm, read_data, key="VLLM_API_KEY"),
        Dialect(
            "vllm-chat",
            "/v1",
            "/embeddings",
            _write_chat,
            read_data,
            (*PICTURES, *FILMS),
            items=1,
            key="VLLM_API_KEY",
            chats=True,
        ),
        Dialect(
            "vllm-pooling",
            "",
            "/pooling",
            _write_pooling,
            read_pooling,
            (*PICTURES, *FILMS),
            items=1,
            key="VLLM_API_KEY",
            chats=True,
        ),
        Dialect(
            "sglang",
            "/v1",
            "/embeddings",
            _write_sglang,
            read_data,
            (*PICTURES, *FILMS),
            files=1,
            cuts=False,
            blank="Image.",
        ),
        Dialect("tei", "", "/embed", _write_tei, read_tei, most_items=32, sides={"query": "", "target": ""}),
        Dialect(
            "cohere",
            "/v2",
            "/embed",
            _write_cohere,
            read_cohere,
            PICTURES,
            most_items=96,
            tokens=128_000,
            bytes=20 * MEGABYTE,
            sides={"query": "search_query", "target": "search_document"},
            key="CO_API_KEY",
            host="api.cohere.com",
        ),
        Dialect(
            "jina",
            "/v1",
            "/embeddings",
            _write_jina,
            read_data,
            PICTURES,
            files=1,
            mixed=False,
            most_items=512,
            sides={"query": "retrieval.query", "target": "retrieval.passage"},
            key="JINA_API_KEY",
            host="api.jina.ai",
        ),
        Dialect(
            "voyage",
            "/v1",
            "/multimodalembeddings",
            _write_voyage,
            read_data,
            (*PICTURES, "video/mp4"),
            most_items=1000,
            tokens=320_000,
            bytes=20 * MEGABYTE,
            sides={"query": "query", "target": "document"},
            key="VOYAGE_API_KEY",
            host="api.voyageai.com",
        ),
        Dialect(
            "gemini",
            "/v1beta",
            "/models/{model}:batchEmbedContents",
            _write_gemini,
            read_gemini,
            ("image/png", "image/jpeg", "video/mp4", "video/mpeg"),
            files=6,
            most_items=100,
            bytes=20 * MEGABYTE,
            cuts=False,
            silent=8192,
            key="GEMINI_API_KEY",
            header="x-goog-api-key",
            host="generativelanguage.googleapis.com",
        ),
    )
}
