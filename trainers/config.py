"""The settings of a training run: one frozen dataclass, which is checked when it is made."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args, get_origin, get_type_hints

from harness.errors import UserError
from harness.results.renamed import current_setting, current_settings
from harness.settings import pairs_of, read_settings

SCRATCH = "scratch"
"""The value of `model` that is no checkpoint: a small network with random weights and the vocabulary of the demo."""

NetworkPart: TypeAlias = Literal["vision", "projector", "language", "head"]


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """All settings. A run can only be resumed with the same values of all that are not in `CHANGEABLE`.

    Names are those of transformers' `TrainingArguments` where they mean the same.
    """

    recipe: str
    model: str
    """What is trained: whatever `llave run` takes that is made of modules of torch, or `scratch`."""
    data: str
    """A folder in the layout of MMEB-train, a JSON Lines file, `demo`, or a dataset on the hub."""
    images: str | None = None
    """Folder that image paths are relative to. None: it is looked for beside the data."""
    allow_roots: tuple[str, ...] = ()
    """Other folders that links in the data may lead into."""
    split: Literal["original", "diverse_instruction"] = "original"
    """Split of MMEB-train."""
    datasets: tuple[str, ...] = ()
    """Names of datasets in `data`. Empty: all of them."""
    max_rows_per_dataset: int | None = None
    sample: Literal["first", "random"] = "first"
    """Which rows of a larger dataset are taken: the first, as in LLaVE's public code, or random ones."""
    weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """How many times an epoch sees each row of a dataset, by its name. Datasets that are not named: once."""
    batches: Literal["mixed", "single", "similar"] = "mixed"
    """`mixed`: random pairs of all datasets. `single`: each part of a batch comes from one dataset. `similar`: pairs of
    a group, which `llave mine` writes, come in one batch, as in B3."""
    on_bad_media: Literal["stop", "skip"] = "stop"

    batch: int = 256
    """Number of pairs in an optimizer step, over all processes."""
    gradient_accumulation_steps: int = 1
    """Number of parts that the batch is cut into. Pairs are only contrasted within a part: more parts, fewer negatives.

    In `TrainingArguments` the parts multiply the batch size; here they divide it.
    """
    micro_batch: int | None = None
    """Number of pairs of a process in memory at once, by gradient caching, without fewer negatives. None: all."""
    num_train_epochs: float = 1.0
    max_steps: int | None = None
    """Number of optimizer steps. None: as many as `num_train_epochs` gives."""

    alpha: float = 9.0
    """Hardness weight of the loss. 0 is InfoNCE."""
    hardness: Literal["llave", "relative", "total", "unstopped"] = "llave"
    """What `alpha` changes. `llave`: the total of the negatives and the share of each. `relative`: only the shares.
    `total`: only the total. `unstopped`: as `llave`, with gradients through the weights."""
    margin: float = 0.0
    """Is added to the logits of all negatives, which then count exp(margin) times as much."""
    temperature: float = 0.02
    """Cosines are divided by it."""
    learn_temperature: bool = False
    direction: Literal["both", "query", "target"] = "both"
    """`query`: each query picks its target. `target`: each target picks its query. `both`: the mean of the two."""
    hard_negatives: bool = False
    """Whether the negatives that come with the pairs are used."""
    mask_duplicates: bool = True
    """Whether pairs with equal queries or targets are left out of each other's negatives."""
    false_negative_margin: float | None = None
    """Targets that exceed the positive's similarity by more than this are not negatives. None: all are negatives."""
    matryoshka_dims: tuple[int, ...] = ()
    """Lengths of shortened vectors that are trained. Empty: the full length only."""
    matryoshka_weights: tuple[float, ...] = ()
    """Weight of each of `matryoshka_dims` in the loss. Empty: equal weights."""

    learning_rate: float = 1e-5
    """The highest learning rate."""
    warmup_ratio: float = 0.03
    """Share of the steps in which the learning rate rises linearly. It then falls to zero as half a cosine."""
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = 1.0
    """Norm that the gradient is clipped to. 0: no clipping."""
    precision: Literal["fp32", "bf16"] = "bf16"
    gradient_checkpointing: bool = True
    frozen: tuple[NetworkPart, ...] = ("vision",)
    lora_rank: int = 0
    """Rank of the adapters in the language model. 0: no adapters, and the language model itself is trained."""
    lora_alpha: int = 32
    lora_dropout: float = 0.05

    max_length: int | None = None
    """Largest number of tokens in a sequence. None: that of the initial checkpoint."""
    grid: str | None = None
    """Columns x rows of the largest grid of crops, such as 2x2. None: that of the initial checkpoint."""
    seed: int = 0

    save_steps: int = 500
    """Number of steps between checkpoints. There is always one after the last step."""
    save_total_limit: int = 2
    """Number of newest checkpoints that are kept, in addition to the best."""
    logging_steps: int = 10
    eval_steps: int = 0
    """Number of steps between evaluations, each of which is of a checkpoint. 0: no evaluation."""
    eval_on_start: bool = False
    """Whether the start is evaluated too, before the first step, as a checkpoint like the others."""
    eval_suite: str | None = "demo"
    eval_tasks: tuple[str, ...] = ()
    """Names of tasks, instead of a suite."""
    eval_data: str | None = None
    """Folder or file with the data of the tasks. None: where the tasks say that it is."""
    eval_limit: int | None = None
    """Only the first queries of each task, up to this number, are evaluated."""
    workers: int = 2
    """Number of threads that prepare items."""
    cache_mb: int = 512
    """MiB of memory for prepared items, so that small data is prepared once."""
    device: Literal["auto", "cpu"] = "auto"
    report_to: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """Other places that get the lines of the log."""

    def __post_init__(self) -> None:
        _check_choices(self)
        _check_numbers(self)
        _check_combinations(self)

    @property
    def contrasted(self) -> int:
        """Number of pairs that are contrasted with each other."""
        return self.batch // self.gradient_accumulation_steps

    @property
    def logit_scale(self) -> float:
        """The factor that the loss multiplies cosines by: one over the temperature."""
        return 1 / self.temperature


