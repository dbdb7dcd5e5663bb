"""Fitting a feature network to preferences by maximum likelihood, with signs that the domain knows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError, UsageError
from shared.rewards.feature_network import FeatureNetwork
from shared.rewards.feature_prior import linear_prior
from shared.rewards.pair_targets import PairTargets
from shared.rewards.settings import FeatureConfig, FeatureSettings

Floats = NDArray[np.float64]
Bound = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class FeatureFit:
    """A fitted network and how the fit went.

    Attributes:
        network: the network.
        losses: the mean loss of a pair (nats, with the penalty) after each iteration, the first before any.
        converged: whether L-BFGS-B stopped because nothing improved.
        accuracy: share of the training pairs whose chosen side scores higher (a tie counts half).
    """

    network: FeatureNetwork
    losses: tuple[float, ...]
    converged: bool
    accuracy: float


def fit_features(
    names: Sequence[str],
    chosen: Floats,
    rejected: Floats,
    targets: PairTargets,
    config: FeatureConfig,
    smoothing: float = 0.0,
    seed: int = 0,
    on_step: Callable[[int, float], None] | None = None,
) -> FeatureFit:
    """Minimises the mean of ``weight * preference_loss + l2 / 2 * |weights|^2``.

    With expert weights (linear models) the penalty of a feature that has one is ``strength / 2 * (w - prior)^2`` of the
    sum over all pairs, so that the minimum is the mode of a posterior (see `shared.rewards.feature_posterior`).

    Features are standardised over both sides of all pairs. A linear model (no hidden layers) starts at 0 and its
    problem is convex: the seed does not matter. With signs, the first layer's weights of a signed feature keep its
    sign and all later weights are not negative, so the score is monotone in that feature (a partially monotone network,
    Daniels and Velikova 2010); bounds of L-BFGS-B hold this exactly.

    Args:
        names: of the features.
        chosen: float64 [pairs, features].
        rejected: float64 [pairs, features].
        targets: margin, weight and label of each pair.
        config: the recipe's options.
        smoothing: share of labels taken to be wrong.
        seed: of the initial weights of hidden layers.
        on_step: called with (iterations done, loss).

    Returns:
        The fit.

    Raises:
        UsageError: where a sign or a prior is given for a feature that is not there, or the two disagree.
        DataError: where no feature differs between the sides of any pair.
    """
    import torch
    from scipy.optimize import minimize

    from shared.rewards.losses import bradley_terry_loss

    settings = FeatureSettings(
        features=list(names),
        hidden=list(config.hidden),
        activation=config.activation,
        signs=dict(config.signs),
        extractor=config.extractor,
    )
    if unknown := [name for name in config.signs if name not in names]:
        raise UsageError(
            f"reward.training.features.signs names {unknown[0]}, which is no input: inputs are {', '.join(names)}."
        )
    if not np.any(chosen != rejected):
        raise DataError(
            f"no feature differs between the sides of any pair ({', '.join(names)}): nothing can be fitted."
        )
    both = np.concatenate([chosen, rejected])
    mean, scale = both.mean(axis=0), both.std(axis=0)
    scale = np.where(scale > 1e-12 * np.maximum(1.0, np.abs(mean)), scale, 1.0)
    prior = None
    if config.prior:
        prior = linear_prior(names, config, scale, len(chosen))
        settings.prior = {name: float(prior.mean[list(names).index(name)]) for name in config.prior}
    first, second = (torch.tensor((side - mean) / scale) for side in (chosen, rejected))
    margin, weight, label = (torch.tensor(one) for one in (targets.margin, targets.weight, targets.label))
    sizes = [len(names), *config.hidden, 1]
    activation = torch.tanh if config.activation == "tanh" else torch.relu

    def score(features: torch.Tensor, layers: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        for index, (matrix, bias) in enumerate(layers):
            features = features @ matrix.T + bias
            if index + 1 < len(layers):
                features = activation(features)
        return features[:, 0]

    def objective(flat: Floats) -> tuple[float, Floats]:
        parameters = torch.tensor(flat, requires_grad=True)
        layers = _layers(parameters, sizes)
        losses = bradley_terry_loss(score(first, layers), score(second, layers), margin, label, smoothing)
        if prior is None:
            squares = sum(((matrix**2).sum() for matrix, _ in layers), torch.zeros((), dtype=torch.float64))
            penalty = 0.5 * config.l2 * squares
        else:
            distance = layers[0][0][0] - torch.tensor(prior.mean)
            penalty = 0.5 * (torch.tensor(prior.precision) * distance**2).sum() / len(losses)
        loss = (weight * losses).mean() + penalty
        (gradient,) = torch.autograd.grad(loss, parameters)
        return float(loss.detach()), gradient.numpy()

    start, bounds = _start(sizes, _signs(names, config), seed)
    losses = [objective(start)[0]]

    def after(intermediate_result: object) -> None:
        losses.append(float(getattr(intermediate_result, "fun")))  # noqa: B009  (scipy's result has it at run time)
        if on_step is not None:
            on_step(len(losses) - 1, losses[-1])

    options = {"maxiter": config.max_iterations, "ftol": 1e-12, "gtol": 1e-8}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, callback=after, options=options)
    layers = tuple((matrix.numpy(), bias.numpy()) for matrix, bias in _layers(torch.tensor(found.x), sizes))
    network = FeatureNetwork(settings, mean, scale, layers)
    difference = network.score(chosen) - network.score(rejected)
    accuracy = float(np.mean(0.5 * (np.sign(difference) + 1.0)))
    return FeatureFit(network, tuple(losses), bool(found.success), accuracy)


def _signs(names: Sequence[str], config: FeatureConfig) -> list[int]:
    """1, -1 or (no sign known) 0 of each feature."""
    return [{"+": 1, "-": -1}.get(config.signs.get(name, ""), 0) for name in names]


def _layers(flat, sizes: Sequence[int]):
    """Weights [out, in] and biases [out] from one vector; the output has a bias of 0."""
    import torch

    layers, place = [], 0
    for before, after in pairwise(sizes):
        matrix = flat[place : place + before * after].reshape(after, before)
        place += before * after
        if len(layers) + 2 == len(sizes):
            bias = torch.zeros(after, dtype=torch.float64)
        else:
            bias = flat[place : place + after]
            place += after
        layers.append((matrix, bias))
    return layers


def _start(sizes: Sequence[int], signs: Sequence[int], seed: int) -> tuple[Floats, list[Bound]]:
    """Initial values (Glorot's uniform ones; 0 for a linear model) and the bounds that hold the signs."""
    generator = np.random.default_rng(seed)
    monotone = any(signs)
    limits: dict[int, Bound] = {1: (0.0, None), -1: (None, 0.0), 0: (None, None)}
    values: list[float] = []
    bounds: list[Bound] = []
    for index, (before, after) in enumerate(pairwise(sizes)):
        reach = (6.0 / (before + after)) ** 0.5 if len(sizes) > 2 else 0.0
        matrix = generator.uniform(-reach, reach, size=(after, before))
        columns = list(signs) if index == 0 else [int(monotone)] * before
        for column, sign in enumerate(columns):
            if sign:
                matrix[:, column] = sign * np.abs(matrix[:, column])
        values += matrix.reshape(-1).tolist()
        bounds += [limits[sign] for sign in columns] * after
        if index + 2 < len(sizes):
            values += [0.0] * after
            bounds += [(None, None)] * after
    return np.array(values), bounds
