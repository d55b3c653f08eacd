"""Checks of what must stay near: one meaning in another file, in another role, and a scene beside its caption.

Each is judged against unlike content: of eight items, how many have their own variant as the nearest of all? By chance
five or more do with a probability of 0.001. Nearness is the cosine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, permutations, product

import numpy as np

from harness.doctor.drawing import Pixels, picture, save_picture, save_video, scene
from harness.doctor.finding import Finding, ModelUnderTest, Probe
from harness.doctor.probes import Probes, words
from harness.types import FloatArray, IndexArray, Item, Media, Role

_COUNT, _NEEDED = 8, 5
"""Number of items, and of those that must be nearest to their own: 5 of 8 have p = 0.001 at a chance of 1/8 each."""
_SWAPPED = 1
"""If the channels are swapped, at most this many of eight are nearer to the right colours."""
_SHAPES, _COLOURS = ("square", "circle", "triangle", "cross"), ("red", "blue", "green", "black")
_PLACES = ("top left", "top right", "bottom left", "bottom right")
_ABOVE, _CLEAR = 0.05, 0.01


def near_images(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that a picture stays near as a JPEG, shifted by a pixel, and 2 % brighter.

    A turn in the EXIF is not applied here (`harness/media/pixels.py`). If a model applies it, as a server may, it is
    a note.
    """
    if not probes.images:
        return Finding("near images", "skipped", "The model does not declare image, or does not take it.")
    drawn = [picture(number) for number in range(_COUNT)]
    originals = {role: _pictures(model, probes, "original.png", drawn, role) for role in ("query", "target")}
    brighter = [np.minimum(each * 1.02, 255).astype(np.uint8) for each in drawn]
    shifted = [np.roll(each, 1, axis=1) for each in drawn]
    hits = {
        "as a JPEG": _hits(_pictures(model, probes, "original.jpg", drawn, "query"), originals["query"]),
        "shifted by one pixel": _hits(_pictures(model, probes, "shifted.png", shifted, "target"), originals["target"]),
        "2 % brighter": _hits(_pictures(model, probes, "brighter.png", brighter, "query"), originals["query"]),
    }
    remedy = "Check what the vector is made of: pixels as numbers, and not their bytes or their printed form."
    finding = _near("near images", "image", hits, remedy)
    turned = _pictures(model, probes, "turned.png", drawn, "target", turned=True)
    upright = _pictures(model, probes, "upright.png", [np.rot90(each, -1) for each in drawn], "target")
    if finding.verdict == "fail" or _hits(turned, originals["target"], upright) >= _NEEDED:
        return finding
    says = "A turn in a picture's EXIF data changes its vector. The protocol is to show pictures as they are stored."
    return Finding("near images", "note", says, "Open pictures with harness.media.images.open_image.")


