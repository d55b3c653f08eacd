"""What a training run is made of: one frozen value, checked when it is made, that the command line can change."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args, get_origin, get_type_hints

from harness.errors import UserError, unknown_name
from harness.types import Scalar

SCRATCH = "scratch"
"""A start that is no checkpoint: a small network with random weights, for the words of the demo."""

Part: TypeAlias = Literal["tower", "projector", "language"]


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """All of it. Whatever is not in `FREE` decides the weights, so a run can only be resumed with the same."""

    recipe: str
    start: str
    """The checkpoint to begin with: a folder, a name on the hub, or `scratch`."""
    data: str
    """A folder in the layout of MMEB-train, a JSON Lines file, `demo`, or a dataset on the hub."""
    images: str | None = None
    """What image paths are relative to; None: found beside the data."""
    split: str = "original"
    """Of MMEB-train: `original`, or `diverse_instruction`."""
    datasets: tuple[str, ...] = ()
    """Empty: all that `data` has."""
    cap: int | None = None
    """Rows of each dataset at most."""
    sample: Literal["first", "random"] = "first"
    """Which rows of a dataset over the cap: the first, as the public code takes them, or some at random."""
    weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """How often an epoch sees a dataset's rows, where that is not once."""
    batches: Literal["mixed", "single"] = "mixed"
    """Whether a batch mixes datasets."""
    on_bad_media: Literal["stop", "skip"] = "stop"

    batch: int = 256
    """Pairs of an optimizer step, over all processes."""
    accumulate: int = 1
    """Parts that a step's batch is cut into; each is contrasted by itself, so more parts mean fewer negatives."""
    micro_batch: int | None = None
    """Pairs of a process that are in memory at once, by gradient caching, which costs no negatives; None: all."""
    epochs: float = 1.0
    steps: int | None = None
    """Optimizer steps; None: as many as `epochs` has."""

    alpha: float = 9.0
    scale: float = 50.0
    """What cosines are multiplied by: one over the temperature."""
    learn_scale: bool = False
    direction: Literal["both", "query", "target"] = "both"
    """Which side picks among the other side's: each query its target, each target its query, or the mean of the two."""
    hard_negatives: bool = False
    """Whether the negatives that come with the pairs are used."""
    mask_duplicates: bool = True
    """Whether equal targets are left out of each other's negatives."""
    false_negative_margin: float | None = None
    """Whatever is more similar than the pair itself by more than this is no negative; None: all are."""
    widths: tuple[int, ...] = ()
    """Widths of shortened vectors that are trained (Matryoshka); empty: the full width."""
    width_weights: tuple[float, ...] = ()
    """How much each of the widths counts; empty: all alike."""

    lr: float = 1e-5
    warmup: float = 0.03
    """Share of the steps in which the learning rate rises; then it falls as a cosine to zero."""
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 1.0
    """Largest norm of the gradient; zero: no clipping."""
    precision: Literal["fp32", "bf16"] = "bf16"
    gradient_checkpointing: bool = True
    frozen: tuple[Part, ...] = ("tower",)
    lora_rank: int = 0
    """Zero: no adapters, the language model itself is trained."""
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    lora_merge: bool = True
    """Whether checkpoints hold merged weights, which `llave run` opens, beside the adapter."""

    max_length: int | None = None
    """Tokens of a sequence at most; None: as the start has it."""
    grid: str | None = None
    """Columns x rows of the largest grid of crops, such as 2x2; None: as the start has it."""
    seed: int = 0

    save_every: int = 500
    """Steps between checkpoints; there is always one at the end."""
    keep: int = 2
    """Newest checkpoints that are kept, beside the best."""
    log_every: int = 10
    eval_every: int = 0
    """Steps between evaluations, each of a checkpoint; zero: none."""
    eval_suite: str | None = "demo"
    eval_tasks: tuple[str, ...] = ()
    """In place of a suite."""
    eval_data: str | None = None
    """A folder or file that their data comes from; None: where they are registered."""
    eval_limit: int | None = None
    """First queries of each task alone."""
    workers: int = 2
    """Threads that prepare items."""
    cache_mb: int = 512
    """Memory for prepared items, so that small data is prepared once."""
    device: Literal["auto", "cpu"] = "auto"
    tensorboard: bool = False

    def __post_init__(self) -> None:
        _check(self)

    @property
    def contrasted(self) -> int:
        """Pairs that are contrasted with each other."""
        return self.batch // self.accumulate


FREE = frozenset(
    {
        "save_every",
        "keep",
        "log_every",
        "eval_every",
        "eval_suite",
        "eval_tasks",
        "eval_data",
        "eval_limit",
        "workers",
        "cache_mb",
        "tensorboard",
        "lora_merge",
    }
)
"""What may change when a run is resumed."""

_POSITIVE = ("batch", "accumulate", "epochs", "scale", "lr", "save_every", "keep", "log_every", "workers", "lora_alpha")
_POSITIVE_OR_NONE = ("cap", "micro_batch", "steps", "max_length", "eval_limit")
_FROM_ZERO = ("alpha", "weight_decay", "clip", "lora_rank", "eval_every", "cache_mb", "seed")


