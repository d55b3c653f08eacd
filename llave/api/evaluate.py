"""`llave.evaluate`: models on tasks, from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.errors import RunFailed, UserError
from harness.files.paths import RESULTS, STORE
from harness.types import EvalConfig, ModelSettings, ProtocolName, Scalar
from llave.api.choose import TaskChoice, Tasks, choose_tasks
from llave.api.models import Model, model_settings, open_models

if TYPE_CHECKING:
    from harness.evaluate import RunSettings
    from llave.api.engine import SecondStage
    from llave.api.results import EvalResults


def evaluate(
    model: Model | Sequence[Model],
    tasks: Tasks = "demo",
    *,
    data: str | Path | None = None,
    images: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    allow_roots: Sequence[str | Path] = (),
    limit: int | None = None,
    protocol: ProtocolName = "strict",
    on_bad_media: Literal["stop", "count-as-wrong"] = "stop",
    rerank: tuple[str | Path, int] | None = None,
    out: str | Path = RESULTS,
    store: str | Path = STORE,
    budget: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    dtype: str = "auto",
    seed: int = 0,
    model_options: Mapping[str, Scalar] | None = None,
    trust_remote_code: bool = False,
    progress: bool = True,
) -> EvalResults:
    """Evaluates a model, or several, on tasks. The result files are those that `llave run` writes.

    Args:
        model: a name from `models()`, `ORG/NAME`, a folder, `http://HOST/v1#MODEL`, an object, or a list of these.
        tasks: names of tasks and suites with commas between, a folder, a .jsonl file, or a `Task`. Or a list.
        data: a folder, a .jsonl file, or a table with labels or captions, which the named tasks are read from.
        images: the folder that image paths are relative to.
        columns: columns of `data` with names of their own, such as `{"image": "file"}`.
        allow_roots: other folders that links in the data may lead into.
        limit: number of queries of each task that are used, from the first; all if None.
        protocol: `strict`: ties are neutral; `official`: ties are won, as in the public code.
        on_bad_media: whether an unusable image or video is an error, or queries that need it count as wrong.
        rerank: a cross-encoder or ColBERT, and how many of the best candidates it orders anew: `("ORG/NAME", 100)`.
        out: folder of the results.
        store: folder of the embedding store.
        budget: the largest cost of a batch, in tokens or pixels. If None: 16,384, or 2,048 for a network on the CPU.
        workers: number of threads that prepare items; one for each processor, up to 8, if None.
        device: `cpu`, `cuda`, `cuda:1`, or `auto`.
        dtype: `float32`, `bfloat16`, `float16`, or `auto`.
        seed: seed of models that draw at random.
        model_options: settings of the model, such as `{"max_length": 2048}`.
        trust_remote_code: whether code that a checkpoint brings may run, from pinned revisions only.
        progress: whether to show a progress bar.

    Returns:
        The results, which show as a table in a notebook. Finished ones are found, not computed again.

    Raises:
        UserError: for what cannot be used. What was finished before is kept; the same call continues from there.

    Example:
        >>> found = llave.evaluate("classical", "demo-object", limit=5, progress=False)
    """
    how = _config(protocol, limit, on_bad_media), _run_settings(out, store, budget, workers, device)
    load = model_settings(device, dtype, seed, model_options, trust_remote_code, store)
    chosen, second = choose_tasks(tasks, data, images, allow_roots, columns), rerank and second_stage(*rerank, load)
    return _evaluate(model, chosen, load, *how, progress, second)


def second_stage(name: str | Path, top: int, settings: ModelSettings) -> SecondStage:
    """The reranker of that name as a second stage. Options of models are not its own. Raises UserError."""
    from harness.models.libraries.cross_encoder import open_reranker
    from llave.api.engine import SecondStage

    check_count("top", top, 1)
    return SecondStage(open_reranker(str(name), settings), top)


def _evaluate(
    model: Model | Sequence[Model],
    chosen: TaskChoice,
    load: ModelSettings,
    config: EvalConfig,
    settings: RunSettings,
    progress: bool,
    second: SecondStage | None,
) -> EvalResults:
    from harness.encoding.distributed import join
    from llave.api.engine import evaluate_models
    from llave.api.progress import shown
    from llave.api.results import EvalResults, TaskResult

    world = join(settings.device)  # a model may be made as soon as it is opened, and then on this process's device
    with shown(progress and world.is_main) as bar:
        handles = open_models(model, load, bar.note)
        outcome = evaluate_models(handles, chosen.tasks, config, settings, world, bar, second)
    if outcome.failures:
        first = outcome.failures[0]
        raise RunFailed(first.what, f"{first.hint}\nWhat was finished is in {settings.out}.".strip()) from first
    evaluations = [evaluation for _, evaluation in outcome.done]
    return EvalResults(
        tuple(TaskResult(result, settings.out) for each in evaluations for result in each.results),
        chosen.suite,
        sum(each.found for each in evaluations),
        sum(each.counts.distinct - each.counts.stored for each in evaluations),
    )


def _config(protocol: ProtocolName, limit: int | None, on_bad_media: str) -> EvalConfig:
    """The conditions of the evaluation. Raises UserError for values that the command line refuses too."""
    check_count("limit", limit, 1)
    for name, word, known in (
        ("protocol", protocol, ("strict", "official")),
        ("on_bad_media", on_bad_media, ("stop", "count-as-wrong")),
    ):
        if word not in known:
            raise UserError(f"{name} cannot be {word!r}.", f"Choose from {', '.join(known)}.")
    return EvalConfig(protocol, limit, on_bad_media == "count-as-wrong")


def _run_settings(
    out: str | Path, store: str | Path, budget: int | None, workers: int | None, device: str
) -> RunSettings:
    """The folders and limits of the run. Raises UserError for values that the command line refuses too."""
    from harness.evaluate import RunSettings
    from llave.api.engine import worker_count

    check_count("budget", budget, 1)
    check_count("workers", workers, 0)
    return RunSettings(Path(out), Path(store), budget, worker_count(workers), device)


def check_count(name: str, value: int | None, least: int) -> None:
    """Raises UserError for anything but None and a whole number from `least`."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
        raise UserError(f"{name} cannot be {value!r}.", f"Give a whole number from {least}.")
