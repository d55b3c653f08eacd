"""From items without a vector to vectors in the store.

Threads prepare items ahead. A window sorts prepared items by cost. A batch takes items of similar cost within a budget,
is embedded, checked and stored. Batches depend on the items, their costs and the budget only, never on timing.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

from harness.encoding import usual_budget
from harness.encoding.matrices import as_arrays, checked, item_distance
from harness.encoding.oom import is_out_of_memory, release_memory
from harness.encoding.store import Store
from harness.encoding.streaming import Streaming
from harness.encoding.vectors import Work, describe, describe_all
from harness.encoding.window import Bad, Prepared, Ready, Window
from harness.errors import BadMedia, ModelFailed, UserError
from harness.files.reading import named_reason
from harness.progress import Progress, prints_are_messages
from harness.types import Embedder, Features, FloatArray

_WINDOW = 4
"""Number of batches whose prepared items are sorted together. The same number may be waiting."""
_TEXTS_AT_ONCE = 64
_SAME: Mapping[str, float] = {"float32": 0.01, "float16": 0.03, "bfloat16": 0.1}
"""Largest distance of an item's vectors in two runs, by dtype, as in `item_distance`.

Other devices, kernels (TF32 included) and batches move a vector by less. Another model moves it by far more. Other
dtypes have the largest tolerance.
"""


@dataclass(slots=True)
class EncodeReport:
    """The counts and the cost of an encoding run."""

    items: int = 0
    batches: int = 0
    cost: int = 0
    padded_cost: int = 0
    seconds: float = 0.0
    waiting: float = 0.0
    """Seconds during which the model waited for prepared items."""
    backoffs: int = 0
    truncated: int = 0
    """Items longer than the model's limit."""
    bad: dict[bytes, BadMedia] = field(default_factory=dict)

    @property
    def padding_waste(self) -> float:
        """The share of the padded cost that was padding, from 0 to 1."""
        return 1 - self.cost / self.padded_cost if self.padded_cost else 0.0

    def __add__(self, other: EncodeReport) -> EncodeReport:
        """The report of both stretches, one after the other."""
        return EncodeReport(
            self.items + other.items,
            self.batches + other.batches,
            self.cost + other.cost,
            self.padded_cost + other.padded_cost,
            self.seconds + other.seconds,
            self.waiting + other.waiting,
            self.backoffs + other.backoffs,
            self.truncated + other.truncated,
            self.bad | other.bad,
        )