def near_videos(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that a clip stays near in another codec, and a video of one frame to its picture.

    It must also be nearer to that picture than to the same one with red and blue exchanged. A video of one frame that
    is far from its picture is a note: models see frames in another size, and random weights make that a difference.
    """
    if not probes.videos:
        return Finding("near videos", "skipped", "The model does not declare video, or does not take it.")
    drawn = [picture(number) for number in range(_COUNT + 1)]
    clips = list(pairwise(drawn))
    avi, mp4 = (_films(model, probes, f"clip.{kind}", clips) for kind in ("avi", "mp4"))
    hits = {} if avi is None or mp4 is None else {"in another codec": _hits(mp4, avi)}
    still = _films(model, probes, "still.avi", [(each,) for each in drawn[:_COUNT]], frames=1)
    if probes.images and still is not None:
        shown = _pictures(model, probes, "original.png", drawn[:_COUNT], "query")
        exchanged = _pictures(model, probes, "exchanged.png", [each[..., ::-1] for each in drawn[:_COUNT]], "query")
        right = int((np.sum(still * shown, axis=1) > np.sum(still * exchanged, axis=1)).sum())
        if right <= _SWAPPED:
            says = f"{_COUNT - right} of {_COUNT} videos are nearer to their picture with red and blue exchanged."
            remedy = "OpenCV gives blue first. Bring frames and images into one order of the channels."
            return Finding("near videos", "fail", says, remedy, float(right), float(_NEEDED))
        hits["of one frame, beside its picture,"] = _hits(still, shown)
    remedy = "Check how frames are read, and that they are treated as images are."
    finding = _near("near videos", "video", hits, remedy)
    if finding.verdict == "fail" and hits.get("in another codec", _COUNT) >= _NEEDED:
        return replace(finding, verdict="note", remedy=f"Random weights may do this. For a trained model: {remedy}")
    return finding


def near_texts(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that a text with other white space stays near."""
    if not probes.texts:
        return Finding("near texts", "skipped", "The model does not declare text, or does not take it.")
    texts = [words(16, start) for start in range(_COUNT)]
    spaced = [each.replace(" ", "\n", 5).replace("\n", " ", 4).replace(" ", "  ", 2) for each in texts]
    hits = {
        f"with other white space ({role})": _hits(*(_texts(model, each, role) for each in (spaced, texts)))
        for role in ("query", "target")
    }
    return _near("near texts", "text", hits, "Check that the words are read, and not the form of the whole text.")


def near_roles(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that a query is nearest to the target with the same content. Untrained prompts may hide it: a note."""
    hits = {}
    if probes.texts:
        texts = [words(16, start) for start in range(_COUNT)]
        hits["of a text"] = _hits(_texts(model, texts, "query"), _texts(model, texts, "target"))
    if probes.images:
        drawn = [picture(number) for number in range(_COUNT)]
        query, target = (_pictures(model, probes, "original.png", drawn, role) for role in ("query", "target"))
        hits["of an image"] = _hits(query, target)
    far = [f"{count} of {_COUNT} {name}" for name, count in hits.items() if count < _NEEDED]
    if not hits or not far:
        return Finding("near roles", "pass" if hits else "skipped", "A query is nearest to the target of its content.")
    says = f"Queries that are nearest to the target of the same content: {', '.join(far)}. So roles hide the content."
    remedy = "Random weights may do this. For a trained model, check the prompts of queries and of targets."
    return Finding("near roles", "note", says, remedy, float(min(hits.values())), float(_NEEDED))


def scenes(model: ModelUnderTest, probes: Probes) -> Finding:
    """Compares 64 drawn scenes with their captions. Not above chance is a note, since random weights know nothing.

    The test is exact. The names of colours, shapes and places are permuted, each kind apart (13,824 ways). The p-value
    is the share of the ways in which the similarities of scenes and captions sum up to as much. The model fails if the
    captions with red and blue exchanged fit better than nearly all other ways.
    """
    if not (probes.images and probes.texts):
        return Finding("scenes", "skipped", "The model does not take both images and texts.")
    named = list(product(_SHAPES, _COLOURS, _PLACES))
    captions = [f"A {colour} {shape} at the {place}." for shape, colour, place in named]
    shown = _pictures(model, probes, "scene.png", [scene(*each) for each in named], "query")
    table = shown @ _texts(model, captions, "target").T
    ways = _ways()
    fits = table[np.arange(len(named)), ways].sum(axis=1)
    own, swapped = (_share(fits, way) for way in (range(64), _exchanged()))
    if swapped <= _CLEAR < own:
        says = f"64 scenes fit their captions best with red and blue exchanged (p = {swapped:.2g})."
        return Finding("scenes", "fail", says, "Check the order of the channels: RGB or BGR.", swapped, _CLEAR)
    if own <= _ABOVE:
        return Finding("scenes", "pass", f"64 scenes fit their captions (p = {own:.2g}).", "", own, _ABOVE)
    says = f"64 scenes fit their captions no better than chance (p = {own:.2g})."
    remedy = "Random weights know nothing. A trained model of both should: check that all its weights were loaded."
    return Finding("scenes", "note", says, remedy, own, _ABOVE)


def _ways() -> IndexArray:
    """Returns all ways `(13824, 64)` to permute shapes, colours and places: the caption of each scene."""
    each = np.array(list(permutations(range(4))), dtype=np.int32)
    shapes, colours, places = each[:, None, None], each[None, :, None], each[None, None]
    grid = shapes[..., :, None, None] * 16 + colours[..., None, :, None] * 4 + places[..., None, None, :]
    ways: IndexArray = grid.reshape(-1, 64)
    return ways


def _exchanged() -> Iterator[int]:
    """Yields the caption of each scene with red and blue exchanged."""
    for shape, colour, place in product(range(4), (1, 0, 2, 3), range(4)):
        yield 16 * shape + 4 * colour + place


def _share(fits: FloatArray, way: Iterator[int] | range) -> float:
    """Returns the share of the ways that fit as well as this one, apart from rounding."""
    at = int(np.flatnonzero((_ways() == np.fromiter(way, np.int32)).all(axis=1))[0])
    return float(np.mean(fits >= fits[at] - 1e-5 * np.ptp(fits)))


def _near(check: str, kind: str, hits: Mapping[str, int], remedy: str) -> Finding:
    if not hits:
        return Finding(check, "skipped", "OpenCV cannot write such files here.")
    worst = float(min(hits.values()))
    far = [f"{kind} {name} ({count} of {_COUNT})" for name, count in hits.items() if count < _NEEDED]
    if not far:
        says = f"The same {kind} in another form is nearest to itself ({worst:.0f} of {_COUNT} or more)."
        return Finding(check, "pass", says, "", worst, float(_NEEDED))
    says = f"The same content is not near to itself in another form: {', '.join(far)}."
    return Finding(check, "fail", says, remedy, worst, float(_NEEDED))


def _hits(variants: FloatArray, originals: FloatArray, decoys: FloatArray | None = None) -> int:
    """Returns how many variants have their original strictly nearest, among originals and decoys `(n, d)`."""
    offered = originals if decoys is None else np.concatenate([originals, decoys])
    nearness = variants @ offered.T
    own = np.diag(nearness).copy()
    nearness[np.arange(len(own)), np.arange(len(own))] = -np.inf
    return int((own > nearness.max(axis=1)).sum())


def _pictures(
    model: ModelUnderTest, probes: Probes, name: str, drawn: Sequence[Pixels], role: Role, *, turned: bool = False
) -> FloatArray:
    media = [
        save_picture(probes.folder / "near", f"{number}-{name}", each, turned=turned)
        for number, each in enumerate(drawn)
    ]
    return _units(model, [Item(media=(each,)) for each in media], role)


def _films(
    model: ModelUnderTest, probes: Probes, name: str, clips: Sequence[Sequence[Pixels]], frames: int = 8
) -> FloatArray | None:
    """Returns unit vectors of videos `(n, d)`; None if OpenCV cannot write them here."""
    folder = probes.folder / "near"
    written = [save_video(folder, f"{number}-{name}", clip, frames) for number, clip in enumerate(clips)]
    films = [each for each in written if isinstance(each, Media)]
    return _units(model, [Item(media=(each,)) for each in films], "query") if len(films) == len(clips) else None


def _texts(model: ModelUnderTest, texts: Sequence[str], role: Role) -> FloatArray:
    return _units(model, [Item(each) for each in texts], role)


def _units(model: ModelUnderTest, items: Sequence[Item], role: Role) -> FloatArray:
    """Returns unit vectors `(n, d)`, each of an item in a batch of its own."""
    vectors = np.stack([model.alone(Probe(item, role)) for item in items])
    units: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units
