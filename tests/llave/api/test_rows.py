"""A task made in Python equals the same task in a file, whatever holds the rows."""

from __future__ import annotations

import json

import datasets
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import llave as front
from harness.media.images import open_image
from tests.helpers.embedders import Hashed

QUERIES = ["red", "green", "blue"]
CANDIDATES = ["a red ball", "a green ball", "a blue ball", "a ball"]
POSITIVES = [0, [1], [2, 3]]


def _task(**changes):
    return front.task("t", **{"queries": QUERIES, "candidates": CANDIDATES, "positives": POSITIVES, **changes})


def _content(task: front.Task) -> str:
    return task.source.info(task).content


def _same(one: front.Task, other: front.Task) -> bool:
    return _content(one) == _content(other) and one == other


def _scores(task, place):
    result = front.evaluate(Hashed(), task, out=place.out, store=place.store, progress=False)
    return result.results[0].metrics, result.results[0].queries()


class TestForms:
    def test_the_same_rows_in_a_file_have_the_same_scores(self, place, tmp_path):
        lines = [{"target": str(number), "text": text} for number, text in enumerate(CANDIDATES)]
        for number, (text, right) in enumerate(zip(QUERIES, POSITIVES, strict=True)):
            positives = [str(each) for each in (right if isinstance(right, list) else [right])]
            lines.append({"query": str(number), "text": text, "positives": positives})
        file = tmp_path / "t.jsonl"
        file.write_text("\n".join(map(json.dumps, lines)))
        scores, rows = _scores(_task(), place)
        file_scores, file_rows = _scores(file, place)
        assert scores == file_scores
        pd.testing.assert_frame_equal(rows, file_rows)

    @pytest.mark.parametrize(
        "changes",
        [
            {"queries": tuple(QUERIES), "candidates": iter(CANDIDATES)},
            {"queries": pd.Series(QUERIES), "candidates": pd.DataFrame({"text": CANDIDATES}), "positives": POSITIVES},
            {"queries": np.array(QUERIES), "positives": [np.int64(0), np.array([1]), pd.Series([2, 3])]},
            {"queries": [{"text": each} for each in QUERIES]},
            {"queries": [front.Item(each) for each in QUERIES]},
            {"queries": datasets.Dataset.from_dict({"text": QUERIES}), "candidates": CANDIDATES},
            {"candidates": datasets.Dataset.from_dict({"c": CANDIDATES})["c"]},
            {
                "candidates": {f"c{number}": each for number, each in enumerate(CANDIDATES)},
                "positives": ["c0", ["c1"], ("c2", "c3")],
            },
            {
                "candidates": pd.DataFrame({"id": list("abcd"), "text": CANDIDATES, "image": [None] * 4}),
                "positives": pd.Series(["a", ["b"], ["c", "d"]]),
            },
        ],
        ids=["tuple", "pandas", "numpy", "dictionaries", "items", "dataset", "column", "mapping", "ids"],
    )
    def test_all_forms_are_one_task(self, changes):
        assert _same(_task(**changes), _task())

    def test_instructions_and_missing_fields(self):
        rows = pd.DataFrame({"text": ["a", np.nan], "instruction": ["Find:", "Look for a bird."]})
        task = _task(queries=rows, positives=[0, 1])
        assert [query.item.full_text for query in task.source.load(task).queries] == ["Find: a", "Look for a bird."]

    def test_candidates_of_equal_content_are_one(self):
        task = _task(queries=["x"], candidates=["a", "b", "a"], positives=[[0, 2]])
        data = task.source.load(task)
        assert len(data.targets) == 2
        assert data.queries[0].positives.tolist() == [0]

    def test_ids_of_queries_are_kept_and_positives_may_be_by_id(self):
        task = _task(queries={"x": "red", "y": "green"}, positives=[0, [1, 2]])
        assert [query.id for query in task.source.load(task).queries] == ["x", "y"]
        assert _same(_task(queries={"x": "red", "y": "green"}, positives={"y": [1, 2], "x": 0}), task)


