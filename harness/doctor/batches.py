"""Checks of what must not change a vector: a second run, place and size of a batch, other items, threads."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import permutations

from harness.doctor.finding import Finding, ModelUnderTest, Probe
from harness.doctor.probes import Probes, words
from harness.encoding import DEFAULT_BUDGET
from harness.encoding.window import MOST_ITEMS
from harness.errors import counted
from harness.types import Item

_THREADS, _COPIES = 8, 4
_SECONDS, _FEWEST, _SAMPLE = 10.0, 16, 8
"""A large batch takes about so many seconds, but has at least 16 items. Eight of them are compared with single runs."""


def repeatable(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that an item that is embedded again has the same vector."""
    distance = _worst(model.distance(model.alone(probe), model.batch([probe])[0]) for probe in _some(probes))
    return model.same(
        "repeatable",
        distance,
        "An item that is embedded again has the same vector.",
        "An item that is embedded again has a different vector.",
        "Put the network into evaluation mode (dropout), and use no random numbers in prepare or embed.",
    )


def history(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that an item has the same vector whatever was embedded before, also in an object that is new.

    Objects are made and dropped one by one, so that one has the `id()` of another.
    """
    some = [*_some(probes), *map(_short, range(8) if probes.texts else ())]
    known = [model.alone(probe) for probe in some]
    worst = 0.0
    for at in [*range(len(some)), *reversed(range(len(some)))]:
        item = some[at].item
        vector = model.batch([Probe(replace(item, text=f"{item.text} "[:-1]), some[at].role)])[0]
        worst = max(worst, model.distance(vector, known[at]))
    return model.same(
        "history",
        worst,
        "An item has the same vector whatever was embedded before.",
        "An item's vector depends on what was embedded before.",
        "Look for a cache by id(), which Python gives out again, and for state that one call leaves to the next.",
    )


def order(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that vectors are returned in the order of the items, so that none is that of another item."""
    swapped = [
        probe
        for batch in _mixed(probes)
        for probe, vector in zip(batch, model.batch(batch), strict=True)
        if model.distance(vector, model.alone(probe)) > model.tolerance
        and any(model.distance(vector, model.alone(other)) <= model.tolerance for other in batch)
    ]
    if not swapped:
        return Finding("order", "pass", "Vectors are returned in the order of the items.")
    return Finding(
        "order",
        "fail",
        f"{counted(len(swapped), 'vector')} of mixed batches are those of other items.",
        "If embed sorts its items, for instance by length, return the vectors in the order given.",
    )


def place(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that an item has the same vector at every place of a batch."""
    worst = 0.0
    for item, others in _unpadded(probes):
        batches = [[*others[:at], item, *others[at:]] for at in range(len(others) + 1)]
        vectors = [model.batch(batch)[at] for at, batch in enumerate(batches)]
        worst = max(worst, _worst(model.distance(vectors[0], vector) for vector in vectors))
    return model.same(
        "place",
        worst,
        "An item has the same vector at every place of a batch.",
        "An item's vector depends on its place in the batch.",
        "Look for state that embed keeps from one item to the next, or for an index that counts from the wrong end.",
    )


def batch(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that an item has the same vector by itself and in a batch where it needs no padding."""
    worst = _worst(
        model.distance(model.alone(item), model.batch([item, *others])[0]) for item, others in _unpadded(probes)
    )
    return model.same(
        "batch",
        worst,
        "An item has the same vector alone and with other items.",
        "An item's vector depends on which other items share its batch.",
        "Look for statistics over the batch (a mean, a batch norm in training mode). Look also for batches that run in "
        "other kernels or precisions than single items.",
    )


def padding(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that an item has the same vector alone and with longer ones, so that it is padded.

    Batches mix texts of all lengths, images and videos. Each is tried with one role, and with both in turn.
    """
    worst = _worst(
        model.distance(vector, model.alone(probe))
        for batch in (*_mixed(probes), *map(_in_both_roles, _mixed(probes)))
        for probe, vector in zip(batch, model.batch(batch), strict=True)
    )
    return model.same(
        "padding",
        worst,
        "An item has the same vector beside items of any length.",
        "An item's vector depends on the lengths of the other items, that is, on its padding.",
        "Check the padding side against the index of the pooled token, the attention mask, and the position ids.",
    )


def threads(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that items prepared by several threads at the same time have the same vectors as one by one."""
    some = _some(probes)
    with ThreadPoolExecutor(_THREADS) as pool:
        features = list(pool.map(lambda probe: model.embedder.prepare(*probe), some * _COPIES))
    worst = 0.0
    for number, probe in enumerate(some):
        vectors = model.embed(features[number :: len(some)])
        worst = max(worst, _worst(model.distance(vector, model.alone(probe)) for vector in vectors))
    return model.same(
        "threads",
        worst,
        f"Items prepared by {_THREADS} threads at the same time have the same vectors.",
        f"Items prepared by {_THREADS} threads at the same time have different vectors.",
        "prepare must change nothing that another call uses: give each call its own tokenizer settings and buffers.",
    )


def large_batch(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that items in a batch as large as a run's have the vectors that they have alone."""
    worst, largest = 0.0, 0
    for family in (list(map(_short, range(MOST_ITEMS))) if probes.texts else [], list(probes.images)):
        if not family:
            continue
        count = _engine_size(model, family[0])
        batch = (family * -(-count // len(family)))[:count]
        batch[::3] = [probe._replace(role="target") for probe in batch[::3]]
        features = {probe: model.embedder.prepare(*probe) for probe in set(batch)}
        vectors, reverse = (model.embed([features[probe] for probe in each]) for each in (batch, batch[::-1]))
        reverse = reverse[::-1]
        worst = max(worst, _worst(map(model.distance, vectors, reverse)))
        sample = range(0, count, max(1, (count - 1) // (_SAMPLE - 1)))
        worst = max(worst, _worst(model.distance(vectors[at], model.alone(batch[at])) for at in sample))
        largest = max(largest, count)
    return model.same(
        "large batch",
        worst,
        f"Items have the same vectors in batches of up to {largest}.",
        f"Items have other vectors in batches of up to {largest}, which is what a run embeds at once.",
        "Look for a fixed size of buffers, for an overflow, and for kernels that depend on the size of the batch.",
    )


def _engine_size(model: ModelUnderTest, probe: Probe) -> int:
    """The number of such items in a batch of a run, less if they take long."""
    start = time.perf_counter()
    model.batch([probe])
    in_time = int(_SECONDS / (time.perf_counter() - start))
    cost = max(1, model.embedder.prepare(*probe).cost)
    return max(1, min(MOST_ITEMS, DEFAULT_BUDGET // cost, max(_FEWEST, in_time)))


def _short(number: int) -> Probe:
    return Probe(Item(f"{number}: {words(2 + number % 5, number)}"))


def _in_both_roles(batch: Sequence[Probe]) -> Sequence[Probe]:
    return [probe._replace(role="target") if at % 2 else probe for at, probe in enumerate(batch)]


def _some(probes: Probes) -> tuple[Probe, ...]:
    """Returns a few probes of every kind."""
    return (*probes.texts, *probes.images[:1], *probes.captioned[:1], *probes.videos[:1])


def _unpadded(probes: Probes) -> Iterator[tuple[Probe, Sequence[Probe]]]:
    """Yields an item, and others that are not longer: shorter texts, or images of the same size."""
    for family in (probes.texts, probes.images[:3]):
        if family:
            yield family[0], family[1:]


def _mixed(probes: Probes) -> Iterator[Sequence[Probe]]:
    """Yields batches of different lengths: each pair of texts in both orders, and texts among media."""
    yield from (pair for pair in permutations(probes.texts, 2))
    if probes.texts:
        yield probes.texts[::-1]
    if probes.images:
        yield (*probes.texts[-1:], *probes.images[2:], *probes.captioned[:1], *probes.texts[:1])
    if probes.videos:
        yield (*probes.texts[-1:], *probes.images[:1], probes.videos[0], *probes.texts[:1])


def _worst(distances: Iterable[float]) -> float:
    return max(distances, default=0.0)
