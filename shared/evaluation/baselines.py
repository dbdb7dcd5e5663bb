"""What a preference model must beat: judges that look at one confound only, and the model where they mislead.

A *difference* is always covariate(chosen) - covariate(rejected), for example of lengths or of page views. A
model that is no better than such a judge, or that fails where the judge points the wrong way, has learned the
confound.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shared.evaluation.calibration import auc, log_losses, pair_outcomes
from shared.evaluation.intervals import Estimate, Floats, Groups, bootstrap_mean, finite_or_none, unavailable


@dataclass(frozen=True, slots=True)
class CovariateBaseline:
    """A judge that prefers the side with more (or less) of one covariate.

    Attributes:
        name: of the covariate.
        direction: +1 where training pairs' chosen side mostly has more of it, -1 where less.
        accuracy: on test pairs; a tie or an unknown covariate counts .5.
        auc: of ranking test pairs (both orders) by the signed size of the difference; NaN for no pairs.
        train_share: share of training pairs that the direction gets right (.5 and above by construction).
        n_ties: test pairs without a difference.
        n_missing: test pairs where the covariate is unknown (NaN).
        outcomes: 1, .5 or 0 of each test pair [n], for paired tests against a model.
    """

    name: str
    direction: int
    accuracy: Estimate
    auc: float
    train_share: float
    n_ties: int
    n_missing: int
    outcomes: Floats

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON, without the outcomes of single pairs."""
        return {
            "name": self.name,
            "direction": self.direction,
            "accuracy": self.accuracy.to_json(),
            "auc": finite_or_none(self.auc),
            "train_share": finite_or_none(self.train_share),
            "n_ties": self.n_ties,
            "n_missing": self.n_missing,
        }


