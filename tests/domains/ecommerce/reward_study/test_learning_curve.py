"""The learning curve: nested draws of whole products, and where it passes a level."""

import math

import numpy as np
import pytest

from domains.ecommerce.reward_study.config import CurveStudy
from domains.ecommerce.reward_study.designs import Design
from domains.ecommerce.reward_study.learning_curve import (
    crossing,
    learning_curves,
    size_at,
    training_draw,
    usable_sizes,
)
from domains.ecommerce.reward_study.pairs import product_folds

SIZES = (25, 50, 100, 200)


def test_the_size_at_which_a_level_is_passed():
    accuracies = np.array([0.6, 0.7, 0.8, 0.8])
    assert size_at(SIZES, accuracies, 0.75) == pytest.approx(math.sqrt(50 * 100))
    assert size_at(SIZES, accuracies, 0.7) == pytest.approx(50)
    assert size_at(SIZES, accuracies, 0.5) == 25
    assert size_at(SIZES, accuracies, 0.81) == math.inf
    noisy = np.array([0.76, 0.72, 0.8, 0.8])  # a lucky first size is drawn down by the next
    assert size_at(SIZES, noisy, 0.75) == pytest.approx(math.exp(math.log(50) + math.log(2) / 6))


def test_draws_are_of_whole_products_and_nested():
    groups = [f"p{number // 3}" for number in range(60)]
    pool = np.arange(0, 45)
    large = training_draw(groups, pool, 20, np.random.default_rng(0))
    assert len(set(large.tolist())) == 20
    assert set(large.tolist()) <= set(pool.tolist())
    whole = [groups[place] for place in large]
    assert [whole.count(name) for name in dict.fromkeys(whole)] == [3] * 6 + [2]
    small = training_draw(groups, pool, 7, np.random.default_rng(0))
    assert small.tolist() == large[:7].tolist()
    assert training_draw(groups, pool, 7, np.random.default_rng(1)).tolist() != small.tolist()


def test_sizes_that_a_fold_cannot_give_are_left_out():
    assert usable_sizes((10, 15, 16, 30), np.array([0] * 5 + [1] * 10 + [2] * 5)) == (10,)


def test_more_pairs_help_and_the_level_is_found():
    rng = np.random.default_rng(1)
    weights = rng.normal(size=12)
    chosen, rejected = rng.normal(size=(300, 12)), rng.normal(size=(300, 12))
    wrong = (chosen - rejected) @ weights + rng.logistic(size=300) < 0
    chosen[wrong], rejected[wrong] = rejected[wrong].copy(), chosen[wrong].copy()
    groups = [f"p{number}" for number in range(300)]
    folds = product_folds(groups, 3, 0)
    config = CurveStudy(sets=("given",), sizes=(8, 32, 128, 900), repeats=2, inner_folds=2, l2=(0.03, 0.3), level=0.75)
    told = []
    design = Design(tuple("abcdefghijkl"), chosen, rejected)
    curve = learning_curves({"given": design}, groups, folds, config, 300, 0, lambda *one: told.append(one))["given"]
    assert [point.size for point in curve.points] == [8, 32, 128]
    accuracies = [point.accuracy.value for point in curve.points]
    assert accuracies[0] + 0.05 < accuracies[1] < accuracies[2]
    assert all(point.accuracy.n == 300 for point in curve.points)
    assert curve.points[0].draw_deviation > 0
    assert curve.crossing.pairs is not None
    assert 8 < curve.crossing.pairs < 128
    assert curve.crossing.low is not None
    assert curve.crossing.low <= curve.crossing.pairs
    assert told[-1] == (6, 6, "learning curve")
    again = learning_curves({"given": design}, groups, folds, config, 300, 0)["given"]
    assert again == curve


def test_a_level_out_of_reach_is_said_with_its_uncertainty():
    rng = np.random.default_rng(0)
    outcomes = (rng.random((3, 4, 200)) < np.array([0.6, 0.7, 0.745])[:, None, None]).astype(float)
    groups = [f"p{number}" for number in range(200)]
    far = crossing(outcomes, (25, 100, 400), groups, 0.95, 300, 0)
    assert (far.pairs, far.low, far.high, far.passed) == (None, None, None, 0.0)
    near = crossing(outcomes, (25, 100, 400), groups, 0.745, 300, 0)
    assert 0.05 < near.passed < 0.95
    assert near.low is not None
    assert near.high is None
    low = crossing(outcomes, (25, 100, 400), groups, 0.4, 300, 0)
    assert (low.pairs, low.low, low.high, low.at_smallest) == (25, 25, 25, 1.0)
