import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from shared.evaluation.intervals import (
    Estimate,
    bootstrap_mean,
    cluster_bootstrap,
    over_seeds,
    t_interval,
    wilson,
)

numbers = st.floats(-50, 50).map(lambda x: round(x, 3))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(numbers, st.integers(0, 6)), min_size=1, max_size=40))
def test_interval_contains_the_mean_and_survives_json(rows):
    values, groups = [value for value, _ in rows], [group for _, group in rows]
    estimate = bootstrap_mean(values, groups, n_resamples=300)
    assert estimate.value == pytest.approx(np.mean(values))
    assert estimate.n == len(values)
    if estimate.has_interval():
        assert estimate.contains(estimate.value)
        assert Estimate.from_json(json.loads(json.dumps(estimate.to_json(), allow_nan=False))) == estimate
    else:
        assert len(set(groups)) == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(numbers, st.integers(0, 6)), min_size=2, max_size=30), st.floats(-5, 5), st.floats(0.1, 5))
def test_bootstrap_mean_is_equivariant(rows, shift, scale):
    values, groups = np.array([value for value, _ in rows]), [group for _, group in rows]
    plain = bootstrap_mean(values, groups, n_resamples=200)
    moved = bootstrap_mean(values * scale + shift, groups, n_resamples=200)
    if values.min() == values.max() or not plain.has_interval():
        return  # constants of 0 and 1 are shares, with Wilson's interval
    assert moved.low == pytest.approx(plain.low * scale + shift, abs=1e-6)
    assert moved.high == pytest.approx(plain.high * scale + shift, abs=1e-6)


def test_bootstrap_is_deterministic_and_its_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(3)
    values, groups = rng.normal(size=60), rng.integers(0, 20, 60)
    first = bootstrap_mean(values, groups)
    assert bootstrap_mean(values, groups) == first
    assert bootstrap_mean(values, groups, seed=1) != first
    monkeypatch.setattr("shared.evaluation.intervals._CELLS_AT_ONCE", 50)
    assert bootstrap_mean(values, groups) == first


def test_interval_of_independent_normals_is_near_students():
    values = np.random.default_rng(0).normal(2.0, 1.0, 25)
    estimate = bootstrap_mean(values, n_resamples=20_000)
    oracle = t_interval(values)
    assert estimate.low == pytest.approx(oracle.low, abs=0.06)
    assert estimate.high == pytest.approx(oracle.high, abs=0.06)


def test_groups_widen_the_interval():
    values = np.repeat([0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0], 10)
    clustered = bootstrap_mean(values, np.repeat(np.arange(8), 10))
    independent = bootstrap_mean(values)
    assert clustered.high - clustered.low > 2 * (independent.high - independent.low)


@pytest.mark.parametrize("p", [0.6, 0.85])
def test_coverage_of_the_cluster_bootstrap(p):
    rng = np.random.default_rng(11)
    runs, covered = 300, 0
    for _ in range(runs):
        sizes = rng.integers(1, 7, 20)
        rates = rng.beta(3 * p, 3 * (1 - p), 20)
        values = np.concatenate([rng.random(size) < rate for size, rate in zip(sizes, rates, strict=True)])
        covered += bootstrap_mean(values, np.repeat(np.arange(20), sizes), n_resamples=500).contains(p)
    assert 0.88 <= covered / runs <= 0.98


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "no items"),
        ([1.0, math.nan], "1 of 2 values are not finite"),
        ([math.inf], "1 of 1 values are not finite"),
    ],
)
def test_what_cannot_be_estimated_says_why(values, expected):
    estimate = bootstrap_mean(values)
    assert math.isnan(estimate.value)
    assert not estimate.has_interval()
    assert expected in estimate.method
    assert estimate.to_json()["value"] is None
    assert str(estimate) == "n/a"
    assert not estimate.contains(0.5)


def test_constant_and_single_values():
    right = bootstrap_mean([1.0] * 30)
    assert (right.value, right.high) == (1.0, 1.0)
    assert right.low == pytest.approx(wilson(30, 30).low)
    # ten answers to three questions are three observations, not ten
    assert bootstrap_mean([1.0] * 10, [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]).low == pytest.approx(wilson(3, 3).low)
    ties = bootstrap_mean([0.5] * 30)
    assert (ties.low, ties.high) == (0.5, 0.5)
    single = bootstrap_mean([0.7])
    assert single.value == 0.7
    assert not single.has_interval()
    assert "one group" in bootstrap_mean([0.7, 0.2], ["a", "a"]).method


