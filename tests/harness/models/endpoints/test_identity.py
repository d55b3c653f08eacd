"""A server that changed is another model, one that rounds otherwise is not; and its key is known to nobody else."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import UserError
from harness.identity import model_fingerprint
from harness.models import open_model
from harness.models.endpoints.address import Key, is_address, read_address
from harness.models.endpoints.dialects import DIALECTS
from harness.models.endpoints.probe import TOLERANCE, distance
from harness.types import ModelSettings
from tests.helpers.endpoint_server import EndpointServer, Fault, hashed

SECRET = "sk-verysecret123"


def moved(by: float, seed: int):
    """The server's vectors, moved by a distance at random."""

    def vectors(items):
        noise = np.random.default_rng(seed)
        rows = np.array(hashed(items))
        away = noise.normal(size=rows.shape)
        away -= (away * rows).sum(axis=1, keepdims=True) * rows
        angle = 2 * np.arcsin(by / 2)
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        return (rows * np.cos(angle) + away * np.sin(angle)).tolist()

    return vectors


def open_here(server, folder, notes=None, **options):
    return open_model(
        server.name(),
        ModelSettings(options={"dialect": "vllm", **options}, memory=folder),
        lambda text: notes.append(text) if notes is not None else None,
    ).spec


@pytest.mark.parametrize("seed", range(5))
def test_rounding_is_the_same_model_and_more_is_another(seed, server, tmp_path):
    first = open_here(server, tmp_path)
    notes: list[str] = []
    server.vectors = moved(TOLERANCE * 0.98, seed)
    assert open_here(server, tmp_path, notes) == first
    assert notes == []
    server.vectors = moved(TOLERANCE * 1.02, seed)
    other = open_here(server, tmp_path, notes)
    assert model_fingerprint(other) != model_fingerprint(first)
    assert "another model than on" in notes[0]
    server.vectors = hashed
    assert open_here(server, tmp_path) == first


def test_a_server_of_another_width_is_another_model(server, tmp_path):
    first = open_here(server, tmp_path)
    server.vectors = lambda items: [each[:4] for each in hashed(items)]
    notes: list[str] = []
    assert open_here(server, tmp_path, notes).revision != first.revision
    assert "moved by up to inf" in notes[0]


def test_the_same_server_is_the_same_model_everywhere_without_a_memory(server):
    assert open_here(server, None) == open_here(server, None)


def test_what_changes_a_vector_changes_the_identity_and_nothing_else_does(server, tmp_path):
    base = model_fingerprint(open_here(server, tmp_path))
    same = [{"batch": "2"}, {"concurrency": "1"}, {"timeout": "9"}, {"too_long": "cut"}]
    other = [{"revision": "abc"}, {"query_prompt": "q: "}, {"target_prompt": "d: "}, {"dimensions": "8"}]
    other += [{"blank": "x"}, {"dialect": "openai"}, {"dialect": "vllm-chat"}]
    assert {model_fingerprint(open_here(server, tmp_path, **each)) for each in same} == {base}
    found = {model_fingerprint(open_here(server, tmp_path, **each)) for each in other}
    assert len(found) == len(other)
    assert base not in found


def test_a_damaged_memory_is_named(server, tmp_path):
    open_here(server, tmp_path)
    (path,) = (tmp_path / "endpoints").glob("*.json")
    path.write_text('{"probes": [{"digest": 1}]}')
    with pytest.raises(UserError, match=f"{path.name} does not hold probes"):
        open_here(server, tmp_path)


@pytest.mark.parametrize(
    ("vectors", "what"),
    [
        (lambda items: [[1.0, 0.0]] * len(items), "one vector for different texts"),
        (lambda items: [[0.0, 0.0]] * len(items), "not finite, or all zero"),
    ],
)
def test_a_server_whose_probe_means_nothing_is_refused(vectors, what, server, tmp_path):
    server.vectors = vectors
    with pytest.raises(UserError, match=what):
        open_here(server, tmp_path)


def test_distance_is_that_of_directions():
    one = np.array([[1.0, 0.0], [3.0, 0.0]], np.float32)
    assert distance(one, one * 7) == 0
    assert distance(one, one[:, ::-1]) == pytest.approx(2**0.5)
    assert distance(one, one[:1]) == float("inf")


