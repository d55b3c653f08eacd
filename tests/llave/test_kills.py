"""Kill any command at any moment, and run it again: the bits are the same, and nothing else is there."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tasks.suites import find_suite
from tests.conftest import Folder
from tests.helpers.kills import Command, finish, fresh, kill, left
from tests.helpers.training_files import write_place

KILLS = {"run": 50, "train": 25, "embed": 40, "import": 30, "export": 30, "page": 25}
"""How often each command is killed. One in 16 of these kills is in the suite."""
SHORT_TRAINING = (
    "batch=8",
    "max_steps=4",
    "logging_steps=1",
    "save_steps=1",
    "save_total_limit=2",
    "device=cpu",
    "workers=1",
)


def _write_items(tiny: Folder, path: Path) -> Path:
    names = sorted(each.name for each in (tiny.images / "shapes").iterdir())
    items = [{"id": name, "image": f"shapes/{name}"} for name in names]
    items += [{"id": str(number), "text": f"text {number}"} for number in range(40)]
    path.write_text("".join(f"{json.dumps(item)}\n" for item in items))
    return path


def _write_scores(folder: Path) -> Path:
    """Score files of the public leaderboard, by eight models."""
    folder.mkdir()
    for model in range(8):
        numbers = random.Random(model)
        image = {task: {"hit@1": numbers.random()} for task in find_suite("mmeb").tasks}
        fields = {"metadata": {"model_name": f"m{model}"}, "metrics": {"image": image, "video": {}, "visdoc": {}}}
        (folder / f"{model}.json").write_text(json.dumps(fields))
    return folder


@pytest.fixture
def commands(tiny: Folder, tmp_path: Path) -> dict[str, Command]:
    """The six commands, over inputs of their own."""
    given = fresh(tmp_path / "given")
    items, scores, place = _write_items(tiny, given / "i.jsonl"), _write_scores(given / "s"), write_place(given / "p")
    hashed, small = "tests.helpers.embedders:Hashed", ("--budget", "256")
    run = ("run", hashed, "classical", "--data", str(tiny.data), "--out", "out", "--store", "store", *small)
    training = [word for each in (*SHORT_TRAINING, f"model={place / 'begin'}") for word in ("--set", each)]
    made = {
        "run": Command(run),
        "train": Command(("train", "demo", "--data", str(place / "data"), *training, "--out", "out"), ("--resume",)),
        "embed": Command(
            ("embed", hashed, str(items), "--root", str(tiny.images), "-o", "out/v.safetensors", "--store", "s", *small)
        ),
        "import": Command(("import", str(scores), "--out", "out")),
    }
    for name in ("run", "import"):
        finish(made[name], fresh(tmp_path / "ready" / name))
    ready = tmp_path / "ready"
    made["export"] = Command(("export", str(ready / "import/out"), "--protocol", "strict", "-o", "out"))
    page = ("--html", "out/b.html", "--html-queries", "4", "--html-pictures", "beside")
    made["page"] = Command(("board", str(ready / "run/out"), *page))
    return made


def _killed_and_run_again(name: str, command: Command, folder: Path, kills: int) -> int:
    """Kills a command at random moments, each time anew. Returns how many kills found it at work."""
    whole = fresh(folder / name / "whole")
    usual = finish(command, whole)
    wanted = left(whole)
    assert len(wanted) > 1
    moments, at_work = random.Random(name), 0
    for number in range(kills):
        place = fresh(folder / name / "killed")
        moment = moments.uniform(0, usual)
        at_work += kill(command, place, moment)
        finish(command, place, again=True)
        found = left(place)
        differ = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key, ...) != found.get(key, ...))
        assert differ == [], f"kill {number} of {name}, after {moment:.3f} of {usual:.3f} s"
    return at_work


def test_a_killed_command_gives_the_same_bits_when_it_is_run_again(commands, tmp_path):
    at_work = [_killed_and_run_again(name, commands[name], tmp_path, 2) for name in KILLS]
    assert sum(at_work) >= 6


@pytest.mark.exhaustive
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", KILLS)
def test_each_of_200_kills_gives_the_same_bits(name, commands, tmp_path, record_property):
    at_work = _killed_and_run_again(name, commands[name], tmp_path, KILLS[name])
    record_property("kills at work", at_work)
    assert at_work >= KILLS[name] // 2
