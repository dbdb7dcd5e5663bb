import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from shared.evaluation.intervals import Estimate, unavailable, wilson
from shared.evaluation.win_rate import (
    average_orders,
    judge_statement,
    length_controlled_win_rate,
    win_rate_report,
)

GOOD_JUDGE = Estimate(0.7, 0.62, 0.77, 120, 0.95, "bootstrap")
comparison = st.tuples(st.sampled_from([-1.5, 0.0, 2.0]), st.integers(1, 300), st.integers(1, 300), st.integers(0, 12))


@settings(max_examples=60, deadline=None)
@given(st.lists(comparison, min_size=1, max_size=40))
def test_swapping_the_models_gives_one_minus_the_win_rate(rows):
    margins, mine, theirs, prompts = (list(column) for column in zip(*rows, strict=True))
    forth = win_rate_report(margins, mine, theirs, prompts, judge_accuracy=GOOD_JUDGE)
    back = win_rate_report([-m for m in margins], theirs, mine, prompts, judge_accuracy=GOOD_JUDGE)
    pairs = [(forth.win_rate, back.win_rate), (forth.length_controlled.win_rate, back.length_controlled.win_rate)]
    for one, other in pairs:
        if math.isnan(one.value):
            assert math.isnan(other.value)
            continue
        assert 0 <= one.value <= 1
        assert other.value == pytest.approx(1 - one.value, abs=1e-8)
        if one.has_interval():
            assert one.contains(one.value)
            assert (other.low, other.high) == pytest.approx((1 - one.high, 1 - one.low), abs=1e-6)
    json.dumps(forth.to_json(), allow_nan=False)


def test_win_rate_by_hand():
    report = win_rate_report([2.0, -1.0, 0.0, 0.3], [10] * 4, [10] * 4, judge_accuracy=GOOD_JUDGE)
    assert report.win_rate.value == pytest.approx(2.5 / 4)
    assert report.outcomes.tolist() == [1, 0, 0.5, 1]
    # no length difference at all: nothing to control (the ridge of .01 pulls by a few thousandths)
    assert report.length_controlled.win_rate.value == pytest.approx(2.5 / 4, abs=0.005)
    assert report.order_flips is None


def simulated(rng, n, quality, length_bias):
    mine, theirs = rng.integers(80, 200, n), rng.integers(40, 160, n)
    delta = mine - theirs
    log_odds = quality + length_bias * np.tanh(delta / delta.std())
    return (rng.random(n) < 1 / (1 + np.exp(-log_odds))).astype(float), mine, theirs


def test_against_sklearn():
    wins, mine, theirs = simulated(np.random.default_rng(0), 400, 0.4, 1.5)
    feature = np.tanh((mine - theirs) / (mine - theirs).std())
    oracle = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(feature[:, None], wins)
    found = length_controlled_win_rate(wins, mine, theirs, ridge=2.0, intercept_ridge=1e-9, n_resamples=10)
    assert found.length_coefficient == pytest.approx(oracle.coef_[0, 0], abs=1e-4)
    assert found.win_rate.value == pytest.approx(1 / (1 + math.exp(-oracle.intercept_[0])), abs=1e-4)


def test_ties_count_as_a_win_and_a_loss_of_half_the_weight():
    rng = np.random.default_rng(4)
    mine, theirs = rng.integers(1, 90, 30), rng.integers(1, 90, 30)
    wins = rng.choice([0.0, 0.5, 1.0], 30)
    twice = np.concatenate([np.ceil(wins), np.floor(wins)])  # a tie as one win and one loss
    found = length_controlled_win_rate(wins, mine, theirs, ridge=1.0, intercept_ridge=0.01)
    doubled = length_controlled_win_rate(
        twice, np.tile(mine, 2), np.tile(theirs, 2), ridge=2.0, intercept_ridge=0.02, n_resamples=10
    )
    assert found.win_rate.value == pytest.approx(doubled.win_rate.value)


def test_length_control_removes_the_length_bias_and_covers_the_truth():
    rng = np.random.default_rng(1)
    free, controlled, covered = [], [], 0
    for _ in range(60):
        wins, mine, theirs = simulated(rng, 200, 0.0, 2.0)  # no better, only longer
        found = length_controlled_win_rate(wins, mine, theirs, n_resamples=200).win_rate
        free.append(wins.mean())
        controlled.append(found.value)
        covered += found.contains(0.5)
    assert np.mean(free) > 0.6
    assert np.mean(controlled) == pytest.approx(0.5, abs=0.02)
    assert covered >= 53


def test_separation_and_degenerate_lengths():
    lengths = np.arange(1, 41)
    all_won = length_controlled_win_rate(np.ones(40), lengths, np.full(40, 20))
    assert 0.99 < all_won.win_rate.value < 1
    assert all_won.win_rate.low == pytest.approx(wilson(40, 40).low)
    by_length = length_controlled_win_rate((lengths > 20) * 1.0, lengths, np.full(40, 20.0))
    assert math.isfinite(by_length.length_coefficient)
    assert by_length.length_coefficient > 2
    same = length_controlled_win_rate([1, 0, 1], [12] * 3, [10] * 3)
    assert "not identifiable" in same.win_rate.method
    assert length_controlled_win_rate([], [], []).win_rate.method == "no items"
    assert math.isnan(length_controlled_win_rate([1, math.nan], [1, 2], [3, 4]).win_rate.value)
    assert not length_controlled_win_rate([1, 0], [1, 2], [2, 2], ["p", "p"]).win_rate.has_interval()
    with pytest.raises(ValueError, match="2 outcomes"):
        length_controlled_win_rate([1, 0], [1], [1, 2])


@pytest.mark.parametrize(
    ("accuracy", "evidence", "words"),
    [
        (GOOD_JUDGE, True, "better than chance"),
        (Estimate(0.55, 0.49, 0.61, 120), False, "includes .5: the win rate is no evidence"),
        (Estimate(0.6, 0.5, 0.7, 120), False, "includes .5"),
        (Estimate(0.4, 0.31, 0.48, 120), False, "below chance: the win rate is no evidence"),
        (Estimate(0.9, math.nan, math.nan, 3), False, "without an interval"),
        (unavailable("no items"), False, "not known: the win rate is no evidence"),
        (None, False, "not known"),
    ],
)
def test_evidence_depends_on_the_judge(accuracy, evidence, words):
    report = win_rate_report([1.0] * 50, range(50), [20] * 50, judge_accuracy=accuracy)
    assert report.evidence is evidence
    assert words in report.statement


def test_a_judge_by_length_is_named():
    shown = judge_statement(GOOD_JUDGE, Estimate(0.2, 0.1, 0.33, 40))
    assert shown[0]
    assert "judges by length" in shown[1]
    assert "judges by length" not in judge_statement(GOOD_JUDGE, Estimate(0.55, 0.4, 0.7, 40))[1]


def test_both_orders_of_a_judge_with_position_bias():
    truth, bias = np.array([0.5, -0.2, 1.0]), 0.4
    averaged, flips = average_orders(truth + bias, -truth + bias)
    assert averaged == pytest.approx(truth)
    assert flips == pytest.approx(1 / 3)  # only -.2 is weaker than the bias
    report = win_rate_report(
        truth + bias, [1, 2, 3], [3, 2, 1], judge_accuracy=GOOD_JUDGE, reversed_margins=-truth + bias
    )
    assert report.outcomes.tolist() == [1, 0, 1]
    assert report.order_flips == flips
    with pytest.raises(ValueError, match="3 comparisons"):
        average_orders(truth, [1.0])
