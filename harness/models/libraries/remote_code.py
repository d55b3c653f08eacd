"""Code that a checkpoint brings along: it runs only where the user says so, and only in a form that cannot change."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from harness.errors import UserError
from harness.types import ModelSettings

HONOURED = ("sentence-transformers/", "mteb/")
"""The rows that know what to do with `--trust-remote-code`."""
COMMIT = re.compile(r"[0-9a-f]{40}")


class HubName(NamedTuple):
    """A name on the hub, and the commit that the user pinned, if any."""

    name: str
    commit: str | None


def split_commit(written: str) -> HubName:
    """Reads `NAME` or `NAME@COMMIT`. Raises UserError for a branch, a tag or a short commit, which can move."""
    name, at, commit = written.partition("@")
    if at and not COMMIT.fullmatch(commit):
        raise UserError(f"{commit!r} in {written} is no full commit.", "Write all 40 hexadecimal digits after the @.")
    return HubName(name, commit or None)


def check_trust(row: str, name: str, settings: ModelSettings) -> None:
    """Refuses `--trust-remote-code` for models of a row that never run such code, or that are code of the user's."""
    if settings.trust_remote_code and row not in HONOURED:
        honoured = " and ".join(f"{each}NAME" for each in HONOURED)
        raise UserError(
            f"--trust-remote-code means nothing to {name}: no code of a checkpoint runs there.",
            f"Leave it out. It is for {honoured}.",
        )


@contextmanager
def only_code_of(name: str, commits: tuple[str, ...]) -> Iterator[None]:
    """While it lasts, transformers runs code of a checkpoint only if it is of one of these commits; none: none at all.

    Whatever a caller passes as `trust_remote_code`, and from whatever repository a configuration takes the code, it is
    imported by one function, from a folder that is named after the commit. Raises UserError from in there.
    """
    from transformers import dynamic_module_utils as remote

    original = remote.get_class_in_module

    def checked(class_name: str, module_path: str | os.PathLike[str], *, force_reload: bool = False) -> type:
        if not set(commits).intersection(Path(module_path).parts):
            origin = "/".join(Path(module_path).parts[1:])
            raise UserError(
                f"{name} brings code of its own, {origin}, which is not run"
                + (f": it is not of the pinned commit {' or '.join(commits)}." if commits else "."),
                "Code of another repository moves with it: load the model in a class of your own (docs/add-a-model.md)."
                if commits
                else "Read the code, then allow it with --trust-remote-code. See docs/models-other.md.",
            )
        found: type = original(class_name, module_path, force_reload=force_reload)
        return found

    remote.get_class_in_module = checked
    try:
        yield
    finally:
        remote.get_class_in_module = original
