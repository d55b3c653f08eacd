"""`llave doctor`: what holds of an embedder and what does not."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from llave.cli.flags import DONE, FAILED, add_model_flags, console, model_settings, say

if TYPE_CHECKING:
    from rich.table import Table

    from harness.doctor.finding import Finding
    from harness.types import ModelSpec

ABOUT = "check that a model keeps the laws that scores rest on"
_COLOURS = {"pass": "green", "fail": "bold red", "note": "yellow", "skipped": "dim"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name from `llave models`, or package.module:Class")
    add("--known-answers", type=Path, metavar="IMAGE", help="also check published similarities for this image (LLaVE)")
    add("--json", action="store_true", help="print the findings as JSON")
    add_model_flags(parser)


def run(options: argparse.Namespace) -> int:
    """`llave doctor`: 0 if no check failed, 1 if one did."""
    from harness.doctor import examine
    from harness.doctor.answers import check_known, known_answers
    from harness.doctor.finding import ModelUnderTest
    from harness.models import open_model
    from llave.api.console_progress import ProgressBar

    handle = open_model(options.model, model_settings(options))
    if options.known_answers:
        check_known(handle.spec, options.known_answers)
    notes = console(stderr=True)
    with ProgressBar(notes) as progress:
        progress.phase(f"loading {handle.spec.name}", 0)
        patient = ModelUnderTest(handle.load())
        answers = known_answers(patient, options.known_answers) if options.known_answers else []
        findings = [*examine(patient, progress), *answers]
    if options.json:
        print(json.dumps({"model": _model(handle.spec), "findings": list(map(_fields, findings))}, indent=2))
    else:
        console().print(_table(findings))
        say(console(), f"{handle.spec.name} ({handle.spec.dtype}): {_summary(findings)}")
    return FAILED if any(finding.verdict == "fail" for finding in findings) else DONE


def _table(findings: Sequence[Finding]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    for heading in ("check", "verdict", "measured", "tolerance", "what was found"):
        table.add_column(heading, justify="right" if heading in ("measured", "tolerance") else "left")
    for each in findings:
        says = Text(each.says)
        if each.remedy:
            says.append(f"\n{each.remedy}", style="italic")
        verdict = Text(each.verdict, style=_COLOURS[each.verdict])
        table.add_row(Text(each.check), verdict, _number(each.measured), _number(each.tolerance), says)
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def _summary(findings: Sequence[Finding]) -> str:
    counts = {verdict: sum(each.verdict == verdict for each in findings) for verdict in _COLOURS}
    words = {"pass": "passed", "fail": "failed", "note": "noted", "skipped": "skipped"}
    return ", ".join(f"{count} {words[verdict]}" for verdict, count in counts.items() if count) + "."


def _model(spec: ModelSpec) -> dict[str, object]:
    found: dict[str, object] = {each.name: getattr(spec, each.name) for each in fields(spec)}
    return {**found, "options": dict(spec.options), "about": dict(spec.about)}


def _fields(finding: Finding) -> dict[str, object]:
    """A finding for JSON, which has no infinity."""
    found = asdict(finding)
    if finding.measured is not None and not math.isfinite(finding.measured):
        found["measured"] = None
    return found
