"""Log-odds of every pair from a model that was fitted, and its penalty chosen, on other products only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from domains.ecommerce.reward_study.designs import Design
from domains.ecommerce.reward_study.pairs import Ints, product_folds
from shared.evaluation.calibration import log_losses
from shared.evaluation.intervals import Floats
from shared.rewards.feature_fit import fit_features
from shared.rewards.feature_network import FeatureNetwork
from shared.rewards.pair_targets import PairTargets
from shared.rewards.settings import Activation, FeatureConfig

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Fitting:
    """How a feature set is fitted.

    Attributes:
        l2: penalties that are tried; a single one is taken without a look.
        inner_folds: product-grouped folds of that choice.
        seed: of those folds.
        hidden: units of hidden layers; none: linear.
        activation: of them.
        seeds: of the initial weights; a linear model has one.
        max_iterations: most steps of L-BFGS-B.
    """

    l2: tuple[float, ...]
    inner_folds: int
    seed: int
    hidden: tuple[int, ...] = ()
    activation: Activation = "tanh"
    seeds: tuple[int, ...] = (0,)
    max_iterations: int = 500


@dataclass(frozen=True, slots=True)
class CrossFit:
    """Held-out log-odds.

    Attributes:
        margins: log-odds that the chosen response is the better one, by seed, [seeds, n]; NaN where a pair has none.
        l2: the penalty that each fold chose.
    """

    margins: Floats
    l2: tuple[float, ...] = ()


def cross_fitted(
    design: Design, groups: Sequence[str], folds: Ints, fitting: Fitting, on_fold: Progress = lambda done, total: None
) -> CrossFit:
    """Fits on all folds but one and scores that one, for every fold; the penalty is chosen inside the training folds.

    Args:
        design: features of n pairs.
        groups: the product of each [n].
        folds: the fold of each [n].
        fitting: how.
        on_fold: called with (folds done, folds).
    """
    margins = np.full((len(fitting.seeds), len(folds)), np.nan)
    chosen_l2: list[float] = []
    numbers = sorted(set(folds.tolist()))
    for done, fold in enumerate(numbers):
        sides = design.sides(fold)
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        l2 = choose_l2(design.names, sides, groups, train, fitting)
        for place, seed in enumerate(fitting.seeds):
            network = fitted(design.names, sides, train, l2, fitting, seed)
            margins[place, test] = margins_of(network, sides, test)
        chosen_l2.append(l2)
        on_fold(done + 1, len(numbers))
    return CrossFit(margins, tuple(chosen_l2))


def choose_l2(
    names: Sequence[str], sides: tuple[Floats, Floats], groups: Sequence[str], train: Ints, fitting: Fitting
) -> float:
    """The penalty with the least mean log-loss (nats) of inner held-out pairs; of equal ones the strongest.

    Args:
        names: of the features.
        sides: features of both sides [n, features] each.
        groups: the product of each pair [n].
        train: places of the training pairs; nothing else is looked at.
        fitting: what is tried. With fewer products than inner folds each product is a fold of its own; with fewer than
            two nothing can be compared, and the strongest penalty is taken.
    """
    products = [groups[int(place)] for place in train]
    count = min(fitting.inner_folds, len(set(products)))
    if len(fitting.l2) == 1 or count < 2:
        return max(fitting.l2)
    inner = product_folds(products, count, fitting.seed)
    losses: dict[float, float] = {}
    for l2 in fitting.l2:
        held_out = [
            log_losses(
                margins_of(fitted(names, sides, train[inner != fold], l2, fitting, fitting.seeds[0]), sides, places)
            )
            for fold in range(count)
            if (places := train[inner == fold]).size
        ]
        losses[l2] = float(np.concatenate(held_out).mean())
    return min(losses, key=lambda l2: (losses[l2], -l2))


def fitted(
    names: Sequence[str], sides: tuple[Floats, Floats], places: Ints, l2: float, fitting: Fitting, seed: int
) -> FeatureNetwork | None:
    """The model fitted on some pairs; None where no feature differs between the sides of any of them."""
    chosen, rejected = sides[0][places], sides[1][places]
    if not np.any(chosen != rejected):
        return None
    config = FeatureConfig(
        hidden=list(fitting.hidden), activation=fitting.activation, l2=l2, max_iterations=fitting.max_iterations
    )
    ones = np.ones(len(places))
    targets = PairTargets(margin=np.zeros(len(places)), weight=ones, label=ones)
    return fit_features(names, chosen, rejected, targets, config, seed=seed).network


def margins_of(network: FeatureNetwork | None, sides: tuple[Floats, Floats], places: Ints) -> Floats:
    """Log-odds of some pairs, [places]; 0 where there is no model."""
    if network is None:
        return np.zeros(len(places))
    return network.score(sides[0][places]) - network.score(sides[1][places])
