"""The hub: names with a commit, files fetched from it, and what it means that it does not give them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import UnknownName, UserError
from harness.files.hub import COMMIT


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


def download(name: str, commit: str | None, patterns: Sequence[str]) -> Path:
    """Fetches the files that match `patterns` from the hub.

    Returns:
        The folder of the snapshot, whose name is the commit.

    Raises:
        UserError: if the hub does not have the name or cannot be reached.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=commit, allow_patterns=list(patterns)))
    except (OSError, ValueError) as error:
        raise _refused(name, commit, error) from None


def _refused(name: str, commit: str | None, error: Exception) -> UserError:
    """What it means that the hub does not give a checkpoint, and what can be done."""
    from huggingface_hub import constants, errors

    log_in = "log in with `hf auth login` or set HF_TOKEN"
    if isinstance(error, errors.GatedRepoError):
        page = f"{constants.ENDPOINT}/{name}"
        return UserError(f"{name} is gated: its owner asks for consent.", f"Accept the terms at {page}, then {log_in}.")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UnknownName(
            "model",
            name,
            f"There is no folder {name!r}, and the hub has no such model, or it is private.",
            f"Check the name. For a private model, {log_in}.",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        page = f"{constants.ENDPOINT}/{name}/commits/main"
        return UserError(f"{name} has no commit {commit} on the hub.", f"Look it up: {page}")
    if isinstance(error, errors.HFValidationError):
        return UnknownName("model", name, f"There is no folder {name!r}, and it is no name on the hub.", "")
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled | ConnectionError):
        down = isinstance(error.__cause__, errors.HfHubHTTPError)
        reach = "the hub answers with an error" if down else "the hub cannot be reached"
        why = "HF_HUB_OFFLINE is set" if constants.is_offline_mode() else reach
        pinned = f" --revision {commit}" if commit else ""
        return UnknownName(
            "model",
            name,
            f"There is no folder {name!r}, the cache does not have it, and {why}.",
            f"Where there is a network, fill the cache, {constants.HF_HUB_CACHE}. With --local-dir DIR it is a folder "
            f"that can be copied here and named:\nhf download {name}{pinned}",
        )
    reason = str(error).partition("\n")[0]
    return UserError(f"The hub does not give {name}: {reason}", "Try again later, or name a folder with a copy.")
