"""Accuracies under control of tier and length, tests with Holm's adjustment."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from domains.ecommerce.reward_study.measures import MEASURES, differences, measure, without_length
from domains.ecommerce.reward_study.pairs import product_folds, study_pairs

FINITE = st.floats(-50, 50, allow_nan=False, width=32)


@settings(deadline=None, max_examples=50)
@given(arrays.arrays(np.float64, 12, elements=FINITE), arrays.arrays(np.float64, 12, elements=FINITE), st.data())
def test_what_is_left_is_uncorrelated_with_length_and_free_of_labels(margins, lengths, data):
    folds = np.arange(12) % 2
    left = without_length(margins, lengths, folds)
    for fold in (0, 1):
        here = folds == fold
        bound = 1e-6 * (1 + np.abs(margins[here]).max() * np.abs(lengths[here]).max())
        assert abs(float(left[here] @ lengths[here])) <= bound
    swapped = np.array(data.draw(st.lists(st.sampled_from([1.0, -1.0]), min_size=12, max_size=12)))
    again = without_length(swapped * margins, swapped * lengths, folds)
    np.testing.assert_allclose(again, swapped * left, atol=1e-6 * (1 + np.abs(margins).max()))


def test_a_reward_of_length_alone_is_left_with_ties():
    rng = np.random.default_rng(0)
    lengths, folds = rng.normal(size=40), np.arange(40) % 4
    slopes = np.array([0.3, 0.7, 1.1, 1.3])[folds]  # each fold has a model of its own
    assert without_length(slopes * lengths, lengths, folds).tolist() == [0.0] * 40
    other = rng.normal(size=40)
    left = without_length(slopes * lengths + other, lengths, folds)
    assert np.corrcoef(left, other)[0, 1] > 0.9


@pytest.fixture
def pairs(toy_preferences):
    """40 pairs of 20 products."""
    return study_pairs(toy_preferences(40, 20), ["train"] * 40)


def test_levels_by_hand(pairs):
    folds = product_folds(pairs.groups, 4, 0)
    right = np.arange(40) % 4 != 0
    margins = np.where(right, 1.0, -1.0)[None]
    found = measure(margins, pairs, folds, 0.2, 200, 0)
    assert set(found) == set(MEASURES)
    assert found["accuracy"].value == 0.75
    assert found["cross_tier"].value == pytest.approx(right[pairs.cross_tier].mean())
    assert found["same_tier"].n == pairs.same_tier.sum()
    assert found["length_matched"].value == pytest.approx(right[pairs.matched(0.2)].mean())
    shorter = pairs.words[0] < pairs.words[1]
    assert found["length_contrary"].value == pytest.approx(right[shorter].mean())
    p = 1 / (1 + np.exp(-1))
    assert found["log_loss"].value == pytest.approx(-(0.75 * np.log(p) + 0.25 * np.log(1 - p)))
    assert found["ece"].value == pytest.approx(0.75 - p, abs=1e-9)
    assert found["accuracy"].low < 0.75 < found["accuracy"].high


def test_pairs_without_a_score_are_left_out_and_seeds_are_averaged(pairs):
    folds = product_folds(pairs.groups, 4, 0)
    margins = np.stack([np.ones(40), -np.ones(40)])
    margins[:, :10] = np.nan
    found = measure(margins, pairs, folds, 0.2, 200, 0)
    assert found["accuracy"].n == 30
    assert found["accuracy"].value == 0.5
    assert found["accuracy"].low < 0.1  # two seeds that disagree wholly
    nobody = study_pairs([replace(one, covariates_chosen={}) for one in pairs.records], pairs.splits)
    assert measure(margins, nobody, folds, 0.2, 200, 0)["same_tier"].value is not None
    assert np.isnan(measure(margins, nobody, folds, 0.2, 200, 0)["same_tier"].value)


def test_differences_are_paired_adjusted_and_made_once(pairs):
    folds = product_folds(pairs.groups, 4, 0)
    good, bad = np.ones((1, 40)), np.where(np.arange(40) % 2, 1.0, -1.0)[None]
    part = good.copy()
    part[:, 20:] = np.nan
    found = differences(
        {"naive-mean": bad, "both": good, "lm": part, "length": bad},
        ("naive-mean", "length"),
        pairs,
        folds,
        0.2,
        400,
        0,
    )
    accuracy = found["accuracy"]
    difference, p_value = accuracy["naive-mean"]["both"]
    assert difference.difference == 0.5
    assert difference.n_groups == 20
    assert p_value >= difference.p_value
    assert accuracy["naive-mean"]["lm"][0].n == 20
    assert accuracy["naive-mean"]["length"][0].p_value == 1.0
    assert set(accuracy["length"]) == {"both", "lm"}  # length against the naive mean stands there already
    assert set(found) == {"accuracy", "same_tier", "length_partialled", "log_loss"}
