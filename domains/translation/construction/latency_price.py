"""The price of latency at which waiting longer pays nothing on average.

With a price that is too low the best rendering of a source is mostly one that waited long, as later translations are
better ones; with one too high, one that hurried. At the *neutral* price, what is preferred is better than its latency
lets expect, in its words or in when it waits.
"""

from collections.abc import Mapping, Sequence
from math import isfinite

from domains.translation.construction.weighted_score import score_of
from domains.translation.preferences import PREFERENCES, Weights

Measures = Mapping[str, float]


def priced(weights: Weights, sources: Sequence[Sequence[Measures]]) -> Weights:
    """The weights, with a number where latency is to be priced neutrally.

    Args:
        weights: of the five preferences.
        sources: measures of the renderings of every source.
    """
    if weights.latency != "neutral":
        return weights
    return weights.model_copy(update={"latency": neutral_price(weights, sources)})


def neutral_price(weights: Weights, sources: Sequence[Sequence[Measures]]) -> float:
    """The weight w of latency for which ``sum_i w_i value_i`` has no slope over the latency within sources.

    Ordinary least squares with a fixed effect for every source: w = -cov(rest, latency) / var(latency), both within
    sources, where *rest* is the weighted sum of the other preferences. (The measure of latency is higher where less is
    waited, so that a price above 0 means that waiting helps the rest.)

    Args:
        weights: of the other preferences.
        sources: measures of the renderings of every source.

    Returns:
        The weight, at least 0: where waiting does not help, hurrying needs no price. 0 where no source has two
        latencies.
    """
    others = weights.model_copy(update={"latency": 0.0})
    present = [_weight_present(one, others) for several in sources for one in several]
    # A score divides by the weights of the preferences that a rendering has; nearly always all have the same.
    total = sum(present) / len(present) if present else 0.0
    together = spread = 0.0
    for renderings in sources:
        rows = [(score_of(one, others) * total, one["latency"]) for one in renderings if "latency" in one]
        rows = [(rest, latency) for rest, latency in rows if isfinite(rest)]
        if len(rows) < 2:
            continue
        rest_mean = sum(rest for rest, _ in rows) / len(rows)
        latency_mean = sum(latency for _, latency in rows) / len(rows)
        together += sum((rest - rest_mean) * (latency - latency_mean) for rest, latency in rows)
        spread += sum((latency - latency_mean) ** 2 for _, latency in rows)
    return max(0.0, -together / spread) if spread else 0.0


def _weight_present(measures: Measures, weights: Weights) -> float:
    return sum(float(getattr(weights, name)) for name in PREFERENCES if name in measures)
