"""The nouns: what is embedded, what is asked, what is measured. Data only; the work is done elsewhere."""

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

Role: TypeAlias = Literal["query", "target"]
MediaKind: TypeAlias = Literal["image", "video"]
Scope: TypeAlias = Literal["local", "global"]
ProtocolName: TypeAlias = Literal["strict", "official"]

MEDIA_TOKEN = "<|media|>"
"""Where a medium stands in a text: one token for each medium, in order. A model writes its own token instead."""


@dataclass(frozen=True, slots=True)
class Media:
    """A reference to an image or a video; nothing is opened until a batch is prepared."""

    kind: MediaKind
    name: str
    """The path as the data writes it, relative to `root`."""
    root: Path
    """The folder that the path must stay inside."""
    where: str = field(default="", compare=False)
    """The file and the place in it where the data names it, for messages; empty where the loader does not tell."""


@dataclass(frozen=True, slots=True)
class Item:
    """What is embedded. The full text is `instruction + text`, exactly as the data joins them."""

    text: str = ""
    media: tuple[Media, ...] = ()
    instruction: str = ""
    """The leading part of the full text that says what to do, with its white space; empty if unknown or none."""

    @property
    def full_text(self) -> str:
        return self.instruction + self.text


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One question to the benchmark."""

    id: str
    item: Item
    candidates: IndexArray
    """(C,) indexes into the task's targets, in the data's order with its repeats. Empty: the whole pool."""
    positives: IndexArray
    """(P,) indexes of the right targets."""


@dataclass(frozen=True, slots=True, eq=False)
class TaskData:
    """The rows of a task. `targets` are unique by content."""

    queries: tuple[Query, ...]
    targets: tuple[Item, ...]
    notes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """What the loader met and dealt with, counted: `duplicate_candidates`, `tokens_without_media`, ..."""
    groups: tuple[IndexArray, ...] = ()
    """Targets that are one candidate together and count by the best of them, such as the captions of a video.

    If there are any, every query ranks all groups, and its positives are all targets of one. None is empty.
    """


@dataclass(frozen=True, slots=True)
class DataInfo:
    """Where rows come from, for the record: what it is called, which revision, which files decide the rows."""

    source: str
    revision: str
    files: tuple[Path, ...]
    media_root: Path | None = None
    content: str = ""
    """A digest of rows that are in no file, such as rows made in Python."""


class Source(Protocol):
    """Turns an on-disk layout into rows."""

    def describe(self) -> str:
        """One line for a person: where the data comes from."""

    def info(self, task: Task) -> DataInfo:
        """Says which files decide the rows, fetching them if they are remote; reads no row.

        Raises UserError if they are missing.
        """

    def load(self, task: Task) -> TaskData:
        """Reads and checks the rows. Raises UserError naming file, row and remedy."""


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the registry. A value: scope, metrics and source are all of it."""

    name: str
    meta_task: str | None
    """classification, vqa, retrieval or visual_grounding; None for a user's own data."""
    split: Literal["IND", "OOD"] | None
    query_modality: str | None
    target_modality: str | None
    source: Source
    scope: Scope = "local"
    metrics: tuple[str, ...] = ("hit@1", "hit@5", "hit@10", "mrr", "ndcg@10", "mean_rank", "median_rank")
    """The first is the main one."""
    num_queries: int | None = None
    """Rows that the data must have; None: unknown, so not checked."""
    num_candidates: int | None = None
    """Candidates of a query as published."""
    query_instruction: str | None = None
    target_instruction: str | None = None
    train_subset: str | None = None
    notes: tuple[str, ...] = ()
    query_role: Role = "query"
    """What queries are embedded as; targets are the other. A task that turns another round takes that one's vectors."""

    @property
    def target_role(self) -> Role:
        return "target" if self.query_role == "query" else "query"


