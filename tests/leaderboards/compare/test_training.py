"""What a comparison of two checkpoints says of their training."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from leaderboards.board.entries import Entry, measured
from leaderboards.compare.compare import compare
from leaderboards.compare.config_diff import changes
from leaderboards.compare.files import comparison_json
from leaderboards.compare.tables import matrix_table, training_table
from leaderboards.compare.training import cautions, training
from tasks.suites import Suite
from tests.helpers.record_values import in_memory

SUITE = Suite("this", "1 task", ("A",), ())
SETTINGS = {"recipe": "demo", "alpha": 9.0, "betas": [0.9, 0.98], "weights": {}, "steps": None, "seed": 0}


def entry(name: str, settings: Mapping[str, object] | None = None, **counts: object) -> Entry:
    """A checkpoint's; of an older version if no settings are given."""
    record = in_memory("A", name, [1, 0])
    told = {"recipe": "demo", "step": 100, "steps": 300, "pairs": {"x": 6400}, "processes": 1} | counts
    told |= {"settings": SETTINGS | settings} if settings is not None else {}
    record.result.model.update(training=told, step=told["step"], revision=name * 8)
    return measured([record])[0]


def fields(a: Entry, b: Entry) -> dict[str, tuple[str, str]]:
    found = training(a, b)
    assert found is not None
    return {each.field: (each.a, each.b) for each in found.changes}


def test_settings_and_counts_that_differ_are_named_as_in_the_recipe_and_no_others():
    other = {"alpha": 0.0, "betas": [0.9, 0.99], "weights": {"x": 2.0}}
    assert fields(entry("a", {}), entry("b", other, step=200, pairs={"x": 12800})) == {
        "alpha": ("9.0", "0.0"),
        "betas": ("[0.9, 0.98]", "[0.9, 0.99]"),
        "weights.x": ("–", "2.0"),
        "step": ("100", "200"),
        "pairs.x": ("6400", "12800"),
    }


def test_the_steps_that_a_run_came_to_count_however_they_were_asked_for():
    assert fields(entry("a", {}), entry("b", {"steps": 300})) == {}
    assert fields(entry("a", {}), entry("b", {}, steps=400)) == {"steps": ("300", "400")}


def test_a_record_of_an_older_version_is_read_and_its_lack_of_settings_is_said():
    old, new = entry("a", recipe="infonce"), entry("b", {})
    assert fields(old, new) == {"recipe": ("infonce", "demo")}
    assert "has no settings" in " ".join(training_table(compare(old, new, SUITE, {})).notes)
    assert "has no settings" not in " ".join(training_table(compare(new, entry("c", {}), SUITE, {})).notes)


def test_settings_have_only_the_outline_of_training():
    def told(a: Entry, b: Entry) -> dict[str, tuple[str, str]]:
        return {each.field: (each.a, each.b) for each in changes(a, b) if "revision" not in each.field}

    assert told(entry("m", {}), entry("m", {"alpha": 0.0})) == {}
    plain = measured([in_memory("A", "m", [1, 0])])[0]
    assert told(entry("m", {}), plain) == {"model.training": ("demo, step 100", "–")}


@pytest.mark.parametrize("broken", [None, "demo", {"settings": "all"}, {"settings": {"alpha": {"b": []}}}])
def test_what_somebody_else_wrote_as_training_stops_nothing(broken):
    odd = entry("a", {})
    odd.records["A"].result.model["training"] = broken
    comparison_json([compare(odd, entry("b", {}), SUITE, {})], {}, False)


class TestChance:
    def test_of_two_checkpoints_it_is_said_that_another_seed_may_say_otherwise(self):
        (line,) = cautions([compare(entry("a", {}), entry("b", {"alpha": 0.0}), SUITE, {})])
        assert "another training seed may give another result" in line

    def test_a_difference_of_nothing_but_the_seed_is_called_seed_noise(self):
        a, b, c = entry("a", {}), entry("b", {"seed": 1}), entry("c", {"seed": 2, "alpha": 0.0})
        pairs = [compare(*pair, SUITE, {}) for pair in ((a, b), (a, c), (b, c))]
        lines = cautions(pairs)
        assert lines[1].startswith("Only the training seed differs between a and b, ")
        assert len(lines) == 2
        assert set(lines) <= set(matrix_table(pairs).notes)
        assert json.loads(comparison_json(pairs, {}, False))["comparisons"][0]["notes"] == cautions(pairs[:1])

    def test_nothing_is_said_of_other_models_or_of_one_checkpoint_measured_twice(self):
        plain = measured([in_memory("A", "m", [1, 0])])[0]
        for a, b in ((plain, entry("b", {})), (entry("a", {}), plain), (entry("a", {}), entry("a", {}))):
            pair = compare(a, b, SUITE, {})
            assert cautions([pair]) == []
            assert training_table(pair) is None


def test_a_dozen_rows_are_shown_the_others_counted_and_all_of_them_are_data():
    settings = {f"s{number}": number for number in range(30)}
    pair = compare(entry("a", settings), entry("b", dict.fromkeys(settings, -1)), SUITE, {})
    table = training_table(pair)
    assert len(table.rows) == 12
    assert "And 18 more" in table.notes[0]
    assert len(json.loads(comparison_json([pair], {}, False))["comparisons"][0]["trained"]) == 30


def test_settings_under_their_old_names_are_compared_with_present_ones():
    old = {"lr": 1e-3, "scale": 50.0, "warmup": 0.1, "widths": [64], "keep": 2, "start": "scratch"}
    new = {"learning_rate": 1e-3, "temperature": 0.02, "warmup_ratio": 0.1, "matryoshka_dims": [64]}
    new |= {"save_total_limit": 2, "model": "scratch", "max_steps": 300}
    assert fields(entry("a", old), entry("b", new)) == {}
    other = new | {"temperature": 0.05, "matryoshka_dims": [32]}
    assert fields(entry("a", old), entry("b", other)) == {
        "temperature": ("0.02", "0.05"),
        "matryoshka_dims": ("[64]", "[32]"),
    }
