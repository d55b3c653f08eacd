"""Known answers: similarities that a vendor publishes for an image, checked on the user's copy of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from harness.doctor.finding import Finding, ModelUnderTest, Probe
from harness.errors import UserError
from harness.types import MEDIA_TOKEN, Item, Media, ModelSpec

TOLERANCE = 0.02
"""The figures were made in float16 by other kernels. The released sizes lie further than this apart."""


class Published(NamedTuple):
    """Cosines for "A cat and a dog" and "A cat and a tiger": the image asked about, then the text looking for it."""

    size: str
    dog: float
    tiger: float
    find_dog: float
    find_tiger: float


LLAVE: Mapping[int, Published] = {
    896: Published("0.5B", 0.4802, 0.3413, 0.3992, 0.3354),
    1536: Published("2B", 0.5132, 0.3809, 0.5225, 0.4141),
    3584: Published("7B", 0.6240, 0.4543, 0.5347, 0.4001),
}
"""By width, from the quick starts of LLaVE's model cards; their image is `figures/example.jpg` of its repository."""


def check_known(spec: ModelSpec, image: Path) -> None:
    """Raises UserError, before anything is loaded, for a model with no published answers and for a missing image."""
    if not spec.adapter.startswith("llave/"):
        raise UserError(
            f"{spec.name} has no known answers.", "They are published for LLaVE alone: leave --known-answers out."
        )
    if not image.is_file():
        raise UserError(
            f"{image} is not a file.", "Name a copy of figures/example.jpg, from LLaVE's repository, after this flag."
        )


def known_answers(patient: ModelUnderTest, image: Path) -> list[Finding]:
    """One finding for each published pair. Raises UserError for a model of none of the released sizes."""
    media = (Media("image", image.name, image.parent),)
    question = f"{MEDIA_TOKEN} Represent the given image with the following question: What is in the image"
    asked = Probe(Item(question, media))
    width = len(patient.alone(asked))
    if width not in LLAVE:
        sizes = ", ".join(f"{each.size} (width {number})" for number, each in LLAVE.items())
        raise UserError(
            f"{patient.spec.name} has vectors of width {width}; answers are known for {sizes}.",
            "Leave --known-answers out for this checkpoint.",
        )
    shown = Probe(Item(f"{MEDIA_TOKEN} Represent the given image.", media), "target")
    published = LLAVE[width]
    pairs = {
        "image to 'A cat and a dog'": (asked, _answer("dog"), published.dog),
        "image to 'A cat and a tiger'": (asked, _answer("tiger"), published.tiger),
        "'A cat and a dog' to image": (_search("dog"), shown, published.find_dog),
        "'A cat and a tiger' to image": (_search("tiger"), shown, published.find_tiger),
    }
    return [_compare(patient, name, one, other, value) for name, (one, other, value) in pairs.items()]


def _answer(animal: str) -> Probe:
    return Probe(Item(f"A cat and a {animal}"), "target")


def _search(animal: str) -> Probe:
    return Probe(Item(f"Find me an everyday image that matches the given caption: A cat and a {animal}."))


def _compare(patient: ModelUnderTest, name: str, one: Probe, other: Probe, published: float) -> Finding:
    found = float(patient.alone(one) @ patient.alone(other))  # LLaVE's vectors are of unit length
    off = abs(found - published)
    return Finding(
        name,
        "pass" if off <= TOLERANCE else "fail",
        f"The similarity is {found:.4f}; LLaVE's card has {published:.4f}.",
        "" if off <= TOLERANCE else "Is it the card's image, untouched, and are these the released weights?",
        off,
        TOLERANCE,
    )