@dataclass(frozen=True, slots=True)
class EvalConfig:
    """The conditions of an evaluation that decide its scores, apart from task, data and model."""

    protocol: ProtocolName = "strict"
    limit: int | None = None
    """Number of queries of each task that are used, from the first; None: all."""
    seed: int = 0
    """Seed of the bootstrap intervals."""
    skip_bad_media: bool = False
    """Whether queries that need an unusable image or video count as wrong. Otherwise such a file is an error."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything that decides a model's vectors (no batch size, no device), and `about`, which decides none."""

    name: str
    revision: str
    """A commit or a digest of the content; never a branch, which moves."""
    adapter: str
    """The adapter's name and version, such as `classical/1`. A change in its output needs a new version."""
    dtype: str = "float32"
    options: Mapping[str, Scalar] = field(default_factory=dict)
    """Every setting that can change a vector: pixels, frames, prompt, pooling."""
    modalities: tuple[str, ...] = ("text", "image")
    """What the model can see. Media of other kinds are left out before it is asked, and the result says so."""
    similarity: Literal["cosine", "dot"] = "cosine"
    about: Mapping[str, object] = field(default_factory=dict)
    """What is known of the model and decides no vector, for the record: `parameters`, `step`, `training`."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Features(Generic[T]):
    """An item made ready for the model: tensors, token ids, whatever `embed` takes."""

    data: T
    cost: int = 1
    """In tokens, or pixels, or whatever the model's time and memory follow; batches are filled up to a sum of these."""
    truncated: bool = False
    """Whether the item is longer than the model's limit, so that something of it is not seen."""


class Embedder(Protocol[T]):
    """A model. `prepare` is CPU work, called ahead from several threads at once; `embed` is one forward pass."""

    @property
    def spec(self) -> ModelSpec: ...

    def prepare(self, item: Item, role: Role) -> Features[T]:
        """Opens media, tokenizes. Must not depend on anything but its arguments and the spec."""

    def embed(self, features: Sequence[Features[T]]) -> object:
        """Vectors `(n, d)` in the order given: a numpy array or a torch tensor of any float type on any device."""


@runtime_checkable
class Learner(Protocol):
    """An embedder that is told the right answers before it embeds. Its spec is only complete once it has been."""

    def learn(self, pairs: Iterable[tuple[Item, Item]]) -> ModelSpec:
        """Takes every (query, right target) of the tasks at hand, in any order, and returns the spec that covers them.

        Vectors must be stored under the spec returned. Items are as `prepare` gets them. Raises BadMedia.
        """


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What the command line says about loading a model; `auto` leaves the choice to the adapter."""

    device: str = "auto"
    dtype: str = "auto"
    seed: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    """What `--model-option` gave. An adapter takes what it knows and refuses the rest."""
    trust_remote_code: bool = False
    """Whether code that a checkpoint brings along may run, and then only from a pinned revision."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelHandle:
    """A model that can be identified before it is loaded, so that finished work is found without loading it."""

    spec: ModelSpec
    load: Callable[[], Embedder[object]]
    needs_answers: bool = False
    """Whether the model is a `Learner`, which must be told the right answers before it embeds."""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One line of `llave models`. A name that ends in `/` takes the rest of what the user wrote."""

    name: str
    summary: str
    modalities: tuple[str, ...]
    open: Callable[[str, ModelSettings], ModelHandle]
    """Called with the name as the user wrote it. Raises UserError for what cannot be loaded."""
    verified: str = ""
    """How far the adapter is known to be right."""
    model_type: str = ""
    """A folder whose config.json has this `model_type` may be named as it is."""


@dataclass(frozen=True, slots=True)
class TopCandidate:
    """A candidate near the top: its index among the task's targets, and its fp32 score."""

    target: int
    score: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """Where a query's right candidates came out. A positive with best < worst is tied with others."""

    query_id: str
    best: tuple[int, ...]
    """Rank, from 1, of each positive if every tie fell its way; in the order of `Query.positives`, repeats merged."""
    worst: tuple[int, ...]
    """The same if every tie fell against it."""
    pool_size: int
    """Distinct candidates that were ranked."""
    num_positives: int
    """Right candidates there should be; more than `len(best)` where a bad medium took one away."""
    official: tuple[int, ...]
    """Rank of each positive under the public rule: ties won, repeats counted."""
    official_pool_size: int
    top: tuple[TopCandidate, ...] = ()
    """Best first; equal scores by target index."""

    @property
    def depends_on_protocol(self) -> bool:
        """Whether the public rule can say something else than the strict one."""
        return not self.best == self.worst == self.official or self.pool_size != self.official_pool_size

    @property
    def tied(self) -> bool:
        """Whether a right candidate has the score of a wrong one."""
        return any(
            worst - best + 1 > self._right_in(best, worst) for best, worst in zip(self.best, self.worst, strict=True)
        )

    def _right_in(self, best: int, worst: int) -> int:
        return sum(1 for pair in zip(self.best, self.worst, strict=True) if pair == (best, worst))


@dataclass(frozen=True, slots=True)
class Score:
    """A metric over all queries, with its 95 % CI: a fraction, or a rank for metrics that are ranks."""

    value: float
    low: float
    high: float


QueryRow: TypeAlias = Mapping[str, object]
"""Ranks, metric and content of one query, as plain data. docs/results.md explains the fields."""