class TestDigest:
    @pytest.mark.parametrize(
        "changes",
        [
            {"queries": ["red", "green", "blu"]},
            {"queries": [*QUERIES[:2], {"text": "blue", "id": "z"}]},
            {"queries": [*QUERIES[:2], {"text": "", "instruction": "blue"}]},
            {"candidates": [*CANDIDATES, "more"]},
            {"candidates": [*CANDIDATES[:3], "a Ball"]},
            {"positives": [0, 1, [3, 2]]},
            {"positives": [0, 1, 2]},
        ],
        ids=["text", "id", "instruction", "one more", "another", "order", "fewer"],
    )
    def test_whatever_changes_the_rows_changes_it(self, changes):
        assert _content(_task(**changes)) != _content(_task())

    @given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5), st.integers(0, 4), st.text())
    def test_one_changed_text_changes_it(self, texts, place, more):
        place %= len(texts)
        changed = [*texts[:place], texts[place] + "~" + more, *texts[place + 1 :]]
        one, other = (
            front.task("t", queries=each, candidates=["a"], positives=[0] * len(texts)) for each in (texts, changed)
        )
        assert _content(one) != _content(other)

    def test_a_changed_text_is_evaluated_anew(self, place):
        one = _scores(_task(), place)
        front_result = front.evaluate(
            Hashed(), _task(candidates=["x", *CANDIDATES[1:]]), out=place.out, store=place.store, progress=False
        )
        assert front_result.found == 0
        assert _scores(_task(), place)[0] == one[0]


class TestImages:
    @pytest.fixture
    def files(self, tmp_path):
        paths = []
        for number, colour in enumerate(("red", "green", "blue")):
            paths.append(tmp_path / "pictures" / f"{number}.png")
            paths[-1].parent.mkdir(exist_ok=True)
            Image.new("RGB", (8 + number, 8), colour).save(paths[-1])
        return paths

    def test_paths_bytes_and_pil_images_have_the_same_pixels(self, files, place, tmp_path):
        forms = {
            "absolute": [{"image": each} for each in files],
            "text": [{"image": str(each)} for each in files],
            "relative": [{"image": f"pictures/{each.name}"} for each in files],
            "up": [{"image": f"x/../pictures/{each.name}"} for each in files],
            "bytes": [{"image": {"bytes": each.read_bytes(), "path": None}} for each in files],
            "bytes alone": [{"bytes": each.read_bytes(), "path": each.name} for each in files],
            "path": [{"image": {"bytes": None, "path": str(each)}} for each in files],
            "opened": [{"image": Image.open(each)} for each in files],
            "opened alone": [Image.open(each) for each in files],
            "list": [{"image": [each]} for each in files],
            "dataset": datasets.Dataset.from_dict({"image": [str(each) for each in files]}).cast_column(
                "image", datasets.Image()
            ),
        }
        forms["column"] = forms["dataset"]["image"]
        found = {}
        for name, candidates in forms.items():
            task = front.task("t", queries=QUERIES, candidates=candidates, positives=[0, 1, 2], root=tmp_path)
            data = task.source.load(task)
            pixels = [np.asarray(open_image(each.media[0])).tolist() for each in data.targets]
            found[name] = (pixels, _content(task), _scores(task, place)[0])
        for name, each in found.items():
            assert each == found["absolute"], name

    def test_bytes_are_written_once_and_as_they_are(self, files, tmp_path, monkeypatch):
        monkeypatch.setenv("LLAVE_CACHE", str(tmp_path / "cache"))
        data = files[0].read_bytes()
        for _ in range(2):
            front.task("t", queries=["x"], candidates=[{"bytes": data, "path": "a.png"}], positives=[0])
            front.task("t", queries=["x"], candidates=[Image.new("RGB", (3, 3))], positives=[0])
        written = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
        assert len(written) == 2
        assert data in [path.read_bytes() for path in written]

    @pytest.mark.parametrize(
        "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16", "F", "LAB"]
    )
    def test_every_mode_keeps_its_pixels(self, mode, tmp_path):
        values = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
        if mode == "I;16":
            image = Image.fromarray(values[..., 0].astype(np.uint16) * 256)
        elif mode in ("I", "F"):
            image = Image.fromarray(values[..., 0].astype(np.int32 if mode == "I" else np.float32) * 300)
        elif mode == "LAB":
            image = Image.merge("LAB", Image.fromarray(values).split())
        else:
            image = Image.fromarray(values).convert(mode)
        plain = tmp_path / "plain.tiff"
        if mode in ("I", "F", "I;16"):
            image.save(plain)
            expected = np.asarray(open_image(front.Media("image", plain.name, tmp_path)))
        elif mode == "LAB":
            expected = None  # Pillow has no conversion of its own to compare with
        else:
            expected = np.asarray(image.convert("RGB"))
        try:
            task = front.task("t", queries=["x"], candidates=[image], positives=[0])
        except front.UserError:
            assert mode == "LAB"
            return
        found = np.asarray(open_image(task.source.load(task).targets[0].media[0]))
        if expected is not None:
            np.testing.assert_array_equal(found, expected)

    def test_a_missing_file_is_named_with_its_place(self, place, tmp_path):
        task = front.task("t", queries=["x"], candidates=[{"image": "none.png"}], positives=[0], root=tmp_path)
        with pytest.raises(front.UserError, match=r"none\.png does not exist.*t, candidate 0"):
            _scores(task, place)


