"""Known answers: similarities that a vendor has published for an image, checked on the user's copy of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from harness.doctor.finding import Finding, ModelUnderTest, Probe
from harness.errors import UserError
from harness.files.kinds import not_a
from harness.types import MEDIA_TOKEN, Item, Media, ModelSpec

TOLERANCE = 0.02
"""The published values come from float16 and other kernels. Values of different sizes differ by more than this."""


class Published(NamedTuple):
    """Published cosines of an image with "A cat and a dog" and "A cat and a tiger"."""

    size: str
    dog: float
    """The query is the image with a question about it, and the target is the text."""
    tiger: float
    find_dog: float
    """The query is the text, and the target is the image."""
    find_tiger: float


LLAVE: Mapping[int, Published] = {
    896: Published("0.5B", 0.4802, 0.3413, 0.3992, 0.3354),
    1536: Published("2B", 0.5132, 0.3809, 0.5225, 0.4141),
    3584: Published("7B", 0.6240, 0.4543, 0.5347, 0.4001),
}
"""Values by width, from the quick starts of LLaVE's model cards.

Their image is `figures/example.jpg` of LLaVE's repository.
"""


def check_known(spec: ModelSpec, image: Path) -> None:
    """Checks the model and the image before anything is loaded.

    Raises: UserError for a model without published answers, and for a missing image.
    """
    if not spec.adapter.startswith("llave/"):
        hint = "Answers are published only for LLaVE: leave --known-answers out."
        raise UserError(f"{spec.name} has no known answers.", hint)
    if not image.is_file():
        hint = "Give --known-answers a copy of figures/example.jpg from LLaVE's repository."
        raise UserError(not_a(image, "a file"), hint)


def known_answers(model: ModelUnderTest, image: Path) -> list[Finding]:
    """Returns one finding for each published pair. Raises: UserError if the model has none of the released sizes."""
    media = (Media("image", image.name, image.parent),)
    text = f"{MEDIA_TOKEN} Represent the given image with the following question: What is in the image"
    question = Probe(Item(text, media))
    width = len(model.alone(question))
    if width not in LLAVE:
        sizes = ", ".join(f"{each.size} (width {number})" for number, each in LLAVE.items())
        raise UserError(
            f"{model.spec.name} has vectors of width {width}; answers are known for {sizes}.",
            "Leave --known-answers out for this checkpoint.",
        )
    shown = Probe(Item(f"{MEDIA_TOKEN} Represent the given image.", media), "target")
    published = LLAVE[width]
    pairs = {
        "image to 'A cat and a dog'": (question, _answer("dog"), published.dog),
        "image to 'A cat and a tiger'": (question, _answer("tiger"), published.tiger),
        "'A cat and a dog' to image": (_search("dog"), shown, published.find_dog),
        "'A cat and a tiger' to image": (_search("tiger"), shown, published.find_tiger),
    }
    return [_compare(model, name, one, other, value) for name, (one, other, value) in pairs.items()]


def _answer(animal: str) -> Probe:
    return Probe(Item(f"A cat and a {animal}"), "target")


def _search(animal: str) -> Probe:
    return Probe(Item(f"Find me an everyday image that matches the given caption: A cat and a {animal}."))


def _compare(model: ModelUnderTest, name: str, one: Probe, other: Probe, published: float) -> Finding:
    found = float(model.alone(one) @ model.alone(other))  # LLaVE's vectors have unit length, so this is the cosine
    off = abs(found - published)
    return Finding(
        name,
        "pass" if off <= TOLERANCE else "fail",
        f"The similarity is {found:.4f}; LLaVE's card has {published:.4f}.",
        "" if off <= TOLERANCE else "Check that the image is an unchanged copy, and the weights are the released ones.",
        off,
        TOLERANCE,
    )
