"""Checks of what must not change a vector: a second run, the place in a batch, other items, padding, threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

from harness.doctor.finding import Finding, ModelUnderTest, Probe
from harness.doctor.probes import Probes
from harness.encoding.vectors import as_matrix
from harness.errors import counted

_THREADS, _COPIES = 8, 4


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

    Batches mix texts of all lengths, images and videos.
    """
    worst = _worst(
        model.distance(vector, model.alone(probe))
        for batch in _mixed(probes)
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
        vectors = as_matrix(model.embedder.embed(features[number :: len(some)]))
        worst = max(worst, _worst(model.distance(vector, model.alone(probe)) for vector in vectors))
    return model.same(
        "threads",
        worst,
        f"Items prepared by {_THREADS} threads at the same time have the same vectors.",
        f"Items prepared by {_THREADS} threads at the same time have different vectors.",
        "prepare must change nothing that another call uses: give each call its own tokenizer settings and buffers.",
    )


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
