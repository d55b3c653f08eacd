"""What must change a vector, and what its numbers are: is every kind of content heard, is what the spec says true?"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from harness.doctor.finding import Finding, ModelUnderTest, Probe, Verdict
from harness.doctor.probes import Probes, words
from harness.encoding.oom import is_out_of_memory
from harness.types import FloatArray, Item

_NARROW = 0.99
"""A mean cosine among unlike items above this is worth a note."""
_LENGTHS = (32, 128, 512, 2048, 8192)
_UNINSTRUCTED: Mapping[str, tuple[str, ...]] = {
    "instruction": ("ignored",),
    "instructions": ("none",),
    "query_instruction": (),
}
"""Options that say that a query's own instruction is not read, and the values that say so; none: any but None."""
_PATIENCE = 2.0
"""Seconds that one long text may take before a longer one is not tried."""


def shape(patient: ModelUnderTest, probes: Probes) -> Finding:
    """One vector for each item, and one width for all."""
    several = (*probes.texts, *probes.images[:1])
    shapes = [(1, patient.single(probe).shape) for probe in _every(probes)]
    shapes += [(len(several), patient.batch(several).shape)] if several else []
    wrong = [(count, each) for count, each in shapes if len(each) != 2 or each[0] != count]
    if wrong:
        says = f"For a batch of {wrong[0][0]} the model returns an array of shape {wrong[0][1]}."
        return Finding("shape", "fail", says, "embed must return one vector for each item, as (items, width).")
    widths = sorted({each[1] for _, each in shapes})
    if len(widths) > 1:
        says = f"Vectors have several widths: {', '.join(map(str, widths))}."
        return Finding("shape", "fail", says, "Project every kind of content to one width.")
    return Finding("shape", "pass", f"There is one vector for each item, of width {widths[0]}.", "", float(widths[0]))


def finite(patient: ModelUnderTest, probes: Probes) -> Finding:
    """No NaN, no infinity, and no vector of zeros, each item by itself: what goes wrong in company is `padding`'s."""
    vectors = np.stack([patient.alone(probe) for probe in _every(probes)])
    bad = int((~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)).sum())
    if not bad:
        return Finding("finite", "pass", "Every number is finite, and no vector is all zeros.", "", 0.0, 0.0)
    says = f"{bad} of {len(vectors)} vectors hold NaN or infinity, or nothing but zeros."
    remedy = "Look for overflow (try --dtype float32), for rows of a mask that hide everything, or for missing weights."
    return Finding("finite", "fail", says, remedy, float(bad), 0.0)


def spread(patient: ModelUnderTest, probes: Probes) -> Finding:
    """Unlike items have unlike vectors; a note where all of them point nearly the same way."""
    families = [family for family in (probes.texts, probes.images, probes.videos) if len(family) > 1]
    widest = max(patient.apart(*pair) for family in families for pair in combinations(family, 2))
    cosine = max(_mean_cosine([patient.alone(probe) for probe in family]) for family in families)
    if widest <= patient.tolerance:
        remedy = "Pool a token that has seen the content, after the last layer; check that the weights were loaded."
        return Finding("spread", "fail", "All items have the same vector.", remedy, widest, patient.tolerance)
    if cosine > _NARROW:
        says = f"Unlike items of one kind have a mean cosine of {cosine:.4f}: their vectors point nearly the same way."
        remedy = "Expected of random weights. Of a trained model, check which layer and which token are pooled."
        return Finding("spread", "note", says, remedy, widest, patient.tolerance)
    says = f"Unlike items have unlike vectors (highest mean cosine of a kind {cosine:.4f})."
    return Finding("spread", "pass", says, "", widest, patient.tolerance)


def length(patient: ModelUnderTest, probes: Probes) -> Finding:
    """Whether vectors have length 1: either will do for cosine."""
    sizes = [float(np.linalg.norm(patient.alone(probe))) for probe in _every(probes)]
    off, rounding = max(abs(size - 1) for size in sizes), max(patient.tolerance, 1e-3)
    if off <= rounding:
        return Finding("unit length", "pass", "Vectors have length 1.", "", off, rounding)
    says = f"Vectors are not of unit length ({min(sizes):.3g} to {max(sizes):.3g}): "
    says += "cosine divides by it." if patient.spec.similarity == "cosine" else "the dot product counts it."
    return Finding("unit length", "note", says, "", off, rounding)


def text(patient: ModelUnderTest, probes: Probes) -> Finding:
    """Another text is another vector, alone and beside one image."""
    if not probes.texts:
        return _undeclared("text")
    pairs = [*combinations(probes.texts, 2), *zip(probes.captioned[:1], probes.captioned[-1:], strict=True)]
    return _matters(patient, "text", pairs, "Check that the text reaches the model, also where an item has media.")


def image(patient: ModelUnderTest, probes: Probes) -> Finding:
    """Another image is another vector, alone and beside one text."""
    if not probes.images:
        return _undeclared("image")
    pairs = [*combinations(probes.images, 2), *combinations(probes.captioned[:-1], 2)]
    remedy = "Check that pixels reach the model: that item.media is read, and that its features are put in their place."
    return _matters(patient, "image", pairs, remedy)


def video(patient: ModelUnderTest, probes: Probes) -> Finding:
    """A video of other pictures is another vector."""
    if not probes.videos:
        return _undeclared("video")
    remedy = "Check that frames are read and reach the model."
    return _matters(patient, "video", [(probes.videos[0], probes.videos[2])], remedy)


