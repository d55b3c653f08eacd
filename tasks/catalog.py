"""Finds tasks by name, suite and data, as the command line gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

from harness.errors import UnknownName, UserError, unknown_name
from harness.files.reading import is_json_lines, named_reason
from harness.types import Task
from tasks.clustering import ROWS as CLUSTERINGS
from tasks.clustering import clustering_of
from tasks.corpus.mbeir import mbeir_tasks
from tasks.corpus.pairs import CAPTION_KEYS, EVIDENCE_KEYS, LABEL_KEYS, pair_tasks
from tasks.corpus.source import CorpusSource, corpus_tasks
from tasks.corpus.tables import FILE_FORMATS
from tasks.hub_set import FromHub, hub_set
from tasks.jsonl import jsonl_task
from tasks.mmeb.datasets import ROWS as MMEB_ROWS
from tasks.mmeb.folder import FolderSource
from tasks.mmeb.local import local_tasks
from tasks.mmeb_v2.local import ROWS as V2_ROWS
from tasks.mmeb_v2.local import V2Folder
from tasks.mmeb_v2.retrieval import retrieval_sets
from tasks.mmeb_v3.parts import LACKING
from tasks.mmeb_v3.texts import ROWS as V3_ROWS
from tasks.mmeb_v3.texts import V3TextSource
from tasks.names import parse_name
from tasks.suites import find_suite
from tasks.union import in_union
from tasks.video.files import VideoSet, video_sets
from tasks.video.retrieval import ROWS as VIDEO_ROWS
from tasks.video.retrieval import VideoSource, local_video_tasks, published_name, with_data

ENTRY_POINTS = "llave.tasks"
"""The group of entry points by which other packages add tasks. Each is a callable that returns a tuple of tasks."""

ALL = "all"
"""The name that means all subsets of a folder, or the task of a file."""


def all_tasks() -> dict[str, Task]:
    """Every registered task by name: MMEB, its clusterings, text-video retrieval, MMEB-V2 and V3, the demo, and others.

    Raises UserError if another package's tasks cannot be loaded, or if a name is taken.
    """
    from tasks.demo.suite import demo_tasks
    from tasks.demo.wordings import wording_tasks

    rows = (*MMEB_ROWS, *CLUSTERINGS, *VIDEO_ROWS, *V2_ROWS, *V3_ROWS, *demo_tasks(), *wording_tasks())
    tasks = {task.name: task for task in rows}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            added: tuple[Task, ...] = entry.load()()
        except Exception as error:
            what = f"The tasks of {entry.value} cannot be loaded: {named_reason(error)}."
            raise UserError(what, "Update, repair or uninstall that package.") from error
        for task in added:
            if task.name in tasks:
                raise UserError(f"{entry.value} adds a task {task.name}, but there is one already.", "Rename it there.")
            tasks[task.name] = task
    return tasks


def resolve_tasks(
    names: str | Sequence[str] | None = None,
    suite: str | None = None,
    data: Path | None = None,
    images: Path | None = None,
    roots: tuple[Path, ...] = (),
    columns: Mapping[str, str] | None = None,
) -> tuple[Task, ...]:
    """The tasks with the given names, each once. A suite gives all of its tasks, or those that are named.

    Args:
        names: names of tasks, alone or with commas between them. `NAME@global` overrides the scope. `NAME@union`
            ranks the targets of the whole suite or folder, or of all names with @union. `NAME@clustering` sorts the
            queries by their labels. `all` is every subset of a folder, or the task of a file. A name that has a comma
            itself is written alone.
        suite: the name of a suite. Of a folder, those of its tasks that are there, so its means may be incomplete.
        data: a folder in a layout of MMEB, of text-video retrieval, of a corpus, or of a table with labels or captions;
            a JSON Lines file, which is one task; or such a table. With a folder, subsets need not be registered, and
            `all` is the default. `ORG/NAME`, which is no path that is there, is a dataset of the hub. None: the
            registered sources.
        images: the folder that paths of images and videos are relative to.
        roots: other folders that links in the data may lead into.
        columns: columns of a table by the names that they are read under, where they have names of their own.

    Raises:
        UserError: for an unknown name, for no choice without data, for a task that is not in the suite, and for a suite
            of which nothing is there.
    """
    if data is not None and (found := hub_set(data)):
        tasks = resolve_tasks(names, suite, found.fetch(), images, roots, columns)
        commit = found.dataset.commit()
        return tuple(replace(task, source=FromHub(task.source, found.repo, commit)) for task in tasks)
    given = [names] if isinstance(names, str) else names or ()
    wanted = [name for name in given if name.strip(" ,")]
    if data is None:
        if not wanted and suite is None:
            raise UserError("There is nothing to run.", "Choose with --suite or --tasks. `llave tasks` lists them.")
        chosen = _registered(wanted, suite)
    elif columns or (data.is_file() and data.suffix.lower() in FILE_FORMATS and not is_json_lines(data)):
        chosen = _in_table(wanted or [ALL], suite, data, images, roots, columns)
    elif data.is_dir():
        chosen = _in_folder(wanted, suite, FolderSource(data, images, roots))
    elif not data.exists() or not is_json_lines(data):
        tables = ", ".join(FILE_FORMATS)
        what = f"is neither a folder nor a table or JSON Lines ({tables})" if data.exists() else "does not exist"
        hint = "Write one JSON object on each line: docs/protocol.md." if data.exists() else "Check --data."
        raise UnknownName("data", str(data), f"{data} {what}.", hint)
    else:
        chosen = _in_file(wanted or [ALL], suite, data, images, roots)
    return tuple({task.name: task for task in chosen}.values())


def _registered(wanted: Sequence[str], suite: str | None) -> Iterable[Task]:
    tasks = all_tasks()
    members = find_suite(suite).tasks if suite is not None else None
    if not wanted and members is not None:
        return [tasks[name] for name in members if name in tasks]  # some of MMEB-V3 cannot be run
    names = _names(wanted, tasks)
    if any(parse_name(name).dataset == ALL for name in names):
        raise UserError("`all` means every subset of a folder.", "Name the folder with --data, or use --suite mmeb.")
    _check_members(names, suite, members, tasks)
    return _pick(names, tasks, [tasks[name] for name in members or ()], "`llave tasks` lists them.")


def _in_folder(wanted: Sequence[str], suite: str | None, source: FolderSource) -> Iterable[Task]:
    data, v2 = source.data, V2Folder(source.data, source.images, source.roots)
    source = v2.image_rows() or source
    sets = (*video_sets(data, source.images, source.roots), *retrieval_sets(data, source.roots))
    places = (data, source.images, source.roots)
    corpora = () if v2.is_archive() else mbeir_tasks(*places) or corpus_tasks(*places)
    v3 = (_attached(task, source, sets, v2) for task in V3_ROWS)
    found = (*corpora, *v2.tasks(), *(task for task in v3 if _is_there(task)))
    others = {task.name: task for task in found}  # a set of MMEB-V2 is a corpus too
    local = _local(source, sets, tuple(others.values()))
    registered = {name: _attached(task, source, sets, v2) for name, task in all_tasks().items()}
    where = f"{data} holds {', '.join(local)}."
    known, every = {**local, **registered}, list(local.values())
    names = _names(wanted, known) or [ALL]
    if suite is not None:
        members = find_suite(suite).tasks
        every = [task for name in members for task in _members(name, local, registered)]
        if not every:
            raise UserError(f"{data} has nothing of suite {suite}, which is {', '.join(members)}.", where)
        _check_members(names, suite, (*members, *(task.name for task in every), ALL), known)
    picked = _pick(names, known, every, where)
    for task in picked:  # a registered task may be missing in the folder
        if isinstance(task.source, FolderSource):
            source.files(task)
        else:
            task.source.info(task)
    return picked


def _attached(task: Task, source: FolderSource, sets: tuple[VideoSet, ...], v2: V2Folder) -> Task:
    """A registered task with the folder as its data, whether it has the task or not."""
    if isinstance(task.source, VideoSource):
        return with_data(task, sets)
    if isinstance(task.source, V3TextSource):
        return replace(task, source=replace(task.source, data=source.data, roots=source.roots))
    return v2.attach(task) if v2.has_layout_of(task) else replace(task, source=source)


def _is_there(task: Task) -> bool:
    return isinstance(task.source, V3TextSource) and bool(task.source.files())


def _names(wanted: Sequence[str], known: Mapping[str, Task]) -> list[str]:
    """The single names. What is a name as a whole is not split at its commas."""
    names: list[str] = []
    for each in wanted:
        whole = each.strip()
        names += [whole] if parse_name(whole).dataset in known else [part.strip() for part in whole.split(",")]
    return [name for name in names if name]


def _check_members(
    names: Iterable[str], suite: str | None, members: Sequence[str] | None, known: Mapping[str, Task]
) -> None:
    """Raises UserError for a known task that is not in the suite. Unknown names are left to `_pick`."""
    for name in names:
        parts = parse_name(name)
        if members is not None and parts.dataset in known and parts.task not in members:
            raise UserError(f"{parts.task} is not in suite {suite}.", f"{suite} has {', '.join(members)}.")


def _local(source: FolderSource, sets: tuple[VideoSet, ...], corpora: tuple[Task, ...]) -> dict[str, Task]:
    """All tasks of a folder by name: subsets in MMEB's layouts, text-video datasets, and corpora."""
    others = (*local_video_tasks(sets), *corpora)
    pairs = () if others else pair_tasks(source.data, source.images, source.roots)
    others = (*others, *pairs)
    try:  # the hub's folder `data` with a table of pairs is no subset
        subsets = () if pairs else local_tasks(source.data, source.images, source.roots)
        subsets = tuple(task for task in subsets if task.name not in _table_folders(corpora))
    except UserError:
        if not others:
            raise
        subsets = ()
    local: dict[str, Task] = {}
    for task in (*subsets, *others):
        if task.name in local:
            raise UserError(f"{source.data} has {task.name} twice.", "Name one of the two folders with --data.")
        local[task.name] = task
    return local


