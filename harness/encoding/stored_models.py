"""The models whose vectors lie in a store: their numbers and sizes, whether all can be read, and their removal."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from harness.encoding.store import lock_of, vector_files
from harness.encoding.store_file import StoreFile
from harness.errors import UserError, unknown_name
from harness.files.reading import explain_reading, read_object
from harness.files.writing import explain_os_errors

_FOLDER = re.compile(r".+-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class StoredModel:
    """The vectors of one model, at one revision and with one set of options."""

    folder: Path
    name: str
    """That of the folder, if its spec.json cannot be read."""
    revision: str
    vectors: int
    """Number of vectors in the files that can be read."""
    bytes: int
    """Bytes of all its files."""
    damaged: tuple[UserError, ...]
    """What is wrong with the others."""


def stored_models(root: Path, names: Sequence[str] = (), *, check: bool = False) -> list[StoredModel]:
    """Returns the models of a store, in the order of their folders.

    Args:
        names: names of models, or of their folders in the store. Without any, all models are returned.
        check: whether every vector is read, so that all damage is found.

    Raises:
        UserError: if there is no store, or if it has no model of a name.
    """
    if not root.is_dir():
        raise UserError(f"There is no store {root}.", "--store names another folder.")
    with explain_reading(root):
        folders = sorted(path for path in root.iterdir() if _is_model(path))
    models = [_read(folder, check=check) for folder in folders if not names or _names(folder) & {*names}]
    for name in names:
        if not any(name in (model.name, model.folder.name) for model in models):
            known = {each for folder in folders for each in _names(folder)}
            raise unknown_name("stored model", name, known, "`llave store list` names those that are stored.")
    return models


def remove(model: StoredModel) -> None:
    """Removes a model's folder from its store. Raises: UserError if a live run writes to it, or if the disk refuses."""
    away = model.folder.with_name(f".{model.folder.name}.{uuid.uuid4().hex}.tmp")
    with explain_os_errors(model.folder):
        with ExitStack() as locks:
            for path in sorted(model.folder.glob("*.db")):
                try:
                    locks.enter_context(lock_of(path))
                except Timeout:
                    what = f"A live run writes to {path}."
                    raise UserError(what, "Wait for it to end. Nothing of this model was removed.") from None
            model.folder.rename(away)
        shutil.rmtree(away)


def _is_model(path: Path) -> bool:
    held = (path / "spec.json").exists() or any(path.glob("*.db"))
    return bool(_FOLDER.fullmatch(path.name)) and path.is_dir() and held


def _names(folder: Path) -> set[str]:
    return {folder.name, _spec(folder)[0]}


def _spec(folder: Path) -> tuple[str, str]:
    """The name and the revision of a folder's model."""
    try:
        fields = read_object(folder / "spec.json")
    except UserError:
        return folder.name, ""
    return str(fields.get("name", folder.name)), str(fields.get("revision", ""))


def _read(folder: Path, *, check: bool) -> StoredModel:
    vectors, damaged = 0, list[UserError]()
    for path in vector_files(folder):
        try:
            vectors += _count(path, check=check)
        except UserError as error:
            damaged.append(error)
    with explain_reading(folder):
        size = sum(path.stat().st_size for path in folder.iterdir())
    return StoredModel(folder, *_spec(folder), vectors, size, tuple(damaged))


def _count(path: Path, *, check: bool) -> int:
    file = StoreFile.open(path)
    if file is None:
        return 0
    try:
        if check:
            file.check()
        return file.count()
    finally:
        file.close()
