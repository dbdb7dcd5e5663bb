"""Features' log-odds on held-out folds of groups, and the temperature that makes probabilities of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError
from shared.evaluation.calibration import fit_temperature, preference_report
from shared.rewards.feature_fit import fit_features
from shared.rewards.pair_targets import PairTargets
from shared.rewards.settings import FeatureConfig

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


def group_folds(groups: Sequence[str], folds: int, seed: int = 0) -> Codes:
    """Cuts groups into folds of like numbers of items: in a random order, each goes to the smallest fold so far.

    Args:
        groups: the group of each item, [n].
        folds: parts; fewer where there are fewer groups.
        seed: of the order.

    Returns:
        The fold of each item, 0..folds-1, [n]; no group is torn.

    Raises:
        DataError: where there is one group only.
    """
    names = sorted(set(groups))
    if len(names) < 2:
        raise DataError(
            f"all {len(groups)} pairs are of one group, which cannot be cut into folds: set features.calibrate=false "
            "and leave model.score out of features.inputs, or give pairs of more groups."
        )
    sizes = {name: 0 for name in names}
    for name in groups:
        sizes[name] += 1
    held = [0] * min(folds, len(names))
    fold_of: dict[str, int] = {}
    for place in np.random.default_rng([seed, 2]).permutation(len(names)):
        name = names[int(place)]
        fold_of[name] = held.index(min(held))
        held[fold_of[name]] += sizes[name]
    return np.array([fold_of[name] for name in groups])


def out_of_fold_log_odds(
    names: Sequence[str],
    chosen: Floats,
    rejected: Floats,
    targets: PairTargets,
    config: FeatureConfig,
    codes: Codes,
    smoothing: float = 0.0,
    seed: int = 0,
) -> Floats:
    """Log-odds of every pair by a model fitted to the other folds; arguments as of `fit_features`, and the pairs'
    folds [pairs].

    Returns:
        float64 [pairs].
    """
    found = np.zeros(len(chosen))
    for fold in range(int(codes.max()) + 1):
        rest, held = codes != fold, codes == fold
        part = PairTargets(targets.margin[rest], targets.weight[rest], targets.label[rest])
        network = fit_features(names, chosen[rest], rejected[rest], part, config, smoothing, seed).network
        found[held] = network.score(chosen[held]) - network.score(rejected[held])
    return found


@dataclass(frozen=True, slots=True)
class Calibration:
    """A temperature, and what it changes.

    Attributes:
        temperature: what log-odds are divided by.
        report: JSON: ``temperature``, ``at_bound`` (no optimum was found and it stays 1), ``pairs``, ``folds``, and
            ``before`` and ``after``: the estimates of `shared.evaluation.calibration.preference_report`.
    """

    temperature: float
    report: dict[str, Any]


def calibrate(log_odds: Floats, codes: Codes, groups: Sequence[str]) -> Calibration:
    """Fits the temperature (Guo et al., 1706.04599) of out-of-fold log-odds.

    Platt's scaling is the same thing here: a pair has no class of its own, either response may stand first, so its
    intercept is 0. For the report each fold is divided by the temperature of the other folds: a temperature is not
    measured on the pairs that chose it.

    Args:
        log_odds: that the chosen response is preferred, by a model that has not seen the pair's group, [pairs].
        codes: fold of each pair, [pairs].
        groups: group of each pair, [pairs], for intervals.
    """
    whole = fit_temperature(log_odds)
    divided = log_odds.copy()
    for fold in range(int(codes.max()) + 1):
        divided[codes == fold] /= fit_temperature(log_odds[codes != fold]).value
    sides = {"before": log_odds, "after": divided}
    report = {
        "temperature": whole.value,
        "at_bound": whole.at_bound,
        "pairs": len(log_odds),
        "folds": int(codes.max()) + 1,
        **{
            name: {measure: one.to_json() for measure, one in preference_report(values, groups).items()}
            for name, values in sides.items()
        },
    }
    return Calibration(whole.value, report)
