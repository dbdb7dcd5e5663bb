import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from shared.evaluation.calibration import (
    _auc_by_ranks,
    auc,
    both_orders,
    brier_scores,
    expected_calibration_error,
    fit_temperature,
    log_losses,
    pair_outcomes,
    preference_report,
    reliability_table,
)

margin = st.floats(-8, 8).map(lambda x: round(x, 2))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_hand_computed():
    margins = [2.0, -1.0, 0.0]
    assert pair_outcomes(margins).tolist() == [1.0, 0.0, 0.5]
    p = [sigmoid(x) for x in margins]
    assert brier_scores(margins) == pytest.approx([(1 - x) ** 2 for x in p])
    assert log_losses(margins) == pytest.approx([-math.log(x) for x in p])
    # positives 2, -1, 0 against negatives -2, 1, 0: 3 + .5 of 9 are won, as 2 > all; -1 > -2; 0 > -2, 0 = 0
    assert auc(margins) == pytest.approx((3 + 1 + 1.5) / 9)
    # two bins: {.881 (1), .731 (0), .5 (1), .5 (0)} and the mirror {.119 (0), .269 (1)}; .5 opens the upper bin
    upper = abs((1 + 0 + 1 + 0) - (p[0] + (1 - p[1]) + 0.5 + 0.5))
    lower = abs((0 + 1) - ((1 - p[0]) + p[1]))
    assert expected_calibration_error(margins, bins=2) == pytest.approx((upper + lower) / 6)


@settings(max_examples=60, deadline=None)
@given(st.lists(margin, min_size=1, max_size=30))
def test_against_sklearn_on_both_orders(margins):
    probabilities, labels = both_orders(margins)
    assert auc(margins) == pytest.approx(roc_auc_score(labels, probabilities))
    assert _auc_by_ranks(np.array(margins)) == pytest.approx(auc(margins))
    assert brier_scores(margins).mean() == pytest.approx(brier_score_loss(labels, probabilities))
    assert log_losses(margins).mean() == pytest.approx(log_loss(labels, probabilities, labels=[0, 1]))
    assert auc([-m for m in margins]) == pytest.approx(1 - auc(margins))


@settings(max_examples=60, deadline=None)
@given(st.lists(margin, min_size=1, max_size=30), st.integers(1, 20), st.sampled_from(["equal_width", "equal_mass"]))
def test_ece_is_the_reliability_table_s_mean_gap(margins, bins, binning):
    table = reliability_table(margins, bins=bins, binning=binning)
    assert sum(row.count for row in table) == 2 * len(margins)
    gap = sum(row.count * abs(row.accuracy.value - row.confidence) for row in table if row.count)
    ece = expected_calibration_error(margins, bins=bins, binning=binning)
    assert ece == pytest.approx(gap / (2 * len(margins)))
    assert 0 <= ece <= 1
    json.dumps([row.to_json() for row in table], allow_nan=False)


def test_calibrated_and_overconfident_models():
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 2, 20_000)
    right = np.where(rng.random(truth.size) < 1 / (1 + np.exp(-np.abs(truth))), 1, -1)
    margins = np.abs(truth) * right  # the model's log-odds, positive where the label agrees
    assert expected_calibration_error(margins) < 0.01
    assert expected_calibration_error(3 * margins) > 0.08
    fitted = fit_temperature(3 * margins)
    assert fitted.value == pytest.approx(3, rel=0.05)
    assert fitted.log_loss_after < fitted.log_loss_before
    assert not fitted.at_bound
    assert expected_calibration_error(3 * margins / fitted.value, binning="equal_mass") < 0.01


@pytest.mark.parametrize("margins", [[1.0, 2.0, 3.0], [-1.0, -2.0], [0.0, 0.0], []])
def test_temperature_without_an_optimum_is_one(margins):
    fitted = fit_temperature(margins)
    assert fitted.value == 1.0
    assert fitted.at_bound
    json.dumps(fitted.to_json(), allow_nan=False)


def test_temperature_of_a_known_optimum():
    # nine right and one wrong at margin 4: the best p is .9, so 4 / T = log 9
    assert fit_temperature([4.0] * 9 + [-4.0]).value == pytest.approx(4 / math.log(9), rel=1e-3)


def test_report():
    rng = np.random.default_rng(1)
    margins, groups = rng.normal(0.8, 1, 80), rng.integers(0, 30, 80)
    report = preference_report(margins, groups, n_resamples=200)
    assert report["accuracy"].value == pytest.approx((margins > 0).mean())
    assert report["auc"].value == pytest.approx(auc(margins))
    assert report["ece"].value == pytest.approx(expected_calibration_error(margins))
    for estimate in report.values():
        assert estimate.contains(estimate.value)
        assert estimate.low < estimate.high


def test_not_finite_and_empty():
    for margins in ([], [0.3, math.nan]):
        report = preference_report(margins)
        assert all(math.isnan(estimate.value) for estimate in report.values())
        assert math.isnan(auc(margins))
        assert math.isnan(expected_calibration_error(margins))
        assert reliability_table(margins) == []
    assert np.isnan(pair_outcomes([math.nan]))[0]
    with pytest.raises(ValueError, match="at least 1"):
        expected_calibration_error([1.0], bins=0)
