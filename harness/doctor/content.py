"""Checks of what must change a vector (each kind of content, instructions), of its numbers, and of the spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from harness.doctor.finding import Finding, ModelUnderTest, Probe, Verdict
from harness.doctor.probes import Probes
from harness.types import FloatArray, Item, Role

_NARROW = 0.99
"""A mean cosine of different items above this is noted."""
_UNINSTRUCTED: Mapping[str, tuple[str, ...]] = {
    "instruction": ("ignored",),
    "instructions": ("none",),
    "query_instruction": (),
}
"""Options whose values here mean that a query's own instruction is not read; no value: every value except None."""


def shape(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that there is one vector for each item, and that all have the same width."""
    several = (*probes.texts, *probes.images[:1])
    shapes = [(1, model.single(probe).shape) for probe in _every(probes)]
    shapes += [(len(several), model.batch(several).shape)] if several else []
    wrong = [(count, each) for count, each in shapes if len(each) != 2 or each[0] != count]
    if wrong:
        says = f"For a batch of {wrong[0][0]} the model returns an array of shape {wrong[0][1]}."
        return Finding("shape", "fail", says, "embed must return one vector for each item, as (items, width).")
    widths = sorted({each[1] for _, each in shapes})
    if len(widths) > 1:
        says = f"Vectors have different widths: {', '.join(map(str, widths))}."
        return Finding("shape", "fail", says, "Project every kind of content to one width.")
    return Finding("shape", "pass", f"There is one vector for each item, of width {widths[0]}.", "", float(widths[0]))


def finite(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that no vector holds NaN or infinity, and that none is all zeros.

    Each item is in a batch of its own. Errors that occur only in larger batches are found by `padding`.
    """
    vectors = np.stack([model.alone(probe) for probe in _every(probes)])
    bad = int((~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)).sum())
    if not bad:
        return Finding("finite", "pass", "Every number is finite, and no vector is all zeros.", "", 0.0, 0.0)
    says = f"{bad} of {len(vectors)} vectors hold NaN or infinity, or are all zeros."
    remedy = "Look for overflow (try --dtype float32), for mask rows that hide all tokens, or for missing weights."
    return Finding("finite", "fail", says, remedy, float(bad), 0.0)


