"""Signs of life of the processes of a run. Who waits for a process that stands still says so, and in the end gives up.

A process that was stopped, or whose machine is out of reach, has not ended, so no launcher notices it. The others wait
for it inside a library, where they cannot say anything. So in each process a thread leaves a sign of life every few
seconds, in the store of the launcher. It looks for those of the others. A process that works for long is waited for.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from harness.errors import UserError

if TYPE_CHECKING:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

_BEAT, _NOTICE = 5.0, 60.0
"""Seconds between two signs of life, and after which a wait is said. Both are less where the limit is short."""
_USUAL, _MOST = 30.0, 100_000.0
"""Minutes of the limit: without a choice, and at most."""
_RESUME = "Finished work is kept. Run the same command again to continue; `llave train` needs --resume."


def patience(minutes: float | None = None) -> timedelta:
    """Returns how long a process may stand still: `minutes`, or what LLAVE_PATIENCE says, or half an hour.

    Raises: UserError if that variable does not hold minutes.
    """
    if minutes is None:
        text = os.environ.get("LLAVE_PATIENCE") or str(_USUAL)
        try:
            minutes = float(text)
        except ValueError:
            minutes = 0.0
        if not 0 < minutes <= _MOST:
            raise UserError(f"LLAVE_PATIENCE is {text!r}.", f"Set it to minutes, above 0 and up to {_MOST:,.0f}.")
    return timedelta(minutes=minutes)


class Sign(NamedTuple):
    """What a process leaves in the store."""

    beats: int = 0
    """Grows for as long as the process lives. -1: the process has ended."""
    meetings: int = 0
    """Number of meetings, at which all processes wait for each other, that it has come to."""


@dataclass
class Watch:
    """What a process knows of the others. Times are in seconds."""

    rank: int
    size: int
    limit: float
    own: Sign = field(default_factory=Sign)
    waits_since: float | None = None
    """When this process came to a meeting that is not over."""
    _signs: dict[int, Sign] = field(default_factory=dict)
    _changed: dict[int, float] = field(default_factory=dict)
    _said: set[tuple[int, ...]] = field(default_factory=set)

    @property
    def notice(self) -> float:
        """Seconds after which a wait is said."""
        return min(_NOTICE, self.limit / 2)

    def look(self, signs: Mapping[int, Sign], now: float) -> list[str]:
        """Takes in the signs of the others, as far as they are known. Returns what is to be said about them."""
        for rank in range(self.size):
            if rank not in self._changed or signs.get(rank, self._signs.get(rank)) != self._signs.get(rank):
                self._changed[rank] = now
        self._signs.update(signs)
        still = self.still(now, self.notice)
        late = [rank for rank in self._late() if rank not in still] if self._waits_long(now) else []
        return [
            *self._new(still, f"no sign of life for {self.notice:g} seconds"),
            *self._new(late, "at work, and not yet here"),
        ]

    def still(self, now: float, seconds: float) -> list[int]:
        """Returns the processes that have not ended, and have given no sign for so long."""
        alive = [rank for rank in self._changed if rank != self.rank and self._signs.get(rank, Sign()).beats >= 0]
        return [rank for rank in alive if now - self._changed[rank] >= seconds]

    def speaks(self, about: Sequence[int]) -> bool:
        """Whether this process is the one that says something about others: the first of the rest."""
        return self.rank == min(set(range(self.size)) - set(about))

    def _late(self) -> list[int]:
        behind = (rank for rank, sign in self._signs.items() if sign.meetings < self.own.meetings and sign.beats >= 0)
        return sorted(behind)

    def _waits_long(self, now: float) -> bool:
        return self.waits_since is not None and now - self.waits_since >= self.notice

    def _new(self, ranks: Sequence[int], why: str) -> Iterator[str]:
        about = (*ranks, self.own.meetings)
        if ranks and about not in self._said and self.speaks(ranks):
            self._said.add(about)
            yield f"Process {self.rank} waits for {named(ranks)}: {why}."


def named(ranks: Sequence[int]) -> str:
    """Returns the ranks in words."""
    return f"process {ranks[0]}" if len(ranks) == 1 else f"processes {', '.join(map(str, ranks))}"


_watch: Watch | None = None
"""That of this process, if it is one of several."""


def start_watch(rank: int, size: int, limit: timedelta) -> None:
    """Starts the thread that leaves signs of life and looks for those of the others. A second call does nothing."""
    global _watch
    if _watch is None and "MASTER_PORT" in os.environ:
        _watch = Watch(rank, size, limit.total_seconds())
        threading.Thread(target=_beat, args=(_watch,), daemon=True, name="peers").start()


@contextmanager
def meeting() -> Iterator[None]:
    """The time in which this process waits for all others."""
    if _watch is not None:
        _watch.own = Sign(_watch.own.beats, _watch.own.meetings + 1)
        _watch.waits_since = time.monotonic()
    try:
        yield
    finally:
        if _watch is not None:
            _watch.waits_since = None


def _beat(watch: Watch) -> None:
    """Gives signs and looks for them, until the store has gone with the process that keeps it."""
    from torch.distributed import DistNetworkError, DistStoreError

    pause = min(_BEAT, watch.limit / 6)
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    keys = [f"llave/{attempt}/{rank}" for rank in range(watch.size)]
    store: TCPStore | None = None
    while True:
        watch.own = Sign(watch.own.beats + 1, watch.own.meetings)
        try:
            store = store or _join_store(keys[watch.rank], timedelta(seconds=pause + 1))
            store.set(keys[watch.rank], f"{watch.own.beats} {watch.own.meetings}")
            known = keys if store.check(keys) else [key for key in keys if store.check([key])]
            texts = dict(zip(known, store.multi_get(known), strict=True))
            signs = {rank: Sign(*map(int, texts[key].split())) for rank, key in enumerate(keys) if key in texts}
        except (DistStoreError, DistNetworkError) as error:
            if store is not None and isinstance(error, DistNetworkError):
                return
            # process 0 may keep the store, and stand still
            signs = {rank: Sign(watch.own.beats, watch.own.meetings) for rank in range(1, watch.size)}
        now = time.monotonic()
        for line in watch.look(signs, now):
            sys.stderr.write(f"{line}\n")
        if lost := watch.still(now, watch.limit):
            _give_up(watch, lost)
        time.sleep(pause)


def _join_store(key: str, timeout: timedelta) -> TCPStore:
    """Opens the store of the launcher, in which `key` will say that this process has ended."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(*address, is_master=False, wait_for_workers=False, timeout=timeout)
    atexit.register(lambda: store.set(key, "-1 0"))
    return store


def _give_up(watch: Watch, lost: Sequence[int]) -> NoReturn:
    """Ends this process, which is inside a library that would wait on."""
    if watch.speaks(lost):
        what = f"error (process {watch.rank}): {named(lost)} gave no sign of life for {watch.limit / 60:g} minutes."
        sys.stderr.write(f"{what}\n  {_RESUME}\n  --patience and LLAVE_PATIENCE set that time.\n")
        sys.stderr.flush()
    os._exit(1)
