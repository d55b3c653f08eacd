"""Tests err as often as they say, intervals cover what they promise, ranks hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from harness.scoring.intervals import Interval, SampleMean
from leaderboards import stats
from leaderboards.stats import Contrast, Moments

QUERIES = (10, 50, 200, 1000)
CHANCES = (0.001, 0.02, 0.1, 0.5, 0.9, 0.999)
scores = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=1, max_size=40).map(np.array)


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng(list(name.encode()))


def _moments(total: np.ndarray, second: np.ndarray, queries: int) -> Moments:
    """The moments of hits, of which won and lost queries are the squares and the fourth powers too."""
    return Moments(total, second, second, queries, queries)


def _pair(differences: np.ndarray, clusters: np.ndarray | None = None) -> Contrast:
    return Moments.of_pair(differences, np.zeros(len(differences)), clusters).contrast()


def _covered(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in intervals]))


@pytest.mark.parametrize("queries", QUERIES)
@pytest.mark.parametrize("chance", CHANCES)
class TestModelsOfOneChance:
    """They are told apart in at most 7 % of runs. Worked out from the distributions, without a simulation."""

    def test_paired_hits(self, queries, chance):
        apart = chance * (1 - chance)
        discordant = np.arange(queries + 1)[:, None]
        won = np.arange(queries + 1)[None, :]
        weight = scipy_stats.binom.pmf(discordant, queries, 2 * apart) * scipy_stats.binom.pmf(won, discordant, 0.5)
        p = (
            _moments((2 * won - discordant).astype(float), np.broadcast_to(discordant, weight.shape), queries)
            .contrast()
            .p
        )
        assert weight[p < stats.LEVEL].sum() <= 0.07

    def test_an_expectation_against_outcomes(self, queries, chance):
        hits = np.arange(queries + 1.0)
        open_ = queries * chance * (1 - chance)
        squares = hits * (1 - chance) ** 2 + (queries - hits) * chance**2 + open_
        fourths = hits * (1 - chance) ** 4 + (queries - hits) * chance**4 + open_
        found = Moments(hits - queries * chance, squares, fourths, queries, queries).contrast()
        assert scipy_stats.binom.pmf(hits, queries, chance)[found.p < stats.LEVEL].sum() <= 0.07

    def test_unpaired_hits(self, queries, chance):
        rate = np.arange(queries + 1) / queries
        centre, variance = stats.unpaired(rate, np.full(queries + 1, float(queries)))
        p = Contrast(centre[None, :] - centre[:, None], variance[:, None] + variance).p
        weight = scipy_stats.binom.pmf(np.arange(queries + 1), queries, chance)
        assert (weight[:, None] * weight)[p < stats.LEVEL].sum() <= 0.07

    def test_hits_that_are_tied_here_and_there(self, queries, chance):
        random, told = _random("tied"), 0
        for _ in range(200):
            tied = random.random((queries, 2)) < 0.5
            values = np.where(tied, chance, random.random((queries, 2)) < chance)
            open_ = (values * (1 - values)).sum(axis=1)
            told += float(Moments.of_pair(values[:, 1] - values[:, 0], open_, None).contrast().p) < stats.LEVEL
        assert told / 200 <= 0.07


@pytest.mark.parametrize(("queries", "tasks"), [(10, 4), (50, 12), (100, 3)])
@pytest.mark.parametrize("chance", [0.02, 0.5, 0.98])
def test_means_over_datasets_of_models_of_one_chance_are_told_apart_in_at_most_7_percent(queries, tasks, chance):
    random, told, wide = _random("means"), 0, 0
    for _ in range(300):
        values = (random.random((tasks, queries, 2)) < chance).astype(float)
        parts = [_moments_of(each).contrast(1 / tasks).weighted(1 / tasks) for each in values]
        whole = sum(parts[1:], parts[0])
        told += float(whole.p) < stats.LEVEL
        over = stats.over_datasets((values[..., 1] - values[..., 0]).mean(axis=1).tolist(), whole.interval)
        assert over is not None
        wide += not over.low <= 0 <= over.high
    assert told / 300 <= 0.07
    assert wide / 300 <= 0.07


def _moments_of(values: np.ndarray) -> Moments:
    return Moments.of_pair(values[:, 1] - values[:, 0], np.zeros(len(values)), None)


class TestCoverage:
    @pytest.mark.parametrize(("queries", "delta"), [(50, 0.0), (100, 0.1), (1000, 0.03)])
    def test_of_a_paired_difference(self, queries, delta):
        draw = _random("paired").random((2000, queries))
        runs = (draw < (0.3 + delta) / 2).astype(float) - (draw > 1 - (0.3 - delta) / 2)
        assert 0.93 <= _covered([_pair(run).interval for run in runs], delta) <= 0.98

    @pytest.mark.parametrize(("queries", "shift"), [(50, 0.0), (50, 0.05), (400, 0.01)])
    def test_of_a_paired_difference_of_graded_scores(self, queries, shift):
        runs = _random("graded").normal(shift, 0.15, (1500, queries))
        assert 0.93 <= _covered([_pair(run).interval for run in runs], shift) <= 0.98

    @pytest.mark.parametrize(("first", "second"), [(50, 200), (100, 100), (1000, 300)])
    def test_of_an_unpaired_difference(self, first, second):
        random = _random("unpaired")
        a, b = random.binomial(first, 0.6, 2000) / first, random.binomial(second, 0.7, 2000) / second
        pairs = [(SampleMean.of_count(x, first), SampleMean.of_count(y, second)) for x, y in zip(a, b, strict=True)]
        assert 0.93 <= _covered([stats.unpaired_contrast(*pair).interval for pair in pairs], 0.1) <= 0.98

    @pytest.mark.parametrize(("datasets", "queries"), [(4, 100), (12, 50), (36, 50)])
    def test_of_a_mean_difference_over_these_datasets(self, datasets, queries):
        random, deltas, found = _random("fixed"), np.linspace(-0.05, 0.1, datasets), []
        for _ in range(600):
            draw = random.random((datasets, queries))
            runs = (draw < (0.3 + deltas[:, None]) / 2) * 1.0 - (draw > 1 - (0.3 - deltas[:, None]) / 2)
            parts = [
                Moments.of_pair(run, np.zeros(queries), None).contrast(1 / datasets).weighted(1 / datasets)
                for run in runs
            ]
            found.append(sum(parts[1:], parts[0]).interval)
        assert 0.93 <= _covered(found, float(deltas.mean())) <= 0.98

    @pytest.mark.parametrize("datasets", [4, 12, 36])
    def test_of_a_mean_over_datasets_like_these(self, datasets):
        effects = _random("over").normal(0.02, 0.05, (1500, datasets))
        found = [stats.over_datasets(row.tolist(), Interval(0.0, 0.0)) for row in effects]
        assert 0.93 <= _covered([each for each in found if each], 0.02) <= 0.97

    def test_it_is_less_where_one_dataset_in_ten_has_a_large_effect(self):
        """Which is why the tables say so beside the interval."""
        effects = np.where(_random("sparse").random((1500, 12)) < 0.1, 0.2, 0.0)
        found = [stats.over_datasets(row.tolist(), Interval(0.0, 0.0)) for row in effects]
        assert _covered([each for each in found if each], 0.02) < 0.8


class TestPairs:
    @given(scores)
    def test_the_p_value_and_the_interval_say_the_same(self, differences):
        found = _pair(differences)
        assert (float(found.p) < stats.LEVEL) == (not found.interval.low <= 0 <= found.interval.high)

    @given(scores)
    def test_the_other_way_round_everything_is_mirrored_to_the_last_bit(self, differences):
        one, other = _pair(differences), _pair(-differences)
        assert one.interval == (-other.interval.high, -other.interval.low)
        assert float(one.p) == float(other.p)

    @given(scores, st.integers(2, 20))
    def test_queries_repeated_in_clusters_are_worth_one_observation_each(self, differences, times):
        clusters = np.repeat(np.arange(len(differences), dtype=np.int32), times)
        one, many = _pair(differences), _pair(np.repeat(differences, times), clusters)
        assert many.interval == pytest.approx(one.interval)
        assert float(many.p) == pytest.approx(float(one.p))

    @settings(deadline=None, max_examples=50)
    @given(st.integers(2, 60), st.booleans(), st.integers(0, 10_000))
    def test_all_pairs_at_once_are_each_pair(self, queries, clustered, seed):
        random = np.random.default_rng(seed)
        values = random.choice([0.0, 1.0, 0.25, 0.001], (queries, 4))
        open_ = values * (1 - values)
        clusters = None
        if clustered:
            clusters = np.unique(random.integers(0, queries, queries), return_inverse=True)[1].astype(np.int32)
        every = Moments.of_all(values, open_.sum(axis=0), clusters)
        for a, b, share in ((0, 1, 1.0), (2, 0, 0.25), (3, 2, 1 / 36)):
            pair = Moments.of_pair(values[:, b] - values[:, a], open_[:, a] + open_[:, b], clusters)
            for found, expected in zip(_plain(every.contrast(share)), _plain(pair.contrast(share)), strict=True):
                assert found[a, b] == pytest.approx(float(expected), abs=1e-10)
                assert np.array_equal(abs(found), abs(found.T))

    def test_agreement_on_every_query_is_not_certainty(self):
        for queries in (10, 1000):
            low, high = _pair(np.zeros(queries)).interval
            assert low == pytest.approx(-high)
            assert 2 / queries < high < 3 / queries

    def test_what_has_no_known_variance_is_not_significant(self):
        means, counts = np.array([1.0, 0.0]), np.zeros(2)
        centre, variance = stats.unpaired(means, counts)
        assert not stats.significant_pairs(
            Contrast(centre[None, :] - centre[:, None], variance[:, None] + variance)
        ).any()


def _plain(contrast: Contrast) -> tuple[np.ndarray, np.ndarray]:
    return contrast.centre, contrast.variance


@pytest.mark.parametrize("datasets", [1, 2])
def test_one_dataset_or_two_say_nothing_about_others(datasets):
    assert stats.over_datasets([0.1] * datasets, Interval(0.0, 0.2)) is None


def test_the_interval_over_other_datasets_is_never_narrower_than_over_these():
    assert stats.over_datasets([0.1] * 5, Interval(0.05, 0.15)) == pytest.approx((0.05, 0.15))


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
    def test_true_ranks_lie_in_their_ranges_and_models_alike_share_a_group(self):
        random, rates = _random("ranks"), np.array([0.8, 0.6, 0.6, 0.6, 0.3])
        truth = [(1, 1), (2, 4), (2, 4), (2, 4), (5, 5)]
        wrong, split = 0, 0
        for _ in range(400):
            values = (random.random((300, 5)) < rates).astype(float)
            means = values.mean(axis=0)
            significant = stats.significant_pairs(Moments.of_all(values, np.zeros(5), None).contrast())
            ranges = stats.rank_ranges(means, significant)
            wrong += any(low > true[0] or high < true[1] for (low, high), true in zip(ranges, truth, strict=True))
            split += len(set(stats.groups(means, significant)[1:4])) > 1
            assert stats.groups(means, significant)[0] == 1
        assert wrong / 400 <= 0.05
        assert split / 400 <= 0.05

    def test_a_few_queries_make_nobody_certain(self):
        values = np.array([[1.0, 0.0]] * 2)
        assert not stats.significant_pairs(Moments.of_all(values, np.zeros(2), None).contrast()).any()

    def test_a_lone_model_is_first(self):
        significant = stats.significant_pairs(Contrast(np.zeros((1, 1)), np.zeros((1, 1))))
        assert stats.rank_ranges(np.array([0.5]), significant) == [(1, 1)]
        assert stats.groups(np.array([0.5]), significant) == [1]
