"""Held-out accuracy by number of training pairs, and how many pairs it takes to pass a level."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from domains.ecommerce.reward_study.config import CurveStudy, SetName
from domains.ecommerce.reward_study.cross_fit import Fitting, choose_l2, fitted, margins_of
from domains.ecommerce.reward_study.designs import Design
from domains.ecommerce.reward_study.pairs import Ints
from shared.evaluation.calibration import pair_outcomes
from shared.evaluation.intervals import Estimate, Floats, finite_or_none, group_codes, over_seeds

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Accuracy after training on `size` pairs.

    Attributes:
        size: training pairs.
        accuracy: mean over draws and held-out pairs; its interval resamples both.
        draw_deviation: standard deviation of the accuracy on the same held-out pairs between draws of training pairs:
            what luck in the choice of pairs to label makes.
    """

    size: int
    accuracy: Estimate
    draw_deviation: float

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            "size": self.size,
            "accuracy": self.accuracy.to_json(),
            "draw_deviation": finite_or_none(self.draw_deviation),
        }


@dataclass(frozen=True, slots=True)
class Crossing:
    """How many training pairs it takes to pass a level, by the rising curve nearest to the measured one.

    Attributes:
        pairs: between sizes by a line over log(size); the smallest size where it is passed there already; None where
            it is not passed by the largest.
        low: lower end of the 95 % interval, over products and draws; None as `pairs`.
        high: its upper end.
        passed: share of resamples in which the level is passed at all.
        at_smallest: share of resamples in which it is passed at the smallest size already.
    """

    pairs: float | None
    low: float | None
    high: float | None
    passed: float
    at_smallest: float

    def to_json(self) -> dict[str, float | None]:
        """A dictionary for JSON."""
        return {name: getattr(self, name) for name in ("pairs", "low", "high", "passed", "at_smallest")}


@dataclass(frozen=True, slots=True)
class Curve:
    """The learning curve of one feature set."""

    points: tuple[CurvePoint, ...]
    crossing: Crossing


def training_draw(groups: Sequence[str], pool: Ints, size: int, rng: np.random.Generator) -> Ints:
    """Places of `size` pairs of the pool, whole products in a drawn order, the last one cut where it is too many."""
    names = sorted({groups[int(place)] for place in pool})
    rank = {name: place for place, name in enumerate(rng.permutation(names).tolist())}
    ordered = sorted(pool.tolist(), key=lambda place: (rank[groups[place]], place))
    return np.array(ordered[:size], dtype=np.int64)


def usable_sizes(sizes: Sequence[int], folds: Ints) -> tuple[int, ...]:
    """Sizes that the training part of every fold can give."""
    least = len(folds) - int(np.bincount(folds).max())
    return tuple(size for size in sizes if size <= least)


def learning_curves(
    designs: Mapping[SetName, Design],
    groups: Sequence[str],
    folds: Ints,
    config: CurveStudy,
    n_resamples: int,
    seed: int,
    on_progress: Progress = lambda done, total, text: None,
) -> dict[SetName, Curve]:
    """Curves of several sets on the same draws.

    For every fold and repetition the products outside the fold are put in a drawn order; the first `size` pairs of it
    are trained on (a larger size adds to a smaller one), with the penalty chosen inside them, and the fold is scored.
    So every pair is scored `repeats` times at each size.

    Args:
        designs: the sets; features of n pairs.
        groups: the product of each pair [n].
        folds: the fold of each pair [n].
        config: sizes, draws, level.
        n_resamples: bootstrap resamples.
        seed: of draws and resampling.
        on_progress: called with (fits done, all, text).

    Returns:
        By name; a set has no points where no size is usable.
    """
    sizes = usable_sizes(config.sizes, folds)
    if not sizes:
        return {}
    fitting = Fitting(config.l2, config.inner_folds, seed)
    outcomes = {name: np.full((len(sizes), config.repeats, len(folds)), np.nan) for name in designs}
    numbers = sorted(set(folds.tolist()))
    total, done = len(numbers) * config.repeats, 0
    for fold in numbers:
        test, pool = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        for repeat in range(config.repeats):
            rng = np.random.default_rng((seed, fold, repeat))
            drawn = training_draw(groups, pool, sizes[-1], rng)
            for at, size in enumerate(sizes):
                for name, design in designs.items():
                    sides, train = design.sides(fold), drawn[:size]
                    l2 = choose_l2(design.names, sides, groups, train, fitting)
                    network = fitted(design.names, sides, train, l2, fitting, seed)
                    outcomes[name][at, repeat, test] = pair_outcomes(margins_of(network, sides, test))
            done += 1
            on_progress(done, total, "learning curve")
    return {name: _curve(outcomes[name], sizes, groups, folds, config, n_resamples, seed) for name in designs}


