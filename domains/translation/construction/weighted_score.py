"""One score of several measured preferences."""

import math
from collections.abc import Mapping

from domains.translation.preferences import PREFERENCES, Weights


def score_of(measures: Mapping[str, float], weights: Weights) -> float:
    """Weighted mean of the five preferences, of those that there are; NaN where none of them has a weight.

    Args:
        measures: by name; the preferences' from 0 to 1, higher is better.
        weights: of the five preferences, latency's a number.
    """
    weighed = [(float(getattr(weights, name)), measures[name]) for name in PREFERENCES if name in measures]
    total = math.fsum(weight for weight, _ in weighed)
    return math.fsum(weight * value for weight, value in weighed) / total if total else math.nan