def spread(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that different items have different vectors. Notes it if all of them point nearly the same way."""
    families = [family for family in (probes.texts, probes.images, probes.videos) if len(family) > 1]
    widest = max(model.apart(*pair) for family in families for pair in combinations(family, 2))
    cosine = max(_mean_cosine([model.alone(probe) for probe in family]) for family in families)
    if widest <= model.tolerance:
        remedy = "Pool a token that attends to the content, after the last layer. Check that the weights were loaded."
        return Finding("spread", "fail", "All items have the same vector.", remedy, widest, model.tolerance)
    if cosine > _NARROW:
        says = f"Different items of a kind have a mean cosine of {cosine:.4f}: their vectors point nearly the same way."
        remedy = "Random weights do this. For a trained model, check which layer and which token are pooled."
        return Finding("spread", "note", says, remedy, widest, model.tolerance)
    says = f"Different items have different vectors (highest mean cosine of a kind {cosine:.4f})."
    return Finding("spread", "pass", says, "", widest, model.tolerance)


def length(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks whether vectors have length 1, and notes it if not. For cosine both are fine."""
    if model.spec.is_late:
        return Finding("unit length", "skipped", "The model has a vector for every token, and their mean is examined.")
    sizes = [float(np.linalg.norm(model.alone(probe))) for probe in _every(probes)]
    off, rounding = max(abs(size - 1) for size in sizes), max(model.tolerance, 1e-3)
    if off <= rounding:
        return Finding("unit length", "pass", "Vectors have length 1.", "", off, rounding)
    says = f"Vectors are not of unit length ({min(sizes):.3g} to {max(sizes):.3g}): "
    says += "cosine ignores the length." if model.spec.similarity == "cosine" else "the dot product depends on it."
    return Finding("unit length", "note", says, "", off, rounding)


def text(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that different texts have different vectors, alone and with an image or a video."""
    if not probes.texts:
        return _undeclared("text")
    pairs = [*combinations(probes.texts, 2), *zip(probes.captioned[:1], probes.captioned[-1:], strict=True)]
    pairs += zip(probes.filmed[:1], probes.filmed[1:2], strict=True)
    return _matters(model, "text", pairs, "Check that the text reaches the model, also if an item has media.")


def image(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that different images have different vectors, alone and with a text."""
    if not probes.images:
        return _undeclared("image")
    pairs = [*combinations(probes.images, 2), *combinations(probes.captioned[:-1], 2)]
    remedy = "Check that item.media is read, and that its features are inserted at the right place."
    return _matters(model, "image", pairs, remedy)


def video(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that a video of other pictures has a different vector, alone and with a text."""
    if not probes.videos:
        return _undeclared("video")
    remedy = "Check that frames are read and reach the model."
    return _matters(
        model,
        "video",
        [(probes.videos[0], probes.videos[2]), *zip(probes.filmed[:1], probes.filmed[2:], strict=True)],
        remedy,
    )


def frame_order(model: ModelUnderTest, probes: Probes) -> Finding:
    """Compares a video with its reverse.

    The spec's option `frame_order` declares `kept` or `ignored`. Without it the result is a note.
    """
    if not probes.videos:
        return _undeclared("video", check="frame order")
    distance, declared = model.apart(*probes.videos[:2]), model.spec.options.get("frame_order")
    found = "kept" if distance > model.tolerance else "ignored"
    says = f"A video in reverse has {'a different' if found == 'kept' else 'the same'} vector"
    verdict: Verdict = "note" if declared is None else "pass" if declared == found else "fail"
    if verdict == "fail":
        says, remedy = f"{says}, but frame_order is declared as {declared}.", f"Correct it, or declare {found}."
    else:
        says, remedy = f"{says}.", ""
    return Finding("frame order", verdict, says, remedy, distance, model.tolerance)


def instruction(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that different instructions give different vectors.

    If an option of the spec declares that a query's own instruction is not read, it checks the opposite.
    """
    if not probes.instructed:
        return _undeclared("text", check="instruction")
    options = model.spec.options
    owns = [key for key, values in _UNINSTRUCTED.items() if key in options and (not values or options[key] in values)]
    owns = [key for key in owns if options[key] is not None]
    if owns:
        return _uninstructed(model, probes, owns[0])
    distance = min(model.apart(*pair) for pair in combinations(probes.instructed, 2))
    remedy = (
        "Embed item.full_text, not only item.text. If the spec should say that it is not read, "
        "add `instruction: ignored` to its options."
    )
    return model.differs(
        "instruction",
        distance,
        "Different instructions give different vectors.",
        "The instruction does not change the vector.",
        remedy,
    )


def _uninstructed(model: ModelUnderTest, probes: Probes, option: str) -> Finding:
    distance = max(model.apart(*pair) for pair in combinations(probes.instructed, 2))
    says = f"An item's instruction does not change its vector, as the option {option} declares."
    if distance <= model.tolerance:
        return Finding("instruction", "note", says, "", distance, model.tolerance)
    says = f"An item's instruction changes its vector, but the option {option} declares that it is not read."
    return Finding("instruction", "fail", says, "Correct the spec, or prepare.", distance, model.tolerance)


def role(model: ModelUnderTest, probes: Probes) -> Finding:
    """Notes whether a target has the same vector as a query with the same content. Models differ in this.

    Where the spec declares a text for one role only, it fails if that text is given to the other role.
    """
    if probes.instructed and (option := _exchanged_roles(model, probes)):
        says = f"The option {option} has its effect in the other role: queries and targets are exchanged."
        return Finding("role", "fail", says, "Give prepare's role to what chooses the prompt, as it is.")
    some = probes.instructed[-1:] or probes.images[:1] or probes.videos[:1]
    distance = max(model.apart(probe, Probe(probe.item, "target")) for probe in some)
    verb = "differ" if distance > model.tolerance else "are the same"
    return Finding("role", "note", f"The vectors of a query and a target with the same content {verb}.", "", distance)


def _exchanged_roles(model: ModelUnderTest, probes: Probes) -> str:
    """Returns the option for one role that has its effect in the other one; empty if none does.

    `query_instruction` and `target_instruction` replace an item's own instruction, which then has no effect in that
    role. `query_prompt` and `target_prompt` come before the text, so with them in the text the other role is the same.
    """
    options, (one, other, plain) = model.spec.options, probes.instructed
    roles: tuple[tuple[Role, Role], ...] = (("query", "target"), ("target", "query"))
    for mine, theirs in roles:
        if options.get(f"{mine}_instruction") is not None and options.get(f"{theirs}_instruction") is None:
            heard = {each: model.apart(one._replace(role=each), other._replace(role=each)) for each in (mine, theirs)}
            if heard[mine] > model.tolerance >= heard[theirs]:
                return f"{mine}_instruction"
        prompt = options.get(f"{mine}_prompt")
        if prompt and not options.get(f"{theirs}_prompt"):
            said = Item(f"{prompt}{plain.item.text}")
            pairs = {each: (Probe(plain.item, each), Probe(said, back)) for each, back in roles}
            same = {each: model.apart(*pair) <= model.tolerance for each, pair in pairs.items()}
            if same[theirs] and not same[mine]:
                return f"{mine}_prompt"
    return ""


def width(model: ModelUnderTest, probes: Probes) -> Finding:
    """Compares the width with the spec's option `width`, if it has one."""
    found, declared = len(model.alone(_every(probes)[0])), model.spec.options.get("width")
    if declared is None:
        return Finding("width", "note", f"Vectors have width {found}; the spec declares none.", "", float(found))
    if declared == found:
        return Finding("width", "pass", f"Vectors have the declared width of {found}.", "", float(found))
    says = f"Vectors have width {found}, but the spec declares {declared}."
    return Finding("width", "fail", says, "Correct the spec, or the projection.", float(found))


def _matters(model: ModelUnderTest, kind: str, pairs: Sequence[tuple[Probe, Probe]], remedy: str) -> Finding:
    """Checks that the items of each pair have different vectors, as queries and as targets."""
    pairs = [*pairs, *((one._replace(role="target"), other._replace(role="target")) for one, other in pairs)]
    distances = [model.apart(*pair) for pair in pairs]
    equal = sum(distance <= model.tolerance for distance in distances)
    return model.differs(
        kind,
        min(distances),
        f"Items that differ only in {kind} have different vectors.",
        f"{equal} of {len(pairs)} pairs of items that differ only in {kind} have the same vector.",
        remedy,
    )


def _undeclared(kind: str, check: str = "") -> Finding:
    return Finding(check or kind, "skipped", f"The model does not declare {kind}, or does not take it.")


def _every(probes: Probes) -> tuple[Probe, ...]:
    return (*probes.texts, *probes.images, *probes.captioned, *probes.videos, *probes.instructed)


def _mean_cosine(vectors: Sequence[FloatArray]) -> float:
    units = [vector / np.linalg.norm(vector) for vector in vectors]
    return float(np.mean([one @ other for one, other in combinations(units, 2)]))