def _curve(
    outcomes: Floats,
    sizes: Sequence[int],
    groups: Sequence[str],
    folds: Ints,
    config: CurveStudy,
    n_resamples: int,
    seed: int,
) -> Curve:
    points = []
    for at, size in enumerate(sizes):
        accuracy = over_seeds(list(outcomes[at]), groups, n_resamples=n_resamples, seed=seed)
        by_fold = np.stack([outcomes[at][:, folds == fold].mean(axis=1) for fold in sorted(set(folds.tolist()))])
        deviation = float(np.sqrt(by_fold.var(axis=1, ddof=1).mean()))
        points.append(CurvePoint(size, accuracy, deviation))
    return Curve(tuple(points), crossing(outcomes, sizes, groups, config.level, n_resamples, seed))


def size_at(sizes: Sequence[int], accuracies: Floats, level: float) -> float:
    """The size at which the accuracies reach `level`: the first one where they do there, infinity where never.

    Between sizes the curve is a line over log(size), through the non-decreasing values nearest to the measured ones.
    """
    from scipy.optimize import isotonic_regression

    curve = np.asarray(isotonic_regression(accuracies).x)
    above = np.flatnonzero(curve >= level)
    if not above.size:
        return float("inf")
    at = int(above[0])
    if at == 0:
        return float(sizes[0])
    share = (level - curve[at - 1]) / (curve[at] - curve[at - 1])
    return float(np.exp(np.log(sizes[at - 1]) + share * np.log(sizes[at] / sizes[at - 1])))


def crossing(
    outcomes: Floats, sizes: Sequence[int], groups: Sequence[str], level: float, n_resamples: int, seed: int
) -> Crossing:
    """Where a curve passes a level, with a percentile interval from resampling products and repetitions (crossed).

    Args:
        outcomes: 1, .5 or 0 of every pair, [sizes, repeats, n].
        sizes: training pairs of each row.
        groups: the product of each pair [n].
        level: the accuracy asked for.
        n_resamples: bootstrap resamples.
        seed: of the resampling.
    """
    codes, n_groups = group_codes(groups, outcomes.shape[2])
    counts = np.bincount(codes, minlength=n_groups).astype(np.float64)
    sums = np.stack([[np.bincount(codes, weights=one, minlength=n_groups) for one in row] for row in outcomes])
    rng, repeats = np.random.default_rng(seed), outcomes.shape[1]
    found = np.zeros(n_resamples)
    for index in range(n_resamples):
        weights = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups).astype(np.float64)
        by_repeat = sums @ weights / (counts @ weights)
        found[index] = size_at(sizes, by_repeat[:, rng.integers(repeats, size=repeats)].mean(axis=1), level)
    value = size_at(sizes, outcomes.mean(axis=(1, 2)), level)
    ordered = np.sort(found)
    low, high = (float(ordered[round(share * (n_resamples - 1))]) for share in (0.025, 0.975))
    return Crossing(
        finite_or_none(value),
        finite_or_none(low),
        finite_or_none(high),
        float(np.isfinite(found).mean()),
        float((found <= sizes[0]).mean()),
    )
