"""Checkpoints of transformers: found in a folder or on the hub, loaded with every weight accounted for."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.encoding.oom import is_out_of_memory
from harness.errors import UserError
from harness.media.digests import folder_digest

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

SETTINGS = ("*.json", "*.txt", "*.model", "*.jinja")
"""What tells how a checkpoint is used: configuration and tokenizer, no weights."""
WEIGHTS = ("*.safetensors",)
_CHECKPOINT = re.compile(r"checkpoint-\d+")
CONVERT = """If the weights come as .bin files, convert them in their folder, without running code:
python -c 'import glob, torch; from safetensors.torch import save_file; w = {}
for f in glob.glob("pytorch_model*.bin"): w |= torch.load(f, map_location="cpu", weights_only=True)
save_file({k: v.clone().contiguous() for k, v in w.items()}, "model.safetensors", {"format": "pt"})'"""
TRAINING = "llave_training.json"
"""What our trainer writes beside the weights: recipe, settings, step, counts of pairs."""
_SHOWN, _REASON = 5, 300
_FAR_LARGER = 2


@dataclass(frozen=True, slots=True)
class FoundCheckpoint:
    """A checkpoint that was found. `folder` holds at least its settings; `commit` is None for a local folder."""

    name: str
    folder: Path
    commit: str | None

    @property
    def revision(self) -> str:
        """What vectors are known by: the commit, or a digest of all files of the folder."""
        return self.commit or folder_digest(self.folder)

    def about(self) -> dict[str, object]:
        """`parameters`, if the weights are here, and how a checkpoint of our trainer was trained. Raises UserError."""
        parameters = count_parameters(self.folder) if self.commit is None else None
        found: dict[str, object] = {} if parameters is None else {"parameters": parameters}
        record = self.folder / TRAINING
        if record.is_file():
            training = _read_training(record)
            found |= {"step": training.get("step"), "training": training}
        return found

    def whole(self) -> Path:
        """The folder with the weights in it, downloaded if need be. Raises UserError if it has none to load."""
        if self.commit is None:
            return self.folder
        return with_weights(download(self.name, self.commit, (*SETTINGS, *WEIGHTS)))


def find_checkpoint(rest: str, prefix: str, names: Collection[str]) -> FoundCheckpoint:
    """Finds a folder, or resolves a name on the hub to a commit; from the cache where the hub cannot be reached.

    `rest` is what the user wrote, without `prefix` and with an alias resolved; `prefix` and `names`, the aliases, are
    for the error. No weights are downloaded or read, but a local folder without usable ones is refused at once.
    """
    folder = Path(rest).expanduser()
    if rest and folder.is_dir():
        return FoundCheckpoint(_name(folder.resolve()), with_weights(folder), None)
    if rest.count("/") != 1 or rest.startswith((".", "/", "~")):
        raise UserError(
            f"There is no folder {rest!r}.",
            f"Write {prefix}FOLDER, {prefix}NAME for a checkpoint on the hub"
            + (f", or one of {', '.join(names)}." if names else "."),
        )
    folder = download(rest, None, SETTINGS)
    return FoundCheckpoint(rest, folder, folder.name)


def _read_training(path: Path) -> Mapping[str, object]:
    """A record of training, whose infinite numbers (such as a clip of infinity) become words, as results need."""
    try:
        training = json.loads(path.read_text(encoding="utf-8"), parse_constant=str)
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}.", "Copy the checkpoint again.") from None
    if not isinstance(training, dict):
        raise UserError(f"{path} holds no record of training.", "Copy the checkpoint again.")
    return training


def _name(folder: Path) -> str:
    """The folder's own; a checkpoint of a training run is called by its run as well."""
    return f"{folder.parent.name}/{folder.name}" if _CHECKPOINT.fullmatch(folder.name) else folder.name


def count_parameters(folder: Path) -> int | None:
    """Numbers in the tensors of a folder's model, as the headers of its files tell; None if one is damaged."""
    from safetensors import SafetensorError, safe_open

    total = 0
    for file in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(file, framework="np") as tensors:
                total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
        except (SafetensorError, OSError):
            return None  # whoever loads it says why
    return total or None


