"""Resolves what a user writes to a checkpoint: a folder, a hub name at a commit, or an alias."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from harness.errors import UnknownName, UserError
from harness.media.digests import folder_digest
from harness.models.checkpoint_files import ADAPTER_CONFIG, merge_first
from harness.models.weights import count_parameters

SETTINGS = ("*.json", "*.txt", "*.model", "*.jinja")
"""Files of a checkpoint that hold configuration and tokenizer, and no weights."""
WEIGHTS = ("*.safetensors",)
COMMIT = re.compile(r"[0-9a-f]{40}")
"""A full commit on the hub."""
CONVERT = """If the weights come as .bin files, convert them in their folder, without running code:
python -c 'import glob, torch; from safetensors.torch import save_file; w = {}
for f in glob.glob("pytorch_model*.bin"): w |= torch.load(f, map_location="cpu", weights_only=True)
save_file({k: v.clone().contiguous() for k, v in w.items()}, "model.safetensors", {"format": "pt"})'"""
TRAINING = "llave_training.json"
"""The file that the trainer writes beside the weights: recipe, settings, step, counts of pairs."""
_RUN_CHECKPOINT = re.compile(r"checkpoint-\d+")


class HubName(NamedTuple):
    """A name on the hub, and the commit that the user pinned, if any."""

    name: str
    commit: str | None


@dataclass(frozen=True, slots=True)
class FoundCheckpoint:
    """A checkpoint that was found, before its weights are read."""

    name: str
    """The folder's name, or the full name on the hub."""
    folder: Path
    """The folder with at least the settings. A user's own folder has the weights too."""
    commit: str | None
    """The commit on the hub; None for a user's own folder."""
    pinned: bool = True
    """Whether the user named something that cannot move: a folder, or a name with its commit."""

    @property
    def revision(self) -> str:
        """The commit, or a digest of all files in the folder. It is part of the identity of every vector."""
        return self.commit or folder_digest(self.folder)

    def about(self) -> dict[str, object]:
        """Returns what is known of a checkpoint besides its identity.

        These are `parameters`, if the weights are local, and `step` and `training`, if our trainer wrote it.

        Raises:
            UserError: if the record of training is damaged.
        """
        parameters = count_parameters(self.folder) if self.commit is None else None
        found: dict[str, object] = {} if parameters is None else {"parameters": parameters}
        record = self.folder / TRAINING
        if record.is_file():
            training = _read_training(record)
            found |= {"step": training.get("step"), "training": training}
        return found

    def weights_folder(self) -> Path:
        """Returns the folder with the weights, downloaded if need be. Raises UserError if there are none to load."""
        if self.commit is None:
            return self.folder
        return with_weights(download(self.name, self.commit, (*SETTINGS, *WEIGHTS)))


def split_commit(written: str) -> HubName:
    """Reads `NAME` or `NAME@COMMIT`. Raises UserError for a branch, a tag or a short commit, which can move."""
    name, at, commit = written.partition("@")
    if at and not COMMIT.fullmatch(commit):
        raise UserError(f"{commit!r} in {written} is no full commit.", "Write all 40 hexadecimal digits after the @.")
    return HubName(name, commit or None)


def with_weights(folder: Path) -> Path:
    """Returns the folder. Raises UserError unless it has a config.json and weights in safetensors files."""
    whole = any((folder / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json"))
    if not whole and (folder / ADAPTER_CONFIG).is_file():
        raise merge_first(folder)
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no model: it has no config.json.", "Name the folder of a whole checkpoint.")
    if not whole:
        pickles = [path for ending in ("bin", "pth", "pt") for path in folder.glob(f"*.{ending}")]
        others = ", only pickle files, which can run code when opened" if pickles else ""
        raise UserError(f"{folder} has no model.safetensors{others}.", f"Copy all of the checkpoint. {CONVERT}")
    return folder


def find_checkpoint(
    written: str,
    prefix: str = "",
    *,
    aliases: Mapping[str, str] = MappingProxyType({}),
    owner: str = "",
    check: Callable[[Path], Path] = with_weights,
    patterns: Sequence[str] = SETTINGS,
    run_in_name: bool = True,
) -> FoundCheckpoint:
    """Resolves what a user writes: a folder, `NAME` or `NAME@COMMIT` on the hub, or an alias.

    No weights are downloaded or read. Without a commit a name resolves to the newest one. Where the hub cannot be
    reached, it resolves to the newest one in the cache.

    Args:
        written: what the user wrote, with or without `prefix`.
        prefix: the prefix of a folder or a name, such as `llave/`.
        aliases: names on the hub by short name.
        owner: the owner of a name on the hub that is written without one. Without it such a name is refused.
        check: raises UserError for a local folder that cannot be used.
        patterns: the files to fetch from the hub.
        run_in_name: whether the name of a training run's folder `checkpoint-N` begins with the run's name.

    Raises:
        UserError: if there is no such folder, or if the hub does not have the name.
    """
    alias, at, commit_of_alias = written.partition("@")
    rest = f"{aliases[alias]}{at}{commit_of_alias}" if alias in aliases else written.removeprefix(prefix)
    folder = Path(rest).expanduser()
    if rest and folder.is_dir():
        return FoundCheckpoint(_folder_name(folder.resolve(), run_in_name), check(folder), None)
    full = f"{owner}/{rest}" if owner and rest and "/" not in rest else rest
    if full.count("/") != 1 or rest.startswith((".", "/", "~")):
        raise UnknownName(
            "model",
            rest,
            f"There is no folder {rest!r}.",
            f"Write {prefix}FOLDER, or {prefix}NAME or {prefix}NAME@COMMIT for a checkpoint on the hub"
            + (f", or one of {', '.join(aliases)}." if aliases else "."),
        )
    name, commit = split_commit(full)
    folder = download(name, commit, patterns)
    return FoundCheckpoint(name, folder, folder.name, pinned=commit is not None)


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
            f"Where there is a network: hf download {name}{pinned}\n"
            f"That fills the cache, {constants.HF_HUB_CACHE}.\n"
            "With --local-dir DIR it fills a folder, which can be copied here and named.",
        )
    reason = str(error).partition("\n")[0]
    return UserError(f"The hub does not give {name}: {reason}", "Try again later, or name a folder with a copy.")


def _folder_name(folder: Path, run_in_name: bool) -> str:
    """The folder's name, after its run's name where it is the checkpoint of a training run."""
    is_run = run_in_name and _RUN_CHECKPOINT.fullmatch(folder.name)
    return f"{folder.parent.name}/{folder.name}" if is_run else folder.name


def _read_training(path: Path) -> Mapping[str, object]:
    """Reads a record of training. Infinite numbers become words, because results are strict JSON."""
    try:
        training = json.loads(path.read_text(encoding="utf-8"), parse_constant=str)
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}.", "Copy the checkpoint again.") from None
    if not isinstance(training, dict):
        raise UserError(f"{path} holds no record of training.", "Copy the checkpoint again.")
    return training
