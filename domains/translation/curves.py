"""Quality against latency: the points of a system over its settings, measured on the sample and on resamples of it.

A setting (a threshold, k of wait-k) gives one point: mean LAAL and corpus chrF (or BLEU) of the test sentences.

Intervals: sentences are drawn with replacement, the same ones for all systems, settings and seeds. Training seeds are
the second level: drawn too, independently of the sentences (A. Owen, Annals of Applied Statistics 1(2), 2007), with
each seed's distance from the seeds' mean stretched by sqrt(S/(S-1)) as in `shared.evaluation.intervals.over_seeds`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domains.translation.latency.delays import Delays
from domains.translation.latency.summary import sentence_latency
from domains.translation.quality import QualityStatistics
from domains.translation.resampling import resample_weights
from shared.evaluation.intervals import Estimate, Groups, expanded_percentile, group_codes

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Point:
    """A system at one setting, measured on every test sentence.

    Attributes:
        setting: what it was run with, e.g. ``threshold 0.5``.
        latency: of each sentence [n]; NaN where the prediction is empty (such a sentence counts in quality only).
        quality: counts of each sentence.
    """

    setting: str
    latency: Floats
    quality: QualityStatistics

    @classmethod
    def of(cls, setting: str, delays: Sequence[Delays], quality: QualityStatistics, lag: str = "LAAL") -> "Point":
        """A point from delays.

        Args:
            setting: its name.
            delays: of each sentence [n].
            quality: of the same sentences.
            lag: AL, LAAL, YAAL, AP or DAL.

        Raises:
            ValueError: another number of delays than of sentences in `quality`.
        """
        return cls(setting, sentence_latency(delays).lags[lag], quality)

    def __post_init__(self) -> None:
        if len(self.latency) != len(self.quality.counts):
            raise ValueError(f"{len(self.latency)} latencies and quality of {len(self.quality.counts)} sentences")


@dataclass(frozen=True, slots=True)
class System:
    """The points of a system for each of its training seeds; a system that is not trained has one.

    Attributes:
        name: for tables and plots.
        seeds: points by seed, with the same settings in the same order.
    """

    name: str
    seeds: Mapping[int, Sequence[Point]]

    def __post_init__(self) -> None:
        # In the order of their numbers, so that equal seeds of two systems stand at equal places.
        object.__setattr__(self, "seeds", {number: self.seeds[number] for number in sorted(self.seeds)})
        settings = {tuple(point.setting for point in points) for points in self.seeds.values()}
        if len(settings) != 1 or settings == {()}:
            raise ValueError(f"{self.name}: every seed needs the same settings, one at least")
        sizes = {len(point.latency) for points in self.seeds.values() for point in points}
        scores = {(p.quality.metric, p.quality.signature) for points in self.seeds.values() for p in points}
        if len(sizes) != 1 or len(scores) != 1:
            raise ValueError(f"{self.name}: its points are not measured on the same sentences with the same score")

    @property
    def points(self) -> Sequence[Point]:
        """Those of the first seed."""
        return next(iter(self.seeds.values()))


Measured = tuple[Floats, Floats]  # latency and quality of a system on each resample, both [B, seeds, points]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of a curve with its intervals, over sentences and, where there are several, seeds."""

    setting: str
    latency: Estimate
    quality: Estimate


def curve(
    system: System, groups: Groups = None, *, level: float = 0.95, n_resamples: int = 1000, seed: int = 0
) -> list[CurvePoint]:
    """The points of a system, from low to high latency, means over its seeds.

    Args:
        system: its points.
        groups: sentences that are drawn together (documents) [n]; None: every sentence by itself.
        level: confidence level.
        n_resamples: bootstrap resamples.
        seed: of the resampling.
    """
    n_groups = group_codes(groups, len(system.points[0].latency))[1]
    value = measure([system], np.ones((1, len(system.points[0].latency))))[0]
    drawn = measure_resamples([system], groups, n_resamples, seed)[0]
    seeds = draw_seeds([system], n_resamples, seed)[0]
    rows = []
    for number, point in enumerate(system.points):
        estimates = []
        for axis in (0, 1):
            replicates = mean_of_drawn(stretch_seeds(drawn[axis][:, :, number], value[axis][:, :, number]), seeds)
            estimates.append(_estimate(float(value[axis][0, :, number].mean()), replicates, n_groups, level, point))
        rows.append(CurvePoint(point.setting, *estimates))
    return sorted(rows, key=lambda one: one.latency.value)


def measure(systems: Sequence[System], weights: Floats) -> list[Measured]:
    """Latency and quality of all points on resamples given as weights [B, n]."""
    found = []
    for system in systems:
        latency, quality = [], []
        for points in system.seeds.values():
            lags = np.stack([point.latency for point in points], axis=1)  # [n, points]
            there = np.isfinite(lags)
            with np.errstate(divide="ignore", invalid="ignore"):
                latency.append((weights @ np.where(there, lags, 0.0)) / (weights @ there.astype(np.float64)))
            quality.append(np.stack([p.quality.scores(weights @ p.quality.counts) for p in points], axis=1))
        found.append((np.stack(latency, axis=1), np.stack(quality, axis=1)))
    return found


def measure_resamples(systems: Sequence[System], groups: Groups, n_resamples: int, seed: int) -> list[Measured]:
    """Latency and quality of all points on bootstrap resamples, the same ones for all systems.

    Args:
        systems: measured on the same sentences in the same order.
        groups: sentences that are drawn together [n]; None: every sentence by itself.
        n_resamples: B.
        seed: of the draws.
    """
    n = len(systems[0].points[0].latency)
    blocks = [measure(systems, weights) for weights in resample_weights(n, groups, n_resamples, seed)]
    return [
        (
            np.concatenate([block[number][0] for block in blocks]),
            np.concatenate([block[number][1] for block in blocks]),
        )
        for number in range(len(systems))
    ]


def draw_seeds(systems: Sequence[System], n_resamples: int, seed: int) -> list[NDArray[np.int64]]:
    """Which seeds [B, S] each resample takes of each system: the same of systems that have the same seeds, else
    independent ones.
    """
    rng = np.random.default_rng([seed, 1])
    drawn: dict[tuple[int, ...], NDArray[np.int64]] = {}
    for system in systems:
        numbers = tuple(system.seeds)
        if numbers not in drawn:
            drawn[numbers] = rng.integers(len(numbers), size=(n_resamples, len(numbers)))
    return [drawn[tuple(system.seeds)] for system in systems]


def stretch_seeds(replicates: Floats, value: Floats) -> Floats:
    """Replicates [B, S] with each seed's own distance from the mean (of `value` [1, S]) put to its full size."""
    count = value.shape[1]
    if count < 2:
        return replicates
    return replicates + (math.sqrt(count / (count - 1)) - 1) * (value - value.mean(axis=1, keepdims=True))


def mean_of_drawn(replicates: Floats, draws: NDArray[np.int64]) -> Floats:
    """Mean over the seeds that each resample drew [B]."""
    return np.take_along_axis(replicates, draws, axis=1).mean(axis=1)


def _estimate(value: float, replicates: Floats, n_groups: int, level: float, point: Point) -> Estimate:
    n = len(point.latency)
    finite = replicates[np.isfinite(replicates)]
    if not math.isfinite(value) or n_groups < 2 or finite.size < replicates.size / 2:
        return Estimate(value, math.nan, math.nan, n, level, "no interval: too few sentences")
    low, high = expanded_percentile(finite, value, n_groups, level)
    return Estimate(value, low, high, n, level, f"bootstrap of {n_groups} groups, expanded percentile")
