"""Tests of a difference between two models measured on the same items, and correction for many tests."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from shared.evaluation.intervals import (
    DEFAULT_RESAMPLES,
    Floats,
    Groups,
    bootstrap_mean,
    finite_or_none,
    group_codes,
    reason_not_estimable,
)

EXACT_UP_TO = 14  # groups with a difference: 2^14 sign patterns are enumerated, beyond that they are drawn


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean of a - b over items, its interval, and the two-sided p value of "there is no difference".

    Attributes:
        difference: mean over items of a - b; NaN where it cannot be estimated.
        low: lower end of the interval; NaN where there is none.
        high: upper end of the interval.
        p_value: two-sided; NaN where there is no difference to test.
        n: items.
        n_groups: groups, the unit of resampling and of sign flips.
        method: the interval and the test, or why there is none.
        level: confidence level of the interval.
    """

    difference: float
    low: float
    high: float
    p_value: float
    n: int
    n_groups: int
    method: str
    level: float = 0.95

    def favours(self, alpha: float = 0.05) -> int:
        """1 where a is higher beyond chance (interval above 0 and p < alpha), -1 where b is, else 0."""
        if not self.p_value < alpha:
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON; a number that is not finite becomes None."""
        return {key: finite_or_none(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "PairedDifference":
        """The inverse of `to_json`."""
        values: dict[str, Any] = dict(row)
        for name in ("difference", "low", "high", "p_value"):
            values[name] = math.nan if row[name] is None else row[name]
        return cls(**values)


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    groups: Groups = None,
    *,
    level: float = 0.95,
    n_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """Compares two models item by item: cluster-bootstrap interval and sign-flip permutation test by group.

    Under the null hypothesis a group's difference is as likely to be positive as negative, so the sum of the
    groups' differences is compared with its distribution under flips of the groups' signs (exact for up to
    `EXACT_UP_TO` groups that differ, else drawn, p = (b + 1) / (B + 1)). Where outcomes are 0 or 1 and every
    item is its own group that test is McNemar's, which is then computed exactly.

    Args:
        a: outcomes of the first model [n].
        b: outcomes of the second on the same items, in the same order [n].
        groups: the group of each item [n]; None: items are independent.
        level: confidence level of the interval.
        n_resamples: bootstrap resamples, and sign patterns where these are drawn.
        seed: of both.

    Returns:
        The difference; NaN values with the reason in `method` where it cannot be estimated.

    Raises:
        ValueError: a, b and groups are not equally long.
    """
    first = np.asarray(a, dtype=np.float64).reshape(-1)
    second = np.asarray(b, dtype=np.float64).reshape(-1)
    if first.size != second.size:
        raise ValueError(f"paired outcomes of different length: {first.size} and {second.size}")
    codes, n_groups = group_codes(groups, first.size)
    differences = first - second
    reason = reason_not_estimable(differences)
    if reason is not None:
        return PairedDifference(
            math.nan, math.nan, math.nan, math.nan, first.size, n_groups, f"no test: {reason}", level
        )
    interval = _interval_of_difference(differences, groups, n_groups, level, n_resamples, seed)
    binary = np.isin(first, (0.0, 1.0)).all() and np.isin(second, (0.0, 1.0)).all()
    if binary and n_groups == first.size:
        p_value, test = mcnemar(first, second), "McNemar exact"
    else:
        sums = np.asarray(np.bincount(codes, weights=differences, minlength=n_groups), dtype=np.float64)
        p_value, test = _sign_flip(sums, n_resamples, seed)
    return PairedDifference(
        float(differences.mean()),
        interval[0],
        interval[1],
        p_value,
        first.size,
        n_groups,
        f"{interval[2]}; {test}",
        level,
    )


def _interval_of_difference(
    differences: Floats, groups: Groups, n_groups: int, level: float, n_resamples: int, seed: int
) -> tuple[float, float, str]:
    """The bootstrap interval of the mean difference, without Wilson's stand-in (it is no share)."""
    if np.all(differences == differences[0]):
        value = float(differences[0])
        if value != 0.0 and n_groups < 2:
            return math.nan, math.nan, "no interval: one group only"
        # Two models that never differ: the interval is the point 0, and the p value is 1.
        return value, value, "all differences equal"
    estimate = bootstrap_mean(differences, groups, level=level, n_resamples=n_resamples, seed=seed)
    return estimate.low, estimate.high, estimate.method


