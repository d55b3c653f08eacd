"""mteb's list of models: finding a model by name, checking that it is supported, placing its instructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal, Protocol, cast

from harness.errors import UserError, unknown_name
from harness.files.hub import COMMIT
from harness.models.checkpoints import SETTINGS
from harness.models.hub import download, split_commit
from harness.settings import read_settings

PREFIX = "mteb/"
_OPEN = "no_revision_available"
"""mteb's value for an unknown revision."""


@dataclass(frozen=True, slots=True)
class MtebOptions:
    """Options that a user can set."""

    instructions: Literal["task", "text"]
    """Where an item's instruction goes: into the prompt of mteb's task, or in front of the item's text."""


class MtebMeta(Protocol):
    """The attributes of mteb's `ModelMeta` that are used here."""

    name: str
    revision: str | None
    loader: object
    loader_kwargs: Mapping[str, object]
    framework: Sequence[str]
    model_type: Sequence[str]
    modalities: Sequence[str]
    similarity_fn_name: str | None
    use_instructions: bool | None
    max_tokens: float | None

    def model_copy(self, *, update: Mapping[str, object]) -> MtebMeta:
        """Returns a copy with changed attributes."""

    def load_model(self, device: str) -> object:
        """Loads the model's encoder."""


def find_meta(name: str, *, trusted: bool) -> MtebMeta:
    """Returns mteb's entry for a name, with a pinned revision.

    Args:
        name: `mteb/NAME` or `mteb/NAME@COMMIT`.
        trusted: whether code of the checkpoint may run, which needs a revision that the list or the user pins.

    Raises:
        UserError: if mteb has no such model, or if the model is not supported.
    """
    import mteb

    rest, commit = split_commit(name.removeprefix(PREFIX))
    try:
        meta = cast("MtebMeta", mteb.get_model_meta(rest))
    except KeyError:
        known = [str(each.name) for each in mteb.get_model_metas()]
        hint = f"A model that mteb does not list may load as sentence-transformers/{rest}."
        raise unknown_name("model of mteb", rest, known, hint) from None
    if meta.loader is None:
        raise UserError(f"mteb lists {rest}, but has no loader for it.", "Choose another model.")
    if "dense" not in meta.model_type or meta.similarity_fn_name not in ("cosine", "dot", None):
        late = f"\nsentence-transformers/{rest} may load it: docs/late-interaction.md."
        raise UserError(
            f"{name} is of the kind {', '.join(meta.model_type)}, compared by {meta.similarity_fn_name}.",
            "Choose a model with one vector for an item, compared by cosine or dot product."
            + late * ("late-interaction" in meta.model_type),
        )
    if "text" not in meta.modalities:
        raise UserError(f"{name} takes {' and '.join(meta.modalities)}, no text.", "Choose a model that takes text.")
    if "API" in meta.framework:
        raise UserError(f"{name} runs behind an API, whose answers can change.", "Choose a model with weights.")
    return meta.model_copy(update={"revision": _revision(name, meta, commit, trusted=trusted)})


def _revision(name: str, meta: MtebMeta, commit: str | None, *, trusted: bool) -> str:
    """The commit, or the commits of an adapter and its base joined by a dash. Raises UserError if it is no commit."""
    listed = None if meta.revision == _OPEN else meta.revision
    revision = listed or commit or download(meta.name, None, SETTINGS).name
    if commit and commit != revision:
        raise UserError(
            f"mteb {version('mteb')} knows {meta.name} at {revision}, not at {commit}.", "Leave @COMMIT out."
        )
    if not all(COMMIT.fullmatch(each) for each in revision.split("-")):
        raise UserError(
            f"mteb knows {meta.name} at {revision!r}, which is no commit.", "Choose a model whose weights are fixed."
        )
    if trusted and not listed and not commit:
        raise UserError(
            f"--trust-remote-code needs a revision that cannot move, and {name} can.",
            f"Read the code of this one, then write {PREFIX}{meta.name}@{revision}.",
        )
    return revision


def place_of_instructions(name: str, meta: MtebMeta, given: Mapping[str, str]) -> str:
    """Returns where an item's instruction goes: `task`, the prompt of mteb's task; or `text`, before the text.

    The default is `task` for a model that reads the prompt. mteb's plain wrapper of sentence-transformers does not.

    Raises:
        UserError: for another option than `instructions`, and for another value.
    """
    from mteb.models import SentenceTransformerEncoderWrapper

    loader = getattr(meta.loader, "func", meta.loader)
    reads_prompt = bool(meta.use_instructions) and loader is not SentenceTransformerEncoderWrapper
    return read_settings(MtebOptions("task" if reads_prompt else "text"), given, f"option of {name}").instructions
