"""Core types: items, queries, tasks, data and models. They hold data; other modules do the work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float32]
IndexArray: TypeAlias = NDArray[np.int32]
Scalar: TypeAlias = str | int | float | bool | None
T = TypeVar("T")

Role: TypeAlias = Literal["query", "target"]
MediaKind: TypeAlias = Literal["image", "video"]
Scope: TypeAlias = Literal["local", "global", "union"]
ProtocolName: TypeAlias = Literal["strict", "official"]
SeveralMedia: TypeAlias = Literal["interleaved", "in-order", "mean", "united", "side-by-side", "refused", "ignored"]
"""What a model does with several media. `interleaved`: at their places in the text. `in-order`: together, before or
after it. `mean` of their vectors, or `united`, all their vectors: their order is lost. `side-by-side`: as one picture.
`refused`: an error. `ignored`: no medium changes the vector."""
Similarity: TypeAlias = Literal["cosine", "dot", "maxsim", "meanmaxsim"]
"""How items are compared. For the last two an item has a vector for every token: see `harness.scoring.maxsim`."""

MEDIA_TOKEN = "<|media|>"
"""The place of a medium in a text: one token for each medium, in order. A model replaces it by its own token."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a file was when it was checked. What is decoded later must be the same, because the vector's key says so."""

    digest: str
    """SHA-256 of its bytes."""
    stamp: str
    """Its size, times and number on the disk, as one text."""


@dataclass(frozen=True, slots=True)
class Media:
    """A reference to an image or a video. The file is not opened until its item is prepared."""

    kind: MediaKind
    name: str
    """Path as written in the data, relative to `root`."""
    root: Path
    """Folder that the name is relative to, and that must contain the file."""
    where: str = field(default="", compare=False)
    """File and place in it that name the medium, for messages; empty if the loader does not know."""
    roots: tuple[Path, ...] = field(default=(), compare=False)  # other folders that the user allows links to lead into
    seen: Seen | None = field(default=None, compare=False)
    """What the file was when it was checked; None if nothing is known."""


@dataclass(frozen=True, slots=True)
class Item:
    """An input of a model: a text, media, or both. The full text is `instruction + text`, exactly as in the data."""

    text: str = ""
    media: tuple[Media, ...] = ()
    instruction: str = ""
    """Leading part of the full text that says what to do, with its white space; empty if there is none."""

    @property
    def full_text(self) -> str:
        """The instruction and the text."""
        return self.instruction + self.text


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A query of a task, with its candidates and the right ones among them."""

    id: str
    item: Item
    candidates: IndexArray
    """Indexes `(C,)` into the task's targets, in the data's order, with its repeats. Empty: all targets."""
    positives: IndexArray
    """Indexes `(P,)` of the right targets."""
    group: str = ""
    """The name of the group of queries that it belongs to, if the data names one."""
    grades: tuple[int, ...] = ()
    """Grade of relevance of each of `positives`, 1 or more. Empty: all are 1. Metrics other than nDCG ignore it."""
    official_grades: tuple[int, ...] = ()
    """The grades that the public code pairs with `positives`. Empty: they are `grades`."""
    excluded: IndexArray = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    """Indexes `(E,)` of targets that a query without a list does not rank, such as itself. None is in `positives`."""


@dataclass(frozen=True, slots=True, eq=False)
class TaskData:
    """The rows of a task. No two targets have the same content."""

    queries: tuple[Query, ...]
    targets: tuple[Item, ...]
    notes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Number of times that the loader met a peculiarity: `duplicate_candidates`, `tokens_without_media`, ..."""
    groups: tuple[IndexArray, ...] = ()
    """Groups of targets that form one candidate, such as the captions of a video. The best target gives its score.

    If there are groups, every query ranks all of them, and its positives are all targets of one group. No group is
    empty.
    """
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """The ids of queries that were left out, by the note that counts them."""


@dataclass(frozen=True, slots=True)
class DataInfo:
    """The origin of rows: its name, its revision, the files that decide the rows, and the folder of the media."""

    source: str
    revision: str
    files: tuple[Path, ...]
    media_root: Path | None = None
    content: str = ""
    """A digest of rows that are in no file, such as rows made in Python."""
    roots: tuple[Path, ...] = ()  # other folders in which media may lie


class Source(Protocol):
    """A reader of one layout of data."""

    def describe(self) -> str:
        """Describes the origin of the data in one line."""

    def info(self, task: Task) -> DataInfo:
        """Returns the files that decide the rows. Fetches them if they are remote, but reads no row.

        Raises: UserError if they are missing.
        """

    def load(self, task: Task) -> TaskData:
        """Reads and checks the rows. Raises: UserError that names file, row and remedy."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task: its data, candidates and metrics. One row of the registry is one task."""

    name: str
    meta_task: str | None
    """classification, vqa, retrieval or visual_grounding; None for a user's own data."""
    split: Literal["IND", "OOD"] | None
    query_modality: str | None
    target_modality: str | None
    source: Source
    scope: Scope = "local"
    metrics: tuple[str, ...] = ("hit@1", "hit@5", "hit@10", "mrr", "ndcg@10", "mean_rank", "median_rank")
    """Names of metrics. The first is the main metric."""
    num_queries: int | None = None
    """Number of rows that the data must have; None: not known, so not checked."""
    num_candidates: int | None = None
    """Published number of candidates of a query."""
    query_instruction: str | None = None
    target_instruction: str | None = None
    train_subset: str | None = None
    notes: tuple[str, ...] = ()
    query_role: Role = "query"
    """Role in which queries are embedded. A task that reverses another one has `target`, and so shares its vectors."""

    def __repr__(self) -> str:
        return f"Task({self.name}: {self.source.describe()})"

    @property
    def target_role(self) -> Role:
        """Role in which targets are embedded: the other one."""
        return "target" if self.query_role == "query" else "query"