def frame_order(patient: ModelUnderTest, probes: Probes) -> Finding:
    """A video and its reverse; the spec's option `frame_order`, `kept` or `ignored`, says what is meant."""
    if not probes.videos:
        return _undeclared("video", check="frame order")
    distance, declared = patient.apart(*probes.videos[:2]), patient.spec.options.get("frame_order")
    found = "kept" if distance > patient.tolerance else "ignored"
    says = f"A video in reverse has {'another' if found == 'kept' else 'the same'} vector"
    verdict: Verdict = "note" if declared is None else "pass" if declared == found else "fail"
    if verdict == "fail":
        says, remedy = f"{says}, but frame_order is declared as {declared}.", f"Correct it, or declare {found}."
    else:
        says, remedy = f"{says}.", ""
    return Finding("frame order", verdict, says, remedy, distance, patient.tolerance)


def instruction(patient: ModelUnderTest, probes: Probes) -> Finding:
    """Another instruction is another vector, unless an option of the spec says that queries are read without theirs."""
    if not probes.instructed:
        return _undeclared("text", check="instruction")
    options = patient.spec.options
    owns = [key for key, values in _UNINSTRUCTED.items() if key in options and (not values or options[key] in values)]
    owns = [key for key in owns if options[key] is not None]
    if owns:
        return _uninstructed(patient, probes, owns[0])
    distance = min(patient.apart(*pair) for pair in combinations(probes.instructed, 2))
    remedy = (
        "Embed item.full_text, not item.text alone. If it is meant, put `instruction: ignored` into the spec's options."
    )
    return patient.differs(
        "instruction", distance, "Another instruction is another vector.", "The instruction changes nothing.", remedy
    )


def _uninstructed(patient: ModelUnderTest, probes: Probes, option: str) -> Finding:
    distance = max(patient.apart(*pair) for pair in combinations(probes.instructed, 2))
    says = f"An item's instruction changes nothing, as the option {option} says."
    if distance <= patient.tolerance:
        return Finding("instruction", "note", says, "", distance, patient.tolerance)
    says = f"An item's instruction changes its vector, but the option {option} says that it is not read."
    return Finding("instruction", "fail", says, "Correct the spec, or prepare.", distance, patient.tolerance)


def role(patient: ModelUnderTest, probes: Probes) -> Finding:
    """Whether the same content is another vector as a target; models differ."""
    asked = probes.instructed[-1:] or probes.images[:1] or probes.videos[:1]
    distance = max(patient.apart(probe, Probe(probe.item, "target")) for probe in asked)
    found = "another vector" if distance > patient.tolerance else "the same vector"
    return Finding("role", "note", f"A target has {found} as a query of the same content.", "", distance)


def width(patient: ModelUnderTest, probes: Probes) -> Finding:
    """The width that the spec's option `width` declares, if it declares one."""
    found, declared = len(patient.alone(_every(probes)[0])), patient.spec.options.get("width")
    if declared is None:
        return Finding("width", "note", f"Vectors have width {found}; the spec declares none.", "", float(found))
    if declared == found:
        return Finding("width", "pass", f"Vectors have the declared width of {found}.", "", float(found))
    says = f"Vectors have width {found}, but {declared} is declared."
    return Finding("width", "fail", says, "Correct the spec, or the projection.", float(found))


def truncation(patient: ModelUnderTest, probes: Probes) -> Finding:
    """How long a text is before its last quarter no longer counts, and whether the model says that it cut it."""
    if not probes.texts:
        return _undeclared("text", check="truncation")
    read = 0
    for count in _LENGTHS:
        whole = words(count)
        kept = " ".join(whole.split()[: count * 3 // 4])
        start, long = time.perf_counter(), Probe(Item(whole), "target")
        try:
            distance = patient.apart(long, Probe(Item(f"{kept} {words(count // 4, 2)}"), "target"))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return Finding("truncation", "note", f"Texts of {read:,} words are read to the end; more need more memory.")
        if distance <= patient.tolerance:
            says = f"Texts of {read:,} words are read to the end; of {count:,} words the last quarter changes nothing"
            if patient.embedder.prepare(*long).truncated:
                return Finding("truncation", "note", f"{says}, and the model says so.")
            remedy = "Set `truncated` in the Features of such items, so that a run can say how many were cut."
            return Finding("truncation", "note", f"{says}, and the model does not say so.", remedy)
        read = count
        if time.perf_counter() - start > _PATIENCE:
            break
    return Finding("truncation", "note", f"Texts of up to {read:,} words are read to the end; longer ones not tried.")


def _matters(patient: ModelUnderTest, kind: str, pairs: Sequence[tuple[Probe, Probe]], remedy: str) -> Finding:
    distances = [patient.apart(*pair) for pair in pairs]
    mute = sum(distance <= patient.tolerance for distance in distances)
    return patient.differs(
        kind,
        min(distances),
        f"Another {kind} is another vector.",
        f"{mute} of {len(pairs)} pairs of items that differ in their {kind} alone have one vector.",
        remedy,
    )


def _undeclared(kind: str, check: str = "") -> Finding:
    return Finding(check or kind, "skipped", f"The model does not declare {kind}, or does not take it.")


def _every(probes: Probes) -> tuple[Probe, ...]:
    return (*probes.texts, *probes.images, *probes.captioned, *probes.videos, *probes.instructed)


def _mean_cosine(vectors: Sequence[FloatArray]) -> float:
    units = [vector / np.linalg.norm(vector) for vector in vectors]
    return float(np.mean([one @ other for one, other in combinations(units, 2)]))
