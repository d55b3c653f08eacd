"""Intervals cover what they promise, tests err as often as they say, ranks hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from leaderboards import stats

DISCORDANT = 0.3


def _random(*names: object) -> np.random.Generator:
    return stats.generator("test", *names)


def _differences(random: np.random.Generator, size: tuple[int, ...], delta: float | np.ndarray) -> np.ndarray:
    """Paired differences of hits: -1, 0 or 1, with mean `delta`."""
    draw = random.random(size)
    return (draw < (DISCORDANT + delta) / 2).astype(float) - (draw > 1 - (DISCORDANT - delta) / 2)


def _covered(intervals: list[stats.Interval], truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in intervals]))


class TestCoverage:
    @pytest.mark.parametrize(("queries", "delta"), [(50, 0.0), (100, 0.1), (1000, 0.03)])
    def test_of_a_paired_difference(self, queries, delta):
        runs = _differences(_random("paired", queries), (3000, queries), delta)
        assert 0.93 <= _covered([stats.paired_interval(run) for run in runs], delta) <= 0.97

    @pytest.mark.parametrize(("first", "second"), [(100, 100), (1000, 300)])
    def test_of_an_unpaired_difference(self, first, second):
        random = _random("unpaired", first)
        a, b = random.binomial(first, 0.6, 3000) / first, random.binomial(second, 0.7, 3000) / second
        found = [stats.unpaired_interval(x, first, y, second) for x, y in zip(a, b, strict=True)]
        assert 0.93 <= _covered(found, 0.1) <= 0.97

    @pytest.mark.parametrize(("queries", "rate"), [(100, 0.5), (1000, 0.9)])
    def test_of_a_share(self, queries, rate):
        found = [stats.count_interval(x / queries, queries) for x in _random("share").binomial(queries, rate, 3000)]
        assert 0.93 <= _covered(found, rate) <= 0.97

    @pytest.mark.parametrize(("datasets", "queries"), [(1, 300), (4, 100), (36, 50)])
    def test_of_a_mean_over_datasets_on_the_board(self, datasets, queries):
        """Every model of a board is a run of the simulation; several boards, since models of one share resamples."""
        random, rates, held = _random("board", datasets), np.linspace(0.3, 0.8, datasets), []
        for _ in range(15):
            draws = np.zeros((stats.RESAMPLES, 100), dtype=np.float32)
            for rate in rates:
                hits = (random.random((queries, 100)) < rate).astype(np.float32)
                draws += stats.shared_draws(hits, random) / datasets
            low, high = stats.percentiles(draws)
            held.append((low <= rates.mean()) & (rates.mean() <= high))
        assert 0.93 <= np.mean(held) <= 0.97

    @pytest.mark.parametrize(("datasets", "queries", "spread"), [(4, 200, 0.05), (12, 100, 0.0), (36, 50, 0.05)])
    def test_of_a_mean_over_datasets_like_these(self, datasets, queries, spread):
        random, truth, found = _random("hierarchical", datasets), 0.02, []
        for _ in range(1000):
            effects = truth + spread * random.standard_normal(datasets)
            chances = np.clip(np.stack([DISCORDANT + effects, DISCORDANT - effects], axis=1) / 2, 0, 1)
            lost_tied_won = np.column_stack([chances, 1 - chances.sum(axis=1)])
            counts = random.multinomial(queries, lost_tied_won)
            again = random.multinomial(queries, counts / queries, size=(200, datasets))
            means, draws = (each[..., 0] - each[..., 1] for each in (counts / queries, again / queries))
            interval = stats.hierarchical_interval(means, draws.T, random)
            assert interval is not None
            found.append(interval)
        assert 0.93 <= _covered(found, truth) <= 0.97

    @pytest.mark.parametrize(("datasets", "queries"), [(1, 300), (4, 100), (12, 50)])
    def test_of_a_mean_difference_over_these_datasets(self, datasets, queries):
        random, deltas, found = _random("fixed", datasets), np.linspace(-0.05, 0.1, datasets), []
        for _ in range(1000):
            runs = [_differences(random, (queries,), delta) for delta in deltas]
            draws = np.mean([stats.resampled(run, random, 200) for run in runs], axis=0)
            found.append(stats.Interval(*np.quantile(draws, (0.025, 0.975)).tolist()))
        assert 0.93 <= _covered(found, float(deltas.mean())) <= 0.97

    def test_resampled_means_spread_as_the_mean_does(self):
        random = _random("resampled")
        values = random.normal(0.1, 0.5, 400).round(1)
        draws = stats.resampled(values, random, 4000)
        assert draws.mean() == pytest.approx(values.mean(), abs=0.002)
        assert draws.std() == pytest.approx(values.std() / 20, rel=0.05)


class TestSignFlips:
    @pytest.mark.parametrize("queries", [300, 1000])
    def test_models_that_are_alike_seem_to_differ_in_3_to_7_of_100_runs(self, queries, monkeypatch):
        monkeypatch.setattr(stats, "FLIPS", 999)
        random = _random("null", queries)
        runs = _differences(random, (1500, queries), 0.0)
        p = [stats.p_value(stats.sign_flips(run, random), float(run.mean())) for run in runs]
        assert 0.03 <= np.mean(np.array(p) < 0.05) <= 0.07

    def test_p_is_that_of_scipy(self):
        random = _random("scipy")
        for scores in (_differences(random, (60,), 0.15), random.normal(0.2, 1, 40), np.array([1.0, 1, 1, 1, 0])):
            found = stats.p_value(stats.sign_flips(scores, random), float(scores.mean()))
            theirs = scipy_stats.permutation_test(
                (scores,), np.mean, permutation_type="samples", n_resamples=9999, vectorized=True, rng=random
            ).pvalue
            assert found == pytest.approx(theirs, abs=0.015)

    def test_p_is_never_0_and_1_without_a_difference(self):
        random = _random("ends")
        assert stats.p_value(stats.sign_flips(np.ones(1000), random), 1.0) == 1 / (1 + stats.FLIPS)
        assert stats.p_value(stats.sign_flips(np.zeros(5), random), 0.0) == 1.0

    @settings(deadline=None, max_examples=25)
    @given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=1, max_size=40), st.randoms())
    def test_the_order_of_queries_changes_nothing(self, scores, shuffle):
        other = list(scores)
        shuffle.shuffle(other)
        for function in (stats.sign_flips, stats.resampled):
            one, two = (function(np.array(each), stats.generator("order")) for each in (scores, other))
            assert np.array_equal(one, two)
        assert stats.paired_interval(np.array(scores)) == pytest.approx(stats.paired_interval(np.array(other)))


class TestIntervals:
    def test_agreement_on_every_query_is_not_certainty(self):
        for queries in (10, 1000):
            low, high = stats.paired_interval(np.zeros(queries))
            assert low == pytest.approx(-high)
            assert 2 / queries < high < 3 / queries

    @pytest.mark.parametrize("datasets", [1, 2])
    def test_one_dataset_or_two_say_nothing_about_others(self, datasets):
        draws = np.full((datasets, 100), 0.1)
        assert stats.hierarchical_interval(np.full(datasets, 0.1), draws, _random("few")) is None

    def test_equal_scores_give_exactly_that_score(self):
        values = np.full((50, 3), np.float32(1 / 3))
        assert np.all(stats.shared_draws(values, _random("equal")) == values[0])

    def test_models_are_resampled_together(self):
        """Of two models that differ by a constant on every query, so do all draws."""
        values = _random("together").random((200, 1)).astype(np.float32)
        draws = stats.shared_draws(np.hstack([values, values + np.float32(0.125)]), _random("t"))
        assert np.allclose(draws[:, 1] - draws[:, 0], 0.125, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_its_definition(p_values):
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    expected, most = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        most = max(most, min(1.0, p_values[index] * (len(p_values) - place)))
        expected[index] = most
    assert stats.holm(p_values) == pytest.approx(expected)


class TestRanks:
    def test_a_pair_s_variance_is_that_of_its_differences(self):
        values = (_random("pairs").random((400, 4)) < 0.5).astype(np.float32)
        found = stats.pair_variances(values)
        for one in range(4):
            for other in range(4):
                padded = np.append(values[:, one] - values[:, other], 0.0)  # one query more that makes no difference
                assert found[one, other] == pytest.approx(padded.var() / 400, abs=1e-8)

    def test_true_ranks_lie_in_their_ranges_and_models_alike_share_a_group(self):
        random, rates = _random("ranks"), np.array([0.8, 0.6, 0.6, 0.6, 0.3])
        truth = [(1, 1), (2, 4), (2, 4), (2, 4), (5, 5)]
        wrong, split = 0, 0
        for _ in range(400):
            values = (random.random((300, 5)) < rates).astype(np.float32)
            scores = values.mean(axis=0, dtype=np.float64)
            significant = stats.significant_pairs(scores, stats.pair_variances(values), 299)
            ranges = stats.rank_ranges(scores, significant)
            wrong += any(low > true[0] or high < true[1] for (low, high), true in zip(ranges, truth, strict=True))
            split += len(set(stats.groups(scores, significant)[1:4])) > 1
            assert stats.groups(scores, significant)[0] == 1
        assert wrong / 400 <= 0.05
        assert split / 400 <= 0.05

    def test_a_few_queries_make_nobody_certain(self):
        values = np.array([[1, 0]] * 3, dtype=np.float32)
        significant = stats.significant_pairs(np.array([1.0, 0.0]), stats.pair_variances(values), 2)
        assert not significant.any()

    def test_what_has_no_known_variance_is_not_significant(self):
        variances = np.full((2, 2), np.inf)
        assert not stats.significant_pairs(np.array([1.0, 0.0]), variances, 100).any()

    def test_a_lone_model_is_first(self):
        significant = stats.significant_pairs(np.array([0.5]), np.zeros((1, 1)), 10)
        assert stats.rank_ranges(np.array([0.5]), significant) == [(1, 1)]
        assert stats.groups(np.array([0.5]), significant) == [1]
