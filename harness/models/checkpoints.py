"""Resolves what a user writes to a checkpoint: a folder, a hub name at a commit, or an alias."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from harness.errors import UnknownName, UserError
from harness.files.reading import read_object
from harness.files.tensors import explain_writing
from harness.identity import fingerprint
from harness.media.folders import FolderState, check_before_use
from harness.models.checkpoint_files import ADAPTER_CONFIG, AGAIN, merge_first
from harness.models.common import handle
from harness.models.fitting import try_out
from harness.models.hub import download, split_commit
from harness.models.weights import INDEX, check_shards, count_parameters
from harness.types import Embedder, ModelHandle, ModelSpec

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

T = TypeVar("T")

SETTINGS = ("*.json", "*.txt", "*.model", "*.jinja")
"""Files of a checkpoint that hold configuration and tokenizer, and no weights."""
WEIGHTS = ("*.safetensors",)
CONVERT = """If the weights come as .bin files, convert them in their folder, without running code:
python -c 'import glob, torch; from safetensors.torch import save_file; w = {}
for f in glob.glob("pytorch_model*.bin"): w |= torch.load(f, map_location="cpu", weights_only=True)
save_file({k: v.clone().contiguous() for k, v in w.items()}, "model.safetensors", {"format": "pt"})'"""
TRAINING = "llave_training.json"
"""The file that the trainer writes beside the weights: recipe, settings, step, counts of pairs."""
TRAINED_ADAPTER = "adapter"
"""The folder in which the trainer writes an adapter that is merged into the weights beside it."""
_SNAPSHOTS = "snapshots"
"""The folder of a repository in the hub's cache that has one folder for each commit."""
_OTHER_FORMATS: Mapping[str, str] = {".gguf": "GGUF", ".onnx": "ONNX", ".h5": "TensorFlow", ".msgpack": "Flax"}
_WORDS = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
_RUN_CHECKPOINT = re.compile(r"checkpoint-\d+")


@dataclass(frozen=True)
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
    refers: tuple[FoundCheckpoint, ...] = ()
    """What it refers to and does not hold: the base of an adapter, a tokenizer or a vision tower elsewhere."""

    @cached_property
    def state(self) -> FolderState | None:
        """The content of a user's own folder, which can change; None for a commit on the hub."""
        return None if self.commit else FolderState.of(self.folder)

    @property
    def revision(self) -> str:
        """The commit, or a digest of all files in the folder and of what it refers to.

        It is part of the identity of every vector. What a commit refers to is not in it: it belongs among the options.
        """
        if self.state is None:
            return str(self.commit)
        if not self.refers:
            return self.state.digest
        return fingerprint({"folder": self.state.digest, "refers": [each.revision for each in self.refers]})

    @property
    def states(self) -> tuple[FolderState, ...]:
        """The user's own folders that the model is read from."""
        every = (self.state, *(state for each in self.refers for state in each.states))
        return tuple(state for state in every if state is not None)

    def referring_to(self, others: Iterable[FoundCheckpoint]) -> FoundCheckpoint:
        """Returns the checkpoint with what it refers to, except for what its own digest covers."""
        return replace(self, refers=tuple(each for each in others if not self.covers(each.folder)))

    def covers(self, folder: Path) -> bool:
        """Whether the digest of this checkpoint covers a folder. It leaves hidden files out."""
        mine, other = self.folder.resolve(), folder.resolve()
        return other.is_relative_to(mine) and not any(part[0] == "." for part in other.relative_to(mine).parts)

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


def checkpoint_handle(spec: ModelSpec, found: FoundCheckpoint, load: Callable[[], Embedder[T]]) -> ModelHandle:
    """Returns the handle on a model of a checkpoint: the one way in which all families load.

    Its files must be what they were when it was identified: before they are read, after that, and whenever vectors are
    stored. A text and an image are tried, so that parts that do not fit are found before the run.

    Args:
        spec: the model's identity.
        found: the checkpoint, with all that it refers to.
        load: loads the weights and returns the embedder.
    """

    def guarded() -> Embedder[T]:
        check_before_use(found.states)
        embedder = load()
        try_out(embedder, found.folder)
        check_before_use(found.states)
        return embedder

    def check() -> None:
        for state in found.states:
            state.check()

    return handle(spec, guarded, check=check)


