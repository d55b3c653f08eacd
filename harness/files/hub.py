"""Datasets of the Hugging Face hub: names pinned to a commit, and what errors of the hub mean."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from harness.errors import UserError
from harness.files.paths import safe_name
from harness.files.reading import read_text
from harness.files.writing import explain_os_errors, write_atomic

COMMIT = re.compile(r"[0-9a-f]{40}")
"""A full commit on the hub."""
_PIN = "Delete it, or write the 40 hex digits of a commit into it."


@dataclass(frozen=True, slots=True)
class HubDataset:
    """A dataset repository. Its data must not change unnoticed, so a name of a revision is resolved only once.

    The commit is kept in a file, `pin`, and every later use reads it there, online or offline. To use a newer commit,
    name it or delete that file. Downloads go to the cache of the hub library (HF_HOME). HF_ENDPOINT, HF_TOKEN and
    HF_HUB_OFFLINE work as usual.
    """

    repo: str
    revision: str | None
    """A commit, or the name of a branch or tag. None: `main`."""
    pins: Path
    """The folder of pins."""
    by_hand: Callable[[str], str]
    """Says how a revision is fetched without this program."""

    @property
    def pin(self) -> Path:
        """The file with the commit of a revision that is a name."""
        return self.pins / safe_name(f"{self.repo}@{self.revision or 'main'}")

    def describe(self) -> str:
        """Says which repository and commit is meant, in one line."""
        commit = self.pinned()
        at = f"commit {commit}" if commit else f"the commit that {self.revision or 'main'} has when it is first used"
        return f"{self.repo} on the Hugging Face hub, at {at}"

    def pinned(self) -> str | None:
        """Returns the commit, if it is known without a request to the hub."""
        if self.revision and COMMIT.fullmatch(self.revision):
            return self.revision
        if not self.pin.exists():
            return None
        commit = read_text(self.pin, _PIN).strip()
        if not COMMIT.fullmatch(commit):
            raise UserError(f"{self.pin} does not hold a commit.", _PIN)
        return commit

    def commit(self) -> str:
        """Returns the commit that is used. Raises: UserError if the hub must be asked for it and does not answer."""
        return self.pinned() or self._pin_now()

    def _pin_now(self) -> str:
        from huggingface_hub import HfApi

        with explain_os_errors(self.pin):
            self.pin.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.pin.with_name(f"{self.pin.name}.lock")):
                commit = self.pinned()  # another process may have resolved it meanwhile
                if commit is None:
                    try:
                        found = HfApi().resolve_revision(self.repo, repo_type="dataset", revision=self.revision)
                    except hub_errors() as error:
                        raise self.explain(error, "The commit to pin", self.revision or "main") from None
                    commit = str(found.resolved)
                    write_atomic(self.pin, f"{commit}\n")
        return commit

    def explain(self, error: Exception, wanted: str, revision: str) -> UserError:
        """Returns the error for what the hub library raised, with what was wanted and what can be done."""
        from huggingface_hub import errors, is_offline_mode

        missing = f"{wanted} of {self.repo}"
        status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
        no_repo = (errors.RepositoryNotFoundError, errors.HFValidationError)
        unreachable = (errors.LocalEntryNotFoundError, errors.RevisionResolutionError, errors.OfflineModeIsEnabled)
        if isinstance(error, errors.RevisionNotFoundError):
            what = f"{self.repo} has no commit or branch {revision} on the hub."
            hint = f"Delete {self.pin} to pin the newest." if self.pin.exists() else "Name another revision."
        elif isinstance(error, no_repo) and not isinstance(error, errors.GatedRepoError):
            what = f"There is no public dataset {self.repo!r} on the hub."
            hint = "Check its name. If it is private, log in with `hf auth login` or set HF_TOKEN."
        elif status in (401, 403):
            what = f"{missing} needs permission: the hub answered {status}."
            hint = "Accept the conditions on its page, if it has any, and log in with `hf auth login` or set HF_TOKEN."
        elif isinstance(error, unreachable) and is_offline_mode():
            what = f"{missing} is not on this machine, and HF_HUB_OFFLINE forbids downloads."
            hint = "Run once without HF_HUB_OFFLINE. Later runs need no network."
        elif isinstance(error, unreachable):
            why = _first_line(error.__cause__ or error)
            what = f"{missing} is not on this machine, and the hub cannot be reached: {why}."
            hint = "Run once with a connection. Later runs need none."
        elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = f"{missing} could not be downloaded: the disk is full."
            hint = "Free some space, or set HF_HOME to a folder on a larger disk."
        else:
            what = f"{missing} could not be downloaded: {_first_line(error)}."
            hint = "Run the same command again."
        return UserError(what, f"{hint} {self.by_hand(revision)}")


def hub_errors() -> tuple[type[Exception], ...]:
    """Returns what the hub library raises for faults of others. RuntimeError is a broken transfer in hf_xet."""
    from huggingface_hub.errors import HFValidationError, HTTPError, RevisionResolutionError

    return HTTPError, OSError, RuntimeError, RevisionResolutionError, HFValidationError


def hub_page(repo: str, revision: str) -> str:
    """Returns the address of the files of a dataset."""
    from huggingface_hub import HfApi

    return f"{HfApi().endpoint}/datasets/{repo}/tree/{revision}"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
