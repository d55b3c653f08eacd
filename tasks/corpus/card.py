"""The tables of a repository of the hub, by configuration and split, as the library `datasets` finds them.

It reads the card (`configs` in README.md), or goes by the names of files and folders. No table is opened.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.files.reading import explain_reading

CARD = "README.md"
_CONFIGS = re.compile(rb"\A---\s.*?^configs:\s*$.*?^---\s*$", re.MULTILINE | re.DOTALL)
_HINT = "Correct `configs` in it, or remove the file."


@dataclass(frozen=True, slots=True)
class CardTable:
    """A table of a repository: its files by split, and the names of its columns if the card gives them."""

    splits: Mapping[str, tuple[Path, ...]]
    columns: tuple[str, ...] | None = None


def card_tables(folder: Path) -> dict[str, CardTable]:
    """Returns the tables by configuration, if the folder has a card that names configurations; else none.

    Raises: UnreadableFile for a card that `datasets` refuses.
    """
    card = folder / CARD
    if not card.is_file():
        return {}
    with explain_reading(card):
        text = card.read_bytes()
    if not _CONFIGS.match(text):
        return {}
    from datasets import get_dataset_config_names

    with explain_reading(card, hint=_HINT):
        return {name: _table(folder, name) for name in get_dataset_config_names(str(folder))}


def unnamed_table(folder: Path) -> CardTable | None:
    """Returns the one table that `datasets` sees in the names of files and folders; None if it sees none."""
    from datasets.exceptions import DataFilesNotFoundError

    try:
        return _table(folder, None)
    except (DataFilesNotFoundError, FileNotFoundError):
        return None


def _table(folder: Path, name: str | None) -> CardTable:
    from datasets import load_dataset_builder

    with tempfile.TemporaryDirectory() as cache:
        builder = load_dataset_builder(str(folder), name, cache_dir=cache)
    splits = {str(split): tuple(map(Path, files)) for split, files in (builder.config.data_files or {}).items()}
    columns = tuple(builder.info.features) if builder.info.features else None
    return CardTable({split: files for split, files in splits.items() if files}, columns)
