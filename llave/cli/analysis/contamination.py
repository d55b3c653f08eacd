"""The command `llave contamination`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from llave.cli.analysis.output import add_report_flags, measured_entries, print_report
from llave.cli.flags import DONE, Number, add_task_flags, columns_of, console, natural, positive

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.progress import Progress
    from harness.types import Item
    from trainers.data.mmeb_train import Subset

ABOUT = "find test queries in training data, and score without them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave contamination`."""
    parser.add_argument(
        "--train",
        required=True,
        metavar="DATA",
        help="training data as `llave train --data` takes it: a folder, a .jsonl file, a name on the hub, or demo",
    )
    parser.add_argument(
        "--train-images", type=Path, metavar="DIR", help="folder of its image paths (default: found beside the data)"
    )
    add_task_flags(parser)
    add = parser.add_argument_group("comparison").add_argument
    add("--limit", type=positive, metavar="N", help="only the first N queries of each task (default: all)")
    add("--exact", action="store_true", help="compare the bytes of pictures only, which decodes none")
    add(
        "--results",
        type=Path,
        nargs="+",
        default=[],
        metavar="RESULT",
        help="results that are scored with and without the queries that are hit (default: none)",
    )
    add("--most", type=natural, default=10, metavar="N", help="show N of the hits")
    add("--workers", type=Number(0, 1_000), metavar="N", help="number of threads (default: one for each processor)")
    add_report_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Prints what the training data has of the tasks."""
    from harness.data.cache import DatasetCache
    from harness.media.digests import Digests
    from harness.types import EvalConfig
    from leaderboards.analysis.contamination import overlap
    from leaderboards.analysis.contamination_report import clean_scores, contamination_report
    from llave.api.console_progress import ProgressBar
    from llave.api.engine import worker_count
    from tasks.catalog import resolve_tasks

    roots, columns = tuple(options.allow_root), columns_of(options)
    tasks = resolve_tasks(options.tasks, options.suite, options.data, options.images, roots, columns)
    entries = measured_entries(options.results) if options.results else []
    training = _training(options)
    workers = worker_count(options.workers)
    digests = Digests()
    with ProgressBar(console(stderr=True)) as progress:
        cache = DatasetCache(digests, progress, workers)
        datasets = [cache.load(task, EvalConfig(limit=options.limit)) for task in tasks]
        items, pairs = _items(training, progress), sum(map(len, training))
        found = overlap(datasets, items, digests, progress, workers=workers, pairs=pairs, exact=options.exact)
    digests.flush()
    scores, notes = clean_scores(entries, found)
    print_report(contamination_report(options.train, found, scores, notes, options.most), options)
    return DONE


def _training(options: argparse.Namespace) -> Sequence[Subset]:
    """The datasets of the training data. Raises UserError as training does."""
    from trainers.data.training_data import load_training_data
    from trainers.recipes import find_recipe

    config = replace(
        find_recipe("demo"),
        data=options.train,
        images=str(options.train_images) if options.train_images else None,
        allow_roots=tuple(map(str, options.allow_root)),
        batch=2,  # nothing is trained, so there may be few pairs
        batches="mixed",
    )
    return load_training_data(config).subsets


def _items(subsets: Sequence[Subset], progress: Progress) -> Iterator[tuple[str, Item]]:
    for subset in subsets:
        for index in range(len(subset)):
            for item in subset.pair(index).items:
                yield subset.where(index), item
            progress.advance(1)
