"""Does this embedder keep the laws that every score rests on? `examine` asks it, and says what it found."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.doctor import batches, content
from harness.doctor.finding import Finding, ModelUnderTest
from harness.doctor.probes import Probes, draw_probes
from harness.doctor.state import pooled_state
from harness.errors import UserError
from harness.progress import Progress

_KINDS = ("text", "image", "video")


@dataclass(frozen=True, slots=True)
class Check:
    """One question to an embedder. Where one of `needs` has failed its answer would say nothing new."""

    name: str
    ask: Callable[[ModelUnderTest, Probes], Finding]
    needs: tuple[str, ...] = ("finite",)


CHECKS = (
    Check("shape", content.shape, needs=()),
    Check("finite", content.finite, needs=("shape",)),
    Check("unit length", content.length),
    Check("width", content.width),
    Check("repeatable", batches.repeatable),
    Check("order", batches.order, needs=("repeatable",)),
    Check("place", batches.place, needs=("order",)),
    Check("batch", batches.batch, needs=("place",)),
    Check("padding", batches.padding, needs=("batch",)),
    Check("threads", batches.threads, needs=("batch",)),
    Check("spread", content.spread, needs=("repeatable",)),
    Check("pooled state", pooled_state, needs=("repeatable",)),
    Check("text", content.text, needs=("spread",)),
    Check("image", content.image, needs=("spread",)),
    Check("video", content.video, needs=("spread",)),
    Check("frame order", content.frame_order, needs=("video",)),
    Check("instruction", content.instruction, needs=("text",)),
    Check("role", content.role, needs=("repeatable",)),
    Check("truncation", content.truncation, needs=("text",)),
)
"""In the order in which they are asked, so that the first that fails is the cause and not a consequence."""


def examine(patient: ModelUnderTest, listener: Progress) -> list[Finding]:
    """Asks every check. What the model itself raises, other than UserError, is raised with the check's name."""
    with tempfile.TemporaryDirectory() as folder:
        listener.phase(f"examining {patient.spec.name}", len(CHECKS))
        probes, modalities = _admit(patient, draw_probes(Path(folder)))
        findings = {"modalities": modalities}
        for check in CHECKS:
            findings[check.name] = _ask(check, patient, probes, findings)
            listener.advance()
    return list(findings.values())


def _ask(check: Check, patient: ModelUnderTest, probes: Probes, findings: Mapping[str, Finding]) -> Finding:
    if not any(probes.of(kind) for kind in _KINDS):
        return Finding(check.name, "skipped", "The model takes nothing that could be asked.")
    broken = next((name for name in check.needs if findings[name].verdict in ("fail", "skipped")), None)
    if broken is not None:
        cause = findings[broken]
        says = f"It means nothing until {broken} holds." if cause.verdict == "fail" else cause.says
        return Finding(check.name, "skipped", says)
    try:
        return check.ask(patient, probes)
    except UserError as error:
        return Finding(check.name, "fail", error.what, error.hint)
    except Exception as error:
        error.add_note(f"This happened during the check {check.name!r} of llave doctor.")
        raise


def _admit(patient: ModelUnderTest, probes: Probes) -> tuple[Probes, Finding]:
    """The probes of the kinds that the model declares and takes, and whether it takes what it declares."""
    declared = patient.spec.modalities
    refusals = {kind: why for kind in _KINDS if kind in declared and (why := _refusal(patient, probes, kind))}
    taken = [kind for kind in _KINDS if kind in declared and kind not in refusals]
    if "text" not in taken:
        probes = replace(probes, texts=(), captioned=(), instructed=())
    if "image" not in taken:
        probes = replace(probes, images=(), captioned=())
    if "video" not in taken:
        probes = replace(probes, videos=())
    return probes, _modalities(declared, refusals)


def _refusal(patient: ModelUnderTest, probes: Probes, kind: str) -> str:
    """What a model says to content of a kind that it declares; nothing if it takes it."""
    try:
        for probe in probes.of(kind)[:1]:
            patient.single(probe)
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
    rest = f" Of {' and '.join(unseen)} a run takes away what items have." if unseen else ""
    return Finding("modalities", "pass", f"The model takes what it declares: {', '.join(declared)}.{rest}")