def override(config: TrainingConfig, settings: Sequence[str]) -> TrainingConfig:
    """A config with `name=value` settings in place. Raises UserError for unknown names and for values of no use.

    Tuples are written with commas, weights as `A:2,B:0.5`, and `none` is nothing.
    """
    kinds = get_type_hints(TrainingConfig)
    changes: dict[str, object] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting!r} is not of the form name=value.", "Such as --set lr=2e-5.")
        if name not in kinds or name == "recipe":
            settable = [each for each in kinds if each != "recipe"]
            raise unknown_name("setting", name, settable, f"Settings: {', '.join(settable)}.")
        if name in changes:
            raise UserError(f"--set gives {name} twice.", "Give it once.")
        try:
            changes[name] = _parse(text, kinds[name])
        except ValueError as error:
            raise UserError(f"--set {setting}: {error}.", "docs/training.md lists what each setting takes.") from None
    return replace(config, **changes)  # type: ignore[arg-type]  # _parse keeps to the kinds


def to_json(config: TrainingConfig) -> str:
    """All settings by name, in their order."""
    return json.dumps(_plain(config), indent=1) + "\n"


def differences(config: TrainingConfig, saved: Mapping[str, object]) -> dict[str, tuple[object, object]]:
    """Settings that decide the weights and differ from saved ones: by name, the saved value and the one now."""
    now = json.loads(to_json(config))
    names = dict.fromkeys([*now, *saved])
    return {
        name: (saved.get(name), now.get(name))
        for name in names
        if name not in FREE and saved.get(name) != now.get(name)
    }


def _plain(config: TrainingConfig) -> dict[str, object]:
    return asdict(replace(config, weights=dict(config.weights)))


def _parse(text: str, kind: object) -> object:
    if type(None) in get_args(kind):
        if text.lower() == "none":
            return None
        kind = next(each for each in get_args(kind) if each is not type(None))
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        if text not in parts:
            raise ValueError(f"choose from {', '.join(map(str, parts))}")
        return text
    if origin is tuple:
        return tuple(_parse(each, parts[0]) for each in text.split(",") if each)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError("choose from true, false")
        return text.lower() == "true"
    if kind in (int, float, str):
        return _scalar(text, kind)
    pairs = [each.rpartition(":") for each in text.split(",") if each]
    return {name: float(value) for name, _, value in pairs}


def _scalar(text: str, kind: object) -> Scalar:
    try:
        return int(text) if kind is int else float(text) if kind is float else text
    except ValueError:
        raise ValueError(f"{text!r} is not a {'whole number' if kind is int else 'number'}") from None


def _check(config: TrainingConfig) -> None:
    def refuse(what: str, hint: str) -> None:
        raise UserError(f"{config.recipe}: {what}.", hint)

    for names, least in ((_POSITIVE, "above zero"), (_POSITIVE_OR_NONE, "above zero"), (_FROM_ZERO, "zero or more")):
        for name in names:
            value = getattr(config, name)
            if value is not None and not (0 < value < math.inf or (names is _FROM_ZERO and value == 0)):
                refuse(f"{name} is {value}", f"It must be a number {least}.")
    if config.batch % config.accumulate:
        refuse(f"a batch of {config.batch} cannot be cut into {config.accumulate} equal parts", "Change accumulate.")
    if config.contrasted < 2:
        refuse("a batch of one pair has no negatives", "Raise batch, or lower accumulate.")
    if not 0 <= config.warmup < 1:
        refuse(f"warmup is {config.warmup}", "It is a share of the steps, from 0 to below 1.")
    if config.split not in ("original", "diverse_instruction"):
        refuse(f"split is {config.split!r}", "MMEB-train has original and diverse_instruction.")
    if len(config.betas) != 2 or not all(0 <= beta < 1 for beta in config.betas):
        refuse(f"betas are {config.betas}", "They are two numbers from 0 to below 1.")
    if any(not 0 < weight < math.inf for weight in config.weights.values()):
        refuse(f"weights are {dict(config.weights)}", "They must be above zero; name the datasets to leave some out.")
    if any(width < 1 for width in config.widths):
        refuse(f"widths are {config.widths}", "They must be above zero.")
    if config.width_weights and len(config.width_weights) != len(config.widths):
        refuse(f"{len(config.widths)} widths have {len(config.width_weights)} weights", "Give each width one, or none.")
    if any(not 0 < weight < math.inf for weight in config.width_weights):
        refuse(f"width_weights are {config.width_weights}", "They must be above zero.")
    if len(set(config.frozen)) == len(get_args(Part)) and not config.lora_rank:
        refuse("no part of the network would be trained", "Leave one out of frozen.")
    if config.lora_rank and "language" in config.frozen:
        refuse("adapters go into the language model, which is frozen", "Leave language out of frozen.")
    if config.eval_every % config.save_every:
        refuse(
            f"evaluation every {config.eval_every} steps, checkpoints every {config.save_every}",
            "What is evaluated is a checkpoint: make eval_every a multiple of save_every.",
        )
    if config.eval_every and config.lora_rank and not config.lora_merge:
        refuse("only merged checkpoints can be evaluated", "Set lora_merge=true, or eval_every=0.")
    if config.grid is not None and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", config.grid):
        refuse(f"grid is {config.grid!r}", "Write columns x rows, such as 2x2.")
