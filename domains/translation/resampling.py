"""Resamples of sentences as weights: one product of matrices gives the sums of every resample."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from shared.evaluation.intervals import Estimate, Groups, expanded_percentile, group_codes, unavailable

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_CELLS_AT_ONCE = 2_000_000  # 16 MB of weights


def resample_weights(n: int, groups: Groups, n_resamples: int, seed: int) -> Iterator[Floats]:
    """How often each sentence is in each resample of a bootstrap over groups, in blocks.

    Equal arguments give equal resamples: what is measured on the same sentences is resampled jointly by being
    multiplied with the same weights.

    Args:
        n: sentences.
        groups: the group of each sentence [n]; None: every sentence by itself.
        n_resamples: rows in all.
        seed: of the draws.

    Yields:
        Weights [b, n], whole numbers.

    Raises:
        ValueError: `groups` has another length than `n`.
    """
    codes, n_groups = group_codes(groups, n)
    if n_groups == 0:
        return
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS_AT_ONCE // max(n, n_groups))
    for start in range(0, n_resamples, block):
        rows = min(block, n_resamples - start)
        draws = rng.integers(n_groups, size=(rows, n_groups)) + n_groups * np.arange(rows)[:, None]
        counts = np.bincount(draws.reshape(-1), minlength=rows * n_groups).reshape(rows, n_groups)
        yield (counts if groups is None else counts[:, codes]).astype(np.float64)


def weighted_bootstrap(
    statistics: Callable[[Floats], Floats],
    used: Bools,
    groups: Groups = None,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> list[Estimate]:
    """Statistics of a corpus with their intervals from resampling its sentences, jointly.

    Does what `shared.evaluation.intervals.cluster_bootstrap` does, for many resamples and statistics at a time.

    Args:
        statistics: takes weights of the sentences [b, n] and returns k statistics of each resample [b, k], NaN where
            one is undefined.
        used: which sentences each statistic rests on [k, n].
        groups: what is drawn together (documents) [n]; None: every sentence by itself.
        level: confidence level.
        n_resamples: bootstrap resamples; those where a statistic is undefined are left out of its interval.
        seed: of the resampling.

    Returns:
        The k statistics of all sentences; unavailable where one rests on none, without interval where on one group.

    Raises:
        ValueError: `groups` has another length than the sentences.
    """
    n = used.shape[1]
    codes, _ = group_codes(groups, n)
    if n == 0:
        return [unavailable("no sentences", 0, level) for _ in used]
    values = statistics(np.ones((1, n)))[0]
    replicates = np.concatenate([statistics(weights) for weights in resample_weights(n, groups, n_resamples, seed)])
    found = []
    for value, drawn, mask in zip(values.tolist(), replicates.T, used, strict=True):
        count, n_groups, drawn = int(mask.sum()), len(np.unique(codes[mask])), drawn[np.isfinite(drawn)]
        if count == 0 or not math.isfinite(value):
            found.append(unavailable("no sentences", count, level))
        elif n_groups < 2 or drawn.size < n_resamples / 2:
            method = "no interval: one sentence or group only"
            found.append(Estimate(value, math.nan, math.nan, count, level, method))
        else:
            low, high = expanded_percentile(drawn, value, n_groups, level)
            method = f"bootstrap of {n_groups} groups, expanded percentile"
            found.append(Estimate(value, low, high, count, level, method))
    return found
