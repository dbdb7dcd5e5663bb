"""Whether one system's quality-latency curve lies above another's.

Points joined by straight lines make the curve, and two systems are compared where both have one: at equal latencies,
and by the area under their curves over the lower half of the common range, which is where simultaneous translation
matters. Nothing is extrapolated. On each resample (`domains.translation.curves`) everything is computed anew: points,
their order, the common range, the areas.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domains.translation.curves import (
    Measured,
    System,
    draw_seeds,
    mean_of_drawn,
    measure,
    measure_resamples,
    stretch_seeds,
)
from shared.evaluation.intervals import Groups, expanded_percentile, finite_or_none, group_codes
from shared.evaluation.paired import PairedDifference

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AtLatency:
    """Both systems at one latency: quality interpolated between their points."""

    latency: float
    a: float
    b: float
    difference: PairedDifference


@dataclass(frozen=True, slots=True)
class CurveComparison:
    """How the curves of two systems lie to each other.

    Attributes:
        a: name of the first system.
        b: name of the second.
        metric: chrF, BLEU or COMET.
        low: lower end of the range of latency that all curves have in common; NaN where there is none.
        high: its upper end.
        area_a: mean quality of a over the lower half of that range (area under its curve by width).
        area_b: of b.
        difference: area_a - area_b with interval and p value.
        seeds: (seed of a, area of a) and (seed of b, area of b), without stretching.
        at: both systems at equal latencies.
        note: why there is no comparison, or empty.
    """

    a: str
    b: str
    metric: str
    low: float
    high: float
    area_a: float
    area_b: float
    difference: PairedDifference
    seeds: tuple[tuple[tuple[int, float], ...], tuple[tuple[int, float], ...]]
    at: tuple[AtLatency, ...]
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON; a number that is not finite becomes None."""
        row = {key: finite_or_none(value) for key, value in asdict(self).items()}
        row["difference"] = self.difference.to_json()
        row["at"] = [
            {"latency": one.latency, "a": one.a, "b": one.b, "difference": one.difference.to_json()} for one in self.at
        ]
        return row


