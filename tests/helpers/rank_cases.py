"""Small cases for the rank function, and the reference it must equal: exact rational arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from harness.scoring.groups import Groups
from harness.scoring.rank import normalise, rank
from harness.scoring.ranking import Ranking, RankQuery, TopCandidate
from harness.types import FloatArray


def exact(row: Sequence[float]) -> list[Fraction]:
    return [Fraction(float(value)) for value in row]


def dot(one: Sequence[Fraction], other: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(one, other, strict=True)), Fraction(0))


def step_of(query: list[Fraction], targets: list[list[Fraction]]) -> Fraction:
    """2^-24 of the smallest power of two that |query| |longest target|, less one in a million, is not above."""
    square = dot(query, query) * max((dot(each, each) for each in targets), default=Fraction(0))
    square *= (1 - Fraction(1, 10**6)) ** 2
    if square == 0:
        return Fraction(2) ** -24
    exponent = -600
    while Fraction(4) ** exponent < square:
        exponent += 1
    return Fraction(2) ** (exponent - 24)


def reference(
    queries: FloatArray,
    targets: FloatArray,
    asked: Sequence[RankQuery],
    top: int = 10,
    groups: Sequence[Sequence[int]] | None = None,
) -> list[Ranking]:
    """What `rank` must return, by sorting exact scores; of groups, those of their best."""
    all_targets = [exact(row) for row in targets]
    members = groups or [[number] for number in range(len(targets))]
    results = []
    for row, query in zip(queries, asked, strict=True):
        step = step_of(exact(row), all_targets)
        listed = query.candidates.tolist() or list(range(len(members)))
        # Fractions round half to even.
        of_target = [round(dot(exact(row), each) / step) for each in all_targets]
        scores = {each: max(of_target[member] for member in members[each]) for each in set(listed)}
        shown = {each: min(t for t in members[each] if of_target[t] == scores[each]) for each in set(listed)}
        positives = list(dict.fromkeys(query.positives.tolist()))
        best = [1 + sum(score > scores[each] for score in scores.values()) for each in positives]
        worst = [sum(score >= scores[each] for score in scores.values()) for each in positives]
        official = [1 + sum(scores[other] > scores[each] for other in listed) for each in positives]
        first = sorted(scores, key=lambda each: (-scores[each], shown[each]))[:top]
        results.append(
            Ranking(
                query_id=query.id,
                best=tuple(best),
                worst=tuple(worst),
                pool_size=len(scores),
                num_positives=query.num_positives,
                official=tuple(official),
                official_pool_size=len(listed),
                top=tuple(TopCandidate(shown[each], float(scores[each] * step)) for each in first),
                right_score=float(max(scores[each] for each in positives) * step),
            )
        )
    return results


def query(candidates: ArrayLike, positives: ArrayLike, name: str = "q") -> RankQuery:
    candidates_C, positives_P = np.asarray(candidates, dtype=np.int32), np.asarray(positives, dtype=np.int32)
    return RankQuery(name, candidates_C, positives_P, len(np.unique(positives_P)))


@dataclass(frozen=True)
class Case:
    """Vectors, and queries over them."""

    queries: FloatArray
    targets: FloatArray
    asked: list[RankQuery]

    groups: list[list[int]] | None = None

    def rank(self, *, top: int = 10, block: int = 1024) -> list[Ranking]:
        groups = None if self.groups is None else Groups.of([np.array(each, np.int32) for each in self.groups])
        return rank(self.queries, self.targets, self.asked, groups=groups, top=top, block=block)


COARSE = st.integers(-3, 3).map(lambda value: value / 4)
"""Values whose products are often equal."""
FINE = st.floats(-1, 1, width=32, allow_subnormal=False)


@st.composite
def cases(draw: st.DrawFn, lists: bool | None = None) -> Case:
    """Small cases: ties, repeated targets, lists of several lengths with repeats, whole pools, several positives."""
    width = draw(st.integers(1, 6))
    vector = st.lists(draw(st.sampled_from([COARSE, FINE])), min_size=width, max_size=width)
    num_queries, num_targets = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    distinct = draw(st.lists(vector, min_size=1, max_size=num_targets))
    queries = [draw(vector) for _ in range(num_queries)]
    targets = [draw(st.sampled_from(distinct)) for _ in range(num_targets)]
    indexes = st.integers(0, num_targets - 1)
    asked = []
    for number in range(num_queries):
        has_list = draw(st.booleans()) if lists is None else lists
        pool = draw(st.lists(indexes, min_size=1, max_size=12)) if has_list else []
        right = st.sampled_from(pool) if pool else indexes
        asked.append(query(pool, draw(st.lists(right, min_size=1, max_size=4)), f"q{number}"))
    return Case(np.array(queries, dtype=np.float32), np.array(targets, dtype=np.float32), asked)


@st.composite
def grouped_cases(draw: st.DrawFn) -> Case:
    """Small cases whose candidates are groups of targets, which may share some."""
    case = draw(cases(lists=False))
    member = st.integers(0, len(case.targets) - 1)
    groups = draw(st.lists(st.lists(member, min_size=1, max_size=4, unique=True), min_size=1, max_size=6))
    number = st.integers(0, len(groups) - 1)
    asked = []
    for each in case.asked:
        pool = draw(st.lists(number, max_size=5))
        right = draw(st.lists(st.sampled_from(pool) if pool else number, min_size=1, max_size=2))
        asked.append(query(pool, right, each.id))
    return Case(case.queries, case.targets, asked, groups)


def random_case(seed: int, num_queries: int, num_targets: int, width: int, listed: int | None) -> Case:
    """A case of unit vectors with some targets repeated, large enough for many blocks and threads."""
    random = np.random.default_rng(seed)
    targets = normalise(random.standard_normal((num_targets, width)).astype(np.float32))
    targets[random.integers(0, num_targets, num_targets // 8)] = targets[0]
    queries = normalise(random.standard_normal((num_queries, width)).astype(np.float32))
    pools = [random.choice(num_targets, listed) if listed else [] for _ in range(num_queries)]
    positives = [random.choice(pool if len(pool) else num_targets, 2) for pool in pools]
    return Case(queries, targets, [query(*each) for each in zip(pools, positives, strict=True)])


def half_way_case(seed: int, width: int = 64) -> Case:
    """Targets whose exact scores lie half-way between two steps of 2^-24, or off it by 2^-100.

    The last dimensions hold products that cancel exactly; in fp64 they leave an error that hides 2^-100 wholly.
    """
    random = np.random.default_rng(seed)
    one, other = (random.uniform(-1, 1, width // 2) / width for _ in range(2))
    order = random.permutation(width)
    query_row = [0.5, 0.5, 2.0**-50, *np.concatenate([one, one])[order]]
    targets = [[0.9, 0.0, 0.0, *np.zeros(width)]]  # the longest: no score can be above 2^0
    for steps in range(2**22, 2**22 + 4):
        for tiny in (0.0, 2.0**-50, -(2.0**-50)):
            targets.append([(2 * steps + 1) * 2.0**-24, 0.0, tiny, *np.concatenate([other, -other])[order]])
    everything = query([], range(len(targets)))
    return Case(np.array([query_row], dtype=np.float32), np.array(targets, dtype=np.float32), [everything])
