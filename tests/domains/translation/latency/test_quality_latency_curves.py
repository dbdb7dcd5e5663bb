"""Quality-latency curves: known answers, joint resampling, seeds, and curves that cannot be compared."""

import json
import math
import time

import numpy as np
import pytest

from domains.translation.curve_comparison import compare_curves, interval_p_value, mean_between
from domains.translation.curves import Point, System, curve, measure
from domains.translation.latency import Delays
from domains.translation.quality import QualityStatistics, chrf_statistics
from shared.evaluation.intervals import t_interval


def point(setting, latency, score):
    """A point whose quality is the mean of `score` [n], as COMET's is."""
    score = np.asarray(score, dtype=float)
    counts = np.stack([score, np.ones_like(score)], axis=1)
    return Point(setting, np.asarray(latency, dtype=float), QualityStatistics("COMET", "test", counts))


def straight(name, latencies, quality, n=40, noise=0.0, seeds=(0,), spread=0.0, rng=None):
    """A system whose mean quality is `quality(latency)`, with common noise of sentences and a shift by seed."""
    rng = rng or np.random.default_rng(0)
    made = {}
    for seed in seeds:
        shift = spread * rng.normal()
        made[seed] = [
            point(f"s{x}", np.full(n, float(x)), quality(x) + shift + noise * rng.normal(size=n)) for x in latencies
        ]
    return System(name, made)


def test_the_area_is_exact():
    x, y = np.array([0.0, 2.0, 4.0]), np.array([10.0, 20.0, 20.0])
    assert mean_between(x, y, 0, 4) == pytest.approx(17.5)
    assert mean_between(x, y, 1, 3) == pytest.approx((17.5 + 20) / 2)
    assert mean_between(x[::-1], y[::-1], 1, 3) == pytest.approx((17.5 + 20) / 2)
    # A step: two points of one latency.
    assert mean_between(np.array([0.0, 1.0, 1.0, 2.0]), np.array([0.0, 0.0, 10.0, 10.0]), 0, 2) == pytest.approx(5)


def test_lines_that_lie_three_apart_differ_by_three_on_the_common_half_only():
    a = straight("a", [1, 3, 5, 9], lambda x: 20 + 2 * x)
    b = straight("b", [3, 4, 7, 11], lambda x: 17 + 2 * x + (50 if x > 7 else 0))
    found = compare_curves(a, b, n_resamples=50)
    assert (found.low, found.high) == (3, 9)  # the lower half ends at 6, before b leaves its line
    assert found.difference.difference == pytest.approx(3)
    assert found.area_a == pytest.approx(20 + 2 * 4.5)
    first = found.at[0]
    assert (first.latency, first.a, first.b) == (pytest.approx(4.5), pytest.approx(29), pytest.approx(26))
    assert found.difference.low == pytest.approx(3)
    assert compare_curves(b, a, n_resamples=50).difference.difference == pytest.approx(-3)


def test_the_area_on_equal_systems_is_zero_and_not_significant():
    rng = np.random.default_rng(1)
    a = straight("a", [1, 2, 4], lambda x: 20 + x, noise=5, rng=rng)
    found = compare_curves(a, a, n_resamples=200)
    assert found.difference.difference == 0
    assert (found.difference.low, found.difference.high) == (0, 0)
    assert found.difference.p_value == 1


def test_shared_sentences_make_the_interval_of_a_difference_narrow():
    rng = np.random.default_rng(2)
    hard = 30 * rng.normal(size=100)

    def system(name, gain, rng):
        return System(
            name, {0: [point(f"{x}", np.full(100, x), x + gain + hard + rng.normal(size=100)) for x in (1, 3)]}
        )

    a, b = system("a", 1.0, rng), system("b", 0.0, rng)
    found = compare_curves(a, b, n_resamples=500)
    assert found.difference.high - found.difference.low < 1.0
    assert found.difference.favours() == 1
    alone = curve(a, n_resamples=500)[0].quality
    assert alone.high - alone.low > 8


def test_an_interval_covers_what_it_should():
    covered, significant = 0, 0
    for trial in range(120):
        rng = np.random.default_rng([7, trial])
        a = straight("a", [1, 2, 3], lambda x: 10.0, n=30, noise=4, rng=rng)
        b = straight("b", [1, 2, 3], lambda x: 10.0, n=30, noise=4, rng=rng)
        found = compare_curves(a, b, n_resamples=200, seed=trial).difference
        covered += found.low <= 0 <= found.high
        significant += found.p_value < 0.05
        assert (found.p_value < 0.05) == (not found.low <= 0 <= found.high) or abs(found.p_value - 0.05) < 0.02
    assert 106 <= covered <= 120
    assert significant <= 14


def test_seeds_are_a_second_level():
    rng = np.random.default_rng(3)
    a = straight("a", [1, 3], lambda x: 10 + x, noise=1, seeds=(2, 0, 1), spread=5, rng=rng)
    b = straight("b", [1, 3], lambda x: 10 + x, noise=1, rng=rng)
    found = compare_curves(a, b, n_resamples=500)
    own = dict(found.seeds[0])
    assert list(own) == [0, 1, 2]
    assert found.area_a == pytest.approx(np.mean(list(own.values())))
    single = compare_curves(System("a", {0: a.seeds[0]}), b, n_resamples=500).difference
    assert found.difference.high - found.difference.low > 5 * (single.high - single.low)
    assert "3 and 1 unpaired seeds" in found.difference.method
    assert single.method.startswith("one seed only")
    # About as wide as what the seeds' means say by themselves, for many seeds.
    many = straight("m", [1, 3], lambda x: 10 + x, noise=0.01, seeds=range(20), spread=5, rng=rng)
    pooled = compare_curves(many, b, n_resamples=2000)
    t = t_interval([area for _, area in pooled.seeds[0]])
    width = pooled.difference.high - pooled.difference.low
    assert width == pytest.approx(t.high - t.low, rel=0.2)


