"""The whole of an evaluation, from the command line to the files: what it finds, and what must not change that."""

from __future__ import annotations

import errno
import json
import math
import random
import re
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from harness.results.rows import read_rows
from harness.results.verified import read_result
from tests.helpers.image_files import broken_when_decoded
from tests.helpers.mmeb_files import Row, write_subset
from tests.helpers.mmeb_files import columns as as_columns

HASHED = "tests.helpers.embedders:Hashed"
TASKS = ("Colour", "Find", "Match")


def _values(place, task: str, model: str = "hashed") -> dict[str, float]:
    return {name: score.value for name, score in place.result(task, model).metrics.items()}


def _embedded(batches) -> list[str]:
    return [label for batch in batches for label in batch]


class TestNullModels:
    def test_constant_is_exactly_chance_and_perfect_under_the_public_rule(self, llave, tiny, place):
        assert llave("run", "null/constant", "--data", tiny.data, *place.flags).code == 0
        for task in TASKS:
            result = place.result(task, "null/constant")
            assert _values(place, task, "null/constant") == dict(result.chance)
            assert result.tied_queries == result.num_queries
            assert result.official["hit@1"].value == 1
        official = llave("run", "null/constant", "--data", tiny.data, "--protocol", "official", *place.flags)
        assert official.code == 0
        assert "†" in official.out
        for task in TASKS:
            result = place.result(task, "null/constant")
            assert result.protocol == "official"
            assert (
                result.metrics["hit@1"].value == result.metrics["mrr"].value == result.metrics["mean_rank"].value == 1
            )
            assert {name: score.value for name, score in result.strict.items()} == dict(result.chance)

    def test_oracle_is_perfect_and_random_is_chance(self, llave, tiny, place):
        assert llave("run", "null/oracle", "null/random", "--data", tiny.data, *place.flags).code == 0
        for task in TASKS:
            assert _values(place, task, "null/oracle")["hit@1"] == 1
            chances = [1 / row["candidates"] for row in place.rows(task, "null/random")]
            spread = math.sqrt(sum(each * (1 - each) for each in chances)) / len(chances)
            result = place.result(task, "null/random")
            assert result.chance["hit@1"] == pytest.approx(sum(chances) / len(chances))
            assert abs(result.main.value - result.chance["hit@1"]) <= 3 * spread

    def test_nan_is_refused_by_name_and_takes_nothing_with_it(self, llave, tiny, place):
        done = llave("run", "null/constant", "null/nan", "null/random", "--data", tiny.data, *place.flags)
        assert done.code == 1
        assert "not finite" in done.err
        assert re.search(r"for the (query|target) ('shapes|with text '[a-z]+')", done.err), "the item is named"
        assert "null/nan: failed after 0 of 3 tasks" in done.err
        assert not list((place.out / "null--nan").rglob("*.json"))
        for database in place.store.glob("null--nan*/*.db"):
            assert sqlite3.connect(database).execute("SELECT count(*) FROM vectors").fetchone() == (0,)
        for model in ("null/constant", "null/random"):
            assert [place.result(task, model).status for task in TASKS] == ["done"] * 3
            assert model in done.out


def _shuffled(rows: Sequence[Row]) -> list[Row]:
    """The candidates in another order, the right one still first, as the layout asks."""
    shuffle = random.Random(7)
    return [(text, image, [pool[0], *shuffle.sample(pool[1:], len(pool) - 1)]) for text, image, pool in rows]


