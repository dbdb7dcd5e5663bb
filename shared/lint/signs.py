"""How often a sign is right, with an interval and a test that treat a group's pairs as one draw."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SignAccuracy:
    """Share of pairs in which a column is higher on the chosen side, over pairs in which the sides differ.

    Attributes:
        accuracy: that share; NaN without such pairs.
        low: lower end of the interval.
        high: upper end of the interval.
        p_value: two-sided, of "the share is one half"; NaN with fewer than two groups.
        n: pairs in which the sides differ.
        n_groups: groups of those pairs.
        error: standard error of the share over groups; 0 where all outcomes are the same, NaN without an interval.
    """

    accuracy: float
    low: float
    high: float
    p_value: float
    n: int
    n_groups: int
    error: float = math.nan

    def interval(self, level: float) -> tuple[float, float]:
        """Ends of the interval at a confidence level; NaN where there is none."""
        if not math.isfinite(self.error):
            return math.nan, math.nan
        if self.error == 0:
            return _wilson(self.accuracy, self.n_groups, level)
        from scipy.stats import t

        half = float(t.ppf((1 + level) / 2, self.n_groups - 1)) * self.error
        return max(0.0, self.accuracy - half), min(1.0, self.accuracy + half)


def sign_accuracy(signs: NDArray[np.int8], groups: NDArray[np.int64], *, level: float = 0.95) -> SignAccuracy:
    """Accuracy of "the higher value is preferred".

    The interval is the linearised (ratio estimator's) variance over groups with Student's quantile; where every
    outcome is the same, Wilson's interval with the number of groups as its sample size. The test is the
    cluster-robust score test of one half. Both are linear in the number of pairs, so they serve a million of them,
    which a bootstrap does not; a few groups more or less agree with it.

    Args:
        signs: sign of chosen minus rejected [n]: -1, 0 or 1; anything else is missing.
        groups: group number of each pair [n].
        level: confidence level.
    """
    from scipy.stats import t

    decided = np.abs(signs) == 1
    if not decided.any():
        return SignAccuracy(math.nan, math.nan, math.nan, math.nan, 0, 0)
    wins = (signs[decided] == 1).astype(np.float64)
    codes = np.unique(groups[decided], return_inverse=True)[1].reshape(-1)
    won, size = np.bincount(codes, weights=wins), np.bincount(codes).astype(np.float64)
    n, n_groups, accuracy = int(wins.size), int(size.size), float(wins.mean())
    if n_groups < 2:
        return SignAccuracy(accuracy, math.nan, math.nan, math.nan, n, n_groups)
    correction = n_groups / (n_groups - 1)
    surplus = won - size / 2
    p_value = (
        float(2 * t.sf(abs(surplus.sum()) / math.sqrt(correction * (surplus**2).sum()), n_groups - 1))
        if (surplus.any())
        else 1.0
    )
    spread = math.sqrt(correction * ((won - accuracy * size) ** 2).sum()) / n
    found = SignAccuracy(accuracy, math.nan, math.nan, p_value, n, n_groups, spread)
    low, high = found.interval(level)
    return replace(found, low=low, high=high)


def _wilson(share: float, n: int, level: float) -> tuple[float, float]:
    from scipy.stats import norm

    z = float(norm.ppf((1 + level) / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
