"""Agreement of raters beyond chance: Cohen's kappa, Fleiss' kappa, Krippendorff's alpha.

All take codes: an integer array [items, raters] of category numbers, -1 where a rater gave none. A value that the
data do not determine (nobody disagrees by chance: one category only) is NaN.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shared.evaluation.intervals import Estimate, Groups, cluster_bootstrap

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval"]
Weights = Literal["none", "linear", "quadratic"]
MISSING = -1
RESAMPLES = 1000


def raw_agreement(codes: Codes) -> float:
    """Share of equal ratings among all pairs of ratings of one item, items weighing by their pairs.

    Args:
        codes: category of each rating [items, raters], -1 for none.
    """
    counts = _counts(codes)
    given = counts.sum(axis=1)
    pairs = (given * (given - 1)).sum()
    return float((counts * (counts - 1)).sum() / pairs) if pairs else float("nan")


def cohen_kappa(
    first: ArrayLike, second: ArrayLike, weights: Weights = "none", values: ArrayLike | None = None
) -> float:
    """Cohen's kappa of two raters over the items both rated.

    ``1 - sum(v O) / sum(v E)`` with disagreement weights v = [i != j], |x_i - x_j| or (x_i - x_j)^2 (J. Cohen, Educ.
    Psychol. Meas. 20, 1960; Psychol. Bull. 70, 1968).

    Args:
        first: category numbers of one rater [items], -1 for none.
        second: of the other.
        weights: how far apart two categories are.
        values: number of each category for the weights; None: the category numbers.
    """
    one, other = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    both = (one >= 0) & (other >= 0)
    one, other = one[both], other[both]
    if one.size == 0:
        return float("nan")
    size = int(max(one.max(), other.max())) + 1
    x = np.arange(size, dtype=np.float64) if values is None else np.asarray(values, dtype=np.float64)[:size]
    apart = np.abs(x[:, None] - x[None, :])
    apart = (apart > 0).astype(np.float64) if weights == "none" else apart ** (1 if weights == "linear" else 2)
    observed = np.zeros((size, size))
    np.add.at(observed, (one, other), 1.0)
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / one.size
    chance = float((apart * expected).sum())
    return 1 - float((apart * observed).sum()) / chance if chance > 0 else float("nan")


def fleiss_kappa(codes: Codes) -> float:
    """Fleiss' kappa (J. L. Fleiss, Psychol. Bull. 76, 1971) over the items that all raters rated.

    ``(P - P_e) / (1 - P_e)``, P the mean share of agreeing pairs of raters an item, P_e the sum of squared shares of
    the categories.
    """
    complete = codes[(codes >= 0).all(axis=1)]
    raters = codes.shape[1]
    if len(complete) == 0 or raters < 2:
        return float("nan")
    counts = _counts(complete)
    agreeing = ((counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))).mean()
    chance = ((counts.sum(axis=0) / counts.sum()) ** 2).sum()
    return float((agreeing - chance) / (1 - chance)) if chance < 1 else float("nan")


class AlphaTable:
    """Krippendorff's alpha of a table of ratings, fast to compute on resampled items.

    ``1 - D_o / D_e`` over pairable values (K. Krippendorff, Content Analysis, 4th ed., 2018, ch. 12), any number of
    raters, missing ratings allowed. Of the coincidence matrix only sums are needed: for nominal data the counts by
    category, for interval data sum and sum of squares of each item; ordinal data are interval data on the mid-ranks
    of the pairable values, since the ordinal metric is the squared difference of mid-ranks.

    Args:
        codes: category of each rating [items, raters], -1 for none; categories in ascending order.
        values: number of each category; None: the category numbers. Only interval data use them.
    """

    def __init__(self, codes: Codes, values: ArrayLike | None = None) -> None:
        counts = _counts(codes).astype(np.float64)
        counts[counts.sum(axis=1) < 2] = 0  # a lone rating pairs with none
        self._counts = counts
        self._given = counts.sum(axis=1)
        self._values = np.arange(counts.shape[1]) if values is None else np.asarray(values, dtype=np.float64)
        self._per_item = np.divide(1.0, self._given - 1, out=np.zeros_like(self._given), where=self._given > 1)

    def alpha(self, level: Level, times: Floats | None = None) -> float:
        """Alpha of the items taken `times` often each [items]; None: once."""
        weight = np.ones(len(self._counts)) if times is None else times
        margin = weight @ self._counts  # [categories]
        total = margin.sum()
        if total < 2:
            return float("nan")
        within = weight * self._per_item
        if level == "nominal":
            observed = within @ (self._given**2 - (self._counts**2).sum(axis=1))
            expected = total**2 - (margin**2).sum()
        else:
            x = self._values if level == "interval" else np.cumsum(margin) - margin / 2
            x = x - (margin @ x) / total
            sums, squares = self._counts @ x, self._counts @ x**2
            observed = within @ (2 * (self._given * squares - sums**2))
            expected = 2 * (total * (margin @ x**2) - (margin @ x) ** 2)
        return float(1 - (total - 1) * observed / expected) if expected > 1e-12 * total else float("nan")


def krippendorff_alpha(codes: Codes, level: Level, values: ArrayLike | None = None) -> float:
    """Krippendorff's alpha; see `AlphaTable`."""
    return AlphaTable(codes, values).alpha(level)


def alpha_estimate(
    codes: Codes, level: Level, values: ArrayLike | None = None, groups: Groups = None, *, seed: int = 0
) -> Estimate:
    """Krippendorff's alpha with an interval from resampling items (or their groups)."""
    table = AlphaTable(codes, values)

    def statistic(indices: NDArray[np.int64]) -> float:
        return table.alpha(level, np.bincount(indices, minlength=len(codes)).astype(np.float64))

    return cluster_bootstrap(statistic, len(codes), groups, n_resamples=RESAMPLES, seed=seed)


def fleiss_estimate(codes: Codes, groups: Groups = None, *, seed: int = 0) -> Estimate:
    """Fleiss' kappa with an interval from resampling items (or their groups)."""
    return cluster_bootstrap(
        lambda indices: fleiss_kappa(codes[indices]), len(codes), groups, n_resamples=RESAMPLES, seed=seed
    )


def cohen_estimate(
    first: Codes,
    second: Codes,
    weights: Weights = "none",
    values: ArrayLike | None = None,
    groups: Groups = None,
    *,
    seed: int = 0,
) -> Estimate:
    """Cohen's kappa with an interval from resampling items (or their groups)."""
    return cluster_bootstrap(
        lambda indices: cohen_kappa(first[indices], second[indices], weights, values),
        len(first),
        groups,
        n_resamples=RESAMPLES,
        seed=seed,
    )


def raw_estimate(codes: Codes, groups: Groups = None, *, seed: int = 0) -> Estimate:
    """Raw agreement with an interval from resampling items (or their groups)."""
    return cluster_bootstrap(
        lambda indices: raw_agreement(codes[indices]), len(codes), groups, n_resamples=RESAMPLES, seed=seed
    )


def _counts(codes: Codes) -> NDArray[np.int64]:
    """Ratings of each item by category [items, categories]."""
    size = int(codes.max(initial=0)) + 1
    counts = np.zeros((len(codes), size), dtype=np.int64)
    rows, columns = np.nonzero(codes >= 0)
    np.add.at(counts, (rows, codes[rows, columns]), 1)
    return counts
