"""`llave embed`: a vector for every item, in order, once; and nothing is loaded for a file with a mistake in it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from harness.errors import RunFailed, UserError
from harness.types import Item, Media
from llave.cli import embed
from tests.conftest import Done, Place
from tests.helpers.clips import write_clip
from tests.helpers.embedders import Hashed
from tests.helpers.image_files import picture

ROOT = Path(__file__).resolve().parents[3]
HASHED = "tests.helpers.embedders:Hashed"
Line = Mapping[str, object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures in a folder, old enough to be remembered."""
    for seed, name in enumerate(("a.png", "b.png")):
        picture(seed).save(tmp_path / name)
        os.utime(tmp_path / name, (1_700_000_000, 1_700_000_000))
    return tmp_path


def _write(folder: Path, lines: Sequence[Line | str]) -> Path:
    path = folder / "items.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines), "utf-8")
    return path


def _embed(items: Path, *flags: str, model: str = HASHED, output: str = "out/vectors.safetensors") -> Path:
    parser = argparse.ArgumentParser()
    embed.add_arguments(parser)
    folder = items.parent
    arguments = [model, str(items), "-o", str(folder / output), "--store", str(folder / "store"), "--workers", "1"]
    assert embed.run(parser.parse_args([*arguments, *flags])) == 0
    return folder / output


def _read(path: Path) -> tuple[np.ndarray, dict[str, str]]:
    with safe_open(path, "numpy") as file:
        return file.get_tensor("vectors"), file.metadata()


def _ids(path: Path) -> list[str]:
    return json.loads(_read(path)[1]["ids"])


def test_every_item_gets_its_own_vector_in_its_place(folder: Path) -> None:
    lines: list[Line] = [
        {"id": "later", "text": "a text"},
        {"id": "asked", "text": "a text", "role": "query"},
        {"id": "told", "text": "a text", "instruction": "Find:"},
        {"id": "seen", "image": "a.png"},
        {"id": "both", "image": ["b.png", "a.png"], "text": "two"},
        {"id": "turned", "image": ["a.png", "b.png"], "text": "two"},
        {"id": "again", "text": "a text", "role": "target"},
    ]
    vectors, metadata = _read(_embed(_write(folder, lines)))

    def media(*names: str) -> tuple[Media, ...]:
        return tuple(Media("image", name, folder) for name in names)

    text, model = Item("a text"), Hashed()
    asked = [
        model.prepare(text, "target"),
        model.prepare(text, "query"),
        model.prepare(Item("a text", instruction="Find: "), "target"),
        model.prepare(Item(media=media("a.png")), "target"),
        model.prepare(Item("two", media("b.png", "a.png")), "target"),
        model.prepare(Item("two", media("a.png", "b.png")), "target"),
        model.prepare(text, "target"),
    ]
    np.testing.assert_array_equal(vectors, model.embed(asked))
    assert vectors.dtype == np.float32
    assert json.loads(metadata["ids"]) == [line["id"] for line in lines]
    assert (metadata["model"], metadata["revision"], metadata["dtype"]) == ("hashed", "1", "float32")
    assert len(metadata["fingerprint"]) == 64
    assert metadata["created_by"].startswith("llave-bench ")


WRITABLE = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WRITABLE.filter(str.strip), min_size=1, max_size=8), st.randoms())
def test_vectors_follow_the_items_into_any_order(tmp_path: Path, texts: list[str], random) -> None:
    lines = [{"id": f"{number}", "text": text} for number, text in enumerate(texts)]
    before, _ = _read(_embed(_write(tmp_path, lines)))
    random.shuffle(lines)
    path = _embed(_write(tmp_path, lines))
    np.testing.assert_array_equal(_read(path)[0], before[[int(each) for each in _ids(path)]])