CHANGEABLE = frozenset(
    {
        "allow_roots",
        "save_steps",
        "save_total_limit",
        "logging_steps",
        "eval_steps",
        "eval_on_start",
        "eval_suite",
        "eval_tasks",
        "eval_data",
        "eval_limit",
        "workers",
        "cache_mb",
        "report_to",
        "lora_merge",
        "micro_batch",
        "device",
    }
)
"""Settings that do not affect the weights, and so may change when a run is resumed."""

ADDED: Mapping[str, object] = MappingProxyType({"hardness": "llave", "margin": 0.0})
"""Settings that files of older versions lack, and the values that those runs had."""

_MOST = 2**63
"""Above all whole numbers that numpy and torch take."""
_POSITIVE = (
    "batch",
    "gradient_accumulation_steps",
    "num_train_epochs",
    "temperature",
    "learning_rate",
    "save_steps",
    "save_total_limit",
    "logging_steps",
    "workers",
    "lora_alpha",
)
_POSITIVE_OR_NONE = ("max_rows_per_dataset", "micro_batch", "max_steps", "max_length", "eval_limit")
_FROM_ZERO = ("alpha", "weight_decay", "max_grad_norm", "lora_rank", "eval_steps", "cache_mb", "seed")


def override(
    config: TrainingConfig, settings: Sequence[str], note: Callable[[str], object] = lambda _: None
) -> TrainingConfig:
    """The config with `NAME=VALUE` settings in place. `note` gets a sentence for each old name of a setting.

    Raises UserError for an unknown name, for a setting that is given twice, and for a value that cannot be used.
    """
    pairs, given = pairs_of(settings, "--set", "learning_rate=2e-5"), {}
    for old, text in pairs.items():
        name, value = current_setting(old, text)
        if name != old and name in pairs:
            raise UserError(f"--set gives {name} twice, once under its old name.", f"Leave out {old}.")
        given[name] = str(value)
        if name != old:
            note(f"{old}={text} is now {name}={value}. The next release does not accept {old}.")
    return read_settings(config, given, "setting", leave_out=("recipe",))


def to_json(config: TrainingConfig) -> str:
    """All settings by name, in the order of the fields."""
    return json.dumps(asdict(replace(config, weights=dict(config.weights))), indent=1) + "\n"


def differences(config: TrainingConfig, saved: Mapping[str, object]) -> dict[str, tuple[object, object]]:
    """Settings that affect the weights and differ from those of a file, which may have old names.

    Returns the saved value and the present one, by name.
    """
    now, before = json.loads(to_json(config)), {**ADDED, **current_settings(saved)}
    names = dict.fromkeys([*now, *before])
    return {
        name: (before.get(name), now.get(name))
        for name in names
        if name not in CHANGEABLE and before.get(name) != now.get(name)
    }


