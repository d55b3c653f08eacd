"""MMEB-train from the hub: the rows of a split, and the zip of images that each dataset has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.archive import unpack
from harness.errors import UserError
from harness.paths import cache_dir, safe_name
from trainers.data import UNPACKED
from trainers.published import TRAIN_ROWS

_IMAGES = "images_zip"


def fetch_train(repo: str, split: str, datasets: Sequence[str]) -> Path:
    """A folder with the rows of the datasets and their images, fetched and unpacked as far as they are missing.

    The hub's cache (HF_HOME) keeps the downloads; the newest commit is taken, and it names the folder, so that a run
    that is resumed offline finds the same. Raises UserError.
    """
    names = tuple(datasets) or tuple(TRAIN_ROWS)
    patterns = [*(f"{name}/{split}-*.parquet" for name in names), *(f"{_IMAGES}/{name}.zip" for name in names)]
    source = _snapshot(repo, patterns)
    folder = cache_dir() / "train" / safe_name(repo) / source.name
    for name in names:
        if not (source / name).is_dir():
            raise UserError(f"{repo} has no {name} in split {split}.", f"It has {', '.join(TRAIN_ROWS)}.")
        place = folder / name
        if not place.exists():
            folder.mkdir(parents=True, exist_ok=True)
            place.symlink_to(source / name)
        archive = source / _IMAGES / f"{name}.zip"
        if archive.exists():
            unpack(archive, folder / UNPACKED / name / "images")
    return folder


def _snapshot(repo: str, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, repo_type="dataset", allow_patterns=list(patterns)))
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{repo} is not here, and the hub does not give it: {reason}",
            "Check the name and the network, or fetch it by hand, unpack its zips of images and use --data DIR.",
        ) from None
