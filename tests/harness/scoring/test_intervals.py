"""Intervals cover what they promise, have a width, and count ties and clusters for what they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from harness.scoring.intervals import Interval, SampleMean, median_interval, pooled, share_intervals

RATES = (0.0, 0.001, 0.02, 0.1, 0.5, 0.9, 0.98, 0.999, 1.0)
hits = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=60).map(np.array)
graded = st.lists(st.floats(0, 1), min_size=1, max_size=60).map(np.array)


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng(list(name.encode()))


def _covered(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([low - 1e-9 <= truth <= high + 1e-9 for low, high in intervals]))


class TestShare:
    @pytest.mark.parametrize("queries", [50, 200, 1000])
    @pytest.mark.parametrize("rate", RATES)
    def test_coverage_is_93_percent_or_more_for_50_queries_and_more(self, queries, rate):
        """Worked out from the binomial distribution, without a simulation. At a rate of 0 and 1 it is 100 %."""
        count = np.arange(queries + 1.0)
        low, high = share_intervals(count / queries, np.full(queries + 1, float(queries)))
        inside = (low <= rate + 1e-12) & (rate <= high + 1e-12)
        covered = scipy_stats.binom.pmf(count, queries, rate)[inside].sum()
        assert covered >= 0.93
        assert covered <= 0.985 or rate in (0, 1)

    def test_its_ends_are_where_the_mid_p_tails_are_2_and_a_half_percent(self):
        for count, queries in ((1, 20), (7, 20), (19, 20), (400, 1000)):
            (low,), (high,) = share_intervals(np.array([count / queries]), np.array([float(queries)]))
            binom = scipy_stats.binom
            assert binom.sf(count, queries, low) + binom.pmf(count, queries, low) / 2 == pytest.approx(0.025, abs=1e-6)
            assert binom.cdf(count - 1, queries, high) + binom.pmf(count, queries, high) / 2 == pytest.approx(
                0.025, abs=1e-6
            )

    @given(st.integers(1, 300), st.floats(0, 1))
    def test_it_has_a_width_holds_its_share_and_is_mirrored(self, queries, rate):
        count = round(rate * queries)
        low, high = SampleMean.of_count(count / queries, queries).interval
        assert 0 <= low <= count / queries <= high <= 1
        assert high - low > 0.5 / queries
        mirrored = SampleMean.of_count(1 - count / queries, queries).interval
        assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-6)


class TestSample:
    @given(hits, st.data())
    def test_hits_of_unrelated_queries_have_the_design_effect_1_whatever_is_tied(self, values, data):
        tied = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
        expected = np.where(tied, 0.3, values)
        sample = SampleMean.of(expected, tied)
        assert sample.effect == pytest.approx(1.0)
        assert sample.interval == pytest.approx(SampleMean.of_count(expected.mean(), len(values)).interval)

    @given(graded)
    def test_graded_scores_never_vary_more_than_hits(self, values):
        sample = SampleMean.of(values)
        assert sample.effect <= 1 + 1e-9
        assert sample.interval.low <= sample.mean + 1e-9
        assert sample.interval.high >= sample.mean - 1e-9
        assert sample.interval.high > sample.interval.low

    @given(st.one_of(hits, graded), st.integers(2, 20))
    def test_queries_repeated_in_clusters_are_worth_one_observation_each(self, values, times):
        clusters = np.repeat(np.arange(len(values), dtype=np.int32), times)
        sample = SampleMean.of(np.repeat(values, times), None, clusters)
        assert (sample.queries, sample.clusters) == (len(values) * times, len(values))
        assert sample.interval == pytest.approx(SampleMean.of(values).interval, abs=1e-6)

    @given(st.one_of(hits, graded), st.randoms())
    def test_the_order_and_the_numbers_of_clusters_change_nothing(self, values, shuffle):
        clusters = np.arange(len(values), dtype=np.int32) // 3
        order, names = list(range(len(values))), list(range(int(clusters.max()) + 1))
        shuffle.shuffle(order)
        shuffle.shuffle(names)
        again = SampleMean.of(values[order], None, np.array(names, dtype=np.int32)[clusters[order]])
        assert again.interval == pytest.approx(SampleMean.of(values, None, clusters).interval, abs=1e-6)

    @pytest.mark.parametrize("queries", [50, 200])
    def test_coverage_of_graded_means(self, queries):
        random = _random("graded")
        for draw, truth in (
            (lambda: random.beta(2, 2, queries), 0.5),
            (lambda: random.beta(0.2, 0.8, queries), 0.2),
            (lambda: random.choice([0, 0.5, 1], queries, p=[0.5, 0.2, 0.3]), 0.4),
        ):
            assert 0.93 <= _covered([SampleMean.of(draw()).interval for _ in range(600)], truth) <= 0.98

    @pytest.mark.parametrize(("clusters", "size"), [(50, 5), (200, 20)])
    def test_coverage_of_clusters_that_are_half_alike(self, clusters, size):
        random, number = _random("clusters"), np.repeat(np.arange(clusters, dtype=np.int32), size)
        found = []
        for _ in range(500):
            shared, own = random.random(clusters) < 0.6, random.random(clusters * size) < 0.6
            values = np.where(random.random(clusters * size) < 0.5, shared[number], own).astype(float)
            found.append(SampleMean.of(values, None, number).interval)
        assert 0.925 <= _covered(found, 0.6) <= 0.98


class TestPooled:
    @given(hits)
    def test_of_one_sample_it_is_that_sample(self, values):
        sample = SampleMean.of(values)
        assert pooled([sample], [1.0]).interval == pytest.approx(sample.interval, abs=1e-9)

    @pytest.mark.parametrize("datasets", [4, 36])
    @pytest.mark.parametrize("rates", [(0.02, 0.02), (0.5, 0.5), (0.98, 0.98), (0.0, 1.0), (0.3, 0.8)])
    def test_coverage_of_a_mean_over_datasets(self, datasets, rates):
        random, chance = _random("pooled"), np.linspace(*rates, datasets)
        means = random.binomial(50, chance, (600, datasets)) / 50
        found = [pooled([SampleMean.of_count(x, 50) for x in row], [1 / datasets] * datasets).interval for row in means]
        assert _covered(found, chance.mean()) >= 0.93

    def test_datasets_that_are_all_solved_or_failed_are_not_certain(self):
        low, high = pooled([SampleMean.of_count(x, 50) for x in (0.0, 1.0)], [0.5, 0.5]).interval
        assert high - low > 0.02


class TestMedian:
    @pytest.mark.parametrize("queries", [50, 200, 1000])
    def test_coverage(self, queries):
        random = _random("median")
        draws = np.ceil(random.lognormal(2, 1, (600, queries)) * 10)
        truth = np.ceil(10 * np.exp(2))
        assert _covered([median_interval(row) for row in draws], truth) >= 0.93

    @settings(max_examples=50)
    @given(st.lists(st.integers(1, 50), min_size=1, max_size=50))
    def test_it_holds_the_median(self, values):
        low, high = median_interval(np.array(values, dtype=np.float64))
        assert low <= np.median(values) <= high
