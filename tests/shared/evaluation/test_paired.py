import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from shared.evaluation.paired import (
    PairedDifference,
    holm,
    mcnemar,
    paired_difference,
    sign_flip_p_value,
)

outcome = st.floats(-3, 3).map(lambda x: round(x, 2))
rows = st.lists(st.tuples(outcome, outcome, st.integers(0, 8)), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(rows)
def test_swapping_the_models_negates_the_difference_and_keeps_p(table):
    a, b, groups = (list(column) for column in zip(*table, strict=True))
    forth, back = paired_difference(a, b, groups, n_resamples=300), paired_difference(b, a, groups, n_resamples=300)
    assert back.difference == pytest.approx(-forth.difference)
    assert back.p_value == pytest.approx(forth.p_value)
    if math.isfinite(forth.low):
        assert (back.low, back.high) == pytest.approx((-forth.high, -forth.low), abs=1e-9)
        assert forth.low <= forth.difference <= forth.high


@settings(max_examples=40, deadline=None)
@given(st.lists(outcome, min_size=1, max_size=9))
def test_sign_flip_is_symmetric_and_exact(sums):
    p = sign_flip_p_value(sums)
    assert p == sign_flip_p_value([-value for value in sums])
    flips = [
        abs(sum(s * v for s, v in zip(signs, sums, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(sums))
    ]
    assert p == pytest.approx(np.mean([flip >= abs(sum(sums)) - 1e-9 for flip in flips]))


@pytest.mark.parametrize("n", [8, 40])
def test_sign_flip_against_scipy(n):
    sums = np.random.default_rng(2).normal(0.3, 1, n)
    oracle = stats.permutation_test(
        (sums,), lambda x, axis: x.sum(axis=axis), permutation_type="samples", vectorized=True, n_resamples=9999, rng=0
    )
    assert sign_flip_p_value(sums, n_resamples=9999) == pytest.approx(oracle.pvalue, abs=1e-12 if n == 8 else 0.02)


def test_mcnemar_against_the_binomial():
    a = np.array([1] * 10 + [0] * 3 + [1] * 20)
    b = np.array([0] * 10 + [1] * 3 + [1] * 20)
    expected = min(1.0, 2 * sum(math.comb(13, k) for k in range(4)) / 2**13)
    assert mcnemar(a, b) == pytest.approx(expected)
    found = paired_difference(a, b)
    assert found.p_value == pytest.approx(expected)
    assert "McNemar" in found.method
    # every item its own group: McNemar's test is the sign-flip test
    assert sign_flip_p_value(a - b) == pytest.approx(expected)
    assert mcnemar([1, 0], [1, 0]) == 1.0
    assert math.isnan(mcnemar([1, math.nan], [1, 0]))
    with pytest.raises(ValueError, match="outcomes of 0 and 1"):
        mcnemar([0.5], [1])


def test_groups_are_the_unit_of_the_test():
    a, b = np.ones(60), np.tile([0.0, 1.0], 30)
    assert paired_difference(a, b).p_value < 1e-6
    clustered = paired_difference(a, b, np.repeat([0, 1, 2], 20))
    assert clustered.p_value == pytest.approx(2 / 2**3)
    assert clustered.n_groups == 3
    assert clustered.favours() == 0
    assert paired_difference(a, b).favours() == 1
    assert paired_difference(b, a).favours() == -1


def test_edges():
    equal = paired_difference([0.1, 0.9, 0.4], [0.1, 0.9, 0.4])
    assert (equal.difference, equal.low, equal.high, equal.p_value) == (0, 0, 0, 1)
    for a, b in (([], []), ([1.0, math.nan], [0.0, 1.0])):
        nothing = paired_difference(a, b)
        assert math.isnan(nothing.p_value)
        assert nothing.favours() == 0
        assert "no test" in nothing.method
        back = PairedDifference.from_json(nothing.to_json())
        assert back.to_json() == nothing.to_json()
        assert math.isnan(back.low)
    one = paired_difference([1.0], [0.0])
    assert one.p_value == 1.0
    assert math.isnan(one.low)
    with pytest.raises(ValueError, match="different length"):
        paired_difference([1.0], [1.0, 2.0])


def test_test_keeps_its_level_under_the_null():
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(300):
        groups = rng.integers(0, 25, 60)
        effects = rng.normal(0, 1, 25)[groups]  # items of one group move together
        rejected += (
            paired_difference(effects + rng.normal(size=60), np.zeros(60), groups, n_resamples=300).p_value < 0.05
        )
    assert 0.01 < rejected / 300 < 0.09


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm(p_values):
    adjusted = list(holm(p_values).values())
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for rank, index in enumerate(order):  # textbook: max over j <= rank of (m - j) p_(j), at most 1
        expected = min(1.0, max((len(order) - j) * p_values[order[j]] for j in range(rank + 1)))
        assert adjusted[index] == pytest.approx(expected)


def test_holm_keeps_names_and_counts_failed_tests():
    adjusted = holm({"a": 0.01, "b": math.nan, "c": 0.04})
    assert list(adjusted) == ["a", "b", "c"]
    assert adjusted["a"] == pytest.approx(0.03)
    assert adjusted["c"] == pytest.approx(0.08)
    assert math.isnan(adjusted["b"])
