"""Checks of details that get lost: colours, edges, letters, files of one name, lengths, and what all vectors share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.doctor.drawing import SIDE, Pixels, picture, save_picture
from harness.doctor.finding import Finding, ModelUnderTest, Probe
from harness.doctor.probes import Probes, words
from harness.types import Item

_EDGE = SIDE // 8
_SIDES: Mapping[str, int] = {"top": 0, "right": 1, "bottom": 2, "left": 3}
"""Quarter turns that bring an edge to the top."""
_LETTERS = (("Größe", "Grüße"), ("река", "рука"), ("山の漢字", "川の漢字"), ("שלום", "שלוש"))
_SHARED = 0.9
"""A constant direction with more than this share of the vectors' length is noted."""
_UNSEEN = "The model does not declare {kind}, or does not take it."


def colour(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that a picture without colours, or with red and blue exchanged, has another vector."""
    if not probes.images:
        return Finding("colour", "skipped", _UNSEEN.format(kind="image"))
    drawn = picture(0)
    grey = np.broadcast_to(drawn.mean(axis=-1, keepdims=True).astype(np.uint8), drawn.shape)
    plain, *others = _drawn(probes, "colour", [drawn, grey, drawn[..., ::-1]])
    return model.differs(
        "colour",
        min(model.apart(plain, other) for other in others),
        "A picture in other colours has another vector.",
        "A picture in grey, or with red and blue exchanged, has the same vector.",
        "Keep the three channels apart until the network sees them.",
    )


def edges(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that each edge of a square picture changes the vector. What is cut from a wide one is a note."""
    if not probes.images:
        return Finding("edges", "skipped", _UNSEEN.format(kind="image"))
    square, wide = picture(0), picture(0, (3 * SIDE, SIDE))
    whole, *changed = _drawn(probes, "square", [square, *(_inverted(square, each) for each in _SIDES)])
    distances = [model.apart(whole, each) for each in changed]
    lost = [name for name, distance in zip(_SIDES, distances, strict=True) if distance <= model.tolerance]
    if lost:
        says = f"These edges of a square picture do not change the vector: {', '.join(lost)}."
        remedy = "Resize the picture whole, and do not crop it."
        return Finding("edges", "fail", says, remedy, min(distances), model.tolerance)
    whole, *changed = _drawn(probes, "wide", [wide, *(_inverted(wide, each) for each in ("left", "right"))])
    distance = min(model.apart(whole, each) for each in changed)
    if distance <= model.tolerance:
        return Finding("edges", "note", "The ends of a wide picture are cut off.", "", distance, model.tolerance)
    return Finding("edges", "pass", "Every edge of a picture changes the vector.", "", min(distances), model.tolerance)


def letters(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that letters beyond ASCII are not dropped. A script whose words have one vector is a note.

    A vocabulary that lacks a script puts one token in place of all its words, which is seen but not told apart.
    """
    if not probes.texts:
        return Finding("letters", "skipped", _UNSEEN.format(kind="text"))
    added = [model.apart(*(Probe(Item(text)) for text in ("a house", f"a house {word}"))) for word, _ in _LETTERS[1:]]
    distances = {" and ".join(map(repr, pair)): model.apart(*(Probe(Item(each)) for each in pair)) for pair in _LETTERS}
    lost = [pair for pair, distance in distances.items() if distance <= model.tolerance]
    if max(added) <= model.tolerance:
        says = f"Words in other letters than ASCII do not change the vector of a text: {'; '.join(lost)}."
        remedy = "Give the tokenizer the text as it is."
        return Finding("letters", "fail", says, remedy, max(added), model.tolerance)
    nearest = min(distances.values())
    if lost:
        says = f"These words have the same vector: {'; '.join(lost)}."
        return Finding("letters", "note", says, "", nearest, model.tolerance)
    return Finding("letters", "pass", "Words in other letters have different vectors.", "", nearest, model.tolerance)


def file_names(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that two pictures with one file name, in different folders, have different vectors."""
    if not probes.images:
        return Finding("file names", "skipped", _UNSEEN.format(kind="image"))
    folders = ("here", "there")
    media = [save_picture(probes.folder / name, "same.png", picture(at)) for at, name in enumerate(folders)]
    return model.differs(
        "file names",
        model.apart(*(Probe(Item(media=(each,))) for each in media)),
        "Two pictures with one file name have different vectors.",
        "Two pictures with one file name, in different folders, have the same vector.",
        "Do not remember media by their names: medium.root belongs to the path.",
    )


def common_direction(model: ModelUnderTest, probes: Probes) -> Finding:
    """Reports the length of the mean of all unit vectors: the share of a direction that all of them have."""
    every = (*probes.texts, *probes.images, *probes.captioned, *probes.videos)
    units = [vector / np.linalg.norm(vector) for vector in map(model.alone, every)]
    share = float(np.linalg.norm(np.mean(units, axis=0)))
    says = f"All vectors have a direction in common that makes up {share:.0%} of their length."
    if share <= _SHARED:
        return Finding("common direction", "pass", says, "", share, _SHARED)
    remedy = (
        "Random weights do this. For a trained model, check for a constant that is added, and for the pooled token."
    )
    return Finding("common direction", "note", says, remedy, share, _SHARED)


def similarity(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that by a declared dot product most texts or pictures score highest with themselves.

    Where vectors have very different lengths, a few long ones score highest with everything.
    """
    if model.spec.similarity == "cosine":
        return Finding("similarity", "pass", "The spec declares cosine, in which lengths do not count.")
    if model.spec.is_late:
        return Finding("similarity", "skipped", "MaxSim compares tokens, and the mean of them is examined.")
    texts = [Probe(Item(words(3 + 2 * start, start))) for start in range(8)] if probes.texts else []
    several = texts or _drawn(probes, "similarity", [picture(number) for number in range(8)])
    vectors = np.stack([model.alone(each) for each in several])
    hits = int((np.argmax(vectors @ vectors.T, axis=1) == np.arange(len(vectors))).sum())
    says = f"By the dot product {hits} of {len(vectors)} items score highest with themselves."
    if 2 * hits > len(vectors):
        return Finding("similarity", "pass", says, "", float(hits))
    remedy = "Vectors of very different lengths need the cosine: declare similarity='cosine', or make their length 1."
    return Finding("similarity", "fail", says, remedy, float(hits))


def _inverted(pixels: Pixels, side: str) -> Pixels:
    changed = np.rot90(pixels, _SIDES[side]).copy()
    changed[:_EDGE] = 255 - changed[:_EDGE]
    return np.rot90(changed, -_SIDES[side])


def _drawn(probes: Probes, name: str, pictures: Sequence[Pixels]) -> list[Probe]:
    media = [
        save_picture(probes.folder / "details", f"{name}-{number}.png", each) for number, each in enumerate(pictures)
    ]
    return [Probe(Item(media=(each,))) for each in media]
