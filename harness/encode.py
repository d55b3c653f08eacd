"""From items that have no vector yet to vectors in the store.

Items are prepared ahead in threads, gathered in windows, put into batches of like cost under a budget, embedded,
checked and stored, batch by batch. The batches follow from the items, their costs and the budget alone, never from
timing.
"""

from __future__ import annotations

import gc
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from harness.errors import BadMedia, UserError
from harness.listener import Listener
from harness.store import Store
from harness.types import Embedder, Features, FloatArray, Item, Role

DEFAULT_BUDGET = 16_384
"""Cost of a batch, padding included: its longest item's times their number."""
_MOST_ITEMS = 256
_WINDOW = 4
"""Batches' worth of prepared items that are sorted together."""
_TEXTS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Work:
    """An item to embed, the key its vector goes under, and a rough cost to sort by before it is prepared."""

    key: bytes
    item: Item
    role: Role
    pixels: int = 0

    @property
    def rough_cost(self) -> tuple[int, int]:
        return self.pixels, len(self.item.full_text)


@dataclass(slots=True)
class EncodeReport:
    """What a stretch of encoding did and what it cost."""

    items: int = 0
    batches: int = 0
    cost: int = 0
    padded_cost: int = 0
    seconds: float = 0.0
    waiting: float = 0.0
    """Seconds during which the model waited for prepared items."""
    backoffs: int = 0
    bad: dict[bytes, BadMedia] = field(default_factory=dict)

    @property
    def padding_waste(self) -> float:
        return 1 - self.cost / self.padded_cost if self.padded_cost else 0.0


@dataclass(frozen=True, slots=True)
class _Ready:
    work: Work
    features: Features[object]