class Encoder:
    """Embeds work with one model into one store. Keeps what it learns about memory from call to call."""

    def __init__(
        self,
        embedder: Embedder[object],
        store: Store,
        *,
        budget: int | None = None,
        workers: int = 1,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._embedder = embedder
        self._check = check  # raises UserError if vectors may no longer be stored under the model's name
        self._store = store
        self._budget = usual_budget(embedder) if budget is None else max(1, budget)
        self._workers = workers
        self._width = store.width()
        self._last_batch = 0

    @prints_are_messages()
    def run(self, work: Sequence[Work], progress: Progress, *, skip_bad_media: bool = False) -> EncodeReport:
        """Embeds all of `work`. Raises UserError for bad media (unless they are to be skipped) and bad vectors."""
        report = EncodeReport()
        start = time.perf_counter()
        with closing(self._prepared(work, report)) as prepared:
            usable = self._usable(prepared, report, progress, skip_bad_media)
            if isinstance(self._embedder, Streaming):
                self._stream(usable, self._embedder, report, progress)
            else:
                self._fill_batches(usable, report, progress)
        report.seconds = time.perf_counter() - start
        return report

    @prints_are_messages()
    def recheck(self, work: Work) -> None:
        """Embeds an item that the store holds once more. Raises: UserError if its vector is not the stored one.

        An item whose media have become bad tells nothing here; the run names it.
        """
        prepared = self._prepare([work])[0]
        if isinstance(prepared, Bad):
            return
        output = self._embed([prepared])
        assert output is not None  # what does not fit alone is an error
        spec = self._embedder.spec
        stored = self._store.tokens([work.key]).vectors if spec.is_late else self._store.get([work.key])[0]
        distance = item_distance(output[0], stored, spec)
        if distance > _SAME.get(spec.dtype, max(_SAME.values())):
            raise UserError(
                f"{spec.name} gives another vector for {describe(work)} than the one in the store (distance "
                f"{distance:.3g}). Their mixture would measure no model.",
                f"`llave doctor` says whether its vectors are repeatable. If the model has changed, it needs a new "
                f"revision. If a library has, remove {self._store.folder}, so that all is embedded again.",
            )

    def _usable(
        self, prepared: Iterator[Prepared], report: EncodeReport, progress: Progress, skip_bad_media: bool
    ) -> Iterator[Ready]:
        """The prepared items without those whose media are bad, which are skipped or raised."""
        for one in prepared:
            if isinstance(one, Ready):
                yield one
                continue
            if not skip_bad_media:
                raise one.error
            report.bad[one.work.key] = one.error
            progress.advance()
            progress.finish(self._embedder.spec.name, {one.work.kind: 1})

    def _fill_batches(self, usable: Iterator[Ready], report: EncodeReport, progress: Progress) -> None:
        window = Window()
        for one in usable:
            window.add(one)
            if window.holds(_WINDOW, self._budget):
                # Not one batch for each that comes: the cheap ones would stay, and leave no choice among the rest.
                while window.holds(_WINDOW // 2, self._budget):
                    self._embed_batch(window, report, progress)
        while len(window):
            self._embed_batch(window, report, progress)

    def _stream(
        self, usable: Iterator[Ready], embedder: Streaming[object], report: EncodeReport, progress: Progress
    ) -> None:
        """Stores each answer as it comes. After an error nothing more is sent; what is under way is still stored."""
        asked: dict[int, Ready] = {}
        failures: list[UserError] = []

        def features() -> Iterator[Features[object]]:
            try:
                for number, one in enumerate(usable):
                    asked[number] = one
                    yield one.features
                    if failures:
                        return
            except UserError as error:
                failures.append(error)

        for answer in embedder.stream(features(), self._budget):
            batch = [asked.pop(at) for at in answer.positions]
            try:
                self._keep(batch, self._checked(answer.vectors, batch), report, progress)
            except UserError as error:
                failures.append(error)
            report.truncated += answer.truncated
        if failures:
            raise failures[0]

    def _prepared(self, work: Sequence[Work], report: EncodeReport) -> Generator[Prepared, None, None]:
        """Prepared items, made ahead by threads, roughly the costliest first: if memory is short it shows at once."""
        chunks = _chunks(sorted(work, key=lambda each: (each.rough_cost, each.key), reverse=True))
        if self._workers == 0:
            for chunk in chunks:
                yield from self._prepare(chunk)
            return
        with ThreadPoolExecutor(self._workers, thread_name_prefix="prepare") as pool:
            ahead: deque[Future[list[Prepared]]] = deque()
            try:
                for chunk in chunks:
                    ahead.append(pool.submit(self._prepare, chunk))
                    # While one window is embedded the next is made ready.
                    while len(ahead) > 2 * self._workers + _WINDOW * self._last_batch // len(chunk):
                        yield from _waited(ahead.popleft(), report)
                while ahead:
                    yield from _waited(ahead.popleft(), report)
            finally:
                for future in ahead:
                    future.cancel()

    def _prepare(self, chunk: Sequence[Work]) -> list[Prepared]:
        prepared: list[Prepared] = []
        for work in chunk:
            try:
                prepared.append(Ready(work, self._embedder.prepare(work.item, work.role)))
            except BadMedia as error:
                prepared.append(Bad(work, error))
            except MemoryError as error:
                what = f"There is not enough memory to prepare {describe(work)}."
                raise UserError(what, "Use fewer --workers or a smaller --budget.") from error
            except UserError:
                raise
            except Exception as error:
                raise self._failed("prepare", [work], error) from error
        return prepared

    def _embed_batch(self, window: Window, report: EncodeReport, progress: Progress) -> None:
        """Embeds the costliest items of the window, or halves the budget if they do not fit into memory."""
        batch = window.batch(self._budget)
        padded_cost = batch[0].cost * len(batch)
        vectors = self._embed(batch)
        if vectors is None:
            release_memory()
            self._budget = padded_cost // 2
            report.backoffs += 1
            progress.note(f"Out of memory with {len(batch)} items: continuing with a budget of {self._budget:,}.")
            return
        self._keep(batch, vectors, report, progress)
        window.drop(batch)
        self._last_batch = len(batch)
        report.padded_cost += padded_cost

    def _keep(
        self, batch: Sequence[Ready], vectors: Sequence[FloatArray], report: EncodeReport, progress: Progress
    ) -> None:
        """Stores checked vectors, and counts them."""
        self._check()
        self._store.put([ready.work.key for ready in batch], vectors)
        report.items += len(batch)
        report.batches += 1
        report.cost += sum(ready.cost for ready in batch)
        report.truncated += sum(ready.features.truncated for ready in batch)
        progress.advance(len(batch))
        progress.finish(self._embedder.spec.name, Counter(ready.work.kind for ready in batch))

    def _checked(self, output: object, batch: Sequence[Ready]) -> list[FloatArray]:
        """What the model returned for each item. Raises UserError for vectors that cannot be stored."""
        arrays = as_arrays(output, self._embedder.spec)
        vectors, self._width = checked(arrays, [ready.work for ready in batch], self._width)
        return vectors

    def _embed(self, batch: Sequence[Ready]) -> list[FloatArray] | None:
        """Checked vectors of a batch; None if it did not fit into memory."""
        try:
            output = as_arrays(self._embedder.embed([ready.features for ready in batch]), self._embedder.spec)
        except UserError:
            raise
        except Exception as error:
            if not isinstance(error, MemoryError | RuntimeError) or not is_out_of_memory(error):
                raise self._failed("embed", [ready.work for ready in batch], error) from error
            if len(batch) == 1:
                raise UserError(
                    f"There is not enough memory even for one item: {describe(batch[0].work)}.",
                    "Use a machine with more memory, a smaller --dtype, or a model option that takes fewer pixels. "
                    "What was embedded before is kept.",
                ) from error
            return None
        return self._checked(output, batch)

    def _failed(self, method: str, work: Sequence[Work], error: Exception) -> ModelFailed:
        """What the model's own code raised, with the items at work."""
        return ModelFailed(
            f"The {method} of {self._embedder.spec.name} failed on {describe_all(work)}: {named_reason(error)}.",
            "This is an error in the model's own code; its traceback is above. What was embedded before is kept.",
        )


def _chunks(work: Sequence[Work]) -> Iterator[Sequence[Work]]:
    """Media go to the threads one by one, then texts many at a time, since each takes microseconds."""
    yield from ([each] for each in work if each.item.media)
    texts = [each for each in work if not each.item.media]
    yield from (texts[start : start + _TEXTS_AT_ONCE] for start in range(0, len(texts), _TEXTS_AT_ONCE))


def _waited(future: Future[list[Prepared]], report: EncodeReport) -> list[Prepared]:
    start = time.perf_counter()
    result = future.result()
    report.waiting += time.perf_counter() - start
    return result