class TestWhatChangesNothing:
    @pytest.mark.parametrize("model", [("classical", "classical"), (HASHED, "hashed")], ids=lambda pair: pair[1])
    def test_the_order_of_candidates(self, llave, tiny, place, tmp_path, model):
        other = tiny.rewrite(tmp_path / "other", _shuffled)
        assert llave("run", model[0], "--data", tiny.data, *place.flags).code == 0
        before = {task: (place.result(task, model[1]), place.rows(task, model[1])) for task in TASKS}
        assert llave("run", model[0], "--data", other.data, *place.flags).code == 0
        for task, (result, rows) in before.items():
            now = place.result(task, model[1])
            assert now.dataset["digest"] != result.dataset["digest"], "these are other files"
            assert (now.metrics, now.official, now.chance) == (result.metrics, result.official, result.chance)
            for old, new in zip(rows, place.rows(task, model[1]), strict=True):
                same = ("query", "right", "best_rank", "worst_rank", "official_rank", "candidates")
                assert [old[each] for each in same] == [new[each] for each in same]

    @pytest.mark.parametrize("model", [("classical", "classical"), (HASHED, "hashed")], ids=lambda pair: pair[1])
    def test_budget_and_workers(self, llave, tiny, tmp_path, model):
        seen = set()
        for number, flags in enumerate([(), ("--budget", 1), ("--workers", 0), ("--workers", 3, "--budget", 200)]):
            out = tmp_path / str(number)
            assert llave("run", model[0], "--data", tiny.data, "--out", out, "--store", out / "s", *flags).code == 0
            paths = sorted((out / model[1] / "1").glob("*.json"))
            results = [read_result(path).result for path in paths]
            rows = "".join(path.with_suffix(".queries.jsonl").read_text() for path in paths)
            seen.add((json.dumps([[str(each.metrics), each.identity] for each in results]), rows))
        assert len(seen) == 1

    def test_where_results_and_store_lie(self, llave, tiny, tmp_path):
        inside = tiny.data / "results"
        flags = ("--data", tiny.data, "--out", inside, "--store", inside)
        assert llave("run", HASHED, *flags).code == 0
        again = llave("run", HASHED, *flags)
        assert again.code == 0
        assert "3 results skipped because finished" in again.err


class TestEncodingOnce:
    def test_each_distinct_item_is_embedded_once_over_all_tasks(self, llave, tiny, place, log):
        done = llave("run", HASHED, "--data", tiny.data, *place.flags)
        embedded = _embedded(log())
        assert len(embedded) == len(set(embedded))
        uses = sum(place.result(task).num_queries + place.result(task).num_targets for task in TASKS)
        saved = uses - len(embedded)
        assert saved == 0, "the tasks of the tiny folder ask differently for the same images"
        assert f"hashed: {len(embedded)} encodings for {uses} uses; 0 saved (0 repeats, 0 in the store)" in done.err

        shutil.copytree(tiny.data / "Find", tiny.data / "FindAgain")
        done = llave("run", HASHED, "--data", tiny.data, *place.flags)
        assert _embedded(log()) == embedded, "all of the new task was there already"
        assert (
            "3 results skipped because finished; 0 encodings for 24 uses; 24 saved (0 repeats, 24 in the store)"
            in done.err
        )
        assert _values(place, "FindAgain") == _values(place, "Find")

    def test_tasks_that_share_items_share_encodings_in_one_run(self, llave, tiny, place, log):
        shutil.copytree(tiny.data / "Find", tiny.data / "FindAgain")
        done = llave("run", HASHED, "--data", tiny.data, "--tasks", "Find,FindAgain", *place.flags)
        assert len(_embedded(log())) == 24
        assert "24 encodings for 48 uses; 24 saved (24 repeats, 0 in the store)" in done.err

    def test_both_scopes_come_from_the_same_vectors(self, llave, tiny, place, log):
        assert llave("run", HASHED, "--data", tiny.data, "--tasks", "Find", *place.flags).code == 0
        before = log()
        assert llave("run", HASHED, "--data", tiny.data, "--tasks", "Find@global", *place.flags).code == 0
        assert log() == before
        local, whole = place.result("Find"), place.result("Find@global")
        assert (local.scope, whole.scope) == ("local", "global")
        assert [row["candidates"] for row in place.rows("Find@global")] == [whole.num_targets] * 12
        assert whole.chance["hit@1"] < local.chance["hit@1"]

    def test_a_model_that_sees_no_image_embeds_texts_alone_and_the_result_says_so(self, llave, tiny, place, log):
        done = llave("run", "tests.helpers.embedders:TextOnly", HASHED, "--data", tiny.data, *place.flags)
        assert place.result("Find", "text-only").model["not_seen"] == ["image"]
        assert place.result("Find").model["not_seen"] == []
        assert done.out.count("text-only does not support image") == 1
        assert place.result("Find", "text-only").tied_queries == 12
        assert not any("shapes/" in label for batch in log()[:3] for label in batch)


