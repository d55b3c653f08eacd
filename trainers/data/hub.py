"""MMEB-train from the hub: the rows of a split, and the zip archive of each dataset's images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.files.hub import hub_page
from harness.files.paths import cache_dir
from harness.files.writing import explain_os_errors
from tasks.mmeb.archive import is_unpacked, unpack
from tasks.mmeb.hub import HubSource
from trainers.data.mmeb_train import UNPACKED
from trainers.data.published import MMEB_TRAIN, TRAIN_ROWS

_IMAGES = "images_zip"


@dataclass(frozen=True, slots=True)
class TrainSource(HubSource):
    """A repository in MMEB-train's layout: `<dataset>/<split>-00000-of-00001.parquet`, `images_zip/<dataset>.zip`.

    It is pinned to a commit and fetched in the same way as MMEB-eval.
    """

    repo: str = MMEB_TRAIN

    @staticmethod
    def named(name: str) -> TrainSource:
        """The source with the name `REPO` or `REPO@REVISION`."""
        repo, _, revision = name.partition("@")
        return TrainSource(repo, revision or None)

    @property
    def folder(self) -> Path:
        """The folder in the cache that holds all commits."""
        return (self.cache or cache_dir()) / "mmeb-train"

    def fetch(self, split: str, datasets: Sequence[str], *, images: bool) -> Path:
        """A folder with the rows of these datasets (empty: all of MMEB-train), and their images if wanted.

        Missing files are fetched and unpacked: all rows first, then images. Raises UserError.
        """
        commit = self.dataset.commit()
        names = tuple(datasets) or tuple(TRAIN_ROWS)
        folder = self.folder / commit
        for name in names:
            _link(folder / name, self._fetch(f"{name}/{split}-00000-of-00001.parquet", commit).parent)
        for name in names if images else ():
            place = folder / UNPACKED / name / "images"
            if not is_unpacked(place):
                unpack(self._fetch(f"{_IMAGES}/{name}.zip", commit), place)
        return folder

    def _by_hand(self, revision: str) -> str:
        return (
            f"Without the hub library: download the files of {hub_page(self.repo, revision)} into a folder DIR, unpack "
            f"each zip of {_IMAGES} into DIR/images, and use --data DIR."
        )


def _link(link: Path, target: Path) -> None:
    """Makes `link` point to a folder of the hub library's cache, also after that has moved."""
    with explain_os_errors(link):
        if link.resolve() != target.resolve():
            link.unlink(missing_ok=True)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target.absolute())