def _refuse(config: TrainingConfig, what: str, hint: str) -> None:
    raise UserError(f"{config.recipe}: {what}.", hint)


def _check_choices(config: TrainingConfig) -> None:
    for name, kind in get_type_hints(TrainingConfig).items():
        if get_origin(kind) is Literal and getattr(config, name) not in get_args(kind):
            choices = ", ".join(get_args(kind))
            _refuse(config, f"{name} is {getattr(config, name)!r}", f"Choose from {choices}.")


def _check_numbers(config: TrainingConfig) -> None:
    for names, least in ((_POSITIVE, "above zero"), (_POSITIVE_OR_NONE, "above zero"), (_FROM_ZERO, "zero or more")):
        for name in names:
            value = getattr(config, name)
            most = _MOST if isinstance(value, int) else math.inf
            if value is not None and not (0 < value < most or (names is _FROM_ZERO and value == 0)):
                _refuse(config, f"{name} is {value}", f"It must be a number {least}.")
    if not math.isfinite(config.margin):
        _refuse(config, f"margin is {config.margin}", "It must be a finite number.")
    if not 0 <= config.warmup_ratio < 1:
        _refuse(config, f"warmup_ratio is {config.warmup_ratio}", "It is a share of the steps, from 0 to below 1.")
    if len(config.betas) != 2 or not all(0 <= beta < 1 for beta in config.betas):
        _refuse(config, f"betas are {config.betas}", "Give two numbers from 0 to below 1.")
    if any(not 0 < weight < math.inf for weight in config.weights.values()):
        hint = "They must be above zero. To leave out a dataset, name the others with datasets."
        _refuse(config, f"weights are {dict(config.weights)}", hint)
    if any(dims < 1 for dims in config.matryoshka_dims):
        _refuse(config, f"matryoshka_dims are {config.matryoshka_dims}", "They must be above zero.")
    if any(not 0 < weight < math.inf for weight in config.matryoshka_weights):
        _refuse(config, f"matryoshka_weights are {config.matryoshka_weights}", "They must be above zero.")


def _check_combinations(config: TrainingConfig) -> None:
    parts, dims, weights = config.gradient_accumulation_steps, config.matryoshka_dims, config.matryoshka_weights
    if config.batch % parts:
        hint = "Change gradient_accumulation_steps."
        _refuse(config, f"a batch of {config.batch} cannot be cut into {parts} equal parts", hint)
    if config.contrasted < 2:
        hint = "Raise batch, or lower gradient_accumulation_steps."
        _refuse(config, "a batch of one pair has no negatives", hint)
    if weights and len(weights) != len(dims):
        hint = "Give one weight for each, or no weights."
        _refuse(config, f"matryoshka_dims has {len(dims)} values and matryoshka_weights {len(weights)}", hint)
    if len(set(config.frozen)) == len(get_args(NetworkPart)) and not config.lora_rank:
        _refuse(config, "no part of the network would be trained", "Leave one out of frozen.")
    for name in ("datasets", "eval_tasks", "frozen", "matryoshka_dims", "report_to"):
        if repeated := [each for each, times in Counter(getattr(config, name)).items() if times > 1]:
            _refuse(config, f"{name} names {', '.join(map(str, repeated))} twice", "Name each once.")
    if config.hard_negatives and config.direction == "target":
        hint = "Set direction=both or direction=query, or leave hard_negatives out."
        _refuse(config, "hard negatives are wrong targets of a query, and direction is target", hint)
    if config.lora_rank and "language" in config.frozen:
        hint = "Leave language out of frozen."
        _refuse(config, "adapters are put into the language model, which is frozen", hint)
    if config.eval_steps % config.save_steps:
        what = f"eval_steps is {config.eval_steps} and save_steps is {config.save_steps}"
        _refuse(config, what, "Checkpoints are evaluated: make eval_steps a multiple of save_steps.")
    if config.eval_on_start and not config.eval_steps:
        _refuse(config, "eval_on_start is true and eval_steps is 0", "Set eval_steps, such as eval_steps=500.")
    if config.grid is not None and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", config.grid):
        _refuse(config, f"grid is {config.grid!r}", "Write columns x rows, such as 2x2.")