def save_network(network: PreTrainedModel, source: Path, folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Writes a network as transformers does, beside the tokenizer and the processors of `source`.

    Raises:
        UserError: if the disk is full.
    """
    copy_settings(source, folder)
    with explain_writing(folder):
        network.save_pretrained(folder, state_dict=dict(weights))


def copy_settings(source: Path, folder: Path) -> None:
    """Copies the files of a checkpoint that hold neither weights nor what is known of its training."""
    left = {INDEX, ADAPTER_CONFIG, TRAINING, "recipe.json"}
    for path in (path for pattern in SETTINGS for path in source.rglob(pattern)):
        place = path.relative_to(source)
        if path.name not in left and not any(part[0] == "." for part in place.parts):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / place)


def with_weights(folder: Path) -> Path:
    """Returns the folder. Raises UserError unless it has a config.json and weights in safetensors files."""
    whole = any((folder / name).is_file() for name in ("model.safetensors", INDEX))
    if not whole and (folder / ADAPTER_CONFIG).is_file():
        raise merge_first(folder)
    if not (folder / "config.json").is_file():
        raise holds_no_model(folder, "config.json")
    check_shards(folder)
    if not whole:
        raise lacks_weights(folder)
    return folder


def lacks_weights(folder: Path) -> UserError:
    """Returns the error for a folder without weights in safetensors files, which says what it has in their place."""
    pickles = [path for ending in ("bin", "pth", "pt") for path in folder.glob(f"*.{ending}")]
    held = ", only pickle files, which can run code when opened" if pickles else _held_instead(folder)
    hint = CONVERT if pickles or not held else "Name a folder with the model's weights in safetensors."
    return UserError(f"{folder} has no model.safetensors{held}.", f"Copy all of the checkpoint. {hint}")


def holds_no_model(folder: Path, lacking: str, name: str = "") -> UserError:
    """Returns the error for a folder without a model, which says what it holds.

    Args:
        folder: the folder.
        lacking: the file that it lacks.
        name: what the user wrote, if it is not the folder.
    """
    snapshots = sorted((folder / _SNAPSHOTS).glob("*/"))
    if snapshots:
        names = "\n".join(map(str, snapshots))
        return UserError(
            f"{folder} is a repository of the hub's cache.", f"Name the folder of a commit in it:\n{names}"
        )
    return UnknownName(
        "model",
        name or str(folder),
        f"{name or folder} holds no model: it has no {lacking}{_held_instead(folder)}.",
        "Name the folder of a whole checkpoint, with its weights in safetensors. `llave models` lists others.",
    )


def _held_instead(folder: Path) -> str:
    formats = {_OTHER_FORMATS[path.suffix] for path in folder.glob("*") if path.suffix in _OTHER_FORMATS}
    return f", only weights in the format of {' and '.join(sorted(formats))}, which is not read here" if formats else ""


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
        run_in_name: whether the name of a training run's folder `checkpoint-N` begins with the run's name. That of our
            own trainer's always does.

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


def _folder_name(folder: Path, run_in_name: bool) -> str:
    """The folder's name, after its run's name where it is the checkpoint of a training run."""
    is_run = _RUN_CHECKPOINT.fullmatch(folder.name) and (run_in_name or (folder / TRAINING).is_file())
    return f"{folder.parent.name}/{folder.name}" if is_run else folder.name


def _read_training(path: Path) -> Mapping[str, object]:
    """Reads a record of training. Infinite numbers become words, because results are strict JSON."""
    training = read_object(path, AGAIN, lenient=True)
    return {key: _as_json(value) for key, value in training.items()}


def _as_json(value: object) -> object:
    if isinstance(value, dict):
        return {key: _as_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    return _WORDS.get(str(value), value) if isinstance(value, float) else value