@pytest.mark.parametrize(
    ("name", "base", "version", "model"),
    [
        ("http://localhost:8000/v1#org/m", "http://localhost:8000", "/v1", "org/m"),
        ("HTTPS://Host.example/api/v1beta/#m@1", "https://host.example/api", "/v1beta", "m@1"),
        ("http://[::1]:80#m", "http://[::1]:80", "", "m"),
    ],
)
def test_addresses_are_read(name, base, version, model):
    assert is_address(name)
    found = read_address(name)
    assert (found.base, found.version, found.model) == (base, version, model)
    assert found.url("/v1", "/embeddings") == f"{base}{version or '/v1'}/embeddings"
    assert found.url("", "/embed") == f"{base}/embed"


@pytest.mark.parametrize(
    "name",
    [
        "http://#m",
        "http://host",
        "http://host:port#m",
        "http://host:99999#m",
        f"http://user:{SECRET}@host#m",
        f"http://host?key={SECRET}#m",
        "http://ho st#m",
        "http://[::1#m",
        "http://host/\x1b[31m#m",
    ],
)
def test_other_addresses_are_refused_without_their_secrets(name):
    with pytest.raises(UserError) as caught:
        open_model(name, ModelSettings())
    assert SECRET not in str(caught.value)


def test_the_key_is_sent_and_stands_in_nothing_else(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", SECRET)
    server.key = SECRET
    spec = open_here(server, tmp_path, key="MY_KEY")
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in repr(spec) + repr(Key("MY_KEY", SECRET))
    assert not any(SECRET.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    monkeypatch.setenv("MY_KEY", SECRET + "x")  # the server says the key that it got
    server.key = "another"
    with pytest.raises(UserError, match="answers 401") as caught:
        open_here(server, tmp_path, key="MY_KEY")
    assert SECRET not in str(caught.value)
    assert "$MY_KEY" in str(caught.value)


def test_a_key_in_place_of_a_name_is_not_shown(server):
    for written in (SECRET, "hf_abcDEF", "AIzaXYZ"):
        with pytest.raises(UserError, match="not the name of an environment variable") as caught:
            open_here(server, None, key=written)
        assert written not in str(caught.value)


def test_a_key_that_is_named_must_be_there(server, monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(UserError, match="MY_KEY is not set"):
        open_here(server, None, key="MY_KEY")


@pytest.mark.parametrize("dialect", [name for name, each in DIALECTS.items() if each.host])
def test_the_usual_key_goes_to_the_vendor_alone(dialect, server, monkeypatch):
    row = DIALECTS[dialect]
    monkeypatch.setenv(row.key, SECRET)
    open_model(server.name(), ModelSettings(options={"dialect": dialect}))
    assert not any(SECRET in str(headers) for headers in server.headers)
    monkeypatch.delenv(row.key)
    with pytest.raises(UserError, match=f"{row.key} is not set"):
        open_model(f"https://{row.host}#m", ModelSettings())


def test_gemini_gets_its_key_in_its_own_header(server, monkeypatch):
    monkeypatch.setenv("MY_KEY", SECRET)
    open_here(server, None, dialect="gemini", key="MY_KEY")
    assert server.headers[0]["x-goog-api-key"] == SECRET
    assert "authorization" not in server.headers[0]


def test_a_redirect_to_another_server_is_refused_and_gets_nothing(server):
    with EndpointServer() as other:
        server.faults = [Fault(307, {"location": f"{other.url}/v1/embeddings"})]
        with pytest.raises(UserError, match=r"redirects to .*another server"):
            open_here(server, None)
        assert other.bodies == []


def test_a_redirect_within_the_server_is_followed(server):
    plain = open_here(server, None)
    server.faults = [
        Fault(307, {"location": "/v1/embeddings"}),
        Fault(308, {"location": server.url + "/v1/embeddings"}),
    ]
    assert open_here(server, None) == plain
    server.faults = [Fault(307, {"location": "/v1/embeddings"})] * 9
    with pytest.raises(UserError, match="redirects without end"):
        open_here(server, None)


def test_a_device_means_nothing_to_a_server(server):
    with pytest.raises(UserError, match="runs where its server runs"):
        open_model(server.name(), ModelSettings(device="cuda"))
