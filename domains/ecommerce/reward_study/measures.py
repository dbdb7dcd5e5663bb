"""What held-out log-odds are worth: accuracy by tier and with length under control, log-loss, calibration, tests.

Length is controlled in two ways, for a longer summary is preferred in three of four pairs:

- *matched*: accuracy on pairs whose summaries have about as many words, where length can say next to nothing (as the
  stratified comparison of Singhal et al., https://arxiv.org/abs/2310.03716);
- *partialled out*: accuracy of ``m - g d``, with m the log-odds, d the difference of log words, and g the least-squares
  slope of m on d without intercept (Frisch and Waugh 1933), so that what is left is uncorrelated with length. The
  intent is that of the length-controlled win rate (Dubois et al., https://arxiv.org/abs/2404.04475): what would be
  said of two summaries of one length. A reward that is a function of log words alone is left with ties, .5. The slope
  uses no label: swapping the sides of a pair negates m and d and leaves g as it was.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from domains.ecommerce.reward_study.config import SetName
from domains.ecommerce.reward_study.pairs import Ints, Mask, StudyPairs
from shared.evaluation.calibration import expected_calibration_error, log_losses, pair_outcomes
from shared.evaluation.intervals import (
    Estimate,
    Floats,
    bootstrap_mean,
    cluster_bootstrap,
    over_seeds,
    unavailable,
)
from shared.evaluation.paired import PairedDifference, holm, paired_difference

ACCURACIES = ("accuracy", "cross_tier", "same_tier", "length_matched", "length_contrary", "length_partialled")
MEASURES = (*ACCURACIES, "log_loss", "ece")
TESTED = ("accuracy", "same_tier", "length_partialled", "log_loss")


def without_length(margins: Floats, differences: Floats, folds: Ints) -> Floats:
    """Log-odds with log length partialled out within each fold, whose model is one and the same.

    Args:
        margins: log-odds [n].
        differences: log words of chosen minus those of rejected [n].
        folds: the fold of each pair [n].

    Returns:
        [n]; what is left of a margin by rounding alone is 0, a tie.
    """
    left = np.array(margins, dtype=np.float64)
    for fold in np.unique(folds):
        here = np.flatnonzero((folds == fold) & np.isfinite(left))
        m, d = left[here], differences[here]
        square = float(d @ d)
        rest = m - (float(m @ d) / square if square else 0.0) * d
        left[here] = np.where(np.abs(rest) <= 1e-9 * np.abs(m).max(initial=0.0), 0.0, rest)
    return left


def values_of(margins: Floats, pairs: StudyPairs, folds: Ints, matched: float) -> dict[str, tuple[Floats, Mask]]:
    """What is averaged for each measure, [seeds, n], and the pairs over which, [n]; calibration error excepted.

    Args:
        margins: log-odds [seeds, n]; NaN where a pair has none.
        pairs: the pairs.
        folds: the fold of each.
        matched: see `StudyPairs.matched`.
    """
    known = np.isfinite(margins).all(axis=0)
    outcomes = np.stack([pair_outcomes(one) for one in margins])
    free = np.stack([pair_outcomes(without_length(one, pairs.length_differences, folds)) for one in margins])
    masks = {
        "accuracy": known,
        "cross_tier": known & pairs.cross_tier,
        "same_tier": known & pairs.same_tier,
        "length_matched": known & pairs.matched(matched),
        "length_contrary": known & (pairs.words[0] < pairs.words[1]),
    }
    found = {name: (outcomes, mask) for name, mask in masks.items()}
    found["length_partialled"] = (free, known)
    found["log_loss"] = (np.stack([log_losses(np.where(known, one, 0.0)) for one in margins]), known)
    return found


def measure(
    margins: Floats, pairs: StudyPairs, folds: Ints, matched: float, n_resamples: int, seed: int
) -> dict[str, Estimate]:
    """Every measure of one set, with an interval from resampling products (and seeds, where there are several).

    Args:
        margins: log-odds [seeds, n].
        pairs: the pairs.
        folds: the fold of each.
        matched: see `StudyPairs.matched`.
        n_resamples: bootstrap resamples.
        seed: of the resampling.

    Returns:
        By name, see `MEASURES`: accuracies (a tie counts .5), log-loss in nats, expected calibration error over 15
        bins. The folds' models are taken as they are: intervals are about products, not about other training sets.
    """
    found: dict[str, Estimate] = {}
    for name, (values, mask) in values_of(margins, pairs, folds, matched).items():
        kept = [group for group, keep in zip(pairs.groups, mask, strict=True) if keep]
        if not kept:
            found[name] = unavailable("no such pair")
        elif len(values) > 1:
            found[name] = over_seeds([one[mask] for one in values], kept, n_resamples=n_resamples, seed=seed)
        else:
            found[name] = bootstrap_mean(values[0][mask], kept, n_resamples=n_resamples, seed=seed)
    known = np.flatnonzero(np.isfinite(margins).all(axis=0))

    def calibration_error(places: Ints) -> float:
        return float(np.mean([expected_calibration_error(one[known[places]]) for one in margins]))

    found["ece"] = cluster_bootstrap(
        calibration_error,
        len(known),
        [pairs.groups[place] for place in known],
        kind="basic",
        bounds=(0.0, 1.0),
        n_resamples=min(n_resamples, 1000),
        seed=seed,
    )
    return found


def differences(
    margins: Mapping[SetName, Floats],
    against: Sequence[SetName],
    pairs: StudyPairs,
    folds: Ints,
    matched: float,
    n_resamples: int,
    seed: int,
) -> dict[str, dict[SetName, dict[SetName, tuple[PairedDifference, float]]]]:
    """Paired differences of every set to the baselines, on the pairs that both score.

    Args:
        margins: log-odds of each set, [seeds, n]; a set of several seeds is compared by its mean over them.
        against: the baselines; those that were not run are passed over.
        pairs: the pairs.
        folds: the fold of each.
        matched: see `StudyPairs.matched`.
        n_resamples: bootstrap resamples and sign flips.
        seed: of both.

    Returns:
        By measure (see `TESTED`), baseline and set: the difference, set minus baseline (log-loss: below 0 is better),
        and its p value after Holm's adjustment over all comparisons of the measure. Two baselines are compared once.
    """
    values = {name: values_of(one, pairs, folds, matched) for name, one in margins.items()}
    found: dict[str, dict[SetName, dict[SetName, tuple[PairedDifference, float]]]] = {}
    for measured in TESTED:
        raw: dict[tuple[SetName, SetName], PairedDifference] = {}
        for baseline in against:
            for name in margins:
                if baseline not in margins or name == baseline or (name, baseline) in raw:
                    continue
                (ours, mine), (theirs, known) = values[name][measured], values[baseline][measured]
                places = np.flatnonzero(mine & known)
                raw[baseline, name] = paired_difference(
                    ours.mean(axis=0)[places],
                    theirs.mean(axis=0)[places],
                    [pairs.groups[place] for place in places],
                    n_resamples=n_resamples,
                    seed=seed,
                )
        adjusted = holm({f"{baseline} {name}": one.p_value for (baseline, name), one in raw.items()})
        table: dict[SetName, dict[SetName, tuple[PairedDifference, float]]] = {}
        for (baseline, name), one in raw.items():
            table.setdefault(baseline, {})[name] = (one, adjusted[f"{baseline} {name}"])
        found[measured] = table
    return found
