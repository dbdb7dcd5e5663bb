"""Estimates with confidence intervals, by a bootstrap over groups.

The unit of resampling is the *group* (a question, a patient, a product), never the single item: answers
to one question are not independent, and an interval that treats them as if they were is too narrow.

Which interval: the **expanded percentile** interval (T. C. Hesterberg, "What Teachers Should Know about the
Bootstrap", arXiv 1411.5279). The plain percentile interval of a mean is too narrow by sqrt((G-1)/G) and by
the normal in place of Student's quantile; the expansion puts both back. With 8 to 60 groups of unequal size
it covers 92 to 96 % where the percentile and the BCa interval cover 90 to 94 % (nominal 95 %); BCa's
acceleration, a jackknife over a handful of groups, is too noisy to pay. Below some ten groups every
bootstrap interval is rough.

What cannot be estimated is NaN, with the reason in `method`: short, constant or NaN data never raise.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Groups = Sequence[Hashable] | NDArray[Any] | None

DEFAULT_RESAMPLES = 4000
_CELLS_AT_ONCE = 2_000_000  # bounds the memory of a block of resamples to some 50 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its confidence interval.

    Attributes:
        value: the estimate from the sample itself; NaN where there is none.
        low: lower end of the interval; NaN where there is no interval.
        high: upper end of the interval.
        n: items it rests on (items, not groups).
        level: confidence level of the interval.
        method: how the interval was made, or why there is none.
    """

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95
    method: str = ""

    def __str__(self) -> str:
        if not math.isfinite(self.value):
            return "n/a"
        if not self.has_interval():
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def has_interval(self) -> bool:
        """Whether both ends of the interval are finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def contains(self, number: float) -> bool:
        """Whether the interval includes `number`; False where there is no interval."""
        return self.low <= number <= self.high

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON; a number that is not finite becomes None."""
        return {key: finite_or_none(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Estimate":
        """The inverse of `to_json`."""
        numbers = {key: math.nan if row[key] is None else float(row[key]) for key in ("value", "low", "high")}
        return cls(**numbers, n=int(row["n"]), level=float(row["level"]), method=str(row["method"]))


def finite_or_none(value: Any) -> Any:
    """`value` as it is, or None where it is a float that JSON has no form for (NaN, infinity)."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def unavailable(reason: str, n: int = 0, level: float = 0.95) -> Estimate:
    """An `Estimate` that has no value, and says why in `method`."""
    return Estimate(math.nan, math.nan, math.nan, n, level, reason)


def group_codes(groups: Groups, n: int) -> tuple[NDArray[np.int64], int]:
    """Numbers the groups.

    Args:
        groups: the group of each item [n]; None: every item is a group of its own.
        n: number of items.

    Returns:
        codes [n] in 0..G-1 and G.

    Raises:
        ValueError: `groups` is not as long as the items.
    """
    if groups is None:
        return np.arange(n), n
    if len(groups) != n:
        raise ValueError(f"{len(groups)} group ids for {n} items")
    if n == 0:
        return np.zeros(0, dtype=np.int64), 0
    names, codes = np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)
    return codes.astype(np.int64).reshape(-1), len(names)


def bootstrap_mean(
    values: ArrayLike,
    groups: Groups = None,
    *,
    level: float = 0.95,
    n_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean over items with an expanded percentile interval from resampling groups.

    Where all values are 0 or all are 1 a bootstrap has nothing to vary and would claim certainty: Wilson's
    interval, with the number of groups as its sample size, stands in.

    Args:
        values: one number an item [n]; any that is not finite makes the whole estimate unavailable, since
            leaving it out would change the question.
        groups: the group of each item [n]; None: items are independent.
        level: confidence level.
        n_resamples: bootstrap resamples.
        seed: of the resampling; equal input gives an equal interval.

    Returns:
        The estimate; without interval for a single group.

    Raises:
        ValueError: `groups` has another length than `values`.
    """
    items = np.asarray(values, dtype=np.float64).reshape(-1)
    codes, n_groups = group_codes(groups, items.size)
    if (reason := reason_not_estimable(items)) is not None:
        return unavailable(reason, items.size, level)
    mean = float(items.mean())
    if np.all(items == items[0]):
        if items[0] in (0.0, 1.0):
            wilson_interval = wilson(n_groups if items[0] == 1.0 else 0, n_groups, level=level)
            method = f"Wilson over {n_groups} groups, all outcomes equal"
            return Estimate(mean, wilson_interval.low, wilson_interval.high, items.size, level, method)
        if n_groups > 1:
            return Estimate(mean, mean, mean, items.size, level, "all values equal")
    if n_groups < 2:
        return Estimate(mean, math.nan, math.nan, items.size, level, "no interval: one group only")
    sums = np.bincount(codes, weights=items, minlength=n_groups)
    counts = np.bincount(codes, minlength=n_groups).astype(np.float64)
    rng = np.random.default_rng(seed)
    replicates = np.concatenate(
        [sums[draw].sum(axis=1) / counts[draw].sum(axis=1) for draw in _draws(rng, n_groups, n_resamples, n_groups)]
    )
    low, high = expanded_percentile(replicates, mean, n_groups, level)
    method = f"bootstrap of {n_groups} groups, expanded percentile"
    return Estimate(mean, low, high, items.size, level, method)


def cluster_bootstrap(
    statistic: Callable[[NDArray[np.int64]], float],
    n: int,
    groups: Groups = None,
    *,
    kind: Literal["percentile", "basic"] = "percentile",
    bounds: tuple[float, float] = (-math.inf, math.inf),
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Interval of any statistic of the items, by resampling groups.

    Args:
        statistic: takes item indices [m] (with repetitions) and returns a number.
        n: number of items.
        groups: the group of each item [n].
        kind: ``percentile`` is the expanded percentile interval; ``basic`` is the reflected one,
            ``2 * value - quantiles``, for a statistic that resampling pushes to one side (ECE grows with
            noise).
        bounds: range of the statistic, which the basic interval could leave.
        level: confidence level.
        n_resamples: bootstrap resamples; resamples where the statistic is not finite are left out.
        seed: of the resampling.

    Returns:
        The estimate, unavailable where the statistic of the sample itself is not finite.
    """
    codes, n_groups = group_codes(groups, n)
    if n == 0:
        return unavailable("no items", 0, level)
    value = float(statistic(np.arange(n)))
    if not math.isfinite(value):
        return unavailable("the statistic is not finite on this sample", n, level)
    if n_groups < 2:
        return Estimate(value, math.nan, math.nan, n, level, "no interval: one group only")
    members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    rng = np.random.default_rng(seed)
    replicates = np.array(
        [
            statistic(np.concatenate([members[group] for group in row]))
            for draw in _draws(rng, n_groups, n_resamples, n_groups)
            for row in draw
        ],
        dtype=np.float64,
    )
    replicates = replicates[np.isfinite(replicates)]
    if replicates.size < n_resamples / 2:
        return Estimate(value, math.nan, math.nan, n, level, "no interval: undefined on most resamples")
    low, high = expanded_percentile(replicates, None, n_groups, level)
    if kind == "basic":
        low, high = 2 * value - high, 2 * value - low
    low, high = max(min(low, value), bounds[0]), min(max(high, value), bounds[1])
    name = "expanded percentile" if kind == "percentile" else "basic"
    return Estimate(value, low, high, n, level, f"bootstrap of {n_groups} groups, {name}")


def wilson(successes: int, n: int, *, level: float = 0.95) -> Estimate:
    """A proportion with Wilson's score interval (for independent items); unavailable for n = 0."""
    from scipy.stats import binomtest

    if n == 0:
        return unavailable("no items", 0, level)
    interval = binomtest(int(successes), int(n)).proportion_ci(confidence_level=level, method="wilson")
    value = successes / n
    # At 0 and at n successes scipy's end is off the exact 0 or 1 by a rounding error.
    low, high = min(float(interval.low), value), max(float(interval.high), value)
    return Estimate(value, low, high, int(n), level, "Wilson")


def t_interval(values: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Mean of independent replications (training seeds) with Student's t interval; none for a single one."""
    from scipy.stats import t

    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    if (reason := reason_not_estimable(numbers)) is not None:
        return unavailable(reason, numbers.size, level)
    mean = float(numbers.mean())
    if numbers.size < 2:
        return Estimate(mean, math.nan, math.nan, 1, level, "no interval: one seed only")
    half = float(t.ppf((1 + level) / 2, numbers.size - 1) * numbers.std(ddof=1) / math.sqrt(numbers.size))
    return Estimate(mean, mean - half, mean + half, numbers.size, level, f"t over {numbers.size} seeds")


def over_seeds(
    values: Sequence[ArrayLike],
    groups: Groups = None,
    *,
    level: float = 0.95,
    n_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean over training seeds and items, with seeds and groups of items both resampled.

    Seeds and items are crossed (every seed is measured on the same items), so each resample draws seeds and,
    independently, groups (the "pigeonhole" bootstrap of A. Owen, Annals of Applied Statistics 1(2), 2007).
    A bootstrap of S seeds sees only (S-1)/S of their variance; each seed's distance from the grand mean is
    stretched by sqrt(S/(S-1)) to put it back. With 2 or 3 seeds the interval still understates what a fourth
    may do: `t_interval` of the seeds' means belongs beside it.

    Args:
        values: one array a seed, each [n], in the same order of items.
        groups: the group of each item [n].
        level: confidence level.
        n_resamples: bootstrap resamples.
        seed: of the resampling.

    Returns:
        The estimate with n = items of one seed; for a single seed the interval over items alone, said so.

    Raises:
        ValueError: the seeds are measured on different numbers of items.
    """
    arrays = [np.asarray(array, dtype=np.float64).reshape(-1) for array in values]
    if not arrays:
        return unavailable("no seeds", 0, level)
    if len({array.size for array in arrays}) > 1:
        raise ValueError(f"seeds measured on different numbers of items: {[array.size for array in arrays]}")
    if len(arrays) == 1:
        single = bootstrap_mean(arrays[0], groups, level=level, n_resamples=n_resamples, seed=seed)
        return Estimate(single.value, single.low, single.high, single.n, level, f"one seed only; {single.method}")
    table = np.stack(arrays)  # [S, n]
    n_seeds, n = table.shape
    codes, n_groups = group_codes(groups, n)
    if (reason := reason_not_estimable(table.reshape(-1))) is not None:
        return unavailable(reason, n, level)
    mean = float(table.mean())
    if n_groups < 2:
        return Estimate(mean, math.nan, math.nan, n, level, "no interval: one group only")
    seed_means = table.mean(axis=1, keepdims=True)
    stretched = table + (math.sqrt(n_seeds / (n_seeds - 1)) - 1) * (seed_means - mean)
    sums = np.stack([np.bincount(codes, weights=row, minlength=n_groups) for row in stretched])  # [S, G]
    counts = np.bincount(codes, minlength=n_groups).astype(np.float64)
    rng = np.random.default_rng(seed)
    replicates = []
    for draw in _draws(rng, n_groups, n_resamples, n_groups * n_seeds):
        of_groups = sums[:, draw].sum(axis=2) / counts[draw].sum(axis=1)  # [S, resamples]
        of_seeds = rng.integers(n_seeds, size=(n_seeds, draw.shape[0]))
        replicates.append(np.take_along_axis(of_groups, of_seeds, axis=0).mean(axis=0))
    low, high = expanded_percentile(np.concatenate(replicates), mean, n_groups, level)
    method = f"bootstrap of {n_seeds} seeds and {n_groups} groups, expanded percentile"
    return Estimate(mean, low, high, n, level, method)


def reason_not_estimable(values: Floats) -> str | None:
    """Why no estimate can be made of these values [n], or None where one can."""
    if values.size == 0:
        return "no items"
    bad = int(values.size - np.isfinite(values).sum())
    return f"undefined: {bad} of {values.size} values are not finite" if bad else None


def _draws(rng: np.random.Generator, n_groups: int, n_resamples: int, cells_per_resample: int):
    """Yields blocks [b, G] of group numbers drawn with replacement, `n_resamples` rows in all."""
    block = max(1, _CELLS_AT_ONCE // max(1, cells_per_resample))
    for start in range(0, n_resamples, block):
        yield rng.integers(n_groups, size=(min(block, n_resamples - start), n_groups))


def expanded_percentile(replicates: Floats, value: float | None, n_groups: int, level: float) -> tuple[float, float]:
    """Quantiles of the replicates at the levels Phi(-+ sqrt(G/(G-1)) t_{G-1}), widened to hold `value`."""
    from scipy.stats import norm, t

    spread = math.sqrt(n_groups / (n_groups - 1)) * t.ppf((1 + level) / 2, n_groups - 1)
    tail = float(norm.cdf(-spread))
    low, high = (float(end) for end in np.quantile(replicates, [tail, 1 - tail]))
    return (low, high) if value is None else (min(low, value), max(high, value))
