"""A dataset of the Hugging Face hub, read as the folder that it is: `--data ORG/NAME`, `ORG/NAME@REVISION`.

Its commit is pinned. What is read is chosen from the names of its files, before a byte is fetched. Then it is fetched
once, and read as a folder of one's own. No code of a repository is run.
"""

from __future__ import annotations

import glob
import re
import shutil
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UnknownName, UserError
from harness.files.folder_kinds import IMAGES, VIDEOS
from harness.files.hub import HubDataset, hub_errors, hub_page
from harness.files.paths import cache_dir, safe_name
from harness.files.writing import explain_os_errors, write_atomic
from harness.types import DataInfo, Source, Task, TaskData
from tasks.corpus.card import CARD
from tasks.corpus.layout import find_corpora
from tasks.corpus.pairs import CLASS_NAMES, table_files

PREFIXES = ("hf://datasets/", "hf:/datasets/")
"""How other programs write such a name. A path has lost the second slash."""
_NAME = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)(?:@([\w./-]+))?", re.ASCII)
_BESIDE = (*IMAGES, *VIDEOS)


@dataclass(frozen=True, slots=True)
class FromHub:
    """The source of a task whose files came from the hub."""

    source: Source
    repo: str
    commit: str

    def describe(self) -> str:
        """Says where the data comes from, in one line."""
        return f"{self.repo} on the Hugging Face hub, at commit {self.commit}: {self.source.describe()}"

    def info(self, task: Task) -> DataInfo:
        """Names the files, the repository and its commit. Raises: UserError as the folder's source does."""
        return replace(self.source.info(task), source=self.repo, revision=self.commit)

    def load(self, task: Task) -> TaskData:
        """Reads the rows. Raises: UserError as the folder's source does."""
        return self.source.load(task)


@dataclass(frozen=True, slots=True)
class HubSet:
    """A dataset repository whose tables are corpora, or hold labels or captions."""

    repo: str
    revision: str | None = None
    """A commit, or the name of a branch or tag. None: `main`."""

    @property
    def dataset(self) -> HubDataset:
        """The repository and its pin."""
        return HubDataset(self.repo, self.revision, cache_dir() / "hub-sets" / "pins", self._by_hand)

    def fetch(self) -> Path:
        """Returns the folder with the files that are read. Makes no request if they are there.

        Raises: UserError for a repository that is not there, gated, too large for the disk, or not readable.
        """
        try:
            commit = self.dataset.commit()
        except UserError as error:
            raise UnknownName("data", self.repo, f"There is no path {self.repo}. {error.what}", error.hint) from None
        place = cache_dir() / "hub-sets" / safe_name(f"{self.repo}@{commit}")
        folder, complete = place / self.repo.partition("/")[2], place / "complete"
        if complete.is_file():
            return folder
        with explain_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            sizes = self._sizes(commit)
            self._download(folder, commit, [CARD] if CARD in sizes else [])
            wanted = self._wanted(folder, sizes)
            self._check_room(folder, sum(sizes[name] for name in wanted if not (folder / name).is_file()))
            self._download(folder, commit, wanted)
        except hub_errors() as error:
            raise self.dataset.explain(error, "A file", commit) from None
        with explain_os_errors(complete):
            write_atomic(complete, "".join(f"{name}\n" for name in sorted(wanted)))
        return folder

    def _sizes(self, commit: str) -> Mapping[str, int]:
        """The bytes of each file by its name."""
        from huggingface_hub import HfApi

        found = HfApi().dataset_info(self.repo, revision=commit, files_metadata=True).siblings or []
        return {file.rfilename: file.size or 0 for file in found if not file.rfilename.startswith(".")}

    def _download(self, folder: Path, commit: str, names: Collection[str]) -> None:
        from huggingface_hub import snapshot_download

        if names:
            patterns = [glob.escape(name) for name in names]
            snapshot_download(
                self.repo, repo_type="dataset", revision=commit, local_dir=folder, allow_patterns=patterns
            )

    def _wanted(self, folder: Path, sizes: Mapping[str, int]) -> set[str]:
        """The names of the files that are read: tables of one split, and media that lie beside them."""
        with tempfile.TemporaryDirectory() as temporary:
            sketch = Path(temporary) / folder.name
            for name in sizes:
                (sketch / name).parent.mkdir(parents=True, exist_ok=True)
                (sketch / name).touch()
            if CARD in sizes:
                shutil.copyfile(folder / CARD, sketch / CARD)
            try:
                tables = {file for found in find_corpora(sketch) for file in found.files} or {*table_files(sketch)}
            except UserError as error:
                raise UserError(error.what.replace(str(sketch), self.repo), self._by_hand("main")) from None
            names = {table.relative_to(sketch).as_posix() for table in tables}
        beside = {name for name in sizes if name.lower().endswith(_BESIDE) or Path(name).name == CLASS_NAMES}
        if not names and not beside:
            raise self._unreadable(sizes)
        return names | beside | ({CARD} & sizes.keys())

    def _unreadable(self, sizes: Mapping[str, int]) -> UserError:
        script = next((name for name in sizes if name.endswith(".py")), None)
        if script:
            what = f"{self.repo} has no tables, but a loading script {script}. Code of a dataset is not run."
            hint = f"The hub may have converted it: --data {self.repo}@refs/convert/parquet. Else name another copy."
            return UserError(what, hint)
        shown = ", ".join(sorted(sizes)[:5]) or "nothing"
        return UserError(f"{self.repo} holds no tables and no images. It has {shown}.", self._by_hand("main"))

    def _check_room(self, folder: Path, needed: int) -> None:
        free = shutil.disk_usage(folder).free
        if needed > free:
            what = f"{self.repo} needs {needed / 1e9:,.1f} GB, and the disk of {cache_dir()} has {free / 1e9:,.1f} GB."
            raise UserError(what, "Set LLAVE_CACHE to a folder on a larger disk. Nothing was fetched but the card.")

    def _by_hand(self, revision: str) -> str:
        page = hub_page(self.repo, revision)
        return f"To do this by hand, fetch the files of {page} into a folder DIR, and use --data DIR."


def hub_set(data: Path) -> HubSet | None:
    """Returns the dataset that a name of data means; None for a path that is there, or no name of a repository."""
    name = data.as_posix()
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    found = _NAME.fullmatch(name.removeprefix(prefix))
    return HubSet(found[1], found[2]) if found and (prefix or not data.exists()) else None
