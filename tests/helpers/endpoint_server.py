"""A server of embeddings on loopback: every dialect, answers made by any function, and faults in any sequence."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import numpy as np

WIDTH = 8
Vectors = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""Vectors of items, each as one text that says all of it."""


def hashed(items: Sequence[str]) -> list[list[float]]:
    """A direction for each item: that of its words, and a little of its own."""
    rows = [sum(map(_drawn, item.split()), np.zeros(WIDTH)) + 0.3 * _drawn(item) for item in items]
    return [(row / np.linalg.norm(row)).astype(np.float32).tolist() for row in rows]


def _drawn(text: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=WIDTH)


@dataclass(frozen=True)
class Fault:
    """What happens to one request in place of an answer, or to its answer."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = '{"error": {"message": "trouble"}}'
    cut: bool = False
    """Whether the connection breaks off in the middle of the answer."""
    seconds: float = 0.0
    """How long the answer takes."""
    change: Callable[[list[list[float]]], object] = lambda vectors: vectors
    """What becomes of the vectors of a good answer."""


@dataclass
class EndpointServer:
    """Answers in the dialect that the path says. `faults` are taken by the next requests, one each."""

    vectors: Vectors = hashed
    faults: list[Fault] = field(default_factory=list)
    limit: int = 10**9
    """Number of characters above which an item is too long."""
    key: str = ""
    seconds: float = 0.0
    after: Callable[[int], None] = lambda number: None
    """Is told the number of each request that was answered."""
    bodies: list[Mapping] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answered: Counter = field(default_factory=Counter)
    """How often each item was answered."""
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.lock = threading.Lock()

    def __enter__(self) -> EndpointServer:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def name(self, model: str = "m") -> str:
        return f"{self.url}#{model}"

    def forget(self) -> None:
        """As it was before the first request."""
        self.faults, self.limit, self.key, self.seconds = [], 10**9, "", 0.0
        self.vectors, self.after = hashed, lambda number: None
        self.bodies, self.headers, self.paths, self.answered, self.most_at_once = [], [], [], Counter(), 0


def _chat(conversation: Sequence[Mapping]) -> str:
    return json.dumps(conversation, sort_keys=True)


def _conversations(body: Mapping) -> list[str]:
    messages = body["messages"]
    return [_chat(each) for each in messages] if isinstance(messages[0], list) else [_chat(messages)]


def _items(path: str, body: Mapping) -> tuple[str, list[str]]:
    """The form of the answer, and the items."""
    if path == "/embed":
        return "tei", [f"{body.get('prompt_name', '')}|{each}" for each in body["inputs"]]
    if path == "/pooling":
        assert body["task"] == "embed"
        return "pooling", _conversations(body)
    if path == "/v2/embed":
        assert body["input_type"] in ("search_query", "search_document", "classification")
        assert body["embedding_types"] == ["float"]
        return "cohere", [body["input_type"] + json.dumps(each["content"]) for each in body["inputs"]]
    if path == "/v1/multimodalembeddings":
        assert body["input_type"] in ("query", "document", None)
        return "data", [f"{body['input_type']}{json.dumps(each['content'])}" for each in body["inputs"]]
    if path.endswith(":batchEmbedContents"):
        assert path.startswith("/v1beta/models/")
        return "gemini", [json.dumps(each["content"]["parts"]) for each in body["requests"]]
    assert path == "/v1/embeddings", path
    if "messages" in body:
        return "data", _conversations(body)
    side = body.get("task", "")
    return "data", [side + (each if isinstance(each, str) else json.dumps(each)) for each in body["input"]]


def _answer(form: str, vectors: object) -> object:
    if form == "tei":
        return vectors
    if form == "cohere":
        return {"id": "1", "response_type": "embeddings_by_type", "embeddings": {"float": vectors}}
    if form == "gemini":
        return {"embeddings": [{"values": each} for each in vectors]}
    if isinstance(vectors, dict):
        return vectors
    field_name = "data" if form == "pooling" else "embedding"
    entries = [{"object": "embedding", "index": at, field_name: each} for at, each in enumerate(vectors)]
    return {"object": "list", "model": "m", "data": entries, "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def in_base64(vectors: list[list[float]]) -> object:
    """Vectors as texts of their bytes."""
    return [base64.b64encode(np.array(each, "<f4").tobytes()).decode() for each in vectors]


def in_another_order(vectors: list[list[float]]) -> object:
    """An answer whose entries are not in the order of their indexes."""
    return {"data": [{"index": at, "embedding": each} for at, each in reversed(list(enumerate(vectors)))]}


def _cuts(body: Mapping) -> bool:
    return any(
        (body.get(name) or 0) in values
        for name, values in {"truncate_prompt_tokens": (-1,), "truncate": (True, "END"), "truncation": (True,)}.items()
    )


class _Handler(BaseHTTPRequestHandler):
    owner: EndpointServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        owner = self.owner
        with owner.lock:
            owner.at_once += 1
            owner.most_at_once = max(owner.most_at_once, owner.at_once)
        try:
            self._post()
        finally:
            with owner.lock:
                owner.at_once -= 1

    def _post(self) -> None:
        owner = self.owner
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        path = urlsplit(self.path).path
        with owner.lock:
            owner.bodies.append(body)
            owner.paths.append(path)
            answered = owner.answered  # a slow answer counts for the test that asked
            owner.headers.append({name.lower(): value for name, value in self.headers.items()})
            fault = owner.faults.pop(0) if owner.faults else Fault()
        if owner.key and owner.key not in str(self.headers):
            return self._reply(401, {"error": {"message": f"Incorrect API key: {self.headers}"}})
        time.sleep(fault.seconds + owner.seconds)
        if fault.status != 200:
            return self._reply(fault.status, fault.body, fault.headers)
        form, items = _items(path, body)
        if not _cuts(body) and any(len(item) > owner.limit for item in items):
            return self._reply(400, {"error": {"message": "maximum context length is 10 tokens", "code": 400}})
        vectors = owner.vectors([item[: owner.limit] for item in items])
        self._reply(200, _answer(form, fault.change(vectors)), cut=fault.cut)
        if fault.cut:
            return None
        with owner.lock:
            answered.update(items)
            number = len(owner.bodies)
        return owner.after(number)

    def _reply(self, status: int, body: object, headers: Mapping[str, str] = {}, *, cut: bool = False) -> None:
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.wfile.flush()
        if cut:
            self.close_connection = True
            self.connection.close()