def _table_folders(corpora: tuple[Task, ...]) -> set[str]:
    """The folders with the tables of corpora, which are no subsets of MMEB, whatever their files are named."""
    found = [task.source.found for task in corpora if isinstance(task.source, CorpusSource)]
    return {file.relative_to(each.folder).parts[0] for each in found for file in each.files}


def _members(name: str, local: Mapping[str, Task], registered: Mapping[str, Task]) -> list[Task]:
    """A suite's task as a folder has it: the task, and text-video sets that are a part of it."""
    parts = [task for task in local.values() if task.name != name and published_name(task) == name]
    return [registered[name], *parts] if parse_name(name).dataset in local else parts


def _in_table(
    wanted: Sequence[str],
    suite: str | None,
    data: Path,
    images: Path | None,
    roots: tuple[Path, ...],
    columns: Mapping[str, str] | None,
) -> Iterable[Task]:
    """The tasks of a table with labels or captions, or of a corpus whose columns have names of their own."""
    if suite is not None:
        raise UserError(f"{data} is no suite.", "Leave out --suite.")
    corpora = corpus_tasks(data, images, roots, columns) if data.is_dir() else ()
    tasks = corpora or pair_tasks(data, images, roots, columns)
    if not tasks:
        labels, captions, evidence = map(", ".join, (LABEL_KEYS, CAPTION_KEYS, EVIDENCE_KEYS))
        keys = f"{labels}, or for captions of images {captions}, or for evidence {evidence}"
        hint = f"Its columns would be {keys}. Others are named with --columns, such as label=species."
        raise UserError(f"{data} has no labels, captions or evidence.", hint)
    known = {task.name: task for task in tasks}
    return _pick(_names(wanted, known), known, tasks, f"{data} has {', '.join(known)}.")


