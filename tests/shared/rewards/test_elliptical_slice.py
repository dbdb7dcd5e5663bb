"""The sampler of small posteriors against distributions that are known, and the measures of its chains."""

import numpy as np
import pytest
from scipy.stats import gamma, norm

from shared.rewards.elliptical_slice import effective_draws, elliptical_slice, split_r_hat


def test_a_correlated_normal_is_sampled_through_another_one() -> None:
    covariance = np.array([[1.0, 0.8], [0.8, 2.0]])
    precision, mean = np.linalg.inv(covariance), np.array([0.5, -1.0])

    def density(x: np.ndarray) -> np.ndarray:
        return -0.5 * np.einsum("ij,jk,ik->i", x - mean, precision, x - mean)

    draws = elliptical_slice(
        density, np.zeros(2), 1.5 * np.eye(2), np.zeros((4, 2)), 2000, 100, np.random.default_rng(0)
    )
    flat = draws.reshape(-1, 2)
    assert flat.mean(axis=0) == pytest.approx(mean, abs=0.12)
    assert np.cov(flat, rowvar=False) == pytest.approx(covariance, abs=0.25)
    assert split_r_hat(draws).max() < 1.03
    assert 300 < effective_draws(draws).min() <= 8000


def test_a_bound_is_held_and_a_tail_that_is_not_normal_is_found() -> None:
    """Gamma(3, 1): its support is a half line, its tail heavier than a normal's."""

    def density(x: np.ndarray) -> np.ndarray:
        inside = x[:, 0] > 0
        value = np.where(inside, x[:, 0], 1.0)
        return np.where(inside, 2.0 * np.log(value) - value, -np.inf)

    draws = elliptical_slice(
        density, np.array([2.0]), np.array([[2.0]]), np.full((4, 1), 2.0), 3000, 200, np.random.default_rng(1)
    )
    flat = draws.reshape(-1)
    assert flat.min() > 0
    for share in (0.05, 0.5, 0.95):
        assert np.mean(flat <= gamma(3).ppf(share)) == pytest.approx(share, abs=0.03)


def test_independent_draws_count_in_full_and_a_walk_for_little() -> None:
    generator = np.random.default_rng(2)
    free = generator.standard_normal((4, 1000, 1))
    assert effective_draws(free)[0] > 2500
    assert split_r_hat(free)[0] == pytest.approx(1.0, abs=0.01)
    walk = np.empty((4, 1000, 1))
    state = np.zeros((4, 1))
    for step in range(1000):
        state = 0.9 * state + norm.rvs(size=(4, 1), random_state=generator)
        walk[:, step] = state
    assert effective_draws(walk)[0] == pytest.approx(4000 * 0.1 / 1.9, rel=0.5)  # (1 - r) / (1 + r)
    apart = free + np.arange(4)[:, None, None]
    assert split_r_hat(apart)[0] > 1.3
    assert split_r_hat(np.ones((4, 10, 1)))[0] == 1.0