@dataclass(frozen=True, slots=True)
class EvalConfig:
    """The conditions of an evaluation that decide its scores, apart from task, data and model."""

    protocol: ProtocolName = "strict"
    limit: int | None = None
    """Number of queries of each task that are used, from the first; None: all."""
    skip_bad_media: bool = False
    """Whether queries that need an unusable image or video count as wrong. Otherwise such a file is an error."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything that decides a model's vectors, and `about`. Batch size and device do not belong to it."""

    name: str
    revision: str
    """A commit or a digest of the content. It must not be a branch, because branches change."""
    adapter: str
    """Name and version of the adapter, such as `classical/1`. A change in its output needs a new version."""
    dtype: str = "float32"
    options: Mapping[str, Scalar] = field(default_factory=dict)
    """Every setting that can change a vector: pixels, frames, prompt, pooling."""
    modalities: tuple[str, ...] = ("text", "image")
    """Kinds of input that the model takes. Media of other kinds are removed from items, and the result says so."""
    similarity: Similarity = "cosine"
    several_media: SeveralMedia | None = None
    """What the model does with an item of several media; None: it does not say. The adapter decides it."""
    about: Mapping[str, object] = field(default_factory=dict)
    """Facts for the record that do not change a vector: `parameters`, `step`, `training`."""

    @property
    def is_late(self) -> bool:
        """Whether an item has a vector for every token, not one (late interaction)."""
        return self.similarity in ("maxsim", "meanmaxsim")


@dataclass(frozen=True, slots=True)
class Features(Generic[T]):
    """A prepared item. `data` is the input that `embed` takes, such as tensors or token ids."""

    data: T
    cost: int = 1
    """Time and memory that the item needs, in tokens or another unit. The costs of a batch add up to the budget."""
    truncated: bool = False
    """Whether the item is longer than the model's limit, so that a part of it is cut off."""


class Embedder(Protocol[T]):
    """A model. `prepare` is CPU work, called in advance by several threads; `embed` is one forward pass."""

    @property
    def spec(self) -> ModelSpec:
        """The identity and properties of the model."""

    def prepare(self, item: Item, role: Role) -> Features[T]:
        """Opens media and tokenizes text. The result may depend only on the arguments and the spec.

        Raises: BadMedia for a medium that cannot be used.
        """

    def embed(self, features: Sequence[Features[T]]) -> object:
        """Returns vectors `(n, d)` in the order given: a numpy array or a torch tensor, any float type and device.

        A model that `is_late` returns a sequence of `n` arrays `(tokens, d)`.
        """


@runtime_checkable
class Learner(Protocol):
    """An embedder that gets the right answers before it embeds, such as the oracle. Its spec is complete only then."""

    def learn(self, pairs: Iterable[tuple[Item, Item]]) -> ModelSpec:
        """Takes all pairs (query, right target) of the tasks, in any order, and returns the spec that covers them.

        Vectors must be stored under the returned spec. Items are the same as for `prepare`. Raises: BadMedia.
        """


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Settings for loading a model. With `auto` the adapter chooses."""

    device: str = "auto"
    dtype: str = "auto"
    seed: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    """Values of `--model-option`. An adapter refuses names that it does not know."""
    trust_remote_code: bool = False
    """Whether code of a checkpoint may run. Even then the checkpoint must be at a pinned revision."""
    memory: Path | None = None
    """The folder of the embedding store, where the model of a server keeps what it answered to a probe before."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelHandle:
    """A model that is identified before it is loaded, so that finished results are found without loading it."""

    spec: ModelSpec
    load: Callable[[], Embedder[object]]
    needs_answers: bool = False
    """Whether the model is a `Learner`, which must get the right answers before it embeds."""
    check: Callable[[], None] = lambda: None
    """Raises UserError if the files that the model was loaded from have changed. Called before vectors are stored."""
    remote: bool = False
    """Whether items are sent to a server. Then a run says how many before it starts."""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One line of `llave models`. A name that ends in `/` is a prefix of the names that users write."""

    name: str
    summary: str
    modalities: tuple[str, ...]
    open: Callable[[str, ModelSettings], ModelHandle]
    """A function that gets the name as the user wrote it. Raises: UserError for a model that cannot be loaded."""
    verified: str = ""
    """Checks that have shown the adapter to be right."""
    model_type: str = ""
    """The `model_type` in the config.json of folders that this adapter opens."""
    hub: str = ""
    """The name on the hub of the one checkpoint that the row stands for, if it does."""
    several_media: tuple[SeveralMedia, ...] = ()
    """What the model can do with several media, by its options. The first is the default."""
