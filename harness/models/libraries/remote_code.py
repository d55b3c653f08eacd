"""Code that a checkpoint brings along: it runs only if the user allows it, and only from a fixed revision."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import UserError
from harness.types import ModelSettings

HONOURED = ("sentence-transformers/", "mteb/")
"""The rows that support `--trust-remote-code`."""


def check_trust(row: str, name: str, settings: ModelSettings) -> None:
    """Raises UserError if `--trust-remote-code` is given for a model whose row does not support it."""
    if settings.trust_remote_code and row not in HONOURED:
        honoured = " and ".join(f"{each}NAME" for each in HONOURED)
        raise UserError(
            f"--trust-remote-code means nothing to {name}, which runs no code of a checkpoint.",
            f"Leave it out. It is for {honoured}.",
        )


@contextmanager
def only_code_of(name: str, commits: tuple[str, ...]) -> Iterator[None]:
    """A context in which transformers runs code of a checkpoint only if it belongs to one of the commits.

    Without commits no such code runs. This holds for any value of `trust_remote_code` that a caller passes, and for
    code of any repository: transformers imports all of it in one function, from a folder named after the commit.

    Raises:
        UserError: from that function, if other code is to run.
    """
    from transformers import dynamic_module_utils as remote

    original = remote.get_class_in_module

    def checked(class_name: str, module_path: str | os.PathLike[str], *, force_reload: bool = False) -> type:
        if not set(commits).intersection(Path(module_path).parts):
            origin = "/".join(Path(module_path).parts[1:])
            raise UserError(
                f"{name} brings its own code, {origin}, which is not run"
                + (f": it is not of the pinned commit {' or '.join(commits)}." if commits else "."),
                "Code of another repository can change. Load the model in your own class: docs/add-a-model.md."
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