def download(name: str, commit: str | None, patterns: Sequence[str]) -> Path:
    """The folder of a snapshot of the hub, named after its commit, with at least the files that `patterns` name."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=commit, allow_patterns=list(patterns)))
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"There is no folder {name!r}, and the hub does not give it: {reason}",
            "Check the name and the network, or copy the checkpoint here and name its folder.",
        ) from None


def with_weights(folder: Path) -> Path:
    """The folder itself. Raises UserError unless it has a config.json and weights in safetensors files."""
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no model: it has no config.json.", "Name the folder of a whole checkpoint.")
    if not any((folder / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
        pickles = [path for ending in ("bin", "pth", "pt") for path in folder.glob(f"*.{ending}")]
        others = ", only pickle files, which can run code when opened" if pickles else ""
        raise UserError(f"{folder} has no model.safetensors{others}.", f"Copy all of the checkpoint. {CONVERT}")
    return folder


def load_network(
    kind: type[PreTrainedModel],
    folder: Path,
    dtype: str,
    device: str,
    *,
    unused: Sequence[str] = (),
    weights: Mapping[str, torch.Tensor] | None = None,
) -> PreTrainedModel:
    """A network of the class `kind` with the weights of a folder, ready to embed.

    `weights`, if given, are used in place of the files of the folder; `unused` are the beginnings of names of weights
    that the network rightly has no place for. Raises UserError naming every other weight that is missing, unexpected or
    misshapen.
    """
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    try:
        config = kind.config_class.from_pretrained(folder)
        _check_size(kind, config, folder, weights)
        network, report = kind.from_pretrained(
            folder if weights is None else None,
            config=config,
            state_dict=None if weights is None else dict(weights),
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError, StrictDataclassError) as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:_REASON]
        raise UserError(f"{folder} cannot be loaded: {reason}", "Copy or download the checkpoint again.") from error
    misshapen = [f"{name} {list(had)} instead of {list(due)}" for name, had, due in report["mismatched_keys"]]
    account(
        folder,
        report["missing_keys"],
        [name for name in report["unexpected_keys"] if not name.startswith(tuple(unused))],
        misshapen,
    )
    return network.to(device).eval().requires_grad_(False)


def _check_size(
    kind: type[PreTrainedModel],
    config: PreTrainedConfig,
    folder: Path,
    weights: Mapping[str, torch.Tensor] | None,
) -> None:
    """Raises UserError for a config.json of a far larger network than the weights are of.

    Where it lacks keys transformers fills in those of some large model, whose missing weights would fill the memory
    before anybody could be told that they are missing.
    """
    import torch

    given = count_parameters(folder) if weights is None else sum(each.numel() for each in weights.values())
    with torch.device("meta"):
        needed = sum(each.numel() for each in kind(config).parameters())
    if given is not None and needed > _FAR_LARGER * given:
        raise UserError(
            f"{folder / 'config.json'} describes a network of {needed:,} numbers; its weights hold {given:,}. "
            "A key that says how large it is may be missing.",
            "Take config.json from where the weights came from.",
        )


def account(folder: Path, missing: Collection[str], unexpected: Collection[str], misshapen: Collection[str]) -> None:
    """Raises UserError naming the weights that are not what config.json describes, if there are any."""
    refuse(folder, {"missing": sorted(missing), "unexpected": sorted(unexpected), "misshapen": sorted(misshapen)})


def refuse(folder: Path, faults: Mapping[str, Sequence[str]]) -> None:
    """Raises UserError if there is any fault; weights are listed by what is wrong with them."""
    if any(faults.values()):
        raise UserError(
            f"The weights in {folder} are not those that its config.json describes. "
            + " ".join(f"{len(names)} {fault}: {_some(names)}." for fault, names in faults.items() if names),
            "Nothing was embedded. Copy or download the checkpoint again, config.json and weights together.",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
