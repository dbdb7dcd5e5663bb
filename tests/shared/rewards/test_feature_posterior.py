"""The posterior of linear feature models: derivatives, coverage, signs by numerical integration, clusters, files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from shared.errors import DataError, UsageError
from shared.records import PreferenceRecord
from shared.rewards.feature_fit import fit_features
from shared.rewards.feature_network import FeatureNetwork, FeatureReward
from shared.rewards.feature_posterior import (
    DRAWS_FILE,
    POSTERIOR_FILE,
    LogPosterior,
    WeightPosterior,
    disagreement_of_chains,
    weight_posterior,
)
from shared.rewards.feature_prior import LinearPrior
from shared.rewards.feature_rows import features_of_records, matching_features
from shared.rewards.loading import load_reward
from shared.rewards.pair_targets import PairTargets, pair_targets
from shared.rewards.settings import FeatureConfig
from shared.training.config import RewardConfig

Floats = NDArray[np.float64]


def planted(weights: list[float], n: int, seed: int) -> tuple[Floats, Floats, PairTargets]:
    draw = np.random.default_rng(seed)
    first, second = (draw.normal(size=(n, len(weights))) for _ in range(2))
    right = (draw.random(n) < expit((first - second) @ np.array(weights)))[:, None]
    ones = np.ones(n)
    return np.where(right, first, second), np.where(right, second, first), PairTargets(0 * ones, ones, ones)


def posterior_of(
    sides: tuple[Floats, Floats, PairTargets], groups: list[str] | None = None, **options: Any
) -> tuple[FeatureNetwork, WeightPosterior]:
    config = FeatureConfig.model_validate({"posterior": {}, **options})
    names = [f"f{place}" for place in range(sides[0].shape[1])]
    network = fit_features(names, *sides, config).network
    return network, weight_posterior(network, *sides, config, groups=groups)


def test_density_gradient_and_curvature_are_those_of_the_fitted_objective() -> None:
    import torch

    from shared.rewards.losses import bradley_terry_loss

    draw = np.random.default_rng(0)
    differences, mean, precision = draw.normal(size=(40, 3)), draw.normal(size=3), draw.uniform(0.5, 3.0, size=3)
    margin, weight, label = draw.normal(size=40), draw.uniform(0.2, 2.0, size=40), draw.uniform(size=40)
    target = 0.9 * label + 0.1 * (1 - label)
    ours = LogPosterior(differences, margin, weight, target, LinearPrior(mean, precision))
    place = draw.normal(size=3)

    def oracle(w: torch.Tensor) -> torch.Tensor:
        scores = torch.tensor(differences) @ w
        losses = bradley_terry_loss(
            scores, torch.zeros_like(scores), torch.tensor(margin), torch.tensor(label), smoothing=0.1
        )
        penalty = 0.5 * (torch.tensor(precision) * (w - torch.tensor(mean)) ** 2).sum()
        return -(torch.tensor(weight) * losses).sum() - penalty

    given = torch.tensor(place, requires_grad=True)
    (gradient,) = torch.autograd.grad(oracle(given), given)
    hessian = torch.autograd.functional.hessian(oracle, given.detach())
    assert ours.density(place[None])[0] == pytest.approx(float(oracle(given).detach()), rel=1e-12)
    assert ours.gradient(place) == pytest.approx(gradient.numpy(), rel=1e-10)
    assert -ours.curvature(place) == pytest.approx(np.array(hessian), rel=1e-10)


def test_the_fit_is_the_mode() -> None:
    sides = planted([1.0, -0.5], 200, 0)
    network, found = posterior_of(sides, l2=0.003, prior={"f1": 0.4}, prior_strength=20.0)
    differences = (sides[0] - sides[1]) / network.scale
    prior = LinearPrior(np.array([0.0, 0.4]), np.array([200 * 0.003, 20.0]))
    ours = LogPosterior(differences, np.zeros(200), np.ones(200), np.ones(200), prior)
    assert ours.gradient(found.mode) == pytest.approx([0.0, 0.0], abs=1e-3)
    assert found.covariance == pytest.approx(np.linalg.inv(ours.curvature(found.mode)))


@pytest.mark.parametrize("method", ["laplace", "sampling"])
def test_intervals_cover_planted_weights(method: str) -> None:
    truth, inside, count = [1.0, 0.0, -0.6], 0, 40
    for seed in range(count):
        draws = {"method": method, "draws": 400, "warmup": 50}
        network, found = posterior_of(planted(truth, 150, seed), l2=1e-6, posterior=draws)
        low, high = (side / network.scale for side in found.weight_intervals())
        inside += int(((low <= truth) & (truth <= high)).sum())
    assert 0.88 <= inside / (3 * count) <= 0.995


def test_sampling_is_laplace_where_there_are_many_pairs_and_no_sign_binds() -> None:
    sides = planted([1.2, -0.4], 1500, 3)
    _, laplace = posterior_of(sides)
    for signs in ({}, {"f0": "+", "f1": "-"}):
        _, sampled = posterior_of(sides, signs=signs, posterior={"method": "sampling"})
        spread = np.sqrt(np.diag(laplace.covariance))
        assert np.abs(sampled.mean - laplace.mean).max() < 0.15 * spread.min()
        assert np.sqrt(np.diag(sampled.covariance)) == pytest.approx(spread, rel=0.08)
        assert sampled.r_hat.max() < 1.02
        assert sampled.effective.min() > 800
        assert disagreement_of_chains(sampled, ["f0", "f1"]) is None
    low, high = laplace.weight_intervals()
    assert (high - low) == pytest.approx(2 * 1.959964 * spread)
    assert laplace.draws.std(axis=0) == pytest.approx(spread, rel=0.05)


def on_a_grid(ours: LogPosterior, low: list[float], high: list[float], quadratic: bool, mode: Floats) -> Floats:
    """Mean of the posterior (or of the normal of its gradient and curvature at the mode) within bounds, numerically."""
    axes = [np.linspace(a, b, 241) for a, b in zip(low, high, strict=True)]
    points = np.stack([axis.reshape(-1) for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    if quadratic:
        away = points - mode
        value = away @ ours.gradient(mode) - 0.5 * np.einsum("ij,jk,ik->i", away, ours.curvature(mode), away)
    else:
        value = ours.density(points)
    mass = np.exp(value - value.max())
    return (points * mass[:, None]).sum(axis=0) / mass.sum()


@pytest.mark.parametrize("method", ["laplace", "sampling"])
@pytest.mark.parametrize("contrary", [-0.4, -0.8])
def test_a_mode_on_its_bound_is_cut_there(method: str, contrary: float) -> None:
    draw = np.random.default_rng(1)
    mix = np.array([[1.0, 0.6], [0.0, 0.8]])  # the features are correlated
    first, second = draw.normal(size=(80, 2)) @ mix, draw.normal(size=(80, 2)) @ mix
    right = (draw.random(80) < expit((first - second) @ [1.0, contrary]))[:, None]
    ones = np.ones(80)
    sides = np.where(right, first, second), np.where(right, second, first), PairTargets(0 * ones, ones, ones)
    options = {"method": method, "draws": 6000}
    network, found = posterior_of(sides, signs={"f1": "+"}, l2=0.01, posterior=options)
    assert found.mode[1] == 0.0
    assert found.draws[:, 1].min() >= 0.0
    low, high = found.weight_intervals()
    assert low[1] == 0.0 < high[1]
    prior = LinearPrior(np.zeros(2), np.full(2, 0.8))
    ours = LogPosterior((sides[0] - sides[1]) / network.scale, 0 * ones, ones, ones, prior)
    expected = on_a_grid(ours, [-1.0, 0.0], [4.0, 2.0], method == "laplace", found.mode)
    spread = np.sqrt(np.diag(found.covariance))
    assert (found.mean - expected) / spread == pytest.approx([0.0, 0.0], abs=0.1)
    assert found.r_hat.max() < 1.02


def test_clustering_undoes_copies() -> None:
    """Four copies of every pair tell nothing new: the sandwich says so, the likelihood does not."""
    sides = planted([0.8, 0.3], 150, 5)
    ones = np.ones(600)
    often = np.repeat(sides[0], 4, axis=0), np.repeat(sides[1], 4, axis=0), PairTargets(0 * ones, ones, ones)
    groups = [f"g{place}" for place in range(150)]
    options = {"l2": 1e-9, "posterior": {"clustered": True}}
    _, once = posterior_of(sides, groups, **options)
    _, copied = posterior_of(often, [name for name in groups for _ in range(4)], **options)
    _, naive = posterior_of(often, l2=1e-9)
    assert copied.covariance == pytest.approx(once.covariance, rel=1e-3)
    assert np.diag(copied.covariance) / np.diag(naive.covariance) == pytest.approx([4.0, 4.0], rel=0.35)
    with pytest.raises(DataError, match="two groups or more"):
        posterior_of(sides, ["one"] * 150, **options)


def test_without_pairs_to_speak_of_the_clustered_posterior_is_the_prior() -> None:
    sides = planted([0.0, 0.0], 6, 0)
    prior = {"prior": {"f0": 1.0, "f1": -1.0}, "prior_strength": 1e6}
    _, found = posterior_of(sides, ["a", "b", "c", "d", "e", "f"], **prior, posterior={"clustered": True})
    assert found.mode == pytest.approx([1.0, -1.0], abs=1e-3)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx([1e-3, 1e-3], rel=0.01)


def test_what_has_no_bound_is_told() -> None:
    ones = np.ones(8)
    chosen = np.stack([ones, 0 * ones], axis=1)
    with pytest.raises(UsageError, match="without a bound"):
        posterior_of((chosen, np.zeros((8, 2)), PairTargets(0 * ones, ones, ones)), l2=0.0)


def test_probabilities_are_nearer_to_even_the_less_is_known() -> None:
    network, found = posterior_of(planted([1.5, 0.0], 60, 2), l2=0.001)
    odds = found.log_odds(np.array([[2.0, 0.0], [2.0, 8.0], [0.0, 0.0]]))
    assert 0.5 < odds.probability[0] < expit(odds.value[0])
    assert odds.probability_high[1] - odds.probability_low[1] > odds.probability_high[0] - odds.probability_low[0]
    assert (odds.value[2], odds.low[2], odds.high[2], odds.probability[2]) == (0.0, 0.0, 0.0, 0.5)
    assert expit(odds.low) == pytest.approx(odds.probability_low)
    halved = found.log_odds(np.array([[2.0, 0.0]]), temperature=2.0)
    assert [halved.value[0], halved.low[0], halved.high[0]] == pytest.approx(
        [odds.value[0] / 2, odds.low[0] / 2, odds.high[0] / 2]
    )
    assert found.positive()[0] > 0.99
    assert 0.01 < found.positive()[1] < 0.99
    assert network.layers[0][0][0] == pytest.approx(found.mode)


def test_intervals_of_scores_reach_records_and_texts(scored_pairs: list[PreferenceRecord], tmp_path: Path) -> None:
    config = FeatureConfig.model_validate({"posterior": {"draws": 400}, "inputs": ["scores.*", "text.words"]})
    names = matching_features(config.inputs, scored_pairs)
    sides = [features_of_records(scored_pairs, side, names) for side in ("chosen", "rejected")]
    targets = pair_targets(scored_pairs, RewardConfig())
    network = fit_features(names, sides[0], sides[1], targets, config).network
    found = weight_posterior(network, sides[0], sides[1], targets, config)
    network.save(tmp_path)
    found.save(tmp_path, network)
    reward = load_reward(tmp_path, extract=lambda _, texts: [{"empathy": 1, "jargon": 2, "noise": 3}] * len(texts))
    assert isinstance(reward, FeatureReward)
    odds = reward.uncertain_records(scored_pairs)
    assert odds is not None
    assert odds.value == pytest.approx(reward.compare_records(scored_pairs))
    assert (odds.low < odds.value).all()
    assert (odds.value < odds.high).all()
    again = found.log_odds((sides[0] - sides[1]) / network.scale)
    assert np.array_equal(again.low, odds.low)
    prompts, texts = [scored_pairs[0].prompt] * 2, ["one word", "and many words more than one"]
    scores = reward.uncertain_scores(prompts, texts)
    compared = reward.uncertain_comparison(prompts[:1], texts[:1], texts[1:])
    assert scores is not None
    assert compared is not None
    explained = reward.explain(prompts, texts)
    assert scores.value == pytest.approx([sum(row.values()) for row in explained])
    assert compared.value == pytest.approx(reward.compare(prompts[:1], texts[:1], texts[1:]))
    assert compared.low[0] < compared.value[0] < compared.high[0]
    assert FeatureReward(network).uncertain_records(scored_pairs) is None


@pytest.mark.parametrize("damage", ["draws", "json", "shape", "other"])
def test_a_broken_posterior_is_told(tmp_path: Path, damage: str) -> None:
    network, found = posterior_of(planted([1.0, 0.0], 50, 0))
    network.save(tmp_path)
    found.save(tmp_path, network)
    if damage == "draws":
        (tmp_path / DRAWS_FILE).write_bytes(b"broken")
    elif damage == "json":
        (tmp_path / POSTERIOR_FILE).unlink()
    else:
        wide, other = posterior_of(planted([1.0, 0.0, 0.0], 50, 0))
        other.save(tmp_path, wide)
        if damage == "shape":
            (tmp_path / POSTERIOR_FILE).write_text((tmp_path / POSTERIOR_FILE).read_text().replace('"f2"', '"f1"'))
    with pytest.raises(DataError, match="train it anew"):
        load_reward(tmp_path)