def covariate_baseline(
    name: str,
    train_differences: ArrayLike,
    test_differences: ArrayLike,
    groups: Groups = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> CovariateBaseline:
    """Accuracy of judging by one covariate, with no threshold and a direction learned on training pairs.

    Learning the direction on the test pairs would give every covariate at least .5. Without usable training
    pairs, or where they are divided equally, the direction is "more is better".

    Args:
        name: of the covariate, for tables.
        train_differences: covariate(chosen) - covariate(rejected) of training pairs [m]; NaN where unknown.
        test_differences: the same of test pairs [n].
        groups: the group of each test pair [n].
        level: confidence level.
        seed: of the bootstrap.
    """
    train = pair_outcomes(train_differences)
    train = train[~np.isnan(train)]
    share = float(train.mean()) if train.size else math.nan
    direction = -1 if share < 0.5 else 1
    signed = direction * np.asarray(test_differences, dtype=np.float64).reshape(-1)
    missing = np.isnan(signed)
    known = np.where(missing, 0.0, signed)
    outcomes = pair_outcomes(known)
    return CovariateBaseline(
        name=name,
        direction=direction,
        accuracy=bootstrap_mean(outcomes, groups, level=level, seed=seed),
        auc=auc(known),
        train_share=max(share, 1 - share),
        n_ties=int((known == 0).sum() - missing.sum()),
        n_missing=int(missing.sum()),
        outcomes=outcomes,
    )


def _subset(values: Floats, groups: Groups, mask: NDArray[np.bool_], level: float, seed: int, none: str) -> Estimate:
    """`bootstrap_mean` of the items in the mask [n], with their groups."""
    if not mask.any():
        return unavailable(none, 0, level)
    kept = None if groups is None else [group for group, keep in zip(groups, mask, strict=True) if keep]
    return bootstrap_mean(values[mask], kept, level=level, seed=seed)


def contrary_accuracy(
    outcomes: ArrayLike,
    differences: ArrayLike,
    groups: Groups = None,
    *,
    direction: int = 1,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """A model's accuracy on the pairs where the covariate points to the rejected side.

    A judge by that covariate gets 0 here, and chance is .5.

    Args:
        outcomes: the model's 1, .5 or 0 on each pair [n].
        differences: covariate(chosen) - covariate(rejected) [n]; pairs with NaN are in neither subset.
        groups: the group of each pair [n].
        direction: +1 where more of the covariate is the naive choice, -1 where less (`CovariateBaseline`).
        level: confidence level.
        seed: of the bootstrap.

    Returns:
        The accuracy with n = contrary pairs; unavailable where there are none.
    """
    items, mask = _checked(outcomes, np.asarray(differences, dtype=np.float64).reshape(-1) * direction < 0)
    return _subset(items, groups, mask, level, seed, "no pair is contrary to the covariate")


def concordant_accuracy(
    outcomes: ArrayLike,
    differences: ArrayLike,
    groups: Groups = None,
    *,
    direction: int = 1,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """A model's accuracy where the covariate points to the chosen side; arguments as `contrary_accuracy`."""
    items, mask = _checked(outcomes, np.asarray(differences, dtype=np.float64).reshape(-1) * direction > 0)
    return _subset(items, groups, mask, level, seed, "no pair agrees with the covariate")


def matched_length_accuracy(
    outcomes: ArrayLike,
    chosen_lengths: ArrayLike,
    rejected_lengths: ArrayLike,
    groups: Groups = None,
    *,
    tolerance: float = 0.2,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """A model's accuracy on pairs of about equal length, where length can say next to nothing.

    Args:
        outcomes: the model's 1, .5 or 0 on each pair [n].
        chosen_lengths: in any one unit (tokens, characters) [n].
        rejected_lengths: in the same unit [n].
        groups: the group of each pair [n].
        tolerance: pairs are matched where the longer side is at most (1 + tolerance) times the shorter.
        level: confidence level.
        seed: of the bootstrap.

    Returns:
        The accuracy with n = matched pairs; unavailable where there are none.
    """
    chosen = np.asarray(chosen_lengths, dtype=np.float64).reshape(-1)
    rejected = np.asarray(rejected_lengths, dtype=np.float64).reshape(-1)
    longer, shorter = np.maximum(chosen, rejected), np.minimum(chosen, rejected)
    items, mask = _checked(outcomes, longer <= (1 + tolerance) * shorter)
    return _subset(items, groups, mask, level, seed, f"no pair within {tolerance:.0%} of equal length")


def _checked(outcomes: ArrayLike, mask: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    items = np.asarray(outcomes, dtype=np.float64).reshape(-1)
    if items.size != mask.size:
        raise ValueError(f"{items.size} outcomes for {mask.size} pairs")
    return items, mask


@dataclass(frozen=True, slots=True)
class ConfoundModel:
    """A logistic regression of the preference on confounds alone.

    Attributes:
        coefficients: log-odds for one root mean square (over training pairs) of each difference, by name.
        accuracy: on test pairs.
        auc: on test pairs in both orders.
        log_loss: mean over test pairs.
        n_train: training pairs it was fitted on.
        outcomes: 1, .5 or 0 of each test pair [n], for paired tests against a model.
    """

    coefficients: dict[str, float]
    accuracy: Estimate
    auc: float
    log_loss: Estimate
    n_train: int
    outcomes: Floats

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON, without the outcomes of single pairs."""
        return {
            "coefficients": self.coefficients,
            "accuracy": self.accuracy.to_json(),
            "auc": finite_or_none(self.auc),
            "log_loss": self.log_loss.to_json(),
            "n_train": self.n_train,
        }


def confound_model(
    train_differences: Mapping[str, ArrayLike],
    test_differences: Mapping[str, ArrayLike],
    groups: Groups = None,
    *,
    inverse_ridge: float = 1.0,
    level: float = 0.95,
    seed: int = 0,
) -> ConfoundModel:
    """All confounds at once: what a judge reaches that never reads the texts.

    Differences are scaled by their root mean square on training pairs, not centred, and there is no intercept,
    so that swapping a pair's sides negates the log-odds. Pairs enter in both orders. An unknown difference (NaN)
    counts as no difference.

    Args:
        train_differences: covariate(chosen) - covariate(rejected) of training pairs [m], by name.
        test_differences: the same names for test pairs [n].
        groups: the group of each test pair [n].
        inverse_ridge: sklearn's C.
        level: confidence level.
        seed: of the bootstrap.

    Returns:
        The fitted model's measures on the test pairs. With no training pairs all coefficients are 0 and every
        test pair is a tie.

    Raises:
        ValueError: train and test name different covariates.
    """
    from sklearn.linear_model import LogisticRegression

    if set(train_differences) != set(test_differences):
        raise ValueError(f"train has {sorted(train_differences)}, test has {sorted(test_differences)}")
    names = list(train_differences)
    if not names:
        raise ValueError("no covariate given")
    train, test = (
        np.nan_to_num(np.column_stack([np.asarray(table[name], dtype=np.float64) for name in names]))
        for table in (train_differences, test_differences)
    )
    scale = np.ones(len(names)) if not len(train) else np.sqrt((train**2).mean(axis=0))
    scale[scale == 0] = 1.0
    coefficients = np.zeros(len(names))
    if len(train):
        model = LogisticRegression(C=inverse_ridge, fit_intercept=False)
        labels = np.repeat([1, 0], len(train))
        model.fit(np.concatenate([train, -train]) / scale, labels)
        coefficients = model.coef_[0]
    log_odds = test / scale @ coefficients
    outcomes = pair_outcomes(log_odds)
    return ConfoundModel(
        coefficients=dict(zip(names, coefficients.tolist(), strict=True)),
        accuracy=bootstrap_mean(outcomes, groups, level=level, seed=seed),
        auc=auc(log_odds),
        log_loss=bootstrap_mean(log_losses(log_odds), groups, level=level, seed=seed),
        n_train=len(train),
        outcomes=outcomes,
    )
