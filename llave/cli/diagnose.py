"""`llave diagnose`: how similar positive and negative pairs are to models, by dataset."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.results.numbers import fixed, percent, signed
from llave.cli.flags import (
    DONE,
    MODEL_HELP,
    Number,
    add_engine_flags,
    add_model_flags,
    add_task_flags,
    columns_of,
    console,
    model_settings,
    positive,
    say,
)

if TYPE_CHECKING:
    from harness.progress import Progress
    from harness.types import Item, ModelHandle
    from leaderboards.tables import Table
    from trainers.data.mmeb_train import Subset
    from trainers.monitor.diagnostics import Diagnosis
    from trainers.monitor.similarity import Sample

ABOUT = "show how similar positive and negative pairs are to models"
_COLUMNS: Mapping[str, Callable[[float], str]] = {
    "positive": lambda value: fixed(value, 3),
    "negative": lambda value: fixed(value, 3),
    "overlap": lambda value: f"{percent(value)}%",
    "auc": lambda value: fixed(value, 3),
    "margin": lambda value: signed(value, 3),
    "hard": lambda value: f"{percent(value)}%",
    "entropy": lambda value: fixed(value, 3),
    "effective": fixed,
    "suspects": lambda value: f"{percent(value, 2)}%",
}
"""Figures in the table, as text."""
_LONGEST = 24
"""Most characters on a line of a name in the table."""
_FEW = 100
"""Number of queries of a dataset below which a note says that the overlap is rough."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `llave diagnose`."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help=MODEL_HELP)
    add_task_flags(parser, recipe=True)
    add = parser.add_argument_group("similarities").add_argument
    add(
        "--recipe",
        metavar="RECIPE",
        help="the training pairs of a recipe, such as demo or llave-2b (default: none, but tasks)",
    )
    add("--pairs", type=positive, default=500, metavar="N", help="largest number of queries of each dataset")
    add(
        "--alpha",
        type=Number(0, 10**6, whole=False),
        default=9.0,
        metavar="A",
        help="hardness weight that the entropy is computed with",
    )
    add(
        "--plot",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="draw the similarities into a .pdf, .png or .svg file; may be repeated (default: none)",
    )
    add("--json", action="store_true", help="print all figures as JSON, with suspected false negatives")
    add_engine_flags(parser)
    add_model_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Prints how similar positive and negative pairs are to each model, and draws plots if asked."""
    from harness.embed import EmbedSettings
    from harness.models import open_model
    from llave.api.console_progress import ProgressBar
    from llave.api.engine import worker_count
    from trainers.monitor.plots import check_plot, plot
    from trainers.monitor.similarity import diagnose_samples

    for path in options.plot:
        check_plot(path)
    settings = model_settings(options)
    workers = worker_count(options.workers)
    how = EmbedSettings(options.store, options.budget, workers)
    notes = console(stderr=True)
    with ProgressBar(notes) as progress:
        names = dict.fromkeys(options.models)
        handles = _by_label([open_model(name, settings, progress.note) for name in names])
        samples = _samples(options, workers, progress)
        found = {
            name: diagnose_samples(samples, handle, how, progress, options.alpha) for name, handle in handles.items()
        }
    if options.json:
        print(json.dumps(_record(found, samples), indent=2))
    else:
        console(wide=True).print(_table(found))
    if any(each.queries < _FEW for figures in found.values() for each in figures.values()):
        say(
            notes,
            "note: overlaps of few queries are rough. With 20 queries they are off by about 10 points, with 500 by 2.",
        )
    for path in options.plot:
        files = plot(found, path, _caption)
        more = f" to {files[-1].name}" if len(files) > 1 else ""
        say(notes, f"Plot: {files[0].resolve()}{more}")
    return DONE


def _caption(found: Diagnosis) -> str:
    return f"overlap {percent(found.overlap)} %, AUC {fixed(found.auc, 3)}"


def _by_label(handles: Sequence[ModelHandle]) -> dict[str, ModelHandle]:
    """The models by the name that results have. Models that share it get their revision too, and then a digest."""
    from harness.identity import model_fingerprint

    def labels(parts: int) -> list[str]:
        fields = ((each.spec.name, each.spec.revision[:8], model_fingerprint(each.spec)[:8]) for each in handles)
        return ["@".join(each[:parts]) for each in fields]

    named = next((found for parts in (1, 2) if len(set(found := labels(parts))) == len(handles)), labels(3))
    return dict(zip(named, handles, strict=True))


def _samples(options: argparse.Namespace, workers: int, progress: Progress) -> Mapping[str, Sample]:
    """The samples by dataset."""
    from harness.data.cache import DatasetCache
    from harness.media.digests import Digests
    from harness.types import EvalConfig
    from tasks.catalog import resolve_tasks
    from trainers.monitor.similarity import sample_pairs, sample_task

    digests = Digests()
    if options.recipe is not None:
        samples = {subset.name: sample_pairs(subset, options.pairs, digests) for subset in _subsets(options)}
        digests.flush()
        return samples
    data, images = options.data, options.images
    if options.tasks is None and options.suite is None and data is None:
        raise UserError(
            "No tasks and no training pairs are chosen.",
            "Use --suite, --tasks or --data, or --recipe for training pairs.",
        )
    roots, columns = tuple(options.allow_root), columns_of(options)
    tasks = resolve_tasks(options.tasks, options.suite, data, images, roots, columns)
    cache = DatasetCache(digests, progress, workers)
    config = EvalConfig(limit=options.pairs)
    return {task.name: sample_task(cache.load(task, config).data, options.pairs) for task in tasks}


def _subsets(options: argparse.Namespace) -> Sequence[Subset]:
    from trainers.data.training_data import load_training_data
    from trainers.recipes import find_recipe

    if options.suite is not None:
        raise UserError("--suite chooses tasks, and --recipe chooses training pairs.", "Use one of the two.")
    recipe = find_recipe(options.recipe)
    written = (name.strip() for each in options.tasks or () for name in each.split(","))
    chosen = tuple(name for name in written if name)
    config = replace(
        recipe,
        data=str(options.data or recipe.data),
        images=str(options.images) if options.images else recipe.images,
        allow_roots=(*recipe.allow_roots, *map(str, options.allow_root)),
        datasets=chosen or recipe.datasets,
        batch=2,  # nothing is trained, so there may be fewer pairs than the recipe's batch
        gradient_accumulation_steps=1,
        micro_batch=None,
        batches="mixed",
    )
    return load_training_data(config).subsets


def _table(found: Mapping[str, Mapping[str, Diagnosis]]) -> Table:
    """A row for each dataset and model, and the mean of each model if there are several datasets.

    With one model, the title has its name instead of a column, so that more figures fit.
    """
    from leaderboards.tables import Cell, Table

    several = len(found) > 1
    words = ("dataset", "model") if several else ("dataset",)

    def row(dataset: str, model: str, queries: str, numbers: Mapping[str, float]) -> tuple[Cell, ...]:
        names = (dataset, model) if several else (dataset,)
        figures = (text(numbers[name]) for name, text in _COLUMNS.items())
        return tuple(map(Cell, (*names, queries, *figures)))

    datasets = list(next(iter(found.values())))
    rows = tuple(
        row(dataset, model, f"{each[dataset].queries:,}", each[dataset].numbers())
        for dataset in datasets
        for model, each in found.items()
    )
    means = tuple(row("mean", model, "", _means(list(each.values()))) for model, each in found.items())
    return Table(
        "Positive and negative pairs" + ("" if several else f" of {next(iter(found))}"),
        (*words, "queries", *_COLUMNS),
        rows,
        frozenset(words),
        foot=means if len(datasets) > 1 else (),
        keep=(*words, *list(_COLUMNS)[:3]),
        more="--json has all figures",
        longest=_LONGEST,
    )


def _means(diagnoses: Sequence[Diagnosis]) -> dict[str, float]:
    """The mean of each figure over datasets."""
    rows = [each.numbers() for each in diagnoses]
    return {name: fmean(row[name] for row in rows) for name in rows[0]}


def _record(
    found: Mapping[str, Mapping[str, Diagnosis]], samples: Mapping[str, Sample]
) -> dict[str, dict[str, dict[str, object]]]:
    """All figures by model and dataset, and suspects with their texts and media."""
    return {
        model: {name: {**asdict(each), "suspected": _suspected(each, samples[name])} for name, each in figures.items()}
        for model, figures in found.items()
    }


def _suspected(found: Diagnosis, sample: Sample) -> list[dict[str, object]]:
    return [
        {
            "query": _shown(sample.queries[each.query]),
            "positive": _shown(sample.targets[sample.right[each.query]]),
            "negative": _shown(sample.targets[each.negative]),
            "excess": each.excess,
        }
        for each in found.suspected
    ]


def _shown(item: Item) -> dict[str, object]:
    return {"text": item.full_text, "media": [medium.name for medium in item.media]}