class TestFindingResultsAgain:
    @pytest.fixture
    def sealed(self, monkeypatch):
        """From here on neither data nor model may be loaded."""

        def seal():
            def refuse(*_):
                raise AssertionError("rows must not be read")

            monkeypatch.setattr("tasks.mmeb.folder.FolderSource.load", refuse)
            monkeypatch.setenv("EMBEDDER_FORBIDDEN", "1")

        return seal

    def test_nothing_is_loaded(self, llave, tiny, place, sealed):
        first = llave("run", HASHED, "null/random", "--data", tiny.data, *place.flags)
        written = {path: path.stat().st_mtime_ns for path in place.out.rglob("*.json*")}
        sealed()
        again = llave("run", HASHED, "null/random", "--data", tiny.data, *place.flags)
        assert (again.code, again.out) == (0, first.out)
        assert again.err.count("3 results skipped because finished") == 2
        assert {path: path.stat().st_mtime_ns for path in place.out.rglob("*.json*")} == written

    @pytest.mark.parametrize(
        "flags",
        [("--limit", 5), ("--protocol", "official"), ("--on-bad-media", "count-as-wrong")],
        ids=lambda flags: flags[0],
    )
    def test_another_question_has_another_answer_and_both_are_kept(self, llave, tiny, place, sealed, log, flags):
        asked = ("run", HASHED, "--data", tiny.data, *place.flags)
        assert llave(*asked).code == 0
        older, rows, batches = place.result("Find"), place.rows("Find"), log()
        assert llave(*asked, *flags).code == 0
        assert place.result("Find").identity != older.identity
        aside = place.path("Find").with_name(f"Find.{older.identity[:12]}.json")
        kept = read_result(aside).result
        assert (kept.identity, kept.metrics) == (older.identity, older.metrics)
        assert read_rows(aside, kept) == rows
        sealed()
        for line in (asked, (*asked, *flags)):
            done = llave(*line)
            assert (done.code, "3 results skipped because finished" in done.err) == (0, True)
        assert log() == batches, "the vectors are the same"

    def test_changed_rows_and_changed_pixels_are_other_data(self, llave, tiny, place, log):
        asked = ("run", HASHED, "--data", tiny.data, "--tasks", "Colour", *place.flags)
        assert llave(*asked).code == 0
        first, count = place.result("Colour"), len(_embedded(log()))
        Image.new("RGB", (32, 24), "black").save(tiny.images / "shapes/03.png")
        assert llave(*asked).code == 0
        second = place.result("Colour")
        assert second.dataset["digest"] != first.dataset["digest"]
        assert len(_embedded(log())) == count + 2, "what holds the changed image, and a stored item again"
        _, image, pool = tiny.rows["Colour"][5]
        changed = [*tiny.rows["Colour"][:5], ("<|image_1|>\nWhich hue?\n", image, pool), *tiny.rows["Colour"][6:]]
        write_subset(tiny.data, "Colour", as_columns(changed))
        assert llave(*asked).code == 0
        assert place.result("Colour").dataset["digest"] not in (first.dataset["digest"], second.dataset["digest"])
        assert len(_embedded(log())) == count + 4
        kept = place.path("Colour").parent.glob("Colour*.json")
        assert {read_result(path).result.identity for path in kept} >= {first.identity, second.identity}

    def test_a_changed_model_file_is_another_model(self, llave, tiny, place, tmp_path, monkeypatch):
        code = "from tests.helpers.embedders import Hashed\nclass Mine(Hashed):\n    pass\n"
        monkeypatch.syspath_prepend(tmp_path)
        fingerprints = []
        for number, text in enumerate([code, code + "# changed\n"]):
            folder = tmp_path / f"mine_{number}"
            folder.mkdir()
            (folder / "__init__.py").touch()
            (folder / "model.py").write_text(text)
            (tmp_path / "mine").unlink(missing_ok=True)
            monkeypatch.delitem(__import__("sys").modules, "mine.model", raising=False)
            monkeypatch.delitem(__import__("sys").modules, "mine", raising=False)
            (tmp_path / "mine").symlink_to(folder)
            done = llave("run", "mine.model:Mine", "--data", tiny.data, "--tasks", "Find", *place.flags)
            assert "24 encodings for 24 uses" in done.err
            fingerprints.append(place.result("Find").model["fingerprint"])
        assert len(set(fingerprints)) == 2
        assert len(list(place.store.iterdir())) == 2

    def test_a_lost_cache_costs_a_look_at_the_data_and_no_more(self, llave, tiny, place, tmp_path, monkeypatch):
        asked = ("run", HASHED, "--data", tiny.data, *place.flags)
        assert llave(*asked).code == 0
        monkeypatch.setenv("LLAVE_CACHE", str(tmp_path / "new cache"))
        monkeypatch.setenv("EMBEDDER_FORBIDDEN", "1")
        done = llave(*asked)
        assert (done.code, "3 results skipped because finished" in done.err) == (0, True)

    def test_lost_or_changed_rows_are_made_again_from_the_store(self, llave, tiny, place, monkeypatch):
        asked = ("run", HASHED, "--data", tiny.data, *place.flags)
        assert llave(*asked).code == 0
        rows = place.path("Find").with_suffix(".queries.jsonl")
        before = rows.read_bytes()
        monkeypatch.setenv("EMBEDDER_FORBIDDEN", "1")
        for damage in (rows.unlink, lambda: rows.write_bytes(before[:-1]), place.path("Find").unlink):
            damage()
            done = llave(*asked)
            assert (done.code, "2 results skipped because finished" in done.err) == (0, True)
            assert rows.read_bytes() == before
            assert place.rows("Find")