def test_paired_seeds_cancel_what_they_share():
    rng = np.random.default_rng(4)
    start = rng.normal(size=3) * 10

    def system(name, gain, numbers):
        return System(
            name,
            {
                number: [point(f"{x}", np.full(50, x), x + gain + start[place] + rng.normal(size=50)) for x in (1, 3)]
                for place, number in enumerate(numbers)
            },
        )

    paired = compare_curves(system("a", 1.0, (0, 1, 2)), system("b", 0.0, (0, 1, 2)), n_resamples=500).difference
    apart = compare_curves(system("a", 1.0, (0, 1, 2)), system("b", 0.0, (5, 6, 7)), n_resamples=500).difference
    assert "3 and 3 paired seeds" in paired.method
    assert paired.high - paired.low < 2 < apart.high - apart.low


def test_curves_that_do_not_overlap_are_not_extrapolated():
    a, b = straight("fast", [1, 2], lambda x: x), straight("slow", [5, 7], lambda x: x)
    found = compare_curves(a, b, n_resamples=20)
    assert "no latency in common (fast lies between 1.00 and 2.00, slow lies between 5.00 and 7.00)" in found.note
    assert "nothing is extrapolated" in found.note
    assert math.isnan(found.difference.difference)
    assert found.difference.favours() == 0
    assert found.at == ()
    row = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert row["difference"]["difference"] is None
    offline = compare_curves(straight("offline", [8], lambda x: x), b, n_resamples=20)
    assert "offline has one setting only, which makes no curve" in offline.note
    mute = System("mute", {0: [point("x", np.full(40, np.nan), np.ones(40)), point("y", np.ones(40), np.ones(40))]})
    assert "mute has a setting without any latency" in compare_curves(mute, b, n_resamples=20).note


def test_a_latency_that_one_curve_does_not_reach_has_no_difference():
    found = compare_curves(
        straight("a", [1, 4], lambda x: x), straight("b", [2, 8], lambda x: x), at=[3, 6], n_resamples=20
    )
    assert found.at[0].difference.difference == pytest.approx(0, abs=1e-12)
    assert math.isnan(found.at[1].a)
    assert found.at[1].b == pytest.approx(6)
    assert "does not reach" in found.at[1].difference.method


def test_a_point_from_delays_leaves_empty_predictions_out_of_its_latency():
    delays = [Delays((1, 2), 2, 2, 2), Delays((), 2, 2, 0), Delays((2, 2), 2, 2, 2)]
    quality = chrf_statistics(["a dog", "", "a cat"], ["a dog", "a pig", "a cat"])
    one = Point.of("wait-1", delays, quality)
    latency, score = measure([System("s", {0: [one]})], np.array([[1.0, 1, 1], [2, 1, 0]]))[0]
    assert latency[:, 0, 0].tolist() == pytest.approx([(1 + 2) / 2, 1])
    assert score[0, 0, 0] == pytest.approx(quality.corpus())
    with pytest.raises(ValueError, match="2 latencies and quality of 3 sentences"):
        Point.of("wait-1", delays[:2], quality)


def test_the_points_of_a_curve_stand_by_latency():
    rng = np.random.default_rng(5)
    system = straight("a", [5, 1, 3], lambda x: 10 + x, noise=2, seeds=(0, 1), spread=1, rng=rng)
    rows = curve(system, n_resamples=100)
    assert [row.setting for row in rows] == ["s1", "s3", "s5"]
    assert [row.latency.value for row in rows] == [1, 3, 5]
    assert all(row.quality.low < row.quality.value < row.quality.high for row in rows)


def test_what_does_not_compare_is_refused():
    a = straight("a", [1, 2], lambda x: x)
    with pytest.raises(ValueError, match="40 sentences, b on 30"):
        compare_curves(a, straight("b", [1, 2], lambda x: x, n=30))
    with pytest.raises(ValueError, match="do not compare"):
        compare_curves(a, System("b", {0: [Point("x", np.ones(40), chrf_statistics(["a"] * 40, ["a"] * 40))]}))
    with pytest.raises(ValueError, match="same settings"):
        System("a", {0: a.points, 1: a.points[:1]})
    with pytest.raises(ValueError, match="same settings"):
        System("a", {})


def test_p_values_agree_with_a_normal_and_have_a_floor():
    from scipy.stats import norm

    rng = np.random.default_rng(6)
    for shift in (0.0, 1.0, 2.0):
        found = interval_p_value(rng.normal(size=40_000) + shift, 5000)
        assert found == pytest.approx(2 * norm.sf(shift), abs=0.02)
    assert 0 < interval_p_value(np.ones(1000), 200) < 0.005


def test_a_comparison_of_real_size_takes_seconds():
    rng = np.random.default_rng(8)
    predictions = [" ".join(rng.choice(list("abcdefghij"), 12)) for _ in range(200)]
    references = [" ".join(rng.choice(list("abcdefghij"), 12)) for _ in range(200)]
    quality = chrf_statistics(predictions, references)

    def system(name):
        seeds = {s: [Point(f"{x}", rng.normal(x, 1, 200), quality) for x in (1, 2, 4, 6, 9)] for s in range(3)}
        return System(name, seeds)

    start = time.process_time()
    compare_curves(system("a"), system("b"), n_resamples=1000)
    assert time.process_time() - start < 8
