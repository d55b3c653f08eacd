"""The command `llave doctor`."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from llave.cli.flags import DONE, FAILED, MODEL_HELP, add_model_flags, console, model_settings, say

if TYPE_CHECKING:
    from harness.doctor.finding import Finding
    from harness.types import ModelSpec
    from leaderboards.tables import Table

ABOUT = "check the properties of a model that scores depend on"
_WORDS = {"pass": "passed", "fail": "failed", "note": "noted", "skipped": "skipped"}
"""Words of the summary, by verdict."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave doctor`."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    add = parser.add_argument_group("checks").add_argument
    add(
        "--known-answers",
        type=Path,
        metavar="IMAGE",
        help="check LLaVE's published similarities on this image too (default: do not)",
    )
    add(
        "--against",
        metavar="MODEL|RESULT",
        help="also compare with the vectors of this model, item by item, such as a server with its weights here, or "
        "with those that were kept with a result (default: do not)",
    )
    add(
        "--keep",
        type=Path,
        metavar="RESULT",
        help="keep the vectors of the probes beside this result of the model, for a later --against (default: do not)",
    )
    add("--json", action="store_true", help="print JSON instead of a table")
    add_model_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the findings. Returns 1 if a check failed, else 0."""
    from harness.models import open_model
    from llave.api.console_progress import ProgressBar
    from llave.api.doctor import examined

    settings = model_settings(options)
    with ProgressBar(console(stderr=True)) as progress:
        handle = open_model(options.model, settings, progress.note)
        findings = examined(
            handle,
            settings,
            progress,
            name=options.model,
            image=options.known_answers,
            against=options.against,
            keep=options.keep,
        )
    if options.json:
        print(json.dumps({"model": _model(handle.spec), "findings": list(map(_fields, findings))}, indent=2))
    else:
        console().print(_table(findings))
        say(console(), f"{handle.spec.name} ({handle.spec.dtype}): {_summary(findings)}")
        if not any(finding.verdict == "fail" for finding in findings):
            say(
                console(),
                "None of the laws is broken. If a score is at chance, the weights or the task are the reason.",
            )
    return FAILED if any(finding.verdict == "fail" for finding in findings) else DONE


def _table(findings: Sequence[Finding]) -> Table:
    from leaderboards.tables import Cell, Table

    names = ("check", "verdict", "measured", "tolerance", "finding")
    rows = tuple(
        (
            Cell(each.check),
            Cell(each.verdict, style=each.verdict),
            Cell(_number(each.measured)),
            Cell(_number(each.tolerance)),
            Cell("\n".join(filter(None, (each.says, each.remedy)))),
        )
        for each in findings
    )
    return Table("", names, rows, frozenset({"check", "verdict", "finding"}), longest=None)


def _number(value: float | None) -> str:
    from harness.results.numbers import grouped, significant

    return "" if value is None else significant(value) if value < 10 else grouped(value)


def _summary(findings: Sequence[Finding]) -> str:
    counts = {verdict: sum(each.verdict == verdict for each in findings) for verdict in _WORDS}
    return ", ".join(f"{count} {_WORDS[verdict]}" for verdict, count in counts.items() if count) + "."


def _model(spec: ModelSpec) -> dict[str, object]:
    found: dict[str, object] = {each.name: getattr(spec, each.name) for each in fields(spec)}
    return {**found, "options": dict(spec.options), "about": dict(spec.about)}


def _fields(finding: Finding) -> dict[str, object]:
    """A finding as plain data. Infinity becomes null, since JSON does not have it."""
    found = asdict(finding)
    if finding.measured is not None and not math.isfinite(finding.measured):
        found["measured"] = None
    return found
