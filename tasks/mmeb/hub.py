"""MMEB-eval from the Hugging Face hub.

It is pinned to a commit, fetched once and unpacked once. Afterwards no connection is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError, unknown_name
from harness.files.hub import HubDataset, hub_errors, hub_page
from harness.files.paths import cache_dir
from harness.types import DataInfo, Task, TaskData
from tasks.mmeb.archive import is_unpacked, unpack
from tasks.names import parse_name

_ROWS_FILE = "test-00000-of-00001.parquet"
_IMAGES_FILE = "images.zip"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A dataset repository in MMEB-eval's layout: `<subset>/test-00000-of-00001.parquet` and one `images.zip`.

    It is pinned as `HubDataset` says. Once the images are unpacked, the zip is not needed any more.
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
    def dataset(self) -> HubDataset:
        """The repository and its pin."""
        return HubDataset(self.repo, self.revision, self.folder / "pins", self._by_hand)

    @property
    def pin(self) -> Path:
        """The file with the commit of a revision that is a name."""
        return self.dataset.pin

    def describe(self) -> str:
        """Says where the data comes from, in one line."""
        return self.dataset.describe()

    def info(self, task: Task) -> DataInfo:
        """Fetches the subset's rows and all images if they are missing. Makes no request if they are there.

        Raises UserError for what cannot be fetched, and for bad files.
        """
        from tasks.mmeb.folder import FolderSource

        commit = self.dataset.commit()
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

    def _fetch(self, name: str, commit: str) -> Path:
        """A file of the repository. The hub library makes no request if the file is in its cache."""
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import RemoteEntryNotFoundError

        try:
            try:
                return Path(hf_hub_download(self.repo, name, repo_type="dataset", revision=commit))
            except RemoteEntryNotFoundError:
                raise self._no_such_file(name, commit) from None
        except hub_errors() as error:
            raise self.dataset.explain(error, name, commit) from None

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
        return (
            f"To do this by hand, fetch the files of {hub_page(self.repo, revision)} into a folder DIR, unpack "
            "images.zip into DIR/images, and use --data DIR."
        )
