"""Fixtures that all tests share: a quiet, offline environment with a cache of its own; a tiny folder; the command."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads of several processes that share a core only wait for each other

import pytest
from hypothesis import HealthCheck, settings
from PIL import Image, ImageDraw

from harness.results.files import result_folder
from harness.results.result import Result
from harness.results.rows import read_rows
from harness.results.verified import read_result
from harness.scoring.metrics import QueryRow
from harness.types import ModelSpec
from llave.cli.main import main
from tests.helpers.mmeb_files import Row, columns, write_subset

os.environ["HF_HUB_OFFLINE"] = "1"
# A job in the background of a shell ignores Ctrl-C, and its children inherit that. The tests of Ctrl-C do not want it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

# How long a test takes on a busy machine is not what it is about. `make exhaustive` tries many more examples.
settings.register_profile("patient", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("exhaustive", settings.get_profile("patient"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "patient"))

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")


@pytest.fixture(autouse=True, scope="session")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLAVE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("COLUMNS", raising=False)  # pytest's helpers that share the work think of a terminal of 80 columns
        yield


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder in the MMEB-eval layout, and how its rows came about."""

    data: Path
    rows: Mapping[str, Sequence[Row]]

    @property
    def images(self) -> Path:
        return self.data / "images"

    def rewrite(self, data: Path, change: Callable[[Sequence[Row]], Sequence[Row]]) -> Folder:
        """The same folder elsewhere, with the same images and other rows."""
        rows = {name: change(own) for name, own in self.rows.items()}
        for name, own in rows.items():
            write_subset(data, name, columns(own))
        (data / "images").symlink_to(self.images)
        return Folder(data, rows)


@pytest.fixture
def tiny(tmp_path: Path) -> Folder:
    """Three small tasks over drawn images that they share; their files are old enough to be remembered.

    `Colour` asks images for words, `Find` texts for images, `Match` images and texts for the same; a candidate of
    `Colour` stands twice in its list.
    """
    data = tmp_path / "tiny"
    names = [f"shapes/{number:02d}.png" for number in range(12)]
    for number, name in enumerate(names):
        _draw(data / "images" / name, number)
    colour = [
        ("<|image_1|>\nWhich colour?\n", name, [(each, "") for each in _first(COLOURS[number % 6], COLOURS)[:4]])
        for number, name in enumerate(names)
    ]
    colour[0] = (*colour[0][:2], [*colour[0][2], colour[0][2][1]])
    find = [
        (f"Find the {COLOURS[number % 6]} shape number {number}\n", "", [("<|image_1|>\nAn image\n", e) for e in pool])
        for number, name in enumerate(names)
        for pool in [_first(name, names)[:5]]
    ]
    match = [
        (
            f"<|image_1|>\nSame as {number}\n",
            name,
            [(f"<|image_1|>\nNumber {e[7:9]}\n", e) for e in _first(name, names)],
        )
        for number, name in enumerate(names[:8])
    ]
    rows = {"Colour": colour, "Find": find, "Match": match}
    for name, own in rows.items():
        write_subset(data, name, columns(own))
    for path in data.rglob("*.*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return Folder(data, rows)


def _draw(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (32, 24), "white")
    left = 2 + number
    ImageDraw.Draw(image).ellipse((left, 4, left + 12, 16), fill=COLOURS[number % 6], outline="black")
    image.save(path)


def _first(right: str, every: Sequence[str]) -> list[str]:
    """The right one, then the others in an order that depends on it."""
    others = [each for each in every if each != right]
    random.Random(right).shuffle(others)
    return [right, *others]


@dataclass(frozen=True, slots=True)
class Done:
    """What a command did and said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run writes."""

    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--out", str(self.out), "--store", str(self.store))

    def path(self, task: str, model: str = "hashed", revision: str = "1") -> Path:
        return result_folder(self.out, ModelSpec(model, revision, "")) / f"{task}.json"

    def result(self, task: str, model: str = "hashed", revision: str = "1") -> Result:
        return read_result(self.path(task, model, revision)).result

    def rows(self, task: str, model: str = "hashed", revision: str = "1") -> list[QueryRow]:
        path = self.path(task, model, revision)
        return read_rows(path, read_result(path).result)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "run")


@pytest.fixture
def llave(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command, in this process."""

    def call(*arguments: object) -> Done:
        capsys.readouterr()
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as error:  # argparse
            code = error.code if isinstance(error.code, int) else 1
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Done(code, said.out, said.err)

    return call


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """What `tests.helpers.embedders` were given so far: one list of labels for each batch."""
    path = tmp_path / "log.jsonl"
    monkeypatch.setenv("EMBEDDER_LOG", str(path))
    return lambda: [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