class TestModelsThatLookAlike:
    def test_names_that_make_the_same_path_do_not_meet(self, llave, tiny, place):
        done = llave(
            "run",
            "tests.helpers.embedders:Slashed",
            "tests.helpers.embedders:Dashed",
            "--data",
            tiny.data,
            *place.flags,
        )
        assert done.code == 0
        assert {place.result(task, name).model["name"] for task in TASKS for name in ("a/b", "a--b")} == {"a/b", "a--b"}
        folders = [each for each in place.out.iterdir() if each.is_dir()]
        assert len(folders) == len(list(place.store.iterdir())) == 2

    def test_two_models_of_one_name_have_a_column_each_and_keep_their_results(self, llave, tiny, place, monkeypatch):
        asked = ("run", HASHED, "tests.helpers.embedders:Double", "--data", tiny.data, "--tasks", "Find", *place.flags)
        found = json.loads(llave(*asked, "--json").out)
        fingerprints = [each["model"]["fingerprint"] for each in found["results"]]
        assert len(set(fingerprints)) == 2
        assert list(found["means"]) == [f"hashed@1@{each[:8]}" for each in fingerprints]
        monkeypatch.setenv("EMBEDDER_FORBIDDEN", "1")
        again = json.loads(llave(*asked, "--json").out)
        assert [each["identity"] for each in again["results"]] == [each["identity"] for each in found["results"]]
        assert again["means"] == found["means"]

    def test_a_model_named_twice_is_evaluated_and_shown_once(self, llave, tiny, place, tmp_path):
        done = llave(
            "run", "null/random", "null/random", "--data", tiny.data, "--tasks", "Find", "--json", *place.flags
        )
        assert len(json.loads(done.out)["results"]) == 1

    def test_names_are_not_markup(self, llave, tiny, place):
        done = llave("run", "tests.helpers.embedders:Marked", "--data", tiny.data, *place.flags)
        assert done.code == 0
        assert "[red]x[/nothing]" in done.out


