"""How sure a linear feature model is: the posterior of its weights, and intervals of all that is linear in them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.durable import write_json
from shared.errors import DataError, UsageError
from shared.evaluation.intervals import Groups, group_codes
from shared.rewards.bouncing_normal import BouncingNormal
from shared.rewards.elliptical_slice import effective_draws, elliptical_slice, split_r_hat
from shared.rewards.feature_network import FeatureNetwork
from shared.rewards.feature_prior import LinearPrior, linear_prior
from shared.rewards.pair_targets import PairTargets
from shared.rewards.settings import FeatureConfig, PosteriorConfig

Floats = NDArray[np.float64]

POSTERIOR_FILE, DRAWS_FILE = "posterior.json", "posterior.safetensors"
ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class LogPosterior:
    """``sum_i weight_i (t_i log sigmoid(z_i) + (1 - t_i) log sigmoid(-z_i)) - sum_j precision_j / 2 (w_j - mean_j)^2``
    with ``z_i = w . difference_i - margin_i``: the objective of `fit_features` summed over pairs, its sign turned.

    Attributes:
        differences: standardised features of chosen minus rejected, [pairs, features].
        margin: [pairs].
        weight: [pairs].
        target: probability that the chosen response is preferred, after label smoothing, [pairs].
        prior: of the weights.
    """

    differences: Floats
    margin: Floats
    weight: Floats
    target: Floats
    prior: LinearPrior

    def density(self, weights: Floats) -> Floats:
        """Its value at weights [n, features], [n]."""
        log_odds = weights @ self.differences.T - self.margin
        loss = (np.logaddexp(0.0, log_odds) - self.target * log_odds) @ self.weight
        return -loss - 0.5 * (weights - self.prior.mean) ** 2 @ self.prior.precision

    def gradients(self, weights: Floats) -> Floats:
        """The gradient of every pair's part (without the prior's) at weights [features], [pairs, features]."""
        from scipy.special import expit

        slope = self.weight * (self.target - expit(self.differences @ weights - self.margin))
        return slope[:, None] * self.differences

    def gradient(self, weights: Floats) -> Floats:
        """At weights [features], [features]."""
        return self.gradients(weights).sum(axis=0) - self.prior.precision * (weights - self.prior.mean)

    def curvature(self, weights: Floats) -> Floats:
        """Minus the second derivatives at weights [features], [features, features]."""
        from scipy.special import expit

        chance = expit(self.differences @ weights - self.margin)
        each = self.weight * chance * (1.0 - chance)
        return (self.differences * each[:, None]).T @ self.differences + np.diag(self.prior.precision)


@dataclass(frozen=True, slots=True)
class LogOdds:
    """Log-odds that one response is preferred to another, with equal-tailed posterior intervals, float64 [n] each.

    Attributes:
        value: at the fitted weights.
        low: lower end.
        high: upper end.
        probability: posterior mean of the probability: what to bet, nearer to .5 than that of `value`.
        probability_low: lower end of the probability's interval.
        probability_high: upper end.
    """

    value: Floats
    low: Floats
    high: Floats
    probability: Floats
    probability_low: Floats
    probability_high: Floats


@dataclass(frozen=True, slots=True)
class WeightPosterior:
    """The posterior of the weights of standardised features.

    Attributes:
        config: how it was made.
        signs: 1, -1 or 0 (none) of each feature, [features].
        mode: the fitted weights, [features].
        mean: [features].
        covariance: [features, features].
        draws: [draws, features].
        r_hat: split R-hat of each weight, [features]; 1 for independent draws.
        effective: effective number of draws of each weight, [features].
    """

    config: PosteriorConfig
    signs: Floats
    mode: Floats
    mean: Floats
    covariance: Floats
    draws: Floats
    r_hat: Floats
    effective: Floats

    @property
    def normal(self) -> bool:
        """Whether it is a normal distribution, of which every interval is known exactly."""
        return self.config.method == "laplace" and not self.signs.any()

    def intervals(self, directions: Floats) -> tuple[Floats, Floats]:
        """Equal-tailed intervals of ``direction . w``, (low [n], high [n]) of directions [n, features]."""
        tail = 0.5 * (1.0 - self.config.level)
        if self.normal:
            from scipy.stats import norm

            centre = directions @ self.mean
            reach = float(norm.isf(tail)) * np.sqrt(np.einsum("ij,jk,ik->i", directions, self.covariance, directions))
            return centre - reach, centre + reach
        found = [
            np.quantile(directions[start : start + ROWS_AT_ONCE] @ self.draws.T, [tail, 1.0 - tail], axis=1)
            for start in range(0, len(directions), ROWS_AT_ONCE)
        ]
        low, high = np.concatenate(found, axis=1) if found else np.zeros((2, 0))
        return low, high

    def weight_intervals(self) -> tuple[Floats, Floats]:
        """Intervals of the weights, (low [features], high [features]).

        Equal-tailed; where the fitted weight lies on its bound 0 the interval starts there, for an equal-tailed one
        would leave out the likeliest value and look like evidence against 0.
        """
        low, high = self.intervals(np.eye(len(self.mode)))
        for place in np.flatnonzero((self.signs != 0) & (self.mode == 0)):
            far = float(np.quantile(np.abs(self.draws[:, place]), self.config.level))
            low[place], high[place] = (0.0, far) if self.signs[place] > 0 else (-far, 0.0)
        return low, high

    def positive(self) -> Floats:
        """Probability that each weight is above 0, [features]."""
        if self.normal:
            from scipy.stats import norm

            return norm.cdf(self.mean / np.sqrt(np.diag(self.covariance)))
        return (self.draws > 0).mean(axis=0)

    def log_odds(self, differences: Floats, temperature: float = 1.0) -> LogOdds:
        """Log-odds of pairs whose standardised features differ by `differences` [n, features]."""
        from scipy.special import expit

        directions = differences / temperature
        low, high = self.intervals(directions)
        chances = [
            expit(directions[start : start + ROWS_AT_ONCE] @ self.draws.T).mean(axis=1)
            for start in range(0, len(directions), ROWS_AT_ONCE)
        ]
        probability = np.concatenate(chances) if chances else np.zeros(0)
        return LogOdds(directions @ self.mode, low, high, probability, expit(low), expit(high))

    def save(self, folder: Path, network: FeatureNetwork) -> None:
        """Writes ``posterior.json`` (for readers: every weight with its interval) and ``posterior.safetensors``."""
        from safetensors.numpy import save_file

        low, high = self.weight_intervals()
        positive = self.positive()
        rows = {
            name: {
                "weight": float(self.mode[place]),
                "low": float(low[place]),
                "high": float(high[place]),
                "mean": float(self.mean[place]),
                "std": float(self.covariance[place, place] ** 0.5),
                "probability_positive": float(positive[place]),
                "at_bound": bool(self.signs[place] != 0 and self.mode[place] == 0),
                "standard_deviation_of_feature": float(network.scale[place]),
                "r_hat": float(self.r_hat[place]),
                "effective_draws": float(self.effective[place]),
            }
            for place, name in enumerate(network.settings.features)
        }
        names = ("signs", "mode", "mean", "covariance", "draws", "r_hat", "effective")
        save_file({name: np.ascontiguousarray(getattr(self, name)) for name in names}, folder / DRAWS_FILE)
        write_json(folder / POSTERIOR_FILE, {"config": self.config.model_dump(mode="json"), "weights": rows})

    @classmethod
    def load(cls, folder: Path) -> "WeightPosterior | None":
        """The inverse of `save`; None where none was saved.

        Raises:
            DataError: where one of its files is missing or broken.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        if not (folder / POSTERIOR_FILE).exists() and not (folder / DRAWS_FILE).exists():
            return None
        try:
            told = json.loads((folder / POSTERIOR_FILE).read_text(encoding="utf-8"))
            config = PosteriorConfig.model_validate(told["config"])
            found = cls(config, **load_file(folder / DRAWS_FILE))
            size = len(told["weights"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise DataError(f"{folder / POSTERIOR_FILE} or its draws are missing or broken: train it anew.") from error
        if found.mode.shape != (size,) or found.draws.shape[1:] != (size,) or found.covariance.shape != (size, size):
            raise DataError(f"{folder / DRAWS_FILE} holds other shapes than {POSTERIOR_FILE} says: train it anew.")
        return found


def weight_posterior(
    network: FeatureNetwork,
    chosen: Floats,
    rejected: Floats,
    targets: PairTargets,
    config: FeatureConfig,
    smoothing: float = 0.0,
    groups: Groups = None,
    seed: int = 0,
) -> WeightPosterior:
    """The posterior of a fitted linear model.

    ``laplace`` without signs is ``N(mode, H^-1)``, H the curvature of the log posterior at its mode (MacKay 1992,
    "The evidence framework applied to classification networks"). With ``clustered`` the covariance is the sandwich
    ``H^-1 (B + P) H^-1`` (White 1982; Mueller 2013, "Risk of Bayesian inference in misspecified models"): B the
    covariance of the groups' gradients, times G / (G - 1), and P the prior's precision, which counts as data of its
    own; it is H^-1 again where pairs are independent and the model is right.

    With signs the normal is cut at them: its log density has the gradient g and the curvature of the log posterior at
    the mode, so that a mode on a bound (g is not 0 there) has its normal centred beyond the bound, at
    ``mode + H^-1 g``. It has no closed form and is drawn from, as is the posterior itself (``sampling``), by elliptical
    slice sampling and, with signs, moves within the cut normal by turns.

    Args:
        network: a linear model of `fit_features`.
        chosen: features of the pairs that it was fitted to, [pairs, features].
        rejected: [pairs, features].
        targets: of the pairs.
        config: the recipe's options, with `posterior`.
        smoothing: as in the fit.
        groups: of the pairs, for ``clustered``.
        seed: of the draws.

    Raises:
        UsageError: where the network has hidden layers, or nothing bounds some weight (no prior, and pairs that it
            ranks without an error or does not differ on).
        DataError: where pairs of one group only are to be clustered.
    """
    options = config.posterior or PosteriorConfig()
    if network.settings.hidden:
        raise UsageError("features.posterior asks for a linear model: set features.hidden=[] or posterior=null.")
    names = network.settings.features
    mode = network.layers[0][0][0].astype(np.float64)
    target = (1.0 - smoothing) * targets.label + smoothing * (1.0 - targets.label)
    prior = linear_prior(names, config, network.scale, len(chosen))
    posterior = LogPosterior((chosen - rejected) / network.scale, targets.margin, targets.weight, target, prior)
    curvature = posterior.curvature(mode)
    spread = np.linalg.eigvalsh(curvature)
    if spread[0] <= 1e-9 * max(1.0, spread[-1]):
        raise UsageError(
            "the pairs leave some weight of the reward's features without a bound, so its posterior has no width: set "
            "`reward.training.features.l2` above 0, or give features.prior."
        )
    inverse = np.linalg.inv(curvature).astype(np.float64)
    covariance = inverse
    if options.clustered:
        covariance = inverse @ (_meat(posterior.gradients(mode), groups) + np.diag(prior.precision)) @ inverse
    covariance = 0.5 * (covariance + covariance.T)
    signs = np.array([{"+": 1.0, "-": -1.0}.get(config.signs.get(name, ""), 0.0) for name in names])
    generator = np.random.default_rng([seed, 1])
    count = options.draws // options.chains
    if options.method == "laplace" and not signs.any():
        draws = mode + generator.standard_normal((count * options.chains, len(mode))) @ np.linalg.cholesky(covariance).T
        one = np.ones(len(mode))
        return WeightPosterior(options, signs, mode, mode, covariance, draws, one, len(draws) * one)
    centre = mode + inverse @ posterior.gradient(mode)
    precision = curvature if options.method == "sampling" else np.linalg.inv(covariance).astype(np.float64)

    def density(weights: Floats) -> Floats:
        if options.method == "sampling":
            value = posterior.density(weights)
        else:
            away = weights - centre
            value = -0.5 * np.einsum("ij,jk,ik->i", away, precision, away)
        return np.where((weights * signs >= 0.0).all(axis=1), value, -np.inf)

    slope = posterior.gradient(mode) if options.method == "sampling" else precision @ (centre - mode)
    factor = _near_the_mode(precision, slope, (signs != 0) & (mode == 0))
    start = mode + 1.5 * generator.standard_normal((options.chains, len(mode))) @ factor.T
    start = np.where(signs != 0, signs * np.abs(start), start)
    cut = BouncingNormal(centre, np.linalg.cholesky(covariance).astype(np.float64), signs) if signs.any() else None
    chains = elliptical_slice(density, mode, factor, start, count, options.warmup, generator, cut)
    draws = chains.reshape(-1, len(mode))
    found_covariance = np.cov(draws, rowvar=False).reshape(len(mode), len(mode))
    return WeightPosterior(
        options, signs, mode, draws.mean(axis=0), found_covariance, draws, split_r_hat(chains), effective_draws(chains)
    )


def _meat(gradients: Floats, groups: Groups) -> Floats:
    """Covariance of the sum of the groups' gradients, [features, features]."""
    codes, count = group_codes(groups, len(gradients))
    if count < 2:
        raise DataError("features.posterior.clustered asks for pairs of two groups or more: set it to false.")
    sums = np.zeros((count, gradients.shape[1]))
    np.add.at(sums, codes, gradients)
    # Under a prior, and on a bound, the gradients' sum is not 0.
    sums -= sums.mean(axis=0)
    return count / (count - 1) * sums.T @ sums


def _near_the_mode(precision: Floats, slope: Floats, bound: NDArray[np.bool_]) -> Floats:
    """Factor of the covariance of a normal of like width as the target: that of the free weights given the others on
    their bounds, and, for a weight on its bound, the distance over which the density falls there."""
    size = len(slope)
    covariance = np.zeros((size, size))
    free = np.flatnonzero(~bound)
    covariance[np.ix_(free, free)] = np.linalg.inv(precision[np.ix_(free, free)])
    for place in np.flatnonzero(bound):
        covariance[place, place] = max(precision[place, place], float(slope[place]) ** 2) ** -1.0
    return np.linalg.cholesky(covariance).astype(np.float64)


def disagreement_of_chains(posterior: WeightPosterior, names: Sequence[str]) -> str | None:
    """What to tell of chains that do not agree; None where they do (R-hat at most 1.05)."""
    worst = int(np.argmax(posterior.r_hat))
    if posterior.r_hat[worst] <= 1.05:
        return None
    return (
        f"The chains of the reward's posterior do not agree on the weight of {names[worst]} (R-hat "
        f"{posterior.r_hat[worst]:.2f}): raise features.posterior.warmup and draws."
    )