def _in_file(
    wanted: Sequence[str], suite: str | None, data: Path, images: Path | None, roots: tuple[Path, ...]
) -> Iterable[Task]:
    if suite is not None:
        raise UserError(f"{data} is one task, not a suite.", "Leave out --suite.")
    task = jsonl_task(data, images, roots)
    known = {task.name: task}
    return _pick(_names(wanted, known), known, (task,), f"{data} is one task, {task.name}.")


def _pick(wanted: Iterable[str], known: dict[str, Task], every: Iterable[Task], where: str) -> list[Task]:
    """The tasks with the given names. `every` are the tasks that `all` stands for."""
    picked: list[Task] = []
    wanted, every = list(wanted), tuple(every)
    named = (parse_name(name) for name in wanted)
    pool = every or tuple(known[dataset] for dataset, scope, _ in named if scope == "union" and dataset in known)
    for name in wanted:
        dataset, scope, clustering = parse_name(name)
        if dataset in LACKING:
            what = f"{dataset} of MMEB-V3 cannot be run: {LACKING[dataset]}."
            raise UserError(what, "docs/mmeb-v2.md lists what is missing of MMEB-V3.")
        if dataset != ALL and dataset not in known:
            raise unknown_name("task", dataset, known, where)
        tasks = every if dataset == ALL else (known[dataset],)
        tasks = tuple(map(clustering_of, tasks)) if clustering else tasks
        if scope == "union":
            picked += [in_union(task, pool) for task in tasks]
        else:
            picked += [replace(task, name=f"{task.name}@{scope}", scope=scope) if scope else task for task in tasks]
    return picked