def test_a_second_time_nothing_is_loaded_and_the_file_is_the_same(
    folder: Path, log: Callable[[], list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    items = _write(folder, [{"id": "a", "text": "x"}, {"id": "b", "image": "a.png"}, {"id": "c", "text": "x"}])
    vectors, metadata = _read(_embed(items))
    assert sum(map(len, log())) == 2
    monkeypatch.setenv("EMBEDDER_FORBIDDEN", "1")
    again, said = _read(_embed(items, "--budget", "1"))
    np.testing.assert_array_equal(again, vectors)
    assert said == metadata


def test_the_same_vectors_are_the_same_bytes_and_those_of_the_library(folder: Path) -> None:
    names = ["a", "ä \U0001f40d", 'with "quotes" and \\', "x" * 999]
    items = _write(folder, [{"id": name, "text": name} for name in names])
    path = _embed(items)
    data = path.read_bytes()
    for _ in range(3):
        assert _embed(items).read_bytes() == data
    vectors, metadata = _read(path)
    assert _ids(path) == names
    again = folder / "again.safetensors"
    save_file({"vectors": vectors}, again, metadata)
    length = int.from_bytes(data[:8], "little")
    other = again.read_bytes()
    assert data[8 + length :] == other[8 + int.from_bytes(other[:8], "little") :]
    assert json.loads(data[8 : 8 + length]) == json.loads(other[8 : 8 + int.from_bytes(other[:8], "little")])
    assert length % 8 == 0, "the vectors are aligned, as the library's are"


def test_a_run_and_embed_share_vectors(
    folder: Path, place: Place, llave: Callable[..., Done], log: Callable[[], list[list[str]]]
) -> None:
    (folder / "task.jsonl").write_text(
        '{"target": "t", "text": "right", "image": "a.png"}\n{"target": "u", "text": "wrong"}\n'
        '{"query": "q", "text": "which", "instruction": "Say:", "positives": ["t"]}\n'
    )
    assert llave("run", HASHED, "--data", folder / "task.jsonl", *place.flags).code == 0
    lines = [
        {"id": "q", "text": "which", "instruction": "Say:", "role": "query"},
        {"id": "t", "text": "right", "image": "a.png"},
        {"id": "v", "text": "new"},
    ]
    before = sum(map(len, log()))
    _embed(_write(folder, lines), "--store", str(place.store))
    assert sum(map(len, log())) == before + 2, "the new item, and a stored one again"


def test_a_kill_costs_one_batch_at_most(folder: Path, log: Callable[[], list[list[str]]]) -> None:
    items = _write(folder, [{"id": f"{number}", "text": f"text {number}"} for number in range(12)])
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.llave.cli.test_embed_command import _embed; "
    code += f"from pathlib import Path; _embed(Path({str(items)!r}), '--budget', '128')"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "EMBEDDER_SECONDS": "0.1"})
    limit = time.monotonic() + 60
    while len(log()) < 3 and time.monotonic() < limit:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (folder / "out/vectors.safetensors").exists()
    before = sum(map(len, log()))
    assert 0 < before < 12
    path = _embed(items, "--budget", "128")
    assert 12 <= sum(map(len, log())) <= 12 + 3
    assert _ids(path) == [str(number) for number in range(12)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": "b", "text": ', "line 2"),
        ('["b"]', "line 2"),
        ({"text": "x"}, "line 2: id must be a string that is not empty"),
        ({"id": 7, "text": "x"}, "line 2: id must be a string, not 7"),
        ({"id": "a", "text": "x"}, "line 2: line 1 has the id 'a' too"),
        (
            {"id": "b", "txt": "x"},
            "line 2: an item has no key txt; its keys are id, text, image, video, instruction, content, role",
        ),
        ({"id": "b", "images": "a.png"}, "line 2: an item has no key images; "),
        ({"id": "b"}, "line 2: it has no text, no image and no video"),
        ({"id": "b", "text": "x", "role": "document"}, "line 2: role must be query or target, not 'document'"),
        ({"id": "b", "image": ["a.png", 3]}, "line 2: image must be a path or a list of paths"),
        (
            {"id": "b", "text": "<|media|> x"},
            "line 2: <|media|> stands 1 time in the text, but the item has 0 images and videos",
        ),
        ({"id": "b", "image": "none.png"}, "line 2: {folder}/none.png does not exist."),
        ({"id": "b", "image": "items.jsonl"}, "line 2: {folder}/items.jsonl is not an image"),
        ({"id": "b", "image": "../a.png"}, "line 2: The path '../a.png' leaves the folder {folder}."),
        ({"id": "b", "video": "none.mp4"}, "line 2: {folder}/none.mp4 does not exist."),
    ],
)
def test_a_mistake_names_its_line_before_the_model_is_loaded(
    folder: Path, line: Line | str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDDER_FORBIDDEN", "1")
    items = _write(folder, [{"id": "a", "text": "fine"}, line])
    with pytest.raises(UserError) as caught:
        _embed(items)
    assert f"{items}, {says}".replace("{folder}", str(folder)) in str(caught.value)
    assert not (folder / "out/vectors.safetensors").exists()


def test_paths_are_relative_to_the_root_that_is_named(folder: Path) -> None:
    (folder / "lists").mkdir()
    items = _write(folder / "lists", [{"id": "a", "image": "a.png"}])
    assert _ids(_embed(items, "--root", str(folder))) == ["a"]
    with pytest.raises(UserError, match=r"--root"):
        _embed(items)
    with pytest.raises(UserError, match="is not a folder"):
        _embed(items, "--root", str(folder / "a.png"))


def test_bad_media_can_be_left_out_and_are_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (folder / "a.png").read_bytes()
    (folder / "broken.png").write_bytes(whole[: len(whole) // 2])
    lines = [{"id": "a", "image": "a.png"}, {"id": "x", "image": "broken.png"}, {"id": "y", "image": "none.png"}]
    items = _write(folder, [*lines, {"id": "b", "text": "b"}])
    with pytest.raises(UserError) as caught:
        _embed(items)
    assert "line 2" in caught.value.what
    assert "line 3" in caught.value.what
    path = _embed(items, "--on-bad-media", "skip")
    vectors, metadata = _read(path)
    assert _ids(path) == ["a", "b"]
    assert len(vectors) == 2
    assert json.loads(metadata["skipped"]) == ["x", "y"]
    said = capsys.readouterr().err
    assert "left out x" in said
    assert "2 items left out" in said
    with pytest.raises(UserError, match="No item is left"):
        _embed(_write(folder, lines[1:]), "--on-bad-media", "skip")


def test_media_that_break_when_they_are_decoded_are_bad_media(
    folder: Path, log: Callable[[], list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_clip(folder / "clip.mp4").read_bytes()
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4  # whole to look at: only decoding finds it out
    (folder / "clip.mp4").write_bytes(data[:begin] + bytes(end - begin) + data[end:])
    items = _write(folder, [{"id": "a", "text": "x"}, {"id": "v", "video": "clip.mp4"}])
    with pytest.raises(RunFailed, match=r"clip\.mp4"):
        _embed(items, model="classical")
    path = _embed(items, "--on-bad-media", "skip", model="classical")
    assert (_ids(path), json.loads(_read(path)[1]["skipped"])) == (["a"], ["v"])


def test_what_a_model_does_not_see_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [{"id": "a", "text": "x", "image": "a.png"}, {"id": "b", "text": "x"}]
    vectors, _ = _read(_embed(_write(folder, lines), model="tests.helpers.embedders:TextOnly"))
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert "1 item without some of their media" in capsys.readouterr().err
    items = _write(folder, [*lines, {"id": "c", "image": "b.png"}])
    with pytest.raises(UserError) as caught:
        _embed(items, model="tests.helpers.embedders:TextOnly")
    assert f"{items}, line 3" in caught.value.what


def test_what_is_there_stays_if_embedding_fails(folder: Path, log: Callable[[], list[list[str]]]) -> None:
    path = _embed(_write(folder, [{"id": "a", "text": "a"}]))
    before = path.read_bytes()
    items = _write(folder, [{"id": "a", "text": "a long enough text"}, {"id": "b", "text": "fragile"}])
    with pytest.raises(RunFailed, match="not finite"):
        _embed(items, "--budget", "1", model="tests.helpers.embedders:Brittle")
    assert path.read_bytes() == before
    embedded = sum(map(len, log()))
    with pytest.raises(RunFailed, match="not finite"):
        _embed(items, "--budget", "1", model="tests.helpers.embedders:Brittle")
    assert sum(map(len, log())) == embedded + 2, "what came out before is kept, and one of it is checked"
    assert not list(folder.rglob("*.tmp"))


@pytest.mark.parametrize("output", ["vectors.npy", "vectors"])
def test_the_output_is_a_safetensors_file(folder: Path, output: str) -> None:
    with pytest.raises(UserError, match=r"\.safetensors"):
        _embed(_write(folder, [{"id": "a", "text": "a"}]), output=output)


def test_a_file_that_holds_nothing_and_a_model_that_needs_answers(folder: Path) -> None:
    with pytest.raises(UserError, match="has no items"):
        _embed(_write(folder, [""]))
    with pytest.raises(UserError, match="is not a file"):
        _embed(folder / "none.jsonl")
    with pytest.raises(UserError, match="answers"):
        _embed(_write(folder, [{"id": "a", "text": "a"}]), model="null/oracle")


class Short(Hashed):
    """Counts texts of more than five letters as cut."""

    def prepare(self, item, role):
        return replace(super().prepare(item, role), truncated=len(item.text) > 5)


def test_what_was_cut_is_counted_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [{"id": f"{number}", "text": "x" * number} for number in range(1, 9)]
    _embed(_write(folder, lines), model="tests.llave.cli.test_embed_command:Short")
    assert "3 items longer than the model's limit" in capsys.readouterr().err
    _embed(_write(folder, lines), model="tests.llave.cli.test_embed_command:Short")
    assert "limit" not in capsys.readouterr().err
