"""`llave.doctor`: checks of an embedder, from Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.types import ModelHandle, ModelSettings, ModelSpec, Scalar
from llave.api.models import Model, model_settings, open_one

if TYPE_CHECKING:
    import pandas as pd

    from harness.doctor.finding import Finding
    from harness.doctor.kept import KeptVectors
    from harness.progress import Progress


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """What the checks found."""

    model: str
    """The model's name."""
    findings: tuple[Finding, ...]
    """In the order of the checks; docs/doctor.md explains each."""

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not any(each.verdict == "fail" for each in self.findings)

    def frame(self) -> pd.DataFrame:
        """One row for each check: check, verdict (pass, fail, note, skipped), says, remedy, measured, tolerance."""
        import pandas as pd

        names = ("check", "verdict", "says", "remedy", "measured", "tolerance")
        return pd.DataFrame([{name: getattr(each, name) for name in names} for each in self.findings])

    def __repr__(self) -> str:
        from llave.api.results import short

        failed = [each.check for each in self.findings if each.verdict == "fail"]
        said = f"failed: {', '.join(failed)}" if failed else "no check failed"
        return f"DoctorReport({short(self.model)}: {len(self.findings)} checks, {short(said)})"

    def _repr_html_(self) -> str:
        from harness.results.numbers import significant
        from leaderboards.tables import Cell, Table, html_table

        rows = tuple(
            (
                Cell(each.check),
                Cell(each.verdict, style="best" if each.verdict == "fail" else ""),
                Cell("" if each.measured is None else significant(each.measured)),
                Cell("" if each.tolerance is None else significant(each.tolerance)),
                Cell(each.says, each.remedy),
            )
            for each in self.findings
        )
        names = ("check", "verdict", "measured", "tolerance", "what was found")
        return html_table(Table(f"Checks of {self.model}", names, rows, frozenset({names[0], names[1], names[4]})))


def doctor(
    model: Model,
    *,
    known_answers: str | Path | None = None,
    against: Model | None = None,
    keep: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    seed: int = 0,
    model_options: Mapping[str, Scalar] | None = None,
    trust_remote_code: bool = False,
    progress: bool = True,
) -> DoctorReport:
    """Checks an embedder: repeatable vectors, padding, batches, order, inputs that it ignores, and what stays near.

    Args:
        model: as for `evaluate`, one of them.
        against: another model, whose vectors are compared item by item: a server with its weights here. Or a result,
            or its folder, beside which vectors were kept: an updated library or another machine shows.
        keep: a result of this model, or its folder. The vectors of the probes are kept beside it.
        known_answers: an image; for LLaVE checkpoints, published similarities are checked on it too.
        device: `cpu`, `cuda`, `cuda:1`, or `auto`.
        dtype: `float32`, `bfloat16`, `float16`, or `auto`.
        seed: seed of models that draw at random.
        model_options: settings of the model.
        trust_remote_code: whether code that a checkpoint brings may run, from pinned revisions only.
        progress: whether to show a progress bar.

    Returns:
        The findings.

    Raises:
        UserError: for a model that cannot be opened, and for `known_answers` of a model that has none.

    Example:
        >>> import llave
        >>> llave.doctor("classical", progress=False).ok
        True
    """
    from llave.api.progress import shown

    settings = model_settings(device, dtype, seed, model_options, trust_remote_code)
    with shown(progress) as bar:
        handle = open_one(model, settings, bar.note)
        name = str(model) if isinstance(model, str | Path) else None
        paths = (None if each is None else Path(each) for each in (known_answers, keep))
        image, kept = paths
        findings = examined(handle, settings, bar, name=name, image=image, against=against, keep=kept)
        return DoctorReport(handle.spec.name, tuple(findings))


def examined(
    handle: ModelHandle,
    settings: ModelSettings,
    progress: Progress,
    *,
    name: str | None,
    image: Path | None,
    against: Model | None,
    keep: Path | None,
) -> list[Finding]:
    """Loads a model and returns the findings of all that was asked for.

    Args:
        handle: the model, opened with `settings`.
        settings: how the model is loaded in a new process too, and the device of `against`.
        progress: hears what is done.
        name: the name under which another process can open the model; None if it has none.
        image: for known answers.
        against: as for `doctor`.
        keep: as for `doctor`.

    Raises:
        UserError: for what was asked for and is not possible, mostly before the model is loaded.
    """
    from harness.doctor import examine
    from harness.doctor.against import compare_models
    from harness.doctor.answers import check_known, known_answers
    from harness.doctor.finding import ModelUnderTest
    from harness.doctor.kept import compare_kept, keep_vectors, write_kept
    from llave.second_load import second_load

    if image:
        check_known(handle.spec, image)
    folder = _folder_of(keep, handle.spec) if keep else None
    kept = _kept_at(against) if isinstance(against, str | Path) else None
    progress.phase(f"loading {handle.spec.name}", 0)
    model = ModelUnderTest(handle.load())
    answers = known_answers(model, image) if image else []
    findings = examine(model, progress)
    if name is not None and not handle.remote and not any(each.verdict == "fail" for each in findings):
        findings.append(second_load(model, name, settings))
    findings += answers
    if kept is not None:
        findings.append(compare_kept(model, kept, "kept vectors", f"when those beside {against} were kept"))
    elif against is not None:
        others = ModelSettings(settings.device, trust_remote_code=settings.trust_remote_code)
        other = open_one(against, others, progress.note)
        findings += compare_models(model, ModelUnderTest(other.load()), progress)
    if folder is not None:
        progress.note(f"The vectors of the probes are in {write_kept(folder, keep_vectors(model))}.")
    return findings


def _folder_of(result: Path, spec: ModelSpec) -> Path:
    """The folder of a result of this model. Raises: UserError if there is none."""
    from harness.identity import model_fingerprint
    from harness.results.files import read_record

    place = result if result.is_dir() else result.parent
    files = sorted(place.glob("*.json")) if result.is_dir() else [result]
    if not files:
        raise UserError(
            f"{result} holds no result.", "Give --keep a result file of the model, or the folder it lies in."
        )
    if read_record(files[0]).model["fingerprint"] != model_fingerprint(spec):
        hint = "Give the model with the options, the revision and the dtype of the result."
        raise UserError(f"{files[0]} is a result of another model than {spec.name}.", hint)
    return place


def _kept_at(place: str | Path) -> KeptVectors | None:
    """The vectors kept beside a result; None for the name or the folder of a model. Raises: UserError."""
    from harness.doctor.kept import FILE, read_kept

    path = Path(place)
    folder = path if path.is_dir() else path.parent
    if (path.is_file() and path.suffix == ".json") or (path.is_dir() and (folder / FILE).is_file()):
        if not (folder / FILE).is_file():
            hint = f"Where the result is as measured, keep them: llave doctor MODEL --keep {place}"
            raise UserError(f"No vectors of the doctor are kept beside {place}.", hint)
        return read_kept(folder / FILE)
    return None
