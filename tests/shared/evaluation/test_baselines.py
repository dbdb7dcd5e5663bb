import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.evaluation.baselines import (
    concordant_accuracy,
    confound_model,
    contrary_accuracy,
    covariate_baseline,
    matched_length_accuracy,
)

difference = st.integers(-20, 20).map(float)


def test_direction_comes_from_training_pairs():
    found = covariate_baseline("views", [5, 3, 2, -1], [4, -2, 0, math.nan, 7])
    assert found.direction == 1
    assert found.train_share == 0.75
    assert found.outcomes.tolist() == [1, 0, 0.5, 0.5, 1]
    assert found.accuracy.value == pytest.approx(0.6)
    assert (found.n_ties, found.n_missing) == (1, 1)
    # learned the other way round, the same test pairs are judged the other way round
    assert covariate_baseline("views", [-5, -3, 1], [4, -2, 0, math.nan, 7]).accuracy.value == pytest.approx(0.4)
    json.dumps(found.to_json(), allow_nan=False)


def test_without_training_pairs_more_is_better():
    found = covariate_baseline("length", [], [1.0, -1.0, 2.0])
    assert found.direction == 1
    assert math.isnan(found.train_share)
    assert covariate_baseline("length", [math.nan], []).accuracy.method == "no items"
    json.dumps(found.to_json(), allow_nan=False)


@settings(max_examples=50, deadline=None)
@given(st.lists(difference, min_size=1, max_size=20), st.lists(difference, min_size=1, max_size=20))
def test_swapping_all_pairs_changes_the_direction_not_the_accuracy(train, test):
    forth = covariate_baseline("x", train, test)
    back = covariate_baseline("x", [-d for d in train], [-d for d in test])
    if forth.train_share != 0.5:
        assert back.direction == -forth.direction
        assert back.accuracy == forth.accuracy
        assert back.auc == pytest.approx(forth.auc)


def test_contrary_and_concordant_pairs():
    outcomes, views = [1, 1, 0, 1, 0.5], [3, -1, -2, math.nan, 0]
    contrary = contrary_accuracy(outcomes, views, ["a", "b", "c", "d", "e"])
    assert (contrary.value, contrary.n) == (0.5, 2)
    assert contrary_accuracy(outcomes, views, direction=-1).n == 1
    assert concordant_accuracy(outcomes, views).value == 1.0
    assert "no pair is contrary" in contrary_accuracy([1.0], [2.0]).method
    with pytest.raises(ValueError, match="2 outcomes for 1 pairs"):
        contrary_accuracy([1, 0], [1])


def test_matched_length():
    found = matched_length_accuracy([1, 0, 1], [100, 120, 300], [110, 100, 100], tolerance=0.2)
    assert (found.value, found.n) == (0.5, 2)
    assert "no pair within 10%" in matched_length_accuracy([1], [2], [9], tolerance=0.1).method


def test_confound_model_finds_the_confound():
    rng = np.random.default_rng(0)
    views, length = rng.normal(size=600), rng.normal(size=600)
    flip = np.where(rng.random(600) < 1 / (1 + np.exp(-(2 * views + 0.5 * length))), 1, -1)
    table = {"length": length * flip, "views": views * flip}
    train = {name: column[:400] for name, column in table.items()}
    test = {name: column[400:] for name, column in table.items()}
    found = confound_model(train, test, np.arange(200))
    assert found.coefficients["views"] == pytest.approx(2, abs=0.5)
    assert found.coefficients["length"] == pytest.approx(0.5, abs=0.3)
    assert found.accuracy.low > 0.7
    assert found.auc > found.accuracy.value - 0.01
    assert found.log_loss.value < math.log(2)
    # one covariate alone is the covariate baseline
    alone = confound_model({"views": train["views"]}, {"views": test["views"]})
    assert alone.outcomes.tolist() == covariate_baseline("views", train["views"], test["views"]).outcomes.tolist()
    json.dumps(found.to_json(), allow_nan=False)


def test_confound_model_edges():
    empty = confound_model({"views": []}, {"views": [1.0, math.nan]})
    assert empty.outcomes.tolist() == [0.5, 0.5]
    constant = confound_model({"views": [0.0, 0.0]}, {"views": [1.0]})
    assert constant.coefficients["views"] == pytest.approx(0)
    assert confound_model({"views": [1.0, 2.0]}, {"views": []}).accuracy.n == 0
    with pytest.raises(ValueError, match="train has"):
        confound_model({"a": [1.0]}, {"b": [1.0]})
    with pytest.raises(ValueError, match="no covariate"):
        confound_model({}, {})