def mcnemar(a: ArrayLike, b: ArrayLike) -> float:
    """Exact two-sided p value of McNemar's test on paired 0/1 outcomes [n] of independent items.

    1 where no item is discordant; NaN where an outcome is not finite.

    Raises:
        ValueError: an outcome is neither 0 nor 1, or the lengths differ.
    """
    from scipy.stats import binomtest

    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"paired outcomes of different shape: {first.shape} and {second.shape}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return math.nan
    if not (np.isin(first, (0.0, 1.0)).all() and np.isin(second, (0.0, 1.0)).all()):
        raise ValueError("McNemar's test needs outcomes of 0 and 1")
    wins, losses = int((first > second).sum()), int((first < second).sum())
    return 1.0 if wins + losses == 0 else float(binomtest(wins, wins + losses, 0.5).pvalue)


def sign_flip_p_value(sums: ArrayLike, *, n_resamples: int = DEFAULT_RESAMPLES, seed: int = 0) -> float:
    """Two-sided p value of the sign-flip permutation test of the groups' summed differences [G]."""
    return _sign_flip(np.asarray(sums, dtype=np.float64).reshape(-1), n_resamples, seed)[0]


def _sign_flip(sums: Floats, n_resamples: int, seed: int) -> tuple[float, str]:
    # scipy.stats.permutation_test draws the same flips some 35 times slower at 500 groups; the tests use it
    # as the oracle. A group without difference is unmoved by its flip and is left out.
    moving = sums[sums != 0.0]
    if moving.size == 0:
        return 1.0, "sign-flip test, no group differs"
    observed = abs(float(moving.sum()))
    threshold = observed - 1e-12 * float(np.abs(moving).sum())  # equal sums differ by rounding
    if moving.size <= EXACT_UP_TO:
        patterns = (np.arange(2**moving.size)[:, None] >> np.arange(moving.size)) & 1
        flipped = np.abs((2.0 * patterns - 1.0) @ moving)
        return float((flipped >= threshold).mean()), f"sign-flip test, exact over {moving.size} groups"
    rng = np.random.default_rng(seed)
    at_least, block = 0, max(1, 2_000_000 // moving.size)
    for start in range(0, n_resamples, block):
        shape = (min(block, n_resamples - start), moving.size)
        signs = 2.0 * rng.integers(0, 2, size=shape, dtype=np.int8) - 1.0
        at_least += int((np.abs(signs @ moving) >= threshold).sum())
    p_value = (at_least + 1) / (n_resamples + 1)
    return p_value, f"sign-flip test, {n_resamples} draws over {moving.size} groups"


def holm(p_values: Sequence[float] | Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjustment (family-wise error) of p values.

    Args:
        p_values: by name, or a sequence, whose places then are the names ``"0"``, ``"1"``, ...

    Returns:
        Adjusted p values by name, in the order given. A NaN stays NaN but counts as a member of the family,
        so that a test that failed does not make the others easier.
    """
    named = dict(p_values) if isinstance(p_values, Mapping) else {str(index): p for index, p in enumerate(p_values)}
    ordered = sorted((name for name, p in named.items() if not math.isnan(p)), key=lambda name: named[name])
    adjusted, floor = {name: math.nan for name in named}, 0.0
    for rank, name in enumerate(ordered):
        floor = max(floor, min(1.0, (len(named) - rank) * named[name]))
        adjusted[name] = floor
    return adjusted
