"""Measures exact ranking of a large pool. The baseline is the flat index of faiss. See README.md.

Both sides run in processes of their own, so that each has a peak of memory of its own. They must agree on every rank
that fp32 decides.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import lib.common as common
import numpy as np

from harness.encoding.store import Store
from harness.scoring.pool import Pool, rank_pool
from harness.scoring.rank import normalise
from harness.scoring.ranking import RankQuery
from harness.types import FloatArray, IndexArray

_CHUNK = 1 << 16
_TOP = 10


def draw(folder: Path, targets: int, queries: int, width: int) -> None:
    """Writes unit vectors as arrays and as a store. Half of the queries are near their right target."""
    rng = np.random.default_rng(0)
    pool = np.lib.format.open_memmap(folder / "targets.npy", "w+", np.float32, (targets, width))
    with Store(folder / "store", common.Free(width).spec) as store:
        for start in range(0, targets, _CHUNK):
            part = normalise(rng.standard_normal((min(_CHUNK, targets - start), width), dtype=np.float32))
            pool[start : start + len(part)] = part
            store.put([key(number) for number in range(start, start + len(part))], part)
    right = rng.choice(targets, queries, replace=False).astype(np.int32)
    noise = rng.standard_normal((queries, width), dtype=np.float32) * np.float32(0.25)
    np.save(folder / "queries.npy", normalise(pool[np.sort(right)] + noise))
    np.save(folder / "right.npy", np.sort(right))


def key(number: int) -> bytes:
    """Returns a key of the store for a target."""
    return number.to_bytes(32, "big")


def ours(folder: Path, *, stored: bool) -> IndexArray:
    """Returns the rank of each right target, from the store or from an array in memory."""
    queries, right = np.load(folder / "queries.npy"), np.load(folder / "right.npy")
    asked = [RankQuery(str(row), np.empty(0, np.int32), right[row : row + 1], 1) for row in range(len(right))]
    if not stored:
        return ranks(queries, asked, Pool.of(np.load(folder / "targets.npy")))
    with Store(folder / "store", common.Free(queries.shape[1]).spec) as store:
        size = len(np.load(folder / "targets.npy", mmap_mode="r"))
        pool = Pool(size, lambda numbers: store.get([key(number) for number in numbers.tolist()]), lengths=(1.0, 1.0))
        return ranks(queries, asked, pool)


def ranks(queries: FloatArray, asked: list[RankQuery], pool: Pool) -> IndexArray:
    """Returns the best rank of each query's right target."""
    return np.array([each.best[0] for each in rank_pool(queries, asked, pool, top=_TOP)], dtype=np.int32)


def flat(folder: Path) -> IndexArray:
    """Returns the ranks that the flat index of faiss gives: the place in its top, or 0 beyond it."""
    import faiss

    faiss.omp_set_num_threads(1)
    queries, right = np.load(folder / "queries.npy"), np.load(folder / "right.npy")
    index = faiss.IndexFlatIP(queries.shape[1])
    index.add(np.load(folder / "targets.npy"))
    found = index.search(queries, _TOP)[1] == right[:, None]
    return np.where(found.any(axis=1), found.argmax(axis=1) + 1, 0).astype(np.int32)


SIDES: Mapping[str, Callable[[Path], IndexArray]] = {
    "ours, from an array": lambda folder: ours(folder, stored=False),
    "ours, from the store": lambda folder: ours(folder, stored=True),
    "faiss, flat index": flat,
}


def measured(side: str, folder: Path) -> dict[str, object]:
    """Runs one side in a process of its own, and returns its seconds, its peak of memory and its ranks."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def report(settings: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Measures all sides in turns and compares their ranks."""
    rounds = [{side: measured(side, folder) for side in SIDES} for _ in range(settings.repeats)]
    seconds = {side: [float(str(each[side]["seconds"])) for each in rounds] for side in SIDES}
    memory = {side: round(max(int(str(each[side]["bytes"])) for each in rounds) / 2**30, 2) for side in SIDES}
    array, store, baseline = seconds.values()
    mine, stored, theirs = (np.array(rounds[0][side]["ranks"]) for side in SIDES)
    return {
        "seconds": common.medians(seconds),
        "array: time as a multiple of faiss": common.ratio(array, baseline),
        "store: time as a multiple of faiss": common.ratio(store, baseline),
        "peak memory in GiB": memory,
        "store and array: same ranks": bool((mine == stored).all()),
        "faiss: same ranks within its top": bool((np.where(mine <= _TOP, mine, 0) == theirs).all()),
        "right targets within the top": int((mine <= _TOP).sum()),
    }


def main() -> None:
    """Measures and writes the report, or runs one side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=common.RESULTS / "pool.json")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.side:
        start = time.perf_counter()
        found = SIDES[settings.side](settings.folder).tolist()
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "bytes": common.peak_memory(), "ranks": found}))
        return
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), settings.targets, settings.queries, settings.width)
        figures = report(settings, Path(folder))
    sizes = {name: getattr(settings, name) for name in ("targets", "queries", "width", "repeats")}
    common.write_report(settings.out, {**sizes, "top": _TOP}, {f"{settings.targets:,} targets": figures})


if __name__ == "__main__":
    main()
