"""The vectors of two models compared item by item, such as those of a server and of its weights here."""

from __future__ import annotations

from harness.doctor.finding import Finding, ModelUnderTest, Probe
from harness.doctor.kept import drawn_pairs
from harness.encoding.vectors import Work, describe
from harness.errors import UserError, counted
from harness.progress import Progress


def compare_models(model: ModelUnderTest, other: ModelUnderTest, progress: Progress) -> list[Finding]:
    """Embeds every probe of the doctor in both roles with both models. Returns one finding for each item.

    An item passes if the distance of its two vectors, as at `TOLERANCE`, is within the larger tolerance of the two.
    """
    with drawn_pairs() as pairs:
        progress.phase(f"comparing {model.spec.name} with {other.spec.name}", len(pairs))
        findings = []
        for number, probe in enumerate(pairs, start=1):
            findings.append(_compare(f"item {number}", model, other, probe))
            progress.advance()
    return findings


def _compare(check: str, model: ModelUnderTest, other: ModelUnderTest, probe: Probe) -> Finding:
    label = describe(Work(b"", probe.item, probe.role))
    for each in (model, other):
        unseen = {medium.kind for medium in probe.item.media}.difference(each.spec.modalities)
        if unseen:
            return Finding(check, "skipped", f"{each.spec.name} does not see {' and '.join(sorted(unseen))}.")
    try:
        one, two = model.alone(probe), other.alone(probe)
    except UserError as error:
        return Finding(check, "fail", f"{label}: {error.what}", error.hint)
    if one.shape != two.shape:
        says = f"{label}: the vector has {counted(one.size, 'number')}, and that of {other.spec.name} {two.size:,}."
        return Finding(check, "fail", says, "Compare the models, and the dimensions that are asked for.")
    distance, tolerance = model.distance(one, two), max(model.tolerance, other.tolerance)
    if distance <= tolerance:
        return Finding(check, "pass", f"{label}: the same vector.", "", distance, tolerance)
    remedy = "Compare the prompt, the pooling, the template (generation_prompt), the pixels of images and the dtype."
    return Finding(
        check, "fail", f"{label}: another vector than that of {other.spec.name}.", remedy, distance, tolerance
    )