class Encoder:
    """Embeds work with one model into one store. Keeps what it learns about memory from call to call."""

    def __init__(
        self, embedder: Embedder[object], store: Store, *, budget: int = DEFAULT_BUDGET, workers: int = 1
    ) -> None:
        self._embedder = embedder
        self._store = store
        self._budget = budget
        self._workers = workers
        self._width = store.width()

    def run(self, work: Sequence[Work], listener: Listener, *, skip_bad_media: bool = False) -> EncodeReport:
        """Embeds all of `work`. Raises UserError for bad media (unless they are to be skipped) and bad vectors."""
        report = EncodeReport()
        start = time.perf_counter()
        ordered = sorted(work, key=lambda each: (each.rough_cost, each.key), reverse=True)
        window: list[_Ready] = []
        cost = 0
        for one in self._prepared(ordered, report):
            if isinstance(one, BadItem):
                if not skip_bad_media:
                    raise one.error
                report.bad[one.work.key] = one.error
                listener.advance()
                continue
            window.append(one)
            cost += one.features.cost
            if cost >= _WINDOW * self._budget or len(window) >= _WINDOW * _MOST_ITEMS:
                self._embed_window(window, report, listener)
                window, cost = [], 0
        self._embed_window(window, report, listener)
        report.seconds = time.perf_counter() - start
        return report

    def _prepared(self, work: Sequence[Work], report: EncodeReport) -> Iterator[_Ready | BadItem]:
        """Prepared items in the order of `work`, made ahead by threads."""
        chunks = _chunks(work)
        if self._workers == 0:
            for chunk in chunks:
                yield from self._prepare(chunk)
            return
        with ThreadPoolExecutor(self._workers, thread_name_prefix="prepare") as pool:
            ahead: deque[Future[list[_Ready | BadItem]]] = deque()
            try:
                for chunk in chunks:
                    ahead.append(pool.submit(self._prepare, chunk))
                    if len(ahead) > 4 * self._workers:
                        yield from _waited(ahead.popleft(), report)
                while ahead:
                    yield from _waited(ahead.popleft(), report)
            finally:
                for future in ahead:
                    future.cancel()

    def _prepare(self, chunk: Sequence[Work]) -> list[_Ready | BadItem]:
        prepared: list[_Ready | BadItem] = []
        for work in chunk:
            try:
                prepared.append(_Ready(work, self._embedder.prepare(work.item, work.role)))
            except BadMedia as error:
                prepared.append(BadItem(work, error))
        return prepared

    def _embed_window(self, window: list[_Ready], report: EncodeReport, listener: Listener) -> None:
        todo = deque(sorted(window, key=lambda ready: ready.features.cost, reverse=True))
        while todo:
            batch = _next_batch(todo, self._budget)
            vectors = self._embed(batch)
            if vectors is None:
                self._budget = max(1, batch[0].features.cost * len(batch) // 2)
                todo.extendleft(reversed(batch))
                report.backoffs += 1
                listener.note(f"Out of memory with {len(batch)} items: going on with a budget of {self._budget:,}.")
                continue
            self._store.put([ready.work.key for ready in batch], vectors)
            report.items += len(batch)
            report.batches += 1
            report.cost += sum(ready.features.cost for ready in batch)
            report.padded_cost += batch[0].features.cost * len(batch)
            listener.advance(len(batch))

    def _embed(self, batch: Sequence[_Ready]) -> FloatArray | None:
        """Checked vectors of a batch; None if it did not fit into memory."""
        try:
            vectors = as_matrix(self._embedder.embed([ready.features for ready in batch]))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise UserError(
                    f"There is not enough memory even for one item: {describe(batch[0].work)}.",
                    "Use a machine with more memory, a smaller --dtype, or a model option that takes fewer pixels. "
                    "What was embedded before is kept.",
                ) from error
        else:
            self._width = check_vectors(vectors, [ready.work for ready in batch], self._width)
            return vectors
        release_memory()
        return None


@dataclass(frozen=True, slots=True)
class BadItem:
    """An item that could not be prepared, and why."""

    work: Work
    error: BadMedia


def _chunks(work: Sequence[Work]) -> Iterator[Sequence[Work]]:
    """Texts go to the threads many at a time, since each takes microseconds; media one by one."""
    start = 0
    while start < len(work):
        size = 1 if work[start].item.media else _TEXTS_AT_ONCE
        yield work[start : start + size]
        start += size


def _waited(future: Future[list[_Ready | BadItem]], report: EncodeReport) -> Iterable[_Ready | BadItem]:
    start = time.perf_counter()
    result = future.result()
    report.waiting += time.perf_counter() - start
    return result


def _next_batch(todo: deque[_Ready], budget: int) -> list[_Ready]:
    """As many of the costliest items left as fit: the first sets what each of them takes up."""
    longest = max(1, todo[0].features.cost)
    size = max(1, min(budget // longest, _MOST_ITEMS, len(todo)))
    return [todo.popleft() for _ in range(size)]


def as_matrix(output: object) -> FloatArray:
    """A model's output as fp32 `(n, d)`, whatever library and device it comes from."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(output, torch.Tensor):
        output = output.detach().to(device="cpu", dtype=torch.float32).numpy()
    matrix: FloatArray = np.asarray(output, dtype=np.float32)
    return matrix


def check_vectors(vectors: FloatArray, work: Sequence[Work], width: int | None) -> int:
    """The width of a batch of vectors. Raises UserError for a wrong shape and for vectors that mean nothing."""
    if vectors.ndim != 2 or len(vectors) != len(work):
        raise UserError(
            f"The model returned an array of shape {vectors.shape} for {len(work)} items.",
            "embed must return one vector for each item, as (items, width).",
        )
    if width is not None and vectors.shape[1] != width:
        raise UserError(
            f"The model returned vectors of width {vectors.shape[1]}, but those stored before have width {width}.",
            "A model that changed needs a new revision in its spec; then it gets vectors of its own.",
        )
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        first, bad = describe(work[int(np.argmin(finite))]), int((~finite).sum())
        raise UserError(
            f"The model returned a vector that is not finite for {first} ({bad} of {len(work)} in its batch).",
            "Look for overflow (try --dtype float32) or for a broken checkpoint. Nothing of this batch was stored.",
        )
    zero = ~vectors.any(axis=1)
    if zero.any():
        raise UserError(
            f"The model returned a vector of zeros for {describe(work[int(np.argmax(zero))])}.",
            "A vector of zeros has no direction, so nothing can be ranked by it. Nothing of this batch was stored.",
        )
    return int(vectors.shape[1])


def describe(work: Work) -> str:
    """An item in a few words, for messages."""
    parts = [repr(medium.name) for medium in work.item.media]
    text = work.item.full_text
    if text:
        parts.append(repr(text if len(text) <= 80 else text[:77] + "..."))
    return f"the {work.role} {' with text '.join(parts) or 'without content'}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of numpy, of torch or of its CPU allocator means that memory ran out."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "out of memory" in text
        or "can't allocate memory" in text
    )


def release_memory() -> None:
    """Gives back what a failed batch left behind."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
