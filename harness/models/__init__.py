"""The models, listed by name. Importing this package loads no heavy library."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from harness.errors import UserError, unknown_name
from harness.files.hub import COMMIT
from harness.files.reading import named_reason
from harness.models import custom
from harness.models.baselines import classical, null
from harness.models.dual.checkpoints import ROWS as DUAL_ROWS
from harness.models.dual.uniir import ROWS as UNIIR_ROWS
from harness.models.endpoints import server
from harness.models.endpoints.address import is_address
from harness.models.libraries.known import ROWS as KNOWN_ROWS
from harness.models.libraries.mteb import ROWS as MTEB_ROWS
from harness.models.libraries.remote_code import check_trust
from harness.models.libraries.sentence_transformers import ROWS as SENTENCE_TRANSFORMERS_ROWS
from harness.models.llave.embedder import ROWS as LLAVE_ROWS
from harness.models.recognition import as_trained, recognize, row_of_hub
from harness.models.vlm.embedder import ROWS as VLM_ROWS
from harness.types import ModelHandle, ModelRow, ModelSettings

GROUP = "llave.models"
"""The entry-point group with which other packages add rows. Each entry is a `ModelRow` or a tuple of them."""

ROWS: tuple[ModelRow, ...] = (
    *null.ROWS,
    *classical.ROWS,
    *LLAVE_ROWS,
    *DUAL_ROWS,
    *VLM_ROWS,
    *UNIIR_ROWS,
    *KNOWN_ROWS,
    *SENTENCE_TRANSFORMERS_ROWS,
    *MTEB_ROWS,
    custom.ROW,
    server.ROW,
)


def open_model(name: str, settings: ModelSettings, note: Callable[[str], None] = lambda _: None) -> ModelHandle:
    """Finds and identifies a model by the name that a user writes, without loading its weights.

    Names of this package come before those of other packages, and the name on the hub of a known model is that model.
    Any other folder or name on the hub is recognized by its files.

    Args:
        name: a name from `llave models`, `ORG/NAME` or `ORG/NAME@COMMIT` on the hub, a folder,
            `package.module:Class`, or `http://HOST/v1#MODEL`.
        settings: how the model is loaded.
        note: receives sentences: how a folder or a name on the hub was recognized, or that a server has changed.

    Raises:
        UserError: if there is no such model, or if its row refuses the settings.
    """
    if is_address(name):
        return server.open_endpoint(name, settings, note)
    name, settings = as_trained(name, settings)
    row = _match(name, ROWS) or (custom.ROW if custom.NAME.fullmatch(name) else None) or _match(name, installed_rows())
    if row is None and (row := row_of_hub(name, ROWS)):
        name = row.name + name.removeprefix(row.hub)
    if row is None:
        rows = (*ROWS, *installed_rows())
        found = recognize(name, rows)
        if found is None:
            where = "`llave models` lists models. Or name a folder, or ORG/NAME on the hub."
            raise unknown_name("model", name, [each.name for each in rows], where)
        note(found.why)
        row = found.row
    if row not in KNOWN_ROWS:  # their libraries decide
        check_trust(row.name, name, settings)
    return row.open(name, settings)


def is_named(name: str) -> bool:
    """Whether a name is of a row of this package or of a class. Plain folders and names on the hub are not."""
    return _match(name, ROWS) is not None or custom.NAME.fullmatch(name) is not None


def pinned_name(name: str, revision: str) -> str:
    """The name with its commit, if it is of the hub and can move; other names as they are."""
    can_be_pinned = COMMIT.fullmatch(revision) and "@" not in name and not custom.NAME.fullmatch(name)
    return f"{name}@{revision}" if can_be_pinned else name


def installed_rows() -> tuple[ModelRow, ...]:
    """Returns the rows of other installed packages. Raises UserError if one of them cannot be loaded."""
    return tuple(row for point in sorted(entry_points(group=GROUP)) for row in _load_rows(point))


def _match(name: str, rows: tuple[ModelRow, ...]) -> ModelRow | None:
    """The row with this name or with its prefix. A row of the hub may have a commit after its name."""
    alone = name.partition("@")[0]
    for row in rows:
        has_prefix = row.name.endswith("/") and name.startswith(row.name)
        if name == row.name or has_prefix or (row.hub and alone == row.name):
            return row
    return None


def _load_rows(point: EntryPoint) -> tuple[ModelRow, ...]:
    origin = f"The plug-in {point.value!r} of {point.dist.name if point.dist else 'an installed package'}"
    try:
        found = point.load()
    except Exception as error:
        raise UserError(
            f"{origin} cannot be loaded: {named_reason(error)}.", "Update or uninstall that package."
        ) from error
    rows = found if isinstance(found, tuple) else (found,)
    if not all(isinstance(row, ModelRow) for row in rows):
        raise UserError(f"{origin} is not a ModelRow or a tuple of them.", "Update or uninstall that package.")
    return rows
