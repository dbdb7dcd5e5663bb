"""Expert weights as prior means: closed forms, units, signs, mistakes; and the fit without them as it was."""

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from shared.errors import UsageError
from shared.rewards.feature_fit import FeatureFit, fit_features
from shared.rewards.feature_posterior import LogPosterior
from shared.rewards.feature_prior import linear_prior
from shared.rewards.pair_targets import PairTargets
from shared.rewards.settings import FeatureConfig

Floats = NDArray[np.float64]
NAMES = ["a", "b", "c"]


def pairs(n: int = 300, seed: int = 0) -> tuple[Floats, Floats, PairTargets]:
    """Log-odds 1 a - .5 b of the difference; feature c says nothing and is ten times as wide."""
    draw = np.random.default_rng(seed)
    first, second = (draw.normal(size=(n, 3)) * [1.0, 1.0, 10.0] for _ in range(2))
    right = draw.random(n) < 1 / (1 + np.exp(-(first - second) @ [1.0, -0.5, 0.0]))
    chosen, rejected = np.where(right[:, None], first, second), np.where(right[:, None], second, first)
    return chosen, rejected, PairTargets(np.zeros(n), np.ones(n), np.ones(n))


def fitted(**options: object) -> FeatureFit:
    return fit_features(NAMES, *pairs(), FeatureConfig.model_validate(options))


def weights(fit: FeatureFit) -> Floats:
    return fit.network.layers[0][0][0]


def test_without_new_options_the_fit_is_what_it_was() -> None:
    """Values printed by the code before there were priors, temperatures and posteriors."""
    draw = np.random.default_rng(3)
    chosen, rejected = draw.normal(size=(60, 3)) + np.array([0.5, -0.2, 0.0]), draw.normal(size=(60, 3))
    targets = PairTargets(0.1 * np.ones(60), 1 + 0.5 * (np.arange(60) % 2), np.ones(60))
    line = fit_features(NAMES, chosen, rejected, targets, FeatureConfig(), 0.05, seed=4)
    assert weights(line) == pytest.approx([0.7497242982254255, 0.045988930802092536, -0.23281342957048734], rel=1e-8)
    assert line.losses[-1] == pytest.approx(0.8053978342557869, rel=1e-12)
    assert len(line.losses) == 9
    scores = [1.3945266250498403, -0.20279337846869772, -1.0603690005944273]
    assert line.network.score(chosen[:3]) == pytest.approx(scores, rel=1e-8)
    options = FeatureConfig.model_validate({"hidden": [3], "signs": {"a": "+"}, "l2": 0.01})
    network = fit_features(NAMES, chosen, rejected, targets, options, 0.05, seed=4)
    assert network.losses[-1] == pytest.approx(0.7807856849609701, rel=1e-9)
    scores = [1.1365344146916372, -1.54357109346348, -1.9040701496902763]
    assert network.network.score(chosen[:3]) == pytest.approx(scores, abs=1e-4)


def test_a_strong_prior_is_the_weight_and_a_weak_one_changes_nothing() -> None:
    expert = {"a": 0.3, "b": 0.2, "c": -0.4}
    assert weights(fitted(prior=expert, prior_strength=1e8)) == pytest.approx([0.3, 0.2, -0.4], abs=1e-4)
    assert weights(fitted(prior=expert, prior_strength=1e-6)) == pytest.approx(weights(fitted(l2=0.0)), abs=1e-4)


def test_a_prior_pulls_as_the_normal_case_says() -> None:
    """Near its mode the log-likelihood is quadratic: w = w_ml + (H + P)^-1 P (prior - w_ml)."""
    chosen, rejected, targets = pairs()
    free = fitted(l2=0.0)
    distance = np.array([0.02, -0.01, 0.015])
    expert = dict(zip(NAMES, (weights(free) + distance).tolist(), strict=True))
    strength = 40.0
    pulled = weights(fitted(prior=expert, prior_strength=strength)) - weights(free)
    flat = linear_prior(NAMES, FeatureConfig(l2=0.0), np.ones(3), len(chosen))
    differences = (chosen - rejected) / free.network.scale
    curvature = LogPosterior(differences, targets.margin, targets.weight, targets.label, flat).curvature(weights(free))
    expected = np.linalg.solve(curvature + strength * np.eye(3), strength * distance)
    assert pulled == pytest.approx(expected, abs=1e-4)
    assert np.abs(pulled).min() > 1e-3


def test_a_feature_without_expert_keeps_its_l2() -> None:
    config = FeatureConfig(prior={"b": 0.5}, prior_strength=7.0, l2=0.02)
    prior = linear_prior(NAMES, config, np.array([1.0, 2.0, 3.0]), 50)
    assert prior.mean.tolist() == [0.0, 0.5, 0.0]
    assert prior.precision.tolist() == [1.0, 7.0, 1.0]
    original = linear_prior(NAMES, config.model_copy(update={"prior_units": "original"}), np.array([1.0, 2.0, 3.0]), 50)
    assert original.mean.tolist() == [0.0, 1.0, 0.0]


def test_units_are_one_fit() -> None:
    scale = fitted().network.scale
    standardised = fitted(prior={"a": 0.4, "c": 0.1})
    original = fitted(prior={"a": 0.4 / scale[0], "c": 0.1 / scale[2]}, prior_units="original")
    assert weights(standardised) == pytest.approx(weights(original), abs=1e-7)
    assert original.network.settings.prior == pytest.approx({"a": 0.4, "c": 0.1})


def test_signs_hold_under_a_prior() -> None:
    fit = fitted(prior={"b": 2.0}, prior_strength=1.0, signs={"b": "+"})
    assert weights(fit)[1] >= 0.0
    assert weights(fitted(prior={"b": 2.0}, prior_strength=1.0))[1] < 0  # the data say - all the same


def test_with_few_pairs_the_expert_decides() -> None:
    chosen, rejected, targets = pairs(4, seed=1)
    config = FeatureConfig(prior={"a": 1.5, "b": -0.7, "c": 0.0}, prior_strength=200.0)
    few = fit_features(NAMES, chosen, rejected, targets, config)
    assert weights(few) == pytest.approx([1.5, -0.7, 0.0], abs=0.05)


def test_mistakes_are_named() -> None:
    with pytest.raises(UsageError, match="prior names d, which is no input: inputs are a, b, c"):
        fitted(prior={"d": 1.0})
    with pytest.raises(UsageError, match=r"prior says -1 of a, and features\.signs says '\+'"):
        fitted(prior={"a": -1.0}, signs={"a": "+"})
    with pytest.raises(ValidationError, match=r"features\.prior speaks of one weight a feature"):
        FeatureConfig(hidden=[3], prior={"a": 1.0})
    with pytest.raises(ValidationError, match=r"features\.posterior speaks of one weight a feature"):
        FeatureConfig.model_validate({"hidden": [3], "posterior": {}})
    with pytest.raises(ValidationError, match="a likelihood has no clusters"):
        FeatureConfig.model_validate({"posterior": {"method": "sampling", "clustered": True}})
