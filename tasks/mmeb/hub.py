"""MMEB-eval from the Hugging Face hub.

It is pinned to a commit, fetched once and unpacked once. Afterwards no connection is needed.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from harness.errors import UserError, unknown_name
from harness.files.paths import cache_dir, safe_name
from harness.files.reading import read_text
from harness.files.writing import explain_os_errors, write_atomic
from harness.types import DataInfo, Task, TaskData
from tasks.mmeb.archive import is_unpacked, unpack
from tasks.names import parse_name

_ROWS_FILE = "test-00000-of-00001.parquet"
_IMAGES_FILE = "images.zip"

_PIN = "Delete it, or write the 40 hex digits of a commit into it."
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubSource:
    """A dataset repository in MMEB-eval's layout: `<subset>/test-00000-of-00001.parquet` and one `images.zip`.

    The data of a benchmark must not change unnoticed. If `revision` is a name, the hub resolves it once to a commit.
    The commit is kept in a file, `pin`, and every later use reads it there, online or offline. To use a newer
    commit, name it or delete that file. Downloads go to the cache of the hub library (HF_HOME). HF_ENDPOINT, HF_TOKEN
    and HF_HUB_OFFLINE work as usual. Once the images are unpacked, the zip is not needed any more.
    """

    repo: str = "TIGER-Lab/MMEB-eval"
    revision: str | None = None
    """A commit, or the name of a branch or tag. None: `main`."""
    cache: Path | None = None
    """The folder of unpacked images and of pins. None: LLAVE_CACHE."""

    @property
    def folder(self) -> Path:
        """The folder of unpacked images and of pins."""
        return (self.cache or cache_dir()) / "mmeb-eval"

    @property
    def pin(self) -> Path:
        """The file with the commit of a revision that is a name."""
        return self.folder / "pins" / safe_name(f"{self.repo}@{self.revision or 'main'}")

    def describe(self) -> str:
        """Says where the data comes from, in one line."""
        commit = self._pinned()
        at = f"commit {commit}" if commit else f"the commit that {self.revision or 'main'} has when it is first used"
        return f"{self.repo} on the Hugging Face hub, at {at}"

    def info(self, task: Task) -> DataInfo:
        """Fetches the subset's rows and all images if they are missing. Makes no request if they are there.

        Raises UserError for what cannot be fetched, and for bad files.
        """
        from tasks.mmeb.folder import FolderSource

        commit = self._pinned() or self._pin_now()
        rows = self._fetch(f"{parse_name(task.name).dataset}/{_ROWS_FILE}", commit)
        files = FolderSource(rows.parents[1]).info(task).files  # checked before the images, which are tens of GB
        images = self.folder / commit
        if not is_unpacked(images):
            unpack(self._fetch(_IMAGES_FILE, commit), images)
        return DataInfo(self.repo, commit, files, images)

    def load(self, task: Task) -> TaskData:
        """Reads the rows of a task's subset. Raises UserError as `info` does, and for bad rows."""
        from tasks.mmeb.folder import FolderSource

        info = self.info(task)
        return FolderSource(data=info.files[0].parents[1], images=info.media_root).load(task)

    def _pinned(self) -> str | None:
        """The commit, if it is known without a request to the hub."""
        if self.revision and _COMMIT.fullmatch(self.revision):
            return self.revision
        if not self.pin.exists():
            return None
        commit = read_text(self.pin, _PIN).strip()
        if not _COMMIT.fullmatch(commit):
            raise UserError(f"{self.pin} does not hold a commit.", _PIN)
        return commit

    def _pin_now(self) -> str:
        from huggingface_hub import HfApi

        with explain_os_errors(self.pin):
            self.pin.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.pin.with_name(f"{self.pin.name}.lock")):
                commit = self._pinned()  # another process may have resolved it meanwhile
                if commit is None:
                    try:
                        found = HfApi().resolve_revision(self.repo, repo_type="dataset", revision=self.revision)
                    except _hub_errors() as error:
                        raise self._explain(error, "The commit to pin", self.revision or "main") from None
                    commit = str(found.resolved)
                    write_atomic(self.pin, f"{commit}\n")
        return commit

    def _fetch(self, name: str, commit: str) -> Path:
        """A file of the repository. The hub library makes no request if the file is in its cache."""
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import RemoteEntryNotFoundError

        try:
            try:
                return Path(hf_hub_download(self.repo, name, repo_type="dataset", revision=commit))
            except RemoteEntryNotFoundError:
                raise self._no_such_file(name, commit) from None
        except _hub_errors() as error:
            raise self._explain(error, name, commit) from None

    def _no_such_file(self, name: str, commit: str) -> UserError:
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFolder

        tree = HfApi().list_repo_tree(self.repo, repo_type="dataset", revision=commit)
        subsets = sorted(entry.path for entry in tree if isinstance(entry, RepoFolder))
        subset = name.partition("/")[0]
        if name == _IMAGES_FILE or subset in subsets:
            return UserError(f"{self.repo} has no {name} at commit {commit}.", self._by_hand(commit))
        where = f"{self.repo} has these subsets at commit {commit}: {', '.join(subsets) or 'none'}."
        return unknown_name("subset", subset, subsets, where)

    def _by_hand(self, revision: str) -> str:
        from huggingface_hub import HfApi

        page = f"{HfApi().endpoint}/datasets/{self.repo}/tree/{revision}"
        return (
            f"To do this by hand, fetch the files of {page} into a folder DIR, unpack images.zip into DIR/images, and "
            "use --data DIR."
        )

    def _explain(self, error: Exception, wanted: str, revision: str) -> UserError:
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
        return UserError(what, f"{hint} {self._by_hand(revision)}")


def _hub_errors() -> tuple[type[Exception], ...]:
    """What the hub library raises for faults outside this program. RuntimeError is a broken transfer in hf_xet."""
    from huggingface_hub.errors import HFValidationError, HTTPError, RevisionResolutionError

    return HTTPError, OSError, RuntimeError, RevisionResolutionError, HFValidationError


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