def test_group_ids_must_match():
    with pytest.raises(ValueError, match="2 group ids for 3 items"):
        bootstrap_mean([1.0, 2.0, 3.0], ["a", "b"])


def test_wilson_against_the_formula():
    n, k, z = 37, 29, stats.norm.ppf(0.975)
    p = k / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    estimate = wilson(k, n)
    assert (estimate.low, estimate.high) == pytest.approx((middle - half, middle + half))
    assert math.isnan(wilson(0, 0).value)
    assert wilson(5, 5).high == 1.0
    assert wilson(0, 5).low == 0.0


def test_t_interval_against_scipy():
    values = [0.1, 0.14, 0.07, 0.2]
    oracle = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    estimate = t_interval(values)
    assert (estimate.low, estimate.high) == pytest.approx((oracle.low, oracle.high))
    assert not t_interval([0.3]).has_interval()
    assert math.isnan(t_interval([]).value)
    assert math.isnan(t_interval([0.1, math.nan]).value)


def test_over_seeds_adds_the_spread_of_seeds():
    rng = np.random.default_rng(0)
    items = rng.normal(size=50)
    same = over_seeds([items, items, items])
    assert same.value == pytest.approx(items.mean())
    assert (same.low, same.high) == pytest.approx((bootstrap_mean(items).low, bootstrap_mean(items).high), abs=0.05)
    spread = over_seeds([items - 2, items, items + 2])
    assert spread.value == pytest.approx(items.mean())
    assert spread.high - spread.low > 3 * (same.high - same.low)
    assert spread.n == 50


def test_over_seeds_variance_matches_theory():
    # value_si = a_s + b_i: variance of the grand mean is var(a)/S + var(b)/n
    rng = np.random.default_rng(5)
    a, b = rng.normal(0, 1, 8), rng.normal(0, 3, 40)
    estimate = over_seeds([b + effect for effect in a], level=0.6827, n_resamples=20_000)
    expected = math.sqrt(a.var(ddof=1) / 8 + b.var(ddof=1) / 40)
    assert (estimate.high - estimate.low) / 2 == pytest.approx(expected, rel=0.08)


def test_over_seeds_edges():
    assert "one seed only" in over_seeds([[0.2, 0.4]]).method
    assert over_seeds([]).method == "no seeds"
    assert math.isnan(over_seeds([[1.0, math.nan], [1.0, 2.0]]).value)
    assert math.isnan(over_seeds([[], []]).value)
    assert not over_seeds([[1.0], [2.0]]).has_interval()
    with pytest.raises(ValueError, match="different numbers of items"):
        over_seeds([[1.0], [1.0, 2.0]])


def test_cluster_bootstrap_of_a_mean_agrees_with_bootstrap_mean():
    rng = np.random.default_rng(1)
    values, groups = rng.normal(size=40), rng.integers(0, 15, 40)
    general = cluster_bootstrap(lambda indices: float(values[indices].mean()), 40, groups, n_resamples=2000)
    special = bootstrap_mean(values, groups, n_resamples=2000)
    assert (general.low, general.high) == pytest.approx((special.low, special.high))


def test_cluster_bootstrap_edges():
    assert cluster_bootstrap(lambda _: 1.0, 0).method == "no items"
    assert math.isnan(cluster_bootstrap(lambda _: math.nan, 3).value)
    assert not cluster_bootstrap(lambda _: 1.0, 3, ["a"] * 3).has_interval()
    rare = cluster_bootstrap(lambda index: 1.0 if list(index) == [0, 1, 2] else math.nan, 3, n_resamples=100)
    assert rare.value == 1.0
    assert "undefined on most resamples" in rare.method
    biased = cluster_bootstrap(lambda index: 1 - len(set(index)) / len(index), 10, kind="basic", bounds=(0, 1))
    assert biased.low == 0.0
    assert biased.contains(biased.value)
