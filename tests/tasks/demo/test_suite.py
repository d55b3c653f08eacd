"""The demo suite on disk: the same content everywhere, complete or absent, and loaded as MMEB is."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageSequence

from harness.errors import UserError
from harness.media.images import open_image
from harness.types import Task
from tasks.demo.corpora import demo_corpora
from tasks.demo.files import demo_files
from tasks.demo.suite import DEMO_ROWS, DEMO_SEED, DEMO_VERSION, DemoSource, demo_tasks, ensure_demo

ROOT = Path(__file__).resolve().parents[3]
PINNED = "810128b26c32466158ad13c546ab50e2b2817559f6b537587a51b4ed056b285c"
"""The digest of version 3, seed 0. If it must change, DEMO_VERSION must change too."""

every_row = pytest.mark.parametrize("row", DEMO_ROWS, ids=lambda row: row.name)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_demo(tmp_path_factory.mktemp("somewhere") / "demo")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (48, 48))
        return np.asarray(image)


def clip_pixels(path: Path) -> bytes:
    with Image.open(path) as clip:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(clip)]
    assert np.shape(frames) == (12, 48, 48, 3)
    return np.stack(frames).tobytes()


def test_what_lies_on_disk_is_pinned(demo: Path) -> None:
    """The manifest's digest is that of the files, and the same on every machine."""
    manifest = json.loads((demo / "manifest.json").read_text())
    digest = hashlib.sha256()
    for path, count in manifest["rows"].items():
        table = pq.read_table(demo / path)
        assert table.num_rows == count
        digest.update(json.dumps([path, table.to_pydict()]).encode() + b"\n")
    images = sorted((demo / "images").iterdir())
    assert len(images) == manifest["images"]
    for image in images:
        digest.update(image.name.encode() + pixels(image).tobytes())
    for line in (demo / "video" / "captions.csv").read_text().splitlines()[1:]:
        name, _, caption = line.partition(",")
        digest.update(f"{name},{caption.strip(chr(34))}\n".encode() + clip_pixels(demo / "video/clips" / f"{name}.gif"))
    for name in demo_corpora(DEMO_SEED):
        for table in ("corpus", "queries", "qrels", "top_ranked"):
            if (path := demo / "corpora" / name / f"{table}.jsonl").exists():
                digest.update(f"{name} {table}\n".encode() + path.read_bytes())
    for image in sorted((demo / "corpora/images").iterdir()):
        digest.update(image.name.encode() + np.asarray(Image.open(image)).tobytes())
    assert manifest["digest"] == digest.hexdigest()
    assert (DEMO_VERSION, DEMO_SEED, manifest["digest"]) == (3, 0, PINNED)


def test_every_image_is_used_and_there(demo: Path) -> None:
    named = set()
    for path in demo.rglob("*.parquet"):
        for name, column in pq.read_table(path).to_pydict().items():
            if "path" in name:
                named.update(cell for each in column for cell in ([each] if isinstance(each, str) else each))
    assert named - {""} == {path.name for path in (demo / "images").iterdir()}


@every_row
def test_rows_are_in_the_layout_of_mmeb_eval(demo: Path, row: Task) -> None:
    table = pq.read_table(demo / "eval" / row.name / "test-00000-of-00001.parquet")
    assert table.column_names == ["qry_text", "qry_img_path", "tgt_text", "tgt_img_path"]
    assert len(table) == row.num_queries
    for each in table.to_pylist():
        assert_side(each["qry_text"], each["qry_img_path"], row.query_modality)
        assert row.query_instruction.partition("{")[0] in each["qry_text"]
        assert len(each["tgt_text"]) == len(each["tgt_img_path"]) == row.num_candidates
        for text, path in zip(each["tgt_text"], each["tgt_img_path"], strict=True):
            assert_side(text, path, row.target_modality)
            assert row.target_instruction is None or row.target_instruction in text


@every_row
def test_pairs_are_in_the_layout_of_mmeb_train(demo: Path, row: Task) -> None:
    folder = demo / "train" / row.name
    assert folder.exists() == (row.train_subset is not None) == (row.split == "IND")
    if row.train_subset is None:
        return
    table = pq.read_table(folder / "original-00000-of-00001.parquet")
    columns = ["qry", "qry_image_path", "pos_text", "pos_image_path", "neg_text", "neg_image_path"]
    assert table.column_names in (columns, columns[:4])
    for each in table.to_pylist():
        assert_side(each["qry"], each["qry_image_path"], row.query_modality)
        for place in {name[:3] for name in table.column_names[2:]}:
            assert_side(each[f"{place}_text"], each[f"{place}_image_path"], row.target_modality)


def assert_side(text: str, path: str, modality: str) -> None:
    """A text has the image token if there is an image. There is an image if the task says so."""
    assert bool(path) == ("image" in modality)
    assert text.count("<|image_1|>") == text.startswith("<|image_1|>\n") == bool(path)


def test_the_rows_make_a_suite() -> None:
    assert len({row.name for row in DEMO_ROWS}) == len(DEMO_ROWS) >= 10
    assert all(row.name.startswith("demo-") for row in DEMO_ROWS)
    assert {(row.meta_task, row.split) for row in DEMO_ROWS} == {
        (meta, split) for meta in ("classification", "vqa", "retrieval", "visual_grounding") for split in ("IND", "OOD")
    }


