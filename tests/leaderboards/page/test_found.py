"""From a run to a page with its pictures, without a flag, for every way to give data. No score depends on the place."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

import llave as package
from tests.helpers.clips import write_clip


def _viewer(path: Path) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    return json.loads(found[1])["viewer"]


def _pictured(path: Path) -> set[tuple[bool, bool]]:
    """(is a video, has a picture) of the media on a page."""
    return {(each["video"], bool(each["src"])) for each in _viewer(path)["media"]}


@pytest.fixture
def board(llave, place, tmp_path):
    """Runs a model, then writes the page. The models' results lie in one folder."""

    def made(*run: object, flags: tuple[object, ...] = ()) -> tuple[Path, str]:
        assert llave("run", "null/random", *run, *place.flags).code == 0
        page = tmp_path / "board.html"
        done = llave("board", place.out, "--html", page, "--html-queries", 4, *flags)
        assert done.code == 0, done.err
        return page, done.err

    return made


def _own(folder: Path) -> Path:
    """A user's own file with pictures and clips."""
    folder.mkdir()
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (50, 40), colour).save(folder / name)
    write_clip(folder / "clip.mp4")
    lines = [
        {"query": "1", "text": "which is red?", "positives": ["a"]},
        {"query": "2", "video": "clip.mp4", "instruction": "Look. ", "positives": ["b"]},
        {"target": "a", "image": "a.png"},
        {"target": "b", "image": "b.png"},
    ]
    (folder / "own.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return folder / "own.jsonl"


class TestFound:
    def test_of_the_demo_which_is_drawn_into_the_cache(self, board):
        page, said = board("--tasks", "demo-edit,demo-video-v2t", "--limit", 5)
        assert _pictured(page) == {(False, True), (True, True)}
        assert "not found" not in said

    def test_of_a_folder_in_the_layout_of_mmeb(self, board, tiny):
        page, said = board("--data", tiny.data)
        assert _pictured(page) == {(False, True)}
        assert "not found" not in said

    def test_of_a_file_with_pictures_and_clips(self, board, tmp_path):
        page, said = board("--data", _own(tmp_path / "own"))
        assert _pictured(page) == {(False, True), (True, True)}
        assert "not found" not in said
        [task] = _viewer(page)["tasks"]
        assert task["leads"] == ["Look."]

    def test_of_rows_made_in_python(self, tmp_path):
        """Pictures in no file lie in the cache. Two files have one name."""
        bytes_of = io.BytesIO()
        Image.new("RGB", (30, 30), "teal").save(bytes_of, "PNG")
        for folder in ("x", "y"):
            (tmp_path / folder).mkdir()
            Image.new("RGB", (40, 40), {"x": "red", "y": "blue"}[folder]).save(tmp_path / folder / "same.png")
        task = package.task(
            "mine",
            queries=[Image.new("RGB", (20, 20), "gold"), {"image": {"bytes": bytes_of.getvalue(), "path": "t.png"}}],
            candidates=[{"image": tmp_path / "x" / "same.png"}, {"image": tmp_path / "y" / "same.png"}],
            positives=[0, 1],
        )
        result = package.evaluate("null/random", task, out=tmp_path / "out", store=tmp_path / "store", progress=False)
        page = package.board(result).html(tmp_path / "board.html", queries=2)
        media = _viewer(page)["media"]
        assert all(each["src"] for each in media)
        assert len({each["src"][0] for each in media}) == 4


class TestMoved:
    def test_what_is_missing_is_said_and_a_flag_finds_it(self, board, tiny, tmp_path):
        before, _ = board("--data", tiny.data)
        moved = tiny.images.rename(tmp_path / "moved")
        page, said = board("--data", tiny.data, "--images", moved)  # the finished results are found again
        assert re.search(r"\d+ pictures not found: looked in", said)
        assert str(tiny.images) in said
        assert "--images DIR names another folder" in said
        assert _pictured(page) == {(False, False)}
        page, said = board("--data", tiny.data, "--images", moved, flags=("--images", tmp_path, "--images", moved))
        assert "not found" not in said
        assert _viewer(page)["media"] == _viewer(before)["media"]

    def test_results_from_before_records_named_places_take_a_flag(self, board, tiny, place, llave, tmp_path):
        board("--data", tiny.data)
        for path in place.out.rglob("*.json"):
            record = json.loads(path.read_text())
            del record["dataset"]["places"]
            path.write_text(json.dumps(record))
        page = tmp_path / "board.html"
        done = llave("board", place.out, "--html", page, "--html-queries", 2)
        assert "do not say where they were" in done.err
        llave("board", place.out, "--html", page, "--html-queries", 2, "--images", tiny.images)
        assert _pictured(page) == {(False, True)}

    def test_the_identity_of_a_result_does_not_depend_on_the_place(self, llave, tiny, tmp_path):
        elsewhere = Path(shutil.copytree(tiny.data, tmp_path / "elsewhere"))
        found = []
        for number, data in enumerate((tiny.data, elsewhere)):
            out = tmp_path / f"out{number}"
            llave("run", "classical", "--data", data, "--tasks", "Match", "--out", out, "--store", tmp_path / "store")
            [path] = out.rglob("Match.json")
            found.append((json.loads(path.read_text()), path.with_suffix(".queries.jsonl").read_bytes()))
        (one, rows), (other, same_rows) = found
        assert rows == same_rows
        assert one["dataset"]["places"] == [{"kind": "image", "folder": str(tiny.images)}]
        assert other["dataset"].pop("places") != one["dataset"].pop("places")
        assert {key: one[key] for key in ("identity", "metrics", "dataset", "queries")} == {
            key: other[key] for key in ("identity", "metrics", "dataset", "queries")
        }

    def test_a_finished_result_is_found_wherever_the_data_went(self, llave, tiny, place, tmp_path):
        llave("run", "classical", "--data", tiny.data, "--tasks", "Match", *place.flags)
        elsewhere = tiny.data.rename(tmp_path / "elsewhere")
        done = llave("run", "classical", "--data", elsewhere, "--tasks", "Match", *place.flags)
        assert "1 result skipped because finished" in done.err


def test_beside_the_page_pictures_are_files(board, tiny, tmp_path):
    page, _ = board("--data", tiny.data, flags=("--html-pictures", "beside"))
    folder = tmp_path / "board-pictures"
    named = {src for each in _viewer(page)["media"] for src in each["src"]}
    assert named == {f"board-pictures/{file.name}" for file in folder.iterdir()}
    assert "data:image/webp" not in page.read_text("utf-8")


def test_a_comparison_in_html_shows_the_pictures_of_its_queries(llave, tiny, place, tmp_path):
    llave("run", "null/random", "null/oracle", "--data", tiny.data, "--tasks", "Match", *place.flags)
    models = [place.out / name for name in ("null--random", "null--oracle")]
    done = llave("compare", *models, "--queries", 3, "--format", "html")
    assert done.out.count('<img src="data:image/webp;base64,') >= 9
    assert "not found" not in done.err
    tiny.images.rename(tmp_path / "moved")
    done = llave("compare", *models, "--queries", 3, "--format", "html")
    assert "<img" not in done.out
    assert "pictures not found" in done.err
    done = llave("compare", *models, "--queries", 3, "--format", "html", "--images", tmp_path / "moved")
    assert "<img" in done.out
    assert llave("compare", *models, "--images", tmp_path / "moved").code == 2


def test_show_says_where_the_media_are(llave, tiny, place):
    llave("run", "classical", "--data", tiny.data, "--tasks", "Match", *place.flags)
    shown = llave("show", place.path("Match", "classical"))
    assert f"media: {tiny.images}" in shown.out