class TestFailures:
    @pytest.fixture
    def fragile(self, tiny) -> Path:
        """One task of the folder has an item that `Brittle` fails on."""
        _, image, pool = tiny.rows["Match"][0]
        rows = [("<|image_1|>\nfragile\n", image, pool), *tiny.rows["Match"][1:]]
        write_subset(tiny.data, "Match", as_columns(rows))
        return tiny.data

    def test_what_was_done_before_is_kept_and_shown(self, llave, fragile, place):
        asked = ("run", "tests.helpers.embedders:Brittle", "null/random", "--data", fragile, *place.flags)
        done = llave(*asked)
        assert done.code == 1
        assert "brittle: failed after 2 of 3 tasks" in done.err
        assert "error: brittle, Match (3 of 3): The model returned a vector that is not finite" in done.err
        assert "fragile" in done.err
        assert "Missing for brittle: Match." in done.out
        assert "incomplete: 2 of 3" in done.out
        assert place.result("Match", "null/random").status == "done"
        again = llave(*asked)
        assert again.code == 1
        assert "brittle: 2 results skipped because finished; failed after 2 of 3 tasks" in again.err

    def test_a_model_that_does_not_load_stops_only_itself_once_something_is_done(self, llave, tiny, place):
        unloadable = "tests.helpers.embedders:Unloadable"
        alone = llave("run", unloadable, "null/random", "--data", tiny.data, *place.flags)
        assert (alone.code, alone.out) == (2, "")
        after = llave("run", "null/random", unloadable, "null/constant", "--data", tiny.data, *place.flags)
        assert after.code == 1
        assert "The weights are not there." in after.err
        assert {"null/random", "null/constant"} <= {
            path.parents[1].name.replace("--", "/") for path in place.out.rglob("*.json")
        }
        assert "null/random" in after.out
        assert "null/constant" in after.out

    def test_media_that_break_only_when_decoded_count_as_wrong_if_so_asked(self, llave, tiny, place):
        broken = tiny.images / "shapes/02.png"
        broken.write_bytes(broken_when_decoded(broken.read_bytes()))
        asked = ("run", HASHED, "--data", tiny.data, *place.flags)
        stopped = llave(*asked)
        assert stopped.code == 1
        assert "shapes/02.png" in stopped.err
        done = llave(*asked, "--on-bad-media", "count-as-wrong")
        assert done.code == 0
        assert "Bad media counted as wrong" in done.out
        self._check_counted_as_wrong(place)

    def test_media_that_are_missing_count_as_wrong_if_so_asked(self, llave, tiny, place):
        (tiny.images / "shapes/02.png").unlink()
        asked = ("run", HASHED, "--data", tiny.data, *place.flags)
        stopped = llave(*asked)
        assert stopped.code == 2
        assert not place.store.exists(), "it is known before anything is embedded"
        assert llave(*asked, "--on-bad-media", "count-as-wrong").code == 0
        self._check_counted_as_wrong(place)

    def _check_counted_as_wrong(self, place) -> None:
        for task, wrong in {"Colour": {2}, "Find": {2}, "Match": {2}}.items():
            result, rows = place.result(task), place.rows(task)
            assert [each["media"] for each in result.bad_media] == ["shapes/02.png"]
            assert "shapes/02.png" in result.bad_media[0]["why"]
            for row in rows:
                assert ("bad_media" in row) == (int(row["query"]) in wrong)
                assert not (row["right"] and int(row["query"]) in wrong)
            assert [rows[2]["hit@1"], rows[2]["best_rank"]] == [0, []]
            assert result.main.value == pytest.approx(sum(row["hit@1"] for row in rows) / result.num_queries)

    def test_a_full_disk_is_told_and_what_was_embedded_is_kept(self, llave, tiny, place, monkeypatch, log):
        def refuse(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        asked = ("run", HASHED, "--data", tiny.data, *place.flags)
        with monkeypatch.context() as patch:
            patch.setattr("harness.results.files.write_atomic", refuse)
            done = llave(*asked)
        assert done.code == 1
        assert "hashed, Colour (1 of 3): The disk is full" in done.err
        before = _embedded(log())
        assert llave(*asked).code == 0
        embedded = _embedded(log())
        again, rest = embedded[len(before)], embedded[len(before) + 1 :]
        assert embedded[: len(before)] == before
        assert again in before, "one stored item is embedded again, to see whether the model is the same"
        assert len(before) + len(rest) == len({*before, *rest})

    def test_a_task_of_which_every_medium_is_bad_is_all_wrong(self, llave, tiny, place):
        shutil.rmtree(tiny.images / "shapes")
        asked = ("run", HASHED, "--data", tiny.data, "--on-bad-media", "count-as-wrong", *place.flags)
        assert llave(*asked).code == 0
        assert [_values(place, task)["hit@1"] for task in TASKS] == [0, 0, 0]
        assert llave("show", place.path("Find")).code == 0
