"""`llave.doctor`: checks of an embedder, from Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.types import ModelSettings, Scalar
from llave.api.models import Model, model_settings, open_one

if TYPE_CHECKING:
    import pandas as pd

    from harness.doctor.finding import Finding


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
    device: str = "auto",
    dtype: str = "auto",
    seed: int = 0,
    model_options: Mapping[str, Scalar] | None = None,
    trust_remote_code: bool = False,
    progress: bool = True,
) -> DoctorReport:
    """Checks an embedder: repeatable vectors, padding, batch composition, order, inputs that it ignores.

    Args:
        model: as for `evaluate`, one of them.
        against: another model, whose vectors are compared item by item: a server with its weights here.
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
    from harness.doctor import examine
    from harness.doctor.against import compare_models
    from harness.doctor.answers import check_known
    from harness.doctor.answers import known_answers as answers_of
    from harness.doctor.finding import ModelUnderTest
    from llave.api.progress import shown

    settings = model_settings(device, dtype, seed, model_options, trust_remote_code)
    image = None if known_answers is None else Path(known_answers)
    with shown(progress) as bar:
        handle = open_one(model, settings, bar.note)
        if image:
            check_known(handle.spec, image)
        bar.phase(f"loading {handle.spec.name}", 0)
        tested = ModelUnderTest(handle.load())
        answers = answers_of(tested, image) if image else []
        findings = [*examine(tested, bar), *answers]
        if against is not None:
            other = open_one(against, ModelSettings(device, trust_remote_code=trust_remote_code), bar.note)
            findings += compare_models(tested, ModelUnderTest(other.load()), bar)
        return DoctorReport(handle.spec.name, tuple(findings))
