"""A model behind a server. Several requests are under way at once, and each answer is handed on as it comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

import numpy as np

from harness.encoding import DEFAULT_BUDGET
from harness.encoding.streaming import PartialAnswer
from harness.encoding.vectors import Work, as_matrix, describe
from harness.errors import UserError, counted
from harness.media.frame_policy import FramePolicy
from harness.models.common import plain_text
from harness.models.endpoints.dialects import Asking, Dialect
from harness.models.endpoints.http import Client, Refused
from harness.models.endpoints.message import Message, Part, file_parts, in_order, text_part
from harness.models.endpoints.options import EndpointOptions
from harness.types import Features, FloatArray, Item, ModelSpec, Role

_TOO_LONG = ("token", "long", "length", "large", "exceed")
"""Words of which a refusal of an item that is too long has one."""


@dataclass(frozen=True, slots=True)
class _Request:
    """Items of one role, with their places among all that were asked for."""

    members: tuple[tuple[int, Message], ...]
    cut: bool = False

    def halves(self) -> tuple[_Request, _Request]:
        middle = len(self.members) // 2
        return replace(self, members=self.members[:middle]), replace(self, members=self.members[middle:])


class EndpointEmbedder:
    """An embedder that asks a server. Whatever fails on the way and passes, the vectors are those of a quiet run."""

    def __init__(self, spec: ModelSpec, model: str, dialect: Dialect, options: EndpointOptions, client: Client) -> None:
        self.spec = spec
        self._model = model
        self._dialect = dialect
        self._options = options
        self._client = client
        self._frames = None if options.frames is None else FramePolicy.parse(options.frames)
        self._blank = dialect.blank if options.blank is None else options.blank

    def prepare(self, item: Item, role: Role) -> Features[Message]:
        """Reads the files. The cost is a rough number of tokens.

        Raises:
            BadMedia: for a file that cannot be used or that the dialect does not take.
            UserError: for an item that the dialect cannot carry.
        """
        files = [file_parts(medium, self._dialect.takes, self._frames) for medium in item.media]
        return self.compose(item.instruction, item.text, files, role, describe(Work(b"", item, role)))

    def compose(
        self, instruction: str, text: str, files: Sequence[Sequence[Part]], role: Role, label: str
    ) -> Features[Message]:
        """The features of an item whose files were read. Raises as `prepare`."""
        prompt = self._options.query_prompt if role == "query" else self._options.target_prompt
        apart = prompt + instruction if self._options.instruction == "system" else ""
        parts = tuple(in_order(text if apart else prompt + instruction + text, files))
        if not parts and self._blank:
            parts = (text_part(self._blank),)
        message = Message(role, plain_text(apart).strip(), parts, label)
        self._check(message)
        truncated = 0 < self._dialect.silent < message.tokens
        return Features(message, message.tokens, truncated)

    def embed(self, features: Sequence[Features[Message]]) -> FloatArray:
        """Returns the vectors `(n, d)` in fp32. Raises UserError for what the server does not answer."""
        rows: dict[int, FloatArray] = {}
        for answer in self.stream(features, DEFAULT_BUDGET):
            rows.update(zip(answer.positions, as_matrix(answer.vectors), strict=True))
        widths = {row.shape for row in rows.values()}
        if len(widths) > 1:
            raise UserError(f"{self._client.url} gives vectors of several widths.", "Look at what that server runs.")
        return np.stack([rows[at] for at in range(len(rows))])

    def stream(self, features: Iterable[Features[Message]], budget: int) -> Iterator[PartialAnswer]:
        """Yields the server's answers, as `Streaming` says. A refused request is split until one item is left."""
        fresh, again = self._requests(features, budget), deque[_Request]()
        flying: dict[Future[FloatArray], _Request] = {}
        failure: UserError | None = None
        pool = ThreadPoolExecutor(self._options.concurrency, thread_name_prefix="request")
        try:
            while True:
                while failure is None and len(flying) < self._client.pace.limit:
                    request = again.popleft() if again else next(fresh, None)
                    if request is None:
                        break
                    flying[pool.submit(self._ask, request)] = request
                if not flying:
                    break
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    request = flying.pop(future)
                    try:
                        vectors = future.result()
                    except Refused as refusal:
                        smaller = self._smaller(request, refusal)
                        again.extend(smaller)
                        failure = failure or (None if smaller else self._about(request, refusal))
                    except UserError as error:
                        failure = failure or error
                    else:
                        positions = [at for at, _ in request.members]
                        yield PartialAnswer(positions, vectors, len(positions) if request.cut else 0)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if failure:
            raise failure

    def _requests(self, features: Iterable[Features[Message]], budget: int) -> Iterator[_Request]:
        """Requests of items of one role, each within the limits of the dialect and the budget."""
        tokens = min(budget, self._dialect.tokens or budget)
        waiting: dict[Role, list[tuple[int, Message]]] = {"query": [], "target": []}
        for at, each in enumerate(features):
            mine = waiting[each.data.role]
            many = [message for _, message in mine] + [each.data]
            if mine and (
                sum(message.tokens for message in many) > tokens
                or sum(message.bytes for message in many) > self._dialect.bytes
            ):
                yield _Request(tuple(mine))
                mine.clear()
            mine.append((at, each.data))
            if len(mine) == self._options.batch:
                yield _Request(tuple(mine))
                mine.clear()
        yield from (_Request(tuple(mine)) for mine in waiting.values() if mine)

    def _ask(self, request: _Request) -> FloatArray:
        messages = [message for _, message in request.members]
        options = self._options
        side = options.query if messages[0].role == "query" else options.target
        asking = Asking(
            self._model, options.dimensions, side or "", request.cut, options.generation_prompt, self._blank
        )
        reply = self._client.post(self._dialect.write(asking, messages))
        try:
            return self._dialect.read(reply, len(messages))
        except ValueError as error:
            what = f"The answer of {self._client.url} cannot be used: {error}."
            raise UserError(what, "Check --model-option dialect=NAME, and what the server runs.") from None

    def _smaller(self, request: _Request, refusal: Refused) -> Sequence[_Request]:
        """What to send in place of a request that was refused; nothing if no smaller one is left."""
        if len(request.members) > 1:
            return request.halves()
        is_long = any(word in refusal.what.lower() for word in _TOO_LONG)
        if is_long and self._options.too_long == "cut" and not request.cut:
            return (replace(request, cut=True),)
        return ()

    def _about(self, request: _Request, refusal: Refused) -> UserError:
        """The refusal of one item, by its name."""
        can_cut = self._dialect.cuts and self._options.too_long == "stop"
        cut = "If it is too long: --model-option too_long=cut. Such items are counted."
        hint = cut if can_cut else "Leave it out, or make it shorter if it is too long."
        return UserError(f"The server refuses {request.members[0][1].label}: {refusal.what}", hint)

    def _check(self, message: Message) -> None:
        """Raises UserError for an item that the dialect cannot carry."""
        dialect, files = self._dialect, message.files
        if not message.parts:
            raise UserError(
                f"{dialect.name} takes no empty item, and {message.label} is empty.",
                "Say what such items are sent as: --model-option blank=TEXT",
            )
        if dialect.files and len(files) > dialect.files:
            what = f"{dialect.name} takes {counted(dialect.files, 'file')} in an item, not {len(files)}"
        elif files and not dialect.mixed and message.text:
            what = f"{dialect.name} takes a text or an image in an item, not both"
        elif message.bytes > dialect.bytes:
            what = f"{dialect.name} takes {dialect.bytes // 1_000_000} MB in a request, not {message.bytes:,} bytes"
        else:
            return
        raise UserError(f"{what}: {message.label}.", "Use another dialect, or leave out such items.")