def compare_curves(
    a: System,
    b: System,
    groups: Groups = None,
    *,
    at: Sequence[float] | None = None,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> CurveComparison:
    """Compares two systems that were measured on the same sentences, in the same order.

    Where both have the same seeds, these are drawn jointly (seed 0 of both is a pair: the same data order, or the same
    start); otherwise independently. With two or three seeds the interval understates what another seed may do: look
    at the seeds' own areas too.

    Args:
        a: the first system; a positive difference speaks for it.
        b: the second.
        groups: sentences that are drawn together (documents) [n]; None: every sentence by itself.
        at: latencies to compare at; None: at a quarter, half and three quarters of the common range, which are then
            those of the sample, not drawn anew.
        level: confidence level.
        n_resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        ValueError: other numbers of sentences, or quality scores that do not compare (metric, signature).
    """
    _check_comparable(a, b)
    n = len(a.points[0].latency)
    n_groups = group_codes(groups, n)[1]
    value = measure([a, b], np.ones((1, n)))
    low, high = (float(end[0]) for end in _common_range(value))
    names = {"a": a.name, "b": b.name, "metric": a.points[0].quality.metric}
    if not low < high:
        nothing = PairedDifference(math.nan, math.nan, math.nan, math.nan, n, n_groups, "no common range", level)
        note = f"No comparison: {_why_apart(a, b, value)}; nothing is extrapolated."
        return CurveComparison(
            **names,
            low=math.nan,
            high=math.nan,
            area_a=math.nan,
            area_b=math.nan,
            difference=nothing,
            seeds=((), ()),
            at=(),
            note=note,
        )
    areas = [_areas(one, *_lower_half(value)) for one in value]  # [1, seeds] each
    drawn = measure_resamples([a, b], groups, n_resamples, seed)
    draws = draw_seeds([a, b], n_resamples, seed)
    half = _lower_half(drawn)
    replicates = [
        mean_of_drawn(stretch_seeds(_areas(points, *half), centre), own)
        for points, centre, own in zip(drawn, areas, draws, strict=True)
    ]
    means = [float(one.mean()) for one in areas]
    method = _method(a, b, n_groups)
    difference = _difference(means[0] - means[1], replicates[0] - replicates[1], n, n_groups, level, method)
    places = [low + share * (high - low) for share in (0.25, 0.5, 0.75)] if at is None else list(at)
    equal = []
    for place in places:
        here = [_at(one, place) for one in value]
        there = [
            mean_of_drawn(stretch_seeds(_at(points, place), centre), own)
            for points, centre, own in zip(drawn, here, draws, strict=True)
        ]
        first, second = (float(one.mean()) for one in here)
        equal.append(
            AtLatency(
                place,
                first,
                second,
                _difference(first - second, there[0] - there[1], n, n_groups, level, method),
            )
        )
    own_areas = [
        tuple(zip(one.seeds, map(float, area[0]), strict=True)) for one, area in zip((a, b), areas, strict=True)
    ]
    return CurveComparison(
        **names,
        low=low,
        high=high,
        area_a=means[0],
        area_b=means[1],
        difference=difference,
        seeds=(own_areas[0], own_areas[1]),
        at=tuple(equal),
    )


def _check_comparable(a: System, b: System) -> None:
    first, second = a.points[0], b.points[0]
    if len(first.latency) != len(second.latency):
        raise ValueError(f"{a.name} is measured on {len(first.latency)} sentences, {b.name} on {len(second.latency)}")
    kinds = [(point.quality.metric, point.quality.signature) for point in (first, second)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"{a.name} and {b.name} have scores that do not compare: {kinds[0]} and {kinds[1]}")


def _common_range(measured: Sequence[Measured]) -> tuple[Floats, Floats]:
    """Latencies that every curve (system and seed) has, on each resample: lower and upper ends [B]."""
    low = np.max([latency.min(axis=2).max(axis=1) for latency, _ in measured], axis=0)
    high = np.min([latency.max(axis=2).min(axis=1) for latency, _ in measured], axis=0)
    return low, high


def _lower_half(measured: Sequence[Measured]) -> tuple[Floats, Floats]:
    low, high = _common_range(measured)
    return low, np.where(low < high, (low + high) / 2, np.nan)


def _areas(points: Measured, low: Floats, high: Floats) -> Floats:
    """Mean of each curve between low and high [B]: [B, seeds]; NaN where there is no range."""
    n_resamples, n_seeds, _ = points[0].shape
    areas = np.full((n_resamples, n_seeds), np.nan)
    for resample in np.flatnonzero(low < high):
        for seed in range(n_seeds):
            lags, scores = points[0][resample, seed], points[1][resample, seed]
            areas[resample, seed] = mean_between(lags, scores, low[resample], high[resample])
    return areas


def mean_between(latency: Floats, quality: Floats, low: float, high: float) -> float:
    """Area under the curve through the points [P] from `low` to `high`, by its width; exact, by trapezoids."""
    order = np.argsort(latency, kind="stable")
    lags, scores = latency[order], quality[order]
    knots = np.concatenate([[low], lags[(lags > low) & (lags < high)], [high]])
    # A knot of the curve stays itself even where two points share their latency (a step).
    inside = scores[(lags > low) & (lags < high)]
    ends = np.interp([low, high], lags, scores)
    heights = np.concatenate([ends[:1], inside, ends[1:]])
    return float(np.trapezoid(heights, knots) / (high - low))


def _at(points: Measured, place: float) -> Floats:
    """Quality of each curve at a latency [B, seeds]; NaN where the curve does not reach it."""
    latency, quality = points
    order = np.argsort(latency, axis=2, kind="stable")
    lags, scores = np.take_along_axis(latency, order, 2), np.take_along_axis(quality, order, 2)
    found = np.full(lags.shape[:2], np.nan)
    reached = (lags[:, :, 0] <= place) & (place <= lags[:, :, -1])
    for resample, seed in zip(*np.nonzero(reached), strict=True):
        found[resample, seed] = np.interp(place, lags[resample, seed], scores[resample, seed])
    return found


def _difference(value: float, replicates: Floats, n: int, n_groups: int, level: float, method: str) -> PairedDifference:
    finite = replicates[np.isfinite(replicates)]
    if not math.isfinite(value):
        reason = "no difference: a curve does not reach this latency"
        return PairedDifference(value, math.nan, math.nan, math.nan, n, n_groups, reason, level)
    if n_groups < 2 or finite.size < replicates.size / 2:
        reason = "no interval: one group only, or undefined on most resamples"
        return PairedDifference(value, math.nan, math.nan, math.nan, n, n_groups, reason, level)
    low, high = expanded_percentile(finite, value, n_groups, level)
    if finite.size < replicates.size:
        method += f"; {replicates.size - finite.size} of {replicates.size} resamples are undefined and left out"
    return PairedDifference(value, low, high, interval_p_value(finite, n_groups), n, n_groups, method, level)


def interval_p_value(replicates: Floats, n_groups: int) -> float:
    """Two-sided p value of "the difference is 0" that agrees with the expanded percentile interval.

    It is one less the level at which the interval's end touches 0. A replicate that is 0 counts for both sides.

    Args:
        replicates: differences on resamples [B].
        n_groups: groups that were resampled.
    """
    from scipy.stats import norm, t

    size = replicates.size
    below, above = int((replicates <= 0).sum()), int((replicates >= 0).sum())
    tail = min((min(below, above) + 1) / (size + 1), 0.5)
    spread = norm.ppf(tail) * math.sqrt((n_groups - 1) / n_groups)
    return float(min(1.0, 2 * t.cdf(spread, n_groups - 1)))


def _method(a: System, b: System, n_groups: int) -> str:
    sentences = f"joint bootstrap of {n_groups} sentences or groups"
    counts = f"{len(a.seeds)} and {len(b.seeds)}"
    if len(a.seeds) == len(b.seeds) == 1:
        return f"one seed only; {sentences}, expanded percentile"
    paired = "paired" if set(a.seeds) == set(b.seeds) else "unpaired"
    return f"{sentences} and of {counts} {paired} seeds, expanded percentile"


def _why_apart(a: System, b: System, value: Sequence[Measured]) -> str:
    single = [one.name for one, (latency, _) in zip((a, b), value, strict=True) if latency.shape[2] < 2]
    if single:
        return f"{' and '.join(single)} has one setting only, which makes no curve"
    silent = [one.name for one, (latency, _) in zip((a, b), value, strict=True) if not np.isfinite(latency).all()]
    if silent:
        return f"{' and '.join(silent)} has a setting without any latency (every prediction empty, or left out)"
    ranges = [(float(latency.min(axis=2).max()), float(latency.max(axis=2).min())) for latency, _ in value]
    shown = [
        f"{one.name} lies between {low:.2f} and {high:.2f}" if low <= high else f"the seeds of {one.name} lie apart"
        for one, (low, high) in zip((a, b), ranges, strict=True)
    ]
    return "the curves have no latency in common (" + ", ".join(shown) + ")"
