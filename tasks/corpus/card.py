"""The tables of a repository of the hub, by configuration and split, as its card names them (`configs` in README.md).

The card is read by the code of the library `datasets`. No table is opened, and files that are not there are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.files.reading import UnreadableFile, explain_reading

CARD = "README.md"
_CONFIGS = re.compile(rb"\A---\s.*?^configs:\s*$.*?^---\s*$", re.MULTILINE | re.DOTALL)
_HINT = "Correct `configs` in it, or remove the file."


@dataclass(frozen=True, slots=True)
class CardTable:
    """A table of a repository: its files by split."""

    splits: Mapping[str, tuple[Path, ...]]


def card_tables(folder: Path) -> dict[str, CardTable]:
    """Returns the tables by configuration, if the folder has a card that names configurations; else none.

    Raises: UnreadableFile for a card that `datasets` does not understand, or that names files elsewhere.
    """
    card = folder / CARD
    if not card.is_file():
        return {}
    with explain_reading(card):
        text = card.read_bytes()
    if not _CONFIGS.match(text):
        return {}
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard

    with explain_reading(card, hint=_HINT):
        configs = MetadataConfigs.from_dataset_card_data(DatasetCard.load(card).data)
        found = {name: _splits(folder, config) for name, config in configs.items()}
    return {name: CardTable(splits) for name, splits in found.items() if splits}


def _splits(folder: Path, config: Mapping[str, object]) -> dict[str, tuple[Path, ...]]:
    """The files of a configuration by split."""
    from datasets.data_files import get_data_patterns, sanitize_patterns
    from datasets.exceptions import DataFilesNotFoundError

    place = folder / str(config.get("data_dir") or "")
    try:
        patterns = sanitize_patterns(config.get("data_files") or get_data_patterns(str(place)))
    except (DataFilesNotFoundError, FileNotFoundError):
        return {}
    splits = {str(split): tuple(f for each in some for f in _files(place, each)) for split, some in patterns.items()}
    return {split: files for split, files in splits.items() if files}


def _files(place: Path, pattern: str) -> list[Path]:
    from datasets.data_files import resolve_pattern

    if "://" in pattern:
        raise UnreadableFile(f"{place / CARD} names files elsewhere: {pattern}.", "Fetch them, and name them there.")
    try:
        return [Path(file) for file in resolve_pattern(pattern, str(place))]
    except FileNotFoundError:
        return []
