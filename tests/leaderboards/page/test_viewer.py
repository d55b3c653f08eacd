"""The queries of the page, before a browser shows them: verdicts, similarities, pictures, and what is kept of texts."""

from __future__ import annotations

import base64
import io
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.scoring.metrics import Metric
from harness.scoring.ranking import Ranking
from leaderboards.contents import NamedMedium, Place
from leaderboards.page import thumbnails
from leaderboards.page.similarity import histogram, step_of
from leaderboards.page.thumbnails import Album
from leaderboards.page.verdicts import verdict_of
from leaderboards.page.viewer import TOP, viewer
from leaderboards.pictures import Pictures
from tests.helpers.page_values import page_board, picture


def _row(best: list[int], worst: list[int], candidates: int = 300, **more: object) -> dict[str, object]:
    return {"best_rank": best, "worst_rank": worst, "candidates": candidates, **more}


class TestVerdict:
    @pytest.mark.parametrize(
        ("row", "score", "state", "said"),
        [
            (_row([1], [1]), 1.0, "right", ""),
            (_row([3], [3]), 1.0, "right", "rank 3 of 300"),
            (_row([1], [220]), 1 / 220, "tied", "with 219 others: counts as 0.5 %"),
            (_row([1], [2]), 0.5, "tied", "with 1 other: counts as 50.0 %"),
            (_row([5], [5]), 0.0, "wrong", "rank 5 of 300"),
            (_row([3], [17]), 0.0, "wrong", "rank 3 to 17 of 300, tied with 14 others"),
            (_row([2], [2]), 0.631, "part", "63.1 %, rank 2 of 300"),
            (_row([1, 1], [2, 2]), 1.0, "right", ""),  # two right ones share the first two ranks
            (_row([], [], bad_media="a.png is empty"), 0.0, "none", "a.png is empty"),
        ],
    )
    def test_it_says_what_the_ranks_say(self, row, score, state, said):
        found = verdict_of(row, score, official=False)
        assert (found["state"], found["said"]) == (state, said)

    def test_a_tie_that_the_official_rule_counts_as_won_is_still_a_tie(self):
        found = verdict_of(_row([1], [300]), 1.0, official=True)
        assert (found["state"], found["said"]) == ("tied", "with 299 others: counted as right")

    @given(st.lists(st.integers(0, 3), min_size=2, max_size=12), st.sampled_from(["hit@1", "hit@5", "mrr", "ndcg@10"]))
    def test_right_is_certain_and_tied_is_not(self, scores, name):
        """Of one right candidate, the first; the others are wrong."""
        best = 1 + sum(score > scores[0] for score in scores)
        worst = sum(score >= scores[0] for score in scores)
        value = Metric.parse(name).score(Ranking("", (best,), (worst,), len(scores), 1, (best,), len(scores)))
        state = verdict_of(_row([best], [worst], len(scores)), value, official=False)["state"]
        assert (state == "right") is (value == 1)
        assert (state == "wrong") is (value == 0)
        assert (state == "tied") is (worst > best and 0 < value < 1)

    @pytest.mark.parametrize("odd", [{}, {"best_rank": None}, {"best_rank": "x", "worst_rank": [1]}])
    def test_rows_of_other_types_are_not_ranked(self, odd):
        assert verdict_of(odd, 0.0, official=False)["state"] == "none"


SCORES = st.floats(-1, 1, width=32)


class TestSimilarity:
    @given(st.lists(st.tuples(SCORES, st.lists(SCORES, min_size=1, max_size=4)), min_size=1, max_size=30))
    def test_every_query_is_in_the_bin_of_its_scores(self, pairs):
        rows = [
            {"right_score": right, "top": [{"score": score, "right": False} for score in wrong]}
            for right, wrong in pairs
        ]
        made = histogram(rows)
        for counts, scores in (
            (made["right"], [right for right, _ in pairs]),
            (made["wrong"], [max(wrong) for _, wrong in pairs]),
        ):
            edges = [made["low"] + number * made["step"] for number in range(len(counts) + 1)]
            slack = made["step"] * 1e-5
            for count, (low, high) in zip(counts, itertools.pairwise(edges), strict=True):
                inside = sum(low + slack < score < high - slack for score in scores)
                near = sum(low - slack <= score <= high + slack for score in scores)
                assert inside <= count <= near
            assert sum(counts) == len(rows)

    @given(st.floats(1e-5, 10))
    def test_the_step_is_the_smallest_round_one(self, width):
        step = step_of(width)
        assert f"{step:e}"[0] in "125"
        assert width / step * (1 + 1e-9) >= 16
        assert width / step <= 40

    def test_a_right_score_out_of_the_top_is_kept_and_older_rows_say_how_many_lack_it(self):
        top = [{"score": 0.9, "right": False}]
        assert histogram([{"right_score": 0.1, "top": top}])["unseen"] == 0
        assert histogram([{"top": top}, {"right_score": None, "top": top}])["unseen"] == 2
        assert histogram([{"top": []}]) is None
        assert sum(histogram([{"top": [{"score": 0.9, "right": True}]}])["right"]) == 1


