"""Moves within a cut normal against scipy's truncated normal and numerical integration."""

import numpy as np
import pytest
from scipy.stats import kstest, truncnorm

from shared.rewards.bouncing_normal import BouncingNormal


def chain(normal: BouncingNormal, start: np.ndarray, steps: int, seed: int = 0) -> np.ndarray:
    generator, point, kept = np.random.default_rng(seed), start, []
    for _ in range(steps):
        point = normal.move(point, generator)
        kept.append(point)
    return np.stack(kept)[steps // 10 :].reshape(-1, start.shape[1])


@pytest.mark.parametrize("mean", [2.0, 0.3, -1.0, -6.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_one_bounded_weight_is_a_truncated_normal(mean: float, sign: float) -> None:
    normal = BouncingNormal(np.array([sign * mean]), np.array([[1.5]]), np.array([sign]))
    found = sign * chain(normal, np.full((8, 1), sign * 0.5), 400)[:, 0]
    assert found.min() >= 0.0
    exact = truncnorm(-mean / 1.5, np.inf, loc=mean, scale=1.5)
    assert found.mean() == pytest.approx(exact.mean(), abs=0.08 * exact.std())
    assert kstest(found[::3], exact.cdf).statistic < 0.06


def test_a_corner_of_correlated_weights_is_filled() -> None:
    """Three weights of correlation .9 that must not be below 0, one of which would be; a fourth is free."""
    size = 3
    covariance = 0.9 + 0.1 * np.eye(size)
    covariance = np.block([[covariance, 0.5 * np.ones((size, 1))], [0.5 * np.ones((1, size)), np.ones((1, 1))]])
    mean = np.array([0.8, 0.2, -0.7, 0.0])
    normal = BouncingNormal(mean, np.linalg.cholesky(covariance).astype(np.float64), np.array([1.0, 1.0, 1.0, 0.0]))
    found = chain(normal, np.full((20, 4), 0.3), 500)
    assert found[:, :3].min() >= 0.0
    whole = mean + np.random.default_rng(1).standard_normal((400_000, 4)) @ normal.factor.T
    exact = whole[(whole[:, :3] >= 0).all(axis=1)]
    assert len(exact) > 10_000
    assert np.abs(found.mean(axis=0) - exact.mean(axis=0)).max() < 0.03
    assert np.cov(found, rowvar=False) == pytest.approx(np.cov(exact, rowvar=False), abs=0.05)


def test_without_bounds_every_move_is_an_independent_draw() -> None:
    normal = BouncingNormal(np.array([1.0, 2.0]), np.array([[1.0, 0.0], [0.9, 0.2]]), np.zeros(2))
    found = chain(normal, np.zeros((4, 2)), 1000)
    assert found.mean(axis=0) == pytest.approx([1.0, 2.0], abs=0.08)
    steps = found.reshape(-1, 4, 2)
    assert abs(np.corrcoef(steps[:-1, 0, 0], steps[1:, 0, 0])[0, 1]) < 0.1
    assert normal.log_density(np.array([[1.0, 2.0]])).tolist() == [0.0]
