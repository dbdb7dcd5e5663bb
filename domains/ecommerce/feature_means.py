"""Means of factor scores before and after training: which features moved, and whether beyond chance."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shared.evaluation.intervals import bootstrap_mean, finite_or_none
from shared.evaluation.paired import holm, paired_difference

Scores = Sequence[Mapping[str, float]]


def feature_means(before: Scores, after: Scores, groups: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Every factor's mean before and after, and the paired difference.

    Args:
        before: factor scores of the summaries of one policy, by name. [n]
        after: those of another on the same products in the same order. [n]
        groups: product of each summary. [n]

    Returns:
        JSON by factor: ``before`` and ``after`` (estimates with cluster-bootstrap intervals), ``difference`` (paired),
        ``p_holm`` (over all factors) and ``standardised`` (mean difference in standard deviations of `before`, null
        where that is constant), the factors that moved most first. Factors that some summary has not are left out.
    """
    if not len(before) == len(after) == len(groups):
        raise ValueError(f"{len(before)} and {len(after)} summaries of {len(groups)} products")
    names = [name for name in (before[0] if before else {}) if all(name in row for row in (*before, *after))]
    tests, rows = {}, {}
    for name in names:
        old, new = (np.array([float(row[name]) for row in side]) for side in (before, after))
        test = paired_difference(new, old, groups)
        spread = float(old.std(ddof=1)) if len(old) > 1 else 0.0
        tests[name] = test.p_value
        rows[name] = {
            "before": bootstrap_mean(old, groups).to_json(),
            "after": bootstrap_mean(new, groups).to_json(),
            "difference": test.to_json(),
            "standardised": test.difference / spread if spread > 0 and np.isfinite(test.difference) else None,
        }
    corrected = holm(tests)
    moved = sorted(names, key=lambda name: -abs(rows[name]["standardised"] or 0.0))
    return {name: {**rows[name], "p_holm": finite_or_none(corrected[name])} for name in moved}