def test_tasks_load_as_mmeb_does(demo: Path) -> None:
    tasks, others = demo_tasks(demo)[: len(DEMO_ROWS)], demo_tasks(demo)[len(DEMO_ROWS) :]
    assert [task.name for task in tasks] == [row.name for row in DEMO_ROWS]
    names = ["demo-video-t2v", "demo-video-v2t", *demo_corpora(DEMO_SEED), "demo-shape@clustering"]
    assert [task.name for task in others] == names
    for task in others[2:]:
        data = task.source.load(task)
        assert len(data.queries) == task.num_queries
        assert {len(query.candidates) for query in data.queries} == {task.num_candidates or 0}
    for task in tasks:
        data = task.source.load(task)
        assert dict(data.notes) == {}  # no candidate twice, no image without a token or token without an image
        assert len(data.queries) == task.num_queries
        assert {len(query.candidates) for query in data.queries} == {task.num_candidates}
        assert {target.media != () for target in data.targets} == {task.target_modality == "image"}
        assert {query.item.instruction != "" for query in data.queries} == {True}
        for media in (*data.queries[0].item.media, *data.targets[0].media):
            assert open_image(media).size == (48, 48)
        assert task.source.info(task).media_root == demo / "images"


def test_the_folder_is_in_the_cache_unless_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLAVE_CACHE", str(tmp_path))
    assert str(tmp_path / f"demo-{DEMO_VERSION}") in DemoSource().describe()
    assert list(tmp_path.iterdir()) == []


def test_colours_and_places_alone_find_images_by_images_better_than_chance(demo: Path) -> None:
    """Even a simple descriptor scores above chance on the images, and not perfectly."""
    for task in ("demo-similar", "demo-edit", "demo-edit-ood"):
        table = pq.read_table(demo / "eval" / task / "test-00000-of-00001.parquet").to_pylist()
        right = 0
        for row in table:
            query = described(demo, row["qry_img_path"])
            scores = [query @ described(demo, path) for path in row["tgt_img_path"]]
            right += int(np.argmax(scores) == 0)
        chance = 1 / len(table[0]["tgt_text"])
        assert 2 * chance < right / len(table) < 0.9, task


@cache
def described(demo: Path, name: str) -> np.ndarray:
    grid = pixels(demo / "images" / name).reshape(4, 12, 4, 12, 3).mean(axis=(1, 3))
    vector = np.concatenate([grid.ravel(), 3 * np.sort(grid.reshape(16, 3), axis=0).ravel()]) - 240
    return vector / np.linalg.norm(vector)


def test_another_seed_is_another_suite() -> None:
    assert set(demo_files(DEMO_ROWS, 1).pictures) != set(demo_files(DEMO_ROWS, 0).pictures)


def test_a_finished_folder_is_left_alone(demo: Path) -> None:
    def state() -> list[tuple[str, int, int]]:
        paths = [demo, demo / "manifest.json", demo / "images", *demo.rglob("*.parquet")]
        return [(str(path), path.stat().st_mtime_ns, path.stat().st_ino) for path in paths]

    before = state()
    assert ensure_demo(demo) == demo
    assert state() == before


def test_a_folder_of_another_kind_is_refused_and_kept(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    manifest = other / "manifest.json"
    for text, why in (
        (json.dumps({"version": DEMO_VERSION, "seed": 7}), "seed 7"),
        (json.dumps({"version": 0, "seed": DEMO_SEED}), "version 0"),
        ("{", r"manifest\.json is not valid JSON"),
        ("[]", "holds an array"),
    ):
        manifest.write_text(text)
        with pytest.raises(UserError, match=why):
            ensure_demo(other)
        assert manifest.read_text() == text
    manifest.rename(other / "thesis.txt")
    with pytest.raises(UserError, match="no demo suite"):
        ensure_demo(other)
    with pytest.raises(UserError, match="no demo suite"):
        ensure_demo(other / "thesis.txt")
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


CHILD = """
import os, signal, sys
from pathlib import Path
from tasks.demo import suite as demo
from tasks.demo import files as demo_files
demo.DEMO_ROWS = demo.DEMO_ROWS[:2]
draw, drawn = demo_files.draw, []
def watched(picture):
    drawn.append(picture)
    if len(drawn) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return draw(picture)
demo_files.draw = watched
demo.ensure_demo(Path(sys.argv[1]))
print(len(drawn), sorted(os.listdir(Path(sys.argv[1]) / "images")))
"""


def start(folder: Path, killed_at: int, **environment: str) -> subprocess.Popen[str]:
    """A process that writes the suite's first two tasks and prints how many images it drew, and which are there."""
    command = [sys.executable, "-c", CHILD, str(folder), str(killed_at)]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": "", **environment}
    )


def test_a_killed_writer_leaves_nothing_and_two_at_once_write_once(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    killed = start(folder, killed_at=100)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert not folder.exists()
    both = [start(folder, killed_at=-1, PYTHONHASHSEED=seed) for seed in ("1", "2")]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert {err for _, err in said} == {""}
    (idle, there), (busy, also_there) = sorted(tuple(out.split(" ", 1)) for out, _ in said)
    assert (idle, there) == ("0", also_there)
    assert int(busy) == len(there.split(",")) > 100
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_no_order_depends_on_the_hash_seed() -> None:
    code = """import hashlib, json; from tasks.demo.files import demo_files; from tasks.demo.suite import DEMO_ROWS
files = demo_files(DEMO_ROWS, 0); content = json.dumps([files.tables, list(files.pictures)])
print(hashlib.sha256(content.encode()).hexdigest())"""
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    assert len(digests) == 1
