"""`llave.evaluate` is `llave run` from Python: the same files, the same scores, nothing twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import llave as front
from tests.helpers.embedders import Double, Hashed, Unloadable

HASHED = "tests.helpers.embedders:Hashed"


def _evaluate(place, *arguments, **changes):
    return front.evaluate(*arguments, **{"out": place.out, "store": place.store, "progress": False, **changes})


def _plain(path: Path) -> dict[str, object]:
    """A record without what differs between any two runs."""
    record = json.loads(path.read_text())
    return {name: value for name, value in record.items() if name not in ("created", "cost", "environment")}


class TestLikeTheCommand:
    def test_the_files_are_those_of_llave_run(self, llave, tiny, place, tmp_path):
        flags = ("--limit", 5, "--protocol", "official", "--seed", 3)
        assert (
            llave("run", HASHED, "--data", tiny.data, *flags, "--out", tmp_path / "b", "--store", place.store).code == 0
        )
        _evaluate(place, HASHED, tiny.data, limit=5, protocol="official", seed=3)
        files = sorted(path.relative_to(place.out) for path in place.out.rglob("*.json*"))
        assert len(files) == 6
        for file in files:
            one, other = place.out / file, tmp_path / "b" / file
            if file.suffix == ".json":
                assert _plain(one) == _plain(other)
            else:
                assert one.read_bytes() == other.read_bytes()

    def test_each_finds_what_the_other_finished(self, llave, tiny, place, log, monkeypatch):
        _evaluate(place, HASHED, tiny.data)
        embedded = log()
        monkeypatch.setenv("EMBEDDER_FORBIDDEN", "1")
        assert llave("run", HASHED, "--data", tiny.data, *place.flags).code == 0
        again = _evaluate(place, HASHED, tiny.data)
        assert (again.found, again.encoded) == (3, 0)
        assert log() == embedded

    def test_counts_say_what_was_embedded(self, tiny, place, log):
        result = _evaluate(place, HASHED, tiny.data)
        assert result.found == 0
        assert result.encoded == sum(map(len, log())) > 0

    def test_defaults_are_those_of_the_flags(self):
        import inspect

        from llave.cli.main import build_parser

        options = vars(build_parser().parse_args(["run", "m"]))
        for name, parameter in inspect.signature(front.evaluate).parameters.items():
            if name in options and name not in ("tasks", "columns"):
                flag = options[name]
                assert parameter.default == (str(flag) if isinstance(flag, Path) else flag), name


class TestTasks:
    def test_names_suites_folders_files_and_objects_in_any_mix(self, tiny, place):
        lines = ['{"target": "a", "text": "x"}', '{"query": "q", "text": "x", "positives": ["a"]}']
        file = tiny.data / "own.jsonl"
        file.write_text("\n".join(lines))
        made = front.task("made", queries=["x"], candidates=["x", "y"], positives=[0])
        result = _evaluate(place, HASHED, [made, "demo-object, demo-color", tiny.data / "own.jsonl"], limit=2)
        assert result.tasks == ("made", "demo-object", "demo-color", "own")
        assert _evaluate(place, HASHED, str(file)).tasks == ("own",)
        assert _evaluate(place, HASHED, "Find,Match", data=tiny.data).tasks == ("Find", "Match")
        assert _evaluate(place, HASHED, "all", data=str(tiny.data)).tasks == ("Colour", "Find", "Match")

    def test_a_suite_has_its_means(self, place):
        result = _evaluate(place, "null/constant", "demo", limit=1)
        assert len(result) == len(result.tasks) == len(front.tasks(suite="demo"))
        assert {"overall", "IND", "OOD", "vqa"} <= result.means["null/constant"].keys()
        assert all(value is not None for value in result.means["null/constant"].values())

    def test_a_name_is_not_looked_for_on_the_disk(self, place, tmp_path, monkeypatch):
        (tmp_path / "demo").mkdir()
        monkeypatch.chdir(tmp_path)
        assert len(_evaluate(place, "null/constant", "demo", limit=1)) > 10

    def test_scope_can_be_overridden(self, place):
        assert _evaluate(place, "null/constant", "demo-object@global", limit=1).tasks == ("demo-object@global",)

    @pytest.mark.parametrize(
        ("tasks", "what", "hint"),
        [
            ("demoo", "named 'demoo'", "Did you mean demo"),
            ("nowhere.jsonl", "named 'nowhere.jsonl'", "llave.tasks()"),
            (" , ", "nothing to evaluate", "'demo'"),
            ([], "nothing to evaluate", "'demo'"),
        ],
    )
    def test_what_is_none_is_refused(self, place, tasks, what, hint):
        with pytest.raises(front.UserError) as error:
            _evaluate(place, HASHED, tasks)
        assert what in error.value.what
        assert hint in error.value.hint

    def test_two_tasks_of_one_name_are_refused(self, place):
        one, other = (front.task("same", queries=[text], candidates=["a"], positives=[0]) for text in "xy")
        with pytest.raises(front.UserError, match="Two different tasks are named same"):
            _evaluate(place, HASHED, [one, other])
        assert len(_evaluate(place, HASHED, [one, one])) == 1


class TestModels:
    def test_several_models_stand_beside_each_other(self, tiny, place):
        result = _evaluate(place, [HASHED, "null/oracle", HASHED], tiny.data)
        assert result.models == ("hashed", "null/oracle")
        assert len(result) == 6
        assert result["null/oracle", "Find"].score.value == 1.0
        assert result["hashed", "Find"].record == place.result("Find")
        with pytest.raises(front.UserError, match="Several models"):
            result["Find"]
        with pytest.raises(front.UserError, match="Did you mean Find"):
            result["hashed", "Fnd"]
        with pytest.raises(front.UserError, match="Did you mean hashed"):
            result["hashd", "Find"]

    def test_models_of_one_name_are_told_apart(self, tiny, place):
        result = _evaluate(place, [Hashed, Double], tiny.data)
        assert len(set(result.models)) == 2
        assert {each["model"] for each in result.frame().to_dict("records")} == set(result.models)

    def test_a_model_that_fails_does_not_stop_the_others_and_is_an_error(self, tiny, place):
        with pytest.raises(front.UserError, match="The weights are not there") as error:
            _evaluate(place, [HASHED, Unloadable, "null/constant"], tiny.data)
        assert str(place.out) in error.value.hint
        assert _evaluate(place, [HASHED, "null/constant"], tiny.data).found == 6

    def test_what_fails_part_way_is_an_error_and_is_continued(self, tiny, place):
        with pytest.raises(front.UserError, match="nan"):
            _evaluate(place, "null/nan", tiny.data)

    def test_no_model_is_refused(self, place):
        with pytest.raises(front.UserError, match="No model is named"):
            _evaluate(place, [])


class TestWrongValues:
    @pytest.mark.parametrize(
        ("changes", "what"),
        [
            ({"limit": 0}, "limit cannot be 0"),
            ({"budget": "x"}, "budget cannot be 'x'"),
            ({"workers": -1}, "workers cannot be -1"),
            ({"protocol": "lax"}, "protocol cannot be 'lax'"),
            ({"on_bad_media": "skip"}, "on_bad_media cannot be 'skip'"),
            ({"device": "gpu9"}, "runs in cpu only"),
            ({"model_options": {"a": 1}}, "has no option 'a'"),
            ({"data": "nowhere"}, "nowhere does not exist"),
        ],
        ids=str,
    )
    def test_it_says_which(self, place, changes, what):
        with pytest.raises(front.UserError) as error:
            _evaluate(place, "null/constant", "demo-object", **changes)
        assert what in error.value.what
        assert not place.out.exists()

    def test_bad_media_stop_or_count_as_wrong(self, tiny, place):
        (tiny.images / "shapes/01.png").write_bytes(b"")
        with pytest.raises(front.UserError, match="cannot be used"):
            _evaluate(place, HASHED, tiny.data)
        result = _evaluate(place, HASHED, tiny.data, on_bad_media="count-as-wrong")
        assert result["Find"].record.bad_media
