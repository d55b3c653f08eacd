"""What mteb lists: which model a name means, whether it can be compared here, and where it wants instructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Protocol, cast

from harness.errors import UserError, unknown_name
from harness.models.checkpoints import SETTINGS, download
from harness.models.libraries.remote_code import COMMIT, split_commit

PREFIX = "mteb/"
_OPEN = "no_revision_available"
"""What mteb writes for a revision where it has none."""


class MtebMeta(Protocol):
    """What is read of mteb's `ModelMeta`."""

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

    def model_copy(self, *, update: Mapping[str, object]) -> MtebMeta: ...

    def load_model(self, device: str) -> object: ...


def find_meta(name: str, *, trusted: bool) -> MtebMeta:
    """What mteb lists under a name, its revision pinned. Raises UserError for what cannot be compared here."""
    import mteb

    rest, commit = split_commit(name.removeprefix(PREFIX))
    try:
        meta = cast("MtebMeta", mteb.get_model_meta(rest))
    except KeyError:
        known = [str(each.name) for each in mteb.get_model_metas()]
        hint = f"What mteb does not list may be known as sentence-transformers/{rest}."
        raise unknown_name("model of mteb", rest, known, hint) from None
    if meta.loader is None:
        raise UserError(f"mteb lists {rest}, but has no loader for it.", "Choose another model.")
    if "dense" not in meta.model_type or meta.similarity_fn_name not in ("cosine", "dot", None):
        raise UserError(
            f"{name} is of the kind {', '.join(meta.model_type)}, compared by {meta.similarity_fn_name}.",
            "Only models that give one vector for an item, compared by cosine or dot product, are measured here.",
        )
    if "text" not in meta.modalities:
        raise UserError(f"{name} sees {' and '.join(meta.modalities)}, no text.", "Every task here has texts.")
    if "API" in meta.framework:
        raise UserError(
            f"{name} answers over the network, and may answer differently tomorrow.", "Choose a model with weights."
        )
    return meta.model_copy(update={"revision": _revision(name, meta, commit, trusted=trusted)})


def _revision(name: str, meta: MtebMeta, commit: str | None, *, trusted: bool) -> str:
    """The commit, or the two of an adapter and its base joined by a dash. Raises UserError for what is no commit."""
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
    """Where an item's instruction goes: `task`, the prompt of mteb's task; or `text`, in front of the item's own."""
    from mteb.models import SentenceTransformerEncoderWrapper

    for key, value in given.items():
        if key != "instructions":
            raise unknown_name(f"option of {name}", key, ["instructions"], "It has no other.")
        if value not in ("task", "text"):
            raise UserError(f"The option instructions cannot be {value!r}.", "Choose from task, text.")
    loader = getattr(meta.loader, "func", meta.loader)
    reads_it = bool(meta.use_instructions) and loader is not SentenceTransformerEncoderWrapper
    return given.get("instructions", "task" if reads_it else "text")