def _media(folder: Path, count: int, side: int = 400) -> list[NamedMedium]:
    for number in range(count):
        Image.effect_noise((side, side), 90).save(folder / f"{number}.png")
    return [NamedMedium(f"{number}.png", (Place("image", folder),)) for number in range(count)]


def _opened(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


class TestAlbum:
    def test_a_picture_is_made_small(self, tmp_path):
        album = Album(Pictures.of([picture(tmp_path)]))
        [shown] = album.shown([NamedMedium("pictures/a.png")])
        with _opened(shown["src"][0]) as small:
            assert (small.format, small.size) == ("WEBP", (320, 160))
        assert album.notes == [
            "Pictures are in this file, where they may take 20 MB. They have at most 320 pixels a side."
        ]

    def test_small_drawings_keep_every_pixel(self, tmp_path):
        [medium] = _media(tmp_path, 1, side=48)
        [shown] = Album().shown([medium])
        with Image.open(tmp_path / "0.png") as before, _opened(shown["src"][0]) as after:
            assert before.convert("RGB").tobytes() == after.convert("RGB").tobytes()

    def test_the_limit_in_bytes_holds_and_the_first_have_room(self, tmp_path, monkeypatch):
        media = _media(tmp_path, 6)
        size = len(Album().shown(media[:1])[0]["src"][0])
        monkeypatch.setattr(thumbnails, "MOST_BYTES", 3 * size)
        album = Album()
        shown = album.shown(media)
        kept = [bool(each["src"]) for each in shown]
        assert kept[0]
        assert sum(len(src) for each in shown for src in each["src"]) <= 3 * size + 100
        assert kept.count(False) >= 3
        assert any(note.startswith(f"{kept.count(False)} pictures left out") for note in album.notes)
        assert album.pictures.absent == 0

    def test_many_pictures_are_smaller(self, tmp_path, monkeypatch):
        monkeypatch.setattr(thumbnails, "_FEW", 1)
        for shown in Album().shown(_media(tmp_path, 2)):
            with _opened(shown["src"][0]) as small:
                assert max(small.size) == 176

    def test_beside_the_page_they_are_files_and_larger(self, tmp_path):
        (tmp_path / "in").mkdir()
        folder = tmp_path / "my board-pictures"
        album = Album(beside=folder)
        [shown] = album.shown(_media(tmp_path / "in", 1, side=2000))
        [file] = folder.iterdir()
        assert shown["src"] == [f"my%20board-pictures/{file.name}"]
        with Image.open(file) as image:
            assert image.size == (1024, 1024)
        assert Album(beside=folder).shown(_media(tmp_path / "in", 0)) == []

    def test_what_is_missing_is_named_and_counted(self):
        album = Album()
        assert album.shown([NamedMedium("a.png"), NamedMedium("b.mp4")]) == [
            {"name": "a.png", "video": False, "src": []},
            {"name": "b.mp4", "video": True, "src": []},
        ]
        assert album.notes == ["2 pictures could not be found or opened when this page was made."]


class TestViewer:
    @pytest.fixture(scope="class")
    def board(self, tmp_path_factory):
        return page_board(tmp_path_factory.mktemp("results"))

    def test_the_right_answer_is_always_among_those_shown(self, board):
        for task in viewer(board, 10, Album())["tasks"]:
            for query in task["queries"]:
                for answer in query["answers"]:
                    rights = [found for found in answer["top"] if found["right"]]
                    assert [found["target"] for found in rights] == query["right"]
                    assert len(answer["top"]) <= TOP + 1

    def test_a_text_of_a_megabyte_is_cut(self, tmp_path):
        board = page_board(tmp_path, text="x" * 1_000_000)
        longest = max(len(q["content"]["text"]) for task in viewer(board, 3, Album())["tasks"] for q in task["queries"])
        assert longest < 1000

    def test_only_media_that_are_shown_are_opened(self, board, tmp_path):
        made = viewer(board, 1, Album(Pictures.of([picture(tmp_path)])))
        numbers = {
            number
            for task in made["tasks"]
            for content in (*task["targets"], *(query["content"] for query in task["queries"]))
            for number in content["media"]
        }
        assert numbers == set(range(len(made["media"])))
        assert {each["name"] for each in made["media"] if each["src"]} == {"pictures/a.png"}

    def test_a_right_answer_far_down_follows_with_its_rank_and_score(self, tmp_path):
        board = page_board(tmp_path, far=57)
        answers = [a for t in viewer(board, 10, Album())["tasks"] for q in t["queries"] for a in q["answers"]]
        last = [answer["top"][-1] for answer in answers if answer["state"] == "wrong"]
        assert {(found["rank"], found["right"], found["score"]) for found in last} == {(57, True, "0.050")}
