"""Held-out log-odds: nothing of a fold reaches the model that scores it, its penalty included."""

import numpy as np
import pytest

from domains.ecommerce.reward_study.cross_fit import Fitting, choose_l2, cross_fitted, fitted, margins_of
from domains.ecommerce.reward_study.designs import Design
from domains.ecommerce.reward_study.pairs import product_folds
from shared.evaluation.calibration import log_losses

FITTING = Fitting((0.003, 0.1, 3.0), 3, 0)


@pytest.fixture
def planted():
    """(design, groups, folds) of 90 pairs whose first feature decides, with noise."""
    rng = np.random.default_rng(3)
    chosen, rejected = rng.normal(size=(90, 4)), rng.normal(size=(90, 4))
    wrong = 3 * (chosen - rejected)[:, 0] + rng.logistic(size=90) < 0
    chosen[wrong], rejected[wrong] = rejected[wrong].copy(), chosen[wrong].copy()
    groups = [f"p{number // 2}" for number in range(90)]
    return Design(("a", "b", "c", "d"), chosen, rejected), groups, product_folds(groups, 5, 0)


@pytest.mark.parametrize("hidden", [(), (3,)])
def test_labels_of_a_fold_do_not_reach_its_log_odds(planted, hidden):
    design, groups, folds = planted
    fitting = Fitting(FITTING.l2, 3, 0, hidden=hidden, max_iterations=30)
    before = cross_fitted(design, groups, folds, fitting)
    swap = folds == 2
    chosen = np.where(swap[:, None], design.rejected, design.chosen)
    rejected = np.where(swap[:, None], design.chosen, design.rejected)
    after = cross_fitted(Design(design.names, chosen, rejected), groups, folds, fitting)
    np.testing.assert_array_equal(after.margins[0][swap], -before.margins[0][swap])
    assert after.l2[2] == before.l2[2]
    assert not np.array_equal(np.abs(after.margins[0][~swap]), np.abs(before.margins[0][~swap]))


def test_each_fold_is_scored_by_the_fit_on_the_others(planted):
    design, groups, folds = planted
    found = cross_fitted(design, groups, folds, Fitting((0.1,), 3, 0))
    sides = design.sides(0)
    for fold in range(5):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        difference = (design.chosen - design.rejected)[train]
        scale = np.concatenate([design.chosen[train], design.rejected[train]]).std(axis=0)
        weights = np.zeros(4)  # Newton's method on the convex problem in standardised features
        x = difference / scale
        for _ in range(50):
            p = 1 / (1 + np.exp(x @ weights))
            gradient = -(p[:, None] * x).mean(axis=0) + 0.1 * weights
            hessian = (x * (p * (1 - p))[:, None]).T @ x / len(x) + 0.1 * np.eye(4)
            weights -= np.linalg.solve(hessian, gradient)
        expected = (design.chosen - design.rejected)[test] / scale @ weights
        np.testing.assert_allclose(found.margins[0][test], expected, atol=1e-5)
        network = fitted(design.names, sides, train, 0.1, FITTING, 0)
        np.testing.assert_array_equal(found.margins[0][test], margins_of(network, sides, test))


def test_the_penalty_is_the_one_with_the_least_inner_loss(planted):
    design, groups, folds = planted
    train = np.flatnonzero(folds != 1)
    products = [groups[place] for place in train]
    inner = product_folds(products, 3, 0)
    losses = {}
    for l2 in FITTING.l2:
        parts = []
        for fold in range(3):
            network = fitted(design.names, design.sides(1), train[inner != fold], l2, FITTING, 0)
            parts.append(log_losses(margins_of(network, design.sides(1), train[inner == fold])))
        losses[l2] = np.concatenate(parts).mean()
    assert choose_l2(design.names, design.sides(1), groups, train, FITTING) == min(losses, key=losses.__getitem__)


def test_features_that_say_nothing_and_single_products_are_no_trouble(planted):
    design, groups, folds = planted
    nothing = Design(("a",), np.ones((90, 1)), np.ones((90, 1)))
    found = cross_fitted(nothing, groups, folds, FITTING)
    np.testing.assert_array_equal(found.margins, np.zeros((1, 90)))
    assert found.l2 == (3.0,) * 5  # equal losses: the strongest penalty
    one = choose_l2(design.names, design.sides(0), ["p"] * 90, np.arange(10), FITTING)
    assert one == 3.0


def test_columns_that_differ_by_fold_are_read_by_fold():
    folds = np.array([0, 1, 0, 1])
    column = np.arange(8.0).reshape(2, 4, 1)
    plain = Design(("a",), np.full((4, 1), 7.0), np.zeros((4, 1)))
    both = plain.beside(Design(("lm",), column, -column))
    assert both.names == ("a", "lm")
    chosen, rejected = both.sides(1)
    assert chosen.tolist() == [[7, 4], [7, 5], [7, 6], [7, 7]]
    assert rejected[:, 1].tolist() == [-4, -5, -6, -7]
    assert folds.max() + 1 == len(column)
