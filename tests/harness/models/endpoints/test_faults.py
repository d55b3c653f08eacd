"""Trouble that passes changes no vector; trouble that does not pass is named, and what was answered is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.encoding.encoder import Encoder
from harness.encoding.store import Store
from harness.encoding.vectors import Work
from harness.errors import UserError
from harness.models import open_model
from harness.models.endpoints import http
from harness.models.endpoints.pace import Clock, Pace, asked_pause
from harness.progress import NoProgress
from harness.types import Item, ModelSettings
from tests.helpers.endpoint_server import Fault, in_another_order, in_base64

ITEMS = [Item(f"text {number}") for number in range(24)]


def embed(handle, items=ITEMS):
    embedder = handle.load()
    return embedder.embed([embedder.prepare(item, "query") for item in items])


def work(items=ITEMS):
    return [Work(str(number).encode(), item, "query") for number, item in enumerate(items)]


PASSING = [
    Fault(429),
    Fault(429, {"retry-after": "7"}),
    Fault(429, {"retry-after-ms": "250"}),
    Fault(429, {"retry-after": "Sun, 09 Sep 2001 01:47:00 GMT"}),
    Fault(429, body='{"error": {"message": "Please retry in 12.5s", "status": "RESOURCE_EXHAUSTED"}}'),
    Fault(408),
    Fault(500),
    Fault(503, body="<html>busy</html>"),
    Fault(cut=True),
    Fault(change=in_base64),
    Fault(change=in_another_order),
    Fault(),
]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PASSING), max_size=7))
def test_passing_faults_in_any_sequence_change_no_vector(opened, server, faults):
    handle = opened("vllm", batch="3")
    quiet = embed(handle)
    server.faults = list(faults)
    assert np.array_equal(embed(handle), quiet)


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [(PASSING[1], 7), (PASSING[2], 0.25), (PASSING[3], 20), (PASSING[4], 12.5)],
)
def test_the_server_is_left_alone_as_long_as_it_asks(fault, seconds, opened, server, waits):
    handle = opened()
    server.faults = [fault]
    embed(handle)
    assert sum(waits) == pytest.approx(seconds, abs=0.05)


def test_without_a_word_waits_double_and_end(opened, server, waits):
    handle = opened()
    server.faults = [Fault(500)] * 20
    with pytest.raises(UserError, match=f"no answer after {http.TRIES} tries: it answers 500: trouble"):
        embed(handle, ITEMS[:1])
    assert len(server.bodies) == http.TRIES
    longest = [min(30.0, 0.5 * 2**tries) for tries in range(http.TRIES - 1)]
    assert all(0.45 * most <= wait <= most for most, wait in zip(longest, waits, strict=True))


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (Fault(401, body='{"error": {"message": "no such key"}}'), "answers 401: no such key"),
        (Fault(404, body='{"detail": "no such model"}'), "answers 404: no such model"),
        (Fault(429, body='{"error": {"code": "insufficient_quota", "message": "pay"}}'), "answers 429: pay"),
        (Fault(503, {"x-should-retry": "false"}), "answers 503"),
        (Fault(429, {"retry-after": "4000"}), "asks to wait 4,000 seconds"),
        (Fault(change=lambda vectors: vectors[:-1]), "has 2 vectors for 3 items"),
        (Fault(change=lambda vectors: [vectors]), "1 vector for 3 items"),
        (Fault(change=lambda vectors: [[each] for each in vectors]), "several vectors for an item"),
        (Fault(change=lambda vectors: ["?", *vectors[1:]]), "not base64"),
        (Fault(change=lambda vectors: [vectors[0], *(each[1:] for each in vectors[1:])]), "all of one length"),
        (
            Fault(change=lambda vectors: {"data": [{"index": 5, "embedding": each} for each in vectors]}),
            "indexes are not 0 to 2",
        ),
        (Fault(change=lambda vectors: {"object": "error"}), "has no 'data'"),
    ],
)
def test_what_does_not_pass_is_said_at_once(fault, what, opened, server):
    handle = opened()
    server.faults = [fault]
    with pytest.raises(UserError, match=what):
        embed(handle, ITEMS[:3])
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda vectors: [[float("nan")] * 8 for _ in vectors], "not finite"),
        (lambda vectors: [[None] * 8 for _ in vectors], "not finite"),
        (lambda vectors: [[0.0] * 8 for _ in vectors], "vector of zeros"),
        (lambda vectors: [each[:5] for each in vectors], "width 5"),
    ],
)
def test_a_bad_answer_half_way_names_the_item_and_keeps_the_others(change, what, opened, server, tmp_path):
    handle = opened(batch="3")
    server.faults = [Fault(), Fault(), Fault(change=change)]
    with Store(tmp_path, handle.spec) as store:
        with pytest.raises(UserError, match=what):
            Encoder(handle.load(), store).run(work(), NoProgress())
        kept = len(ITEMS) - len(store.missing([each.key for each in work()]))
        assert kept == sum(server.answered.values()) - 3
        Encoder(handle.load(), store).run([each for each in work() if store.missing([each.key])], NoProgress())
        assert sorted(server.answered.values()) == [1] * 21 + [2] * 3


def test_a_slow_server_and_one_that_hangs_are_asked_again(opened, server):
    handle = opened(timeout="1")
    quiet = embed(handle)
    server.faults = [Fault(seconds=1.6)]
    assert np.array_equal(embed(handle), quiet)


def test_an_item_that_is_too_long_is_named(opened, server):
    handle = opened("vllm", batch="8")
    server.limit = 30
    items = [*ITEMS[:12], Item("long " * 20), *ITEMS[12:]]
    with pytest.raises(UserError, match=r"refuses the query with text 'long long.*maximum context length") as caught:
        embed(handle, items)
    assert "too_long=cut" in caught.value.hint


@pytest.mark.parametrize("dialect", ["vllm", "vllm-chat", "tei", "cohere", "jina", "voyage"])
def test_items_that_are_cut_are_counted_and_share_the_store_with_those_before(dialect, opened, server, tmp_path):
    texts = [*ITEMS[:6], Item("long " * 100), Item("long, too " * 80)]
    handle, cutting = opened(dialect, batch="4"), opened(dialect, batch="4", too_long="cut")
    server.limit = 320
    with Store(tmp_path, handle.spec) as store, pytest.raises(UserError, match="refuses"):
        Encoder(handle.load(), store).run(work(texts), NoProgress())
    with Store(tmp_path, cutting.spec) as store:
        rest = [each for each in work(texts) if store.missing([each.key])]
        report = Encoder(cutting.load(), store).run(rest, NoProgress())
    assert report.truncated == 2
    assert max(server.answered.values()) == 1


def test_a_dialect_that_cuts_in_silence_has_its_long_items_counted(opened, tmp_path):
    handle = opened("gemini")
    with Store(tmp_path, handle.spec) as store:
        report = Encoder(handle.load(), store).run(work([Item("a"), Item("b" * 40_000)]), NoProgress())
    assert report.truncated == 1


def test_requests_grow_while_all_goes_well_and_shrink_in_trouble():
    time = [0.0]
    pace = Pace(16, Clock(lambda: time[0], lambda seconds: time.__setitem__(0, time[0] + seconds)))
    assert pace.limit == 2
    for _ in range(20):
        pace.went_well()
    assert pace.limit == 16
    for began in (0.0, 0.0, 0.0):  # three that were under way together
        pace.was_troubled(began, 1.0)
        time[0] += 0.1
    assert pace.limit == 8
    for _ in range(8):
        pace.went_well()
    assert pace.limit == 9
    assert pace.begin() == pytest.approx(1.2)


def test_no_more_requests_are_under_way_than_asked_for(opened, server):
    handle = opened("vllm-chat", concurrency="3")
    server.most_at_once, server.seconds = 0, 0.01
    embed(handle)
    assert server.most_at_once == 3


def test_a_server_that_is_not_there_is_said_at_once(waits):
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9/v1/embeddings cannot be reached"):
        open_model("http://127.0.0.1:9#m", ModelSettings())
    assert waits == []


@pytest.mark.parametrize("text", ["", "soon", "-5", "nan"])
def test_a_wait_that_means_nothing_is_none(text):
    assert asked_pause({"retry-after": text}, "", Clock()) in (None, 0.0)
