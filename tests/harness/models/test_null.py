"""Tests of the null models: the vectors of each, for all kinds of items."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.models import open_model
from harness.types import Item, Learner, Media, ModelSettings

NAMES = ("null/constant", "null/random", "null/oracle", "null/nan")


def load(name, **given_settings):
    return open_model(name, ModelSettings(**given_settings)).load()


def embed(model, items, role):
    return model.embed([model.prepare(item, role) for item in items])


def texts(count, kind="text"):
    return [Item(f"{kind} {number}") for number in range(count)]


def test_constant_gives_every_content_and_role_the_same_unit_vector():
    model = load("null/constant")
    vectors = np.concatenate([embed(model, [Item(), *texts(3)], "query"), embed(model, texts(3), "target")])
    assert (vectors == vectors[0]).all()
    assert np.linalg.norm(vectors[0]) == 1


def test_nan_gives_nothing_finite():
    assert np.isnan(embed(load("null/nan"), texts(2), "query")).all()


def test_random_depends_on_seed_role_text_and_nothing_else():
    one = embed(load("null/random"), texts(3), "query")
    again = embed(load("null/random"), list(reversed(texts(3))), "query")[::-1]
    assert one.tobytes() == np.ascontiguousarray(again).tobytes()
    others = [
        embed(load("null/random"), texts(3), "target"),
        embed(load("null/random", seed=1), texts(3), "query"),
        embed(load("null/random"), texts(3, "other"), "query"),
    ]
    for other in others:
        assert np.abs(np.sum(one * other, axis=1)).max() < 0.3
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, rtol=1e-6)


def test_random_knows_media_by_their_bytes_not_by_their_names(tmp_path: Path):
    (tmp_path / "a.bin").write_bytes(b"same")
    (tmp_path / "b.bin").write_bytes(b"same")
    (tmp_path / "c.bin").write_bytes(b"other")
    items = [Item("", (Media("image", name, tmp_path),)) for name in ("a.bin", "b.bin", "c.bin")]
    same, twin, other = embed(load("null/random"), items, "query")
    assert (same == twin).all()
    assert not np.allclose(same, other)


def test_random_scores_chance():
    model = load("null/random")
    queries, targets = embed(model, texts(4000), "query"), embed(model, texts(10), "target")
    right = np.arange(4000) % 10
    hits = np.mean(np.argmax(queries @ targets.T, axis=1) == right)
    assert abs(hits - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 4000)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sets(st.integers(0, 199), min_size=1, max_size=8), min_size=1, max_size=20))
def test_oracle_puts_every_right_target_before_every_wrong_one(answers):
    model = load("null/oracle")
    queries, targets = texts(len(answers), "query"), texts(200, "target")
    model.learn((query, targets[each]) for query, right in zip(queries, answers, strict=True) for each in right)
    scores = embed(model, queries, "query") @ embed(model, targets, "target").T
    for row, right in zip(scores, answers, strict=True):
        wrong = sorted(set(range(200)) - right)
        assert row[sorted(right)].min() > row[wrong].max()


def test_oracle_is_known_by_the_answers_it_was_told_in_any_order():
    pairs = list(zip(texts(5, "query"), texts(5, "target"), strict=True))

    def spec_of(some):
        model = load("null/oracle")
        assert isinstance(model, Learner)
        spec = model.learn(some)
        assert spec == model.spec
        return spec

    assert spec_of(pairs) == spec_of(reversed(pairs)) == spec_of(pairs + pairs[:1])
    assert len({spec_of(some).options["pairs"] for some in (pairs, pairs[:4], [(pairs[0][0], pairs[1][1])])}) == 3


def test_only_the_oracle_needs_answers():
    waiting = [name for name in NAMES if open_model(name, ModelSettings()).needs_answers]
    assert waiting == ["null/oracle"]


def test_the_seed_is_part_of_what_only_random_is_known_by():
    for name in NAMES:
        specs = [open_model(name, ModelSettings(seed=seed)).spec for seed in (0, 1)]
        assert (specs[0] != specs[1]) == (name == "null/random")
        assert replace(specs[0], options={}) == replace(specs[1], options={})


@pytest.mark.parametrize("name", [*NAMES, "classical"])
@pytest.mark.parametrize("flag", [{"device": "cuda"}, {"dtype": "bfloat16"}])
def test_settings_that_cannot_be_honoured_are_refused(name, flag):
    with pytest.raises(UserError, match=next(iter(flag.values()))) as caught:
        open_model(name, ModelSettings(**flag))
    assert f"--{next(iter(flag))}" in caught.value.hint
    open_model(name, ModelSettings(device="cpu", dtype="float32"))
