"""Checks an embedder: padding, batches, order, ignored inputs, nearness, and its spec.

`examine` runs all checks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.doctor import batches, content, details, long_texts, nearness, several
from harness.doctor.finding import Finding, ModelUnderTest
from harness.doctor.probes import Probes, draw_probes
from harness.doctor.state import pooled_state
from harness.errors import UserError
from harness.progress import Progress, prints_are_messages

_KINDS = ("text", "image", "video")


@dataclass(frozen=True, slots=True)
class Check:
    """A check of an embedder. It is skipped if a check in `needs` has failed, because it would only repeat that."""

    name: str
    run: Callable[[ModelUnderTest, Probes], Finding]
    needs: tuple[str, ...] = ("finite",)


CHECKS = (
    Check("shape", content.shape, needs=()),
    Check("finite", content.finite, needs=("shape",)),
    Check("unit length", content.length),
    Check("width", content.width),
    Check("repeatable", batches.repeatable),
    Check("history", batches.history, needs=("repeatable",)),
    Check("order", batches.order, needs=("history",)),
    Check("place", batches.place, needs=("order",)),
    Check("batch", batches.batch, needs=("place",)),
    Check("padding", batches.padding, needs=("batch",)),
    Check("large batch", batches.large_batch, needs=("padding",)),
    Check("threads", batches.threads, needs=("batch",)),
    Check("spread", content.spread, needs=("history",)),
    Check("common direction", details.common_direction, needs=("spread",)),
    Check("similarity", details.similarity, needs=("spread",)),
    Check("pooled state", pooled_state, needs=("history",)),
    Check("text", content.text, needs=("spread",)),
    Check("image", content.image, needs=("spread",)),
    Check("video", content.video, needs=("spread",)),
    Check("frame order", content.frame_order, needs=("video",)),
    Check("several images", several.several_images, needs=("image",)),
    Check("image order", several.image_order, needs=("several images",)),
    Check("image place", several.image_place, needs=("several images", "text")),
    Check("colour", details.colour, needs=("image",)),
    Check("edges", details.edges, needs=("image",)),
    Check("file names", details.file_names, needs=("image",)),
    Check("letters", details.letters, needs=("text",)),
    Check("role", content.role, needs=("history",)),
    Check("instruction", content.instruction, needs=("text", "role")),
    Check("truncation", long_texts.truncation, needs=("text",)),
    Check("text start", long_texts.text_start, needs=("text",)),
    Check("near texts", nearness.near_texts, needs=("text",)),
    Check("near images", nearness.near_images, needs=("colour", "edges", "file names")),
    Check("near videos", nearness.near_videos, needs=("near images", "video")),
    Check("near roles", nearness.near_roles, needs=("near texts", "near images")),
    Check("scenes", nearness.scenes, needs=("near texts", "near images")),
)
"""All checks in the order in which they run. The first one that fails is the cause, not a consequence."""


@prints_are_messages()
def examine(model: ModelUnderTest, progress: Progress) -> list[Finding]:
    """Runs every check, and returns one finding each, in their order, after that of the modalities.

    A UserError of the model is a finding. Other exceptions are raised with a note that names the check.
    """
    with tempfile.TemporaryDirectory() as folder:
        progress.phase(f"examining {model.spec.name}", len(CHECKS))
        probes, modalities = _admit(model, draw_probes(Path(folder)))
        findings = {"modalities": modalities}
        for check in CHECKS:
            findings[check.name] = _run(check, model, probes, findings)
            progress.advance()
    return list(findings.values())


def _run(check: Check, model: ModelUnderTest, probes: Probes, findings: Mapping[str, Finding]) -> Finding:
    if not any(probes.of(kind) for kind in _KINDS):
        return Finding(check.name, "skipped", "The model takes no input that could be checked.")
    broken = next((name for name in check.needs if findings[name].verdict in ("fail", "skipped")), None)
    if broken is not None:
        cause = findings[broken]
        says = f"It means nothing until {broken!r} passes." if cause.verdict == "fail" else cause.says
        return Finding(check.name, "skipped", says)
    try:
        return check.run(model, probes)
    except UserError as error:
        return Finding(check.name, "fail", error.what, error.hint)
    except Exception as error:
        error.add_note(f"This happened during the check {check.name!r} of llave doctor.")
        raise


def _admit(model: ModelUnderTest, probes: Probes) -> tuple[Probes, Finding]:
    """Returns the probes of the kinds that the model declares and takes, and the finding about its modalities."""
    declared = model.spec.modalities
    refusals = {kind: why for kind in _KINDS if kind in declared and (why := _refusal(model, probes, kind))}
    taken = [kind for kind in _KINDS if kind in declared and kind not in refusals]
    if "text" not in taken:
        probes = replace(probes, texts=(), captioned=(), instructed=(), several=(), filmed=())
    if "image" not in taken:
        probes = replace(probes, images=(), captioned=(), several=())
    if "video" not in taken:
        probes = replace(probes, videos=(), filmed=())
    return probes, _modalities(declared, refusals)


def _refusal(model: ModelUnderTest, probes: Probes, kind: str) -> str:
    """Returns the model's error for an input of a declared kind; empty if it takes the input."""
    try:
        for probe in probes.of(kind)[:1]:
            model.single(probe)
    except UserError as error:
        return error.what
    return ""


def _modalities(declared: Sequence[str], refusals: Mapping[str, str]) -> Finding:
    unknown = [kind for kind in declared if kind not in _KINDS]
    if unknown or not declared:
        says = f"The spec declares {', '.join(map(repr, unknown)) or 'no modality'}."
        return Finding("modalities", "fail", says, f"Write some of {', '.join(_KINDS)}.")
    if refusals:
        says = "; ".join(f"{kind} is declared, but: {why}" for kind, why in refusals.items())
        return Finding("modalities", "fail", says, "Declare in spec.modalities what the model takes, and no more.")
    unseen = [kind for kind in _KINDS if kind not in declared]
    rest = f" A run removes {' and '.join(unseen)} from items." if unseen else ""
    return Finding("modalities", "pass", f"The model takes what it declares: {', '.join(declared)}.{rest}")
