"""What must not change a vector: asking again, its place, its company, the room it is given, another thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

from harness.doctor.finding import Finding, ModelUnderTest, Probe
from harness.doctor.probes import Probes
from harness.encoding.vectors import as_matrix

_THREADS, _COPIES = 8, 4


def repeatable(patient: ModelUnderTest, probes: Probes) -> Finding:
    """An item embedded again has the same vector."""
    distance = _worst(patient.distance(patient.alone(probe), patient.batch([probe])[0]) for probe in _some(probes))
    return patient.same(
        "repeatable",
        distance,
        "An item that is embedded again has the same vector.",
        "An item that is embedded again has another vector.",
        "Put the network into evaluation mode (dropout), and draw nothing at random in prepare or embed.",
    )


def order(patient: ModelUnderTest, probes: Probes) -> Finding:
    """Vectors come back in the order of the items: none is that of another item."""
    swapped = [
        probe
        for batch in _mixed(probes)
        for probe, vector in zip(batch, patient.batch(batch), strict=True)
        if patient.distance(vector, patient.alone(probe)) > patient.tolerance
        and any(patient.distance(vector, patient.alone(other)) <= patient.tolerance for other in batch)
    ]
    if not swapped:
        return Finding("order", "pass", "Vectors come back in the order of the items.")
    return Finding(
        "order",
        "fail",
        f"{len(swapped)} vectors of mixed batches are those of other items.",
        "If embed sorts its items, by length say, bring the vectors back into the order given.",
    )


def place(patient: ModelUnderTest, probes: Probes) -> Finding:
    """An item has one vector at every place of one batch."""
    worst = 0.0
    for item, company in _companies(probes):
        batches = [[*company[:at], item, *company[at:]] for at in range(len(company) + 1)]
        vectors = [patient.batch(batch)[at] for at, batch in enumerate(batches)]
        worst = max(worst, _worst(patient.distance(vectors[0], vector) for vector in vectors))
    return patient.same(
        "place",
        worst,
        "An item has the same vector at every place of a batch.",
        "An item's vector depends on its place in the batch.",
        "Look for state that embed carries from one item to the next, or an index that counts from the wrong end.",
    )


def batch(patient: ModelUnderTest, probes: Probes) -> Finding:
    """An item has one vector alone and beside others that need no more room than it does, so that none is padded."""
    worst = _worst(
        patient.distance(patient.alone(item), patient.batch([item, *company])[0])
        for item, company in _companies(probes)
    )
    return patient.same(
        "batch",
        worst,
        "An item has the same vector alone and in company.",
        "An item's vector depends on which other items share its batch.",
        "Look for statistics over the batch (a mean, a batch norm in training mode), or batches that run in other "
        "kernels or precisions than single items.",
    )


def padding(patient: ModelUnderTest, probes: Probes) -> Finding:
    """An item has one vector alone and beside longer ones, so that it is padded: by little, by much, before media."""
    worst = _worst(
        patient.distance(vector, patient.alone(probe))
        for batch in _mixed(probes)
        for probe, vector in zip(batch, patient.batch(batch), strict=True)
    )
    return patient.same(
        "padding",
        worst,
        "An item has the same vector however much longer its neighbours are.",
        "An item's vector depends on the lengths of its neighbours, that is, on its padding.",
        "Check the padding side against the index of the pooled token, the attention mask, and the position ids.",
    )


def threads(patient: ModelUnderTest, probes: Probes) -> Finding:
    """Items prepared by several threads at once have the vectors of those prepared one by one."""
    asked = _some(probes)
    with ThreadPoolExecutor(_THREADS) as pool:
        features = list(pool.map(lambda probe: patient.embedder.prepare(*probe), asked * _COPIES))
    worst = 0.0
    for number, probe in enumerate(asked):
        vectors = as_matrix(patient.embedder.embed(features[number :: len(asked)]))
        worst = max(worst, _worst(patient.distance(vector, patient.alone(probe)) for vector in vectors))
    return patient.same(
        "threads",
        worst,
        f"Items prepared by {_THREADS} threads at once have the same vectors.",
        f"Items prepared by {_THREADS} threads at once have other vectors.",
        "prepare must change nothing that another prepare uses: give each call its own tokenizer settings and buffers.",
    )


def _some(probes: Probes) -> tuple[Probe, ...]:
    """A few of every kind."""
    return (*probes.texts, *probes.images[:1], *probes.captioned[:1], *probes.videos[:1])


def _companies(probes: Probes) -> Iterator[tuple[Probe, Sequence[Probe]]]:
    """An item and others that are no longer: shorter texts; images of the same size."""
    for family in (probes.texts, probes.images[:3]):
        if family:
            yield family[0], family[1:]


def _mixed(probes: Probes) -> Iterator[Sequence[Probe]]:
    """Batches of unlike length, each pair of texts in both orders; and texts among media."""
    yield from (pair for pair in permutations(probes.texts, 2))
    if probes.texts:
        yield probes.texts[::-1]
    if probes.images:
        yield (*probes.texts[-1:], *probes.images[2:], *probes.captioned[:1], *probes.texts[:1])
    if probes.videos:
        yield (*probes.texts[-1:], *probes.images[:1], probes.videos[0], *probes.texts[:1])


def _worst(distances: Iterable[float]) -> float:
    return max(distances, default=0.0)