class TestWrongRows:
    @pytest.mark.parametrize(
        ("changes", "what"),
        [
            ({"queries": "red"}, "a list or a table of items is wanted"),
            ({"queries": 3}, "a list or a table of items is wanted"),
            ({"queries": []}, "t has 0 queries, but positives for 3"),
            ({"queries": [], "positives": []}, "t has no query"),
            ({"candidates": []}, "t has no candidate"),
            ({"positives": [0, 1]}, "t has 3 queries, but positives for 2"),
            ({"positives": {"0": 1}}, "t has positives for '0', which is no query's id"),
            ({"queries": {"a": "x", "b": "y"}, "positives": {"a": 1}}, "t has 2 queries, but positives for 1"),
            ({"queries": [*QUERIES[:2], front.Item(" ")]}, "t, query 2: it has no text"),
            ({"positives": [0, 1, 4]}, "query 2: there is no candidate at position 4"),
            ({"positives": [0, 1, -1]}, "query 2: there is no candidate at position -1"),
            ({"positives": [0, 1, True]}, "query 2: there is no candidate at position True"),
            ({"positives": [0, 1, []]}, "query 2 has no positive"),
            ({"positives": [0, 1, {2: 0}]}, "query 2 has no positive"),
            ({"positives": [0, 1, {2: 0.5}]}, "query 2: a grade is a whole number, not 0.5"),
            ({"positives": [0, 1, 1.5]}, "query 2: a positive is a position or an id, not 1.5"),
            ({"positives": [0, 1, "z"]}, "query 2: there is no candidate with the id 'z'"),
            ({"queries": [*QUERIES[:2], ""]}, "t, query 2: it has no text, no image and no video"),
            ({"queries": [*QUERIES[:2], None]}, "t, query 2: an item is a text"),
            ({"queries": [*QUERIES[:2], {"txt": "x"}]}, "t, query 2: an item has no key txt"),
            ({"queries": [*QUERIES[:2], {"image": 3}]}, "t, query 2: an image or a video is a path"),
            ({"queries": [*QUERIES[:2], {"text": "<|image_1|>"}]}, "an image token is written <|media|>"),
            ({"queries": [{"text": "a", "id": 1}, "b", "c"]}, "query 0: an id must be a string, not 1"),
            ({"candidates": {1: "a"}}, "candidate 0: an id must be a string, not 1"),
            ({"candidates": [{"id": "a", "text": "x"}] * 2}, "the id 'a' is given twice"),
            ({"metrics": ["hits"]}, "hits"),
        ],
    )
    def test_it_says_where(self, changes, what):
        with pytest.raises(front.UserError) as error:
            _task(**changes)
        assert what in error.value.what
        assert error.value.hint

    def test_a_task_needs_a_name(self):
        with pytest.raises(front.UserError, match="needs a name"):
            front.task(" ", queries=["a"], candidates=["a"], positives=[0])

    def test_metrics_can_be_chosen(self, place):
        assert [*_scores(_task(metrics=["recall@2", "mrr"]), place)[0]] == ["recall@2", "mrr"]


def test_grades_are_those_of_the_same_rows_in_a_file(place, tmp_path):
    grades = [{0: 2, 1: 1, 3: 0}, {1: 3}, {2: 1, 3: 2}]
    graded = _task(positives=grades, metrics=["ndcg@3", "ndcg-exp@3", "hit@1"])
    lines = [{"target": str(number), "text": text} for number, text in enumerate(CANDIDATES)]
    lines += [
        {"query": str(number), "text": text, "positives": {str(each): grade for each, grade in own.items()}}
        for number, (text, own) in enumerate(zip(QUERIES, grades, strict=True))
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    from_file = front.evaluate(Hashed(), tmp_path / "t.jsonl", out=tmp_path / "out", store=place.store, progress=False)
    scores = _scores(graded, place)[0]
    assert scores["hit@1"] == from_file["t"].metrics["hit@1"]
    assert scores["ndcg@3"].value != scores["ndcg-exp@3"].value
    ones = [{each: 1 for each, grade in own.items() if grade} for own in grades]
    assert _same(_task(positives=ones), _task(positives=[[*each] for each in ones]))
    assert not _same(_task(positives=grades), _task(positives=ones))
    assert (_task(positives=grades).metrics[0], _task(positives=ones).metrics[0]) == ("ndcg@10", "hit@1")
