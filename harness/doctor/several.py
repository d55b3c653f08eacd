"""Checks of items with several images: is the second one seen, does their order count, does the text between them?

What a model does with several media is declared in its spec (`several_media`), and is checked here.
"""

from __future__ import annotations

from harness.doctor.finding import Finding, ModelUnderTest, Verdict
from harness.doctor.probes import Probes
from harness.errors import UserError
from harness.types import SeveralMedia

_ORDERED: tuple[SeveralMedia, ...] = ("interleaved", "in-order", "side-by-side")
_ALONE = "The model does not take a text beside images."
_DECLARE = "Correct it, or declare several_media as it is: docs/add-a-model.md."


def several_images(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that the second of two images changes the vector, or that such items are refused as declared."""
    declared, check = model.spec.several_media, "several images"
    if not probes.several:
        return Finding(check, "skipped", _ALONE)
    first, _, other, _ = probes.several
    try:
        distance = model.apart(first, other)
    except UserError as error:
        verdict: Verdict = "pass" if declared == "refused" else "fail" if declared else "note"
        declares = f"it declares several_media {declared}" if declared else "it declares no several_media"
        return Finding(check, verdict, f"The model refuses two images, and {declares}: {error.what}", error.hint)
    if declared == "refused":
        return Finding(check, "fail", "Two images are declared as refused, but the model embeds them.", _DECLARE)
    if declared == "ignored":
        return Finding(check, "note", "The model sees no medium, as it declares.", "", distance, model.tolerance)
    return model.differs(
        check,
        distance,
        "The second of two images changes the vector.",
        "The second of two images does not change the vector.",
        "Read all of item.media. If the model takes one image, raise UserError for more, and declare several_media as "
        "refused.",
    )


def image_order(model: ModelUnderTest, probes: Probes) -> Finding:
    """Compares two images with the same in the other order, and with what the spec declares."""
    return _counts(model, probes, "image order", 1, "Two images in the other order have", _ORDERED)


def image_place(model: ModelUnderTest, probes: Probes) -> Finding:
    """Compares a text between two images with the same text after them, and with what the spec declares."""
    return _counts(model, probes, "image place", 3, "A text after two images, and not between them, has", _ORDERED[:1])


def _counts(
    model: ModelUnderTest, probes: Probes, check: str, other: int, what: str, counting: tuple[SeveralMedia, ...]
) -> Finding:
    """Checks that a change of an item counts exactly if the declared way is in `counting`. Undeclared is a note."""
    declared = model.spec.several_media
    if not probes.several:
        return Finding(check, "skipped", _ALONE)
    try:
        distance = model.apart(probes.several[0], probes.several[other])
    except UserError:
        return Finding(check, "skipped", "The model refuses several images.")
    counts = distance > model.tolerance
    says = f"{what} {'a different' if counts else 'the same'} vector"
    if declared is None:
        return Finding(check, "note", f"{says}; the spec declares no several_media.", "", distance, model.tolerance)
    if counts == (declared in counting):
        return Finding(check, "pass", f"{says}, as several_media {declared} says.", "", distance, model.tolerance)
    says = f"{says}, but several_media is declared as {declared}."
    return Finding(check, "fail", says, _DECLARE, distance, model.tolerance)
