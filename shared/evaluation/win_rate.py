"""Win rate of one model's responses over another's, free and length-controlled, and whether it is evidence.

A win rate is only as good as its judge. The judge's own accuracy on held-out labelled pairs therefore stands in
the same report, and where its interval does not lie above .5 the report says that the win rate is no evidence.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from shared.evaluation.calibration import pair_outcomes
from shared.evaluation.intervals import (
    Estimate,
    Floats,
    Groups,
    bootstrap_mean,
    expanded_percentile,
    finite_or_none,
    group_codes,
    reason_not_estimable,
    unavailable,
)

_NEWTON_STEPS = 60
_LONGEST_STEP = 2.0


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """A length-controlled win rate and the regression behind it.

    Attributes:
        win_rate: predicted win rate at equal length.
        length_coefficient: change in log-odds as tanh(standardised length difference) goes from 0 to 1; above 0
            the judge's wins go with length.
        mean_length_difference: candidate - opponent, in the unit given.
    """

    win_rate: Estimate
    length_coefficient: float
    mean_length_difference: float

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            "win_rate": self.win_rate.to_json(),
            "length_coefficient": finite_or_none(self.length_coefficient),
            "mean_length_difference": finite_or_none(self.mean_length_difference),
        }


@dataclass(frozen=True, slots=True)
class WinRateReport:
    """Win rate of the candidate over the opponent, with what is needed to believe it.

    Attributes:
        win_rate: share of prompts won, a tie counting .5, clustered by prompt.
        length_controlled: the same at equal length.
        judge_accuracy: of the judge on held-out labelled pairs, with interval; None where it is not known.
        judge_length_contrary_accuracy: the same on pairs whose better side is the shorter one (a judge by
            length has 0); None where it is not known.
        order_flips: share of comparisons whose winner depends on the order shown; None for a judge that has
            none by construction.
        evidence: whether the judge is better than chance beyond its interval.
        statement: the above in words, for reports and the model card.
        outcomes: 1, .5 or 0 of each comparison [n], for paired tests between candidates.
    """

    win_rate: Estimate
    length_controlled: LengthControlled
    judge_accuracy: Estimate | None
    judge_length_contrary_accuracy: Estimate | None
    order_flips: float | None
    evidence: bool
    statement: str
    outcomes: Floats

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON, without the outcomes of single prompts."""
        contrary = self.judge_length_contrary_accuracy
        return {
            "win_rate": self.win_rate.to_json(),
            "length_controlled": self.length_controlled.to_json(),
            "judge_accuracy": self.judge_accuracy and self.judge_accuracy.to_json(),
            "judge_length_contrary_accuracy": contrary and contrary.to_json(),
            "order_flips": self.order_flips,
            "evidence": self.evidence,
            "statement": self.statement,
        }


def win_rate_report(
    margins: ArrayLike,
    candidate_lengths: ArrayLike,
    opponent_lengths: ArrayLike,
    groups: Groups = None,
    *,
    judge_accuracy: Estimate | None,
    judge_length_contrary_accuracy: Estimate | None = None,
    reversed_margins: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> WinRateReport:
    """Compares two models' responses to the same prompts by a judge's log-odds.

    Args:
        margins: the judge's log-odds that the candidate's response is the better one [n].
        candidate_lengths: of the candidate's responses, in tokens or characters [n].
        opponent_lengths: of the opponent's, in the same unit [n].
        groups: the prompt of each comparison [n]; None: each prompt occurs once.
        judge_accuracy: the judge's accuracy on labelled pairs that neither it nor the policy was trained on.
        judge_length_contrary_accuracy: `contrary_accuracy` of the judge on those pairs by length.
        reversed_margins: for a judge that is not antisymmetric, its log-odds that the *opponent* is better when
            that is shown first [n]; the two orders are averaged.
        level: confidence level.
        seed: of the bootstrap.

    Returns:
        The report; `evidence` is False without a judge accuracy whose interval lies above .5.

    Raises:
        ValueError: the arrays are not equally long.
    """
    log_odds = np.asarray(margins, dtype=np.float64).reshape(-1)
    flips = None
    if reversed_margins is not None:
        log_odds, flips = average_orders(log_odds, reversed_margins)
    outcomes = pair_outcomes(log_odds)
    controlled = length_controlled_win_rate(
        outcomes, candidate_lengths, opponent_lengths, groups, level=level, seed=seed
    )
    evidence, statement = judge_statement(judge_accuracy, judge_length_contrary_accuracy)
    return WinRateReport(
        win_rate=bootstrap_mean(outcomes, groups, level=level, seed=seed),
        length_controlled=controlled,
        judge_accuracy=judge_accuracy,
        judge_length_contrary_accuracy=judge_length_contrary_accuracy,
        order_flips=flips,
        evidence=evidence,
        statement=statement,
        outcomes=outcomes,
    )


def average_orders(margins: ArrayLike, reversed_margins: ArrayLike) -> tuple[Floats, float]:
    """Log-odds without position bias: half the difference of both orders [n], and the share of flips.

    Args:
        margins: log-odds that A is better, A shown first [n].
        reversed_margins: log-odds that B is better, B shown first [n].

    Returns:
        Log-odds that A is better, and the share of pairs where the two orders name different winners.

    Raises:
        ValueError: the arrays are not equally long.
    """
    first = np.asarray(margins, dtype=np.float64).reshape(-1)
    second = np.asarray(reversed_margins, dtype=np.float64).reshape(-1)
    if first.size != second.size:
        raise ValueError(f"{first.size} comparisons in one order and {second.size} in the other")
    flips = float((first * second > 0).mean()) if first.size else 0.0
    return (first - second) / 2, flips


def judge_statement(accuracy: Estimate | None, length_contrary: Estimate | None) -> tuple[bool, str]:
    """Whether a win rate by this judge is evidence, and the sentence that says so.

    It is where the interval of the judge's held-out accuracy lies above .5; not where it includes .5, lies below
    it, or is not known.
    """
    if accuracy is None or not math.isfinite(accuracy.value):
        return False, "The judge's held-out accuracy is not known: the win rate is no evidence."
    if not accuracy.has_interval():
        return False, (
            f"The judge's held-out accuracy is {accuracy.value:.3f} without an interval (n = {accuracy.n}): "
            "the win rate is no evidence."
        )
    beside = f"The judge's held-out accuracy is {accuracy} (n = {accuracy.n})"
    if accuracy.high < 0.5:
        return False, f"{beside}, below chance: the win rate is no evidence."
    if accuracy.low <= 0.5:
        return False, f"{beside}, an interval that includes .5: the win rate is no evidence."
    statement = f"{beside}, better than chance."
    if length_contrary is not None and length_contrary.has_interval() and length_contrary.high < 0.5:
        statement += (
            f" Where the better response is the shorter one it is right in {length_contrary} only "
            f"(n = {length_contrary.n}): it judges by length, so read the length-controlled win rate."
        )
    return True, statement


def length_controlled_win_rate(
    outcomes: ArrayLike,
    candidate_lengths: ArrayLike,
    opponent_lengths: ArrayLike,
    groups: Groups = None,
    *,
    ridge: float = 0.1,
    intercept_ridge: float = 0.01,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> LengthControlled:
    """The win rate that would be seen at equal length, by a logistic regression on the length difference.

    After length-controlled AlpacaEval (arXiv 2404.04475). The same: P(win) = sigmoid(theta + phi tanh(delta /
    std(delta))) with delta the length difference, fitted to the preferences, and then read off at delta = 0:
    sigmoid(theta). Different: its instruction-difficulty term is estimated over many models and is left out
    here, with two models there is nothing to estimate it from, so sigmoid(theta) is a win rate at equal length
    on a typical prompt rather than an average over prompts; the penalties are fixed, not cross-validated: ridge/2
    phi^2, weak, as a stronger one leaves part of the length bias in theta (with 1 instead of .1, a judge by length
    alone and 40 prompts: .557 instead of .497), and a tenth of it on theta, so that a model that wins every
    comparison still has a finite one;
    preferences are wins (1), ties (.5) and losses; and the interval is a bootstrap over prompts, where the
    original prints none. Swapping the models turns the result into 1 - result exactly.

    Args:
        outcomes: 1, .5 or 0 for the candidate, or any share in between [n].
        candidate_lengths: [n].
        opponent_lengths: in the same unit [n].
        groups: the prompt of each comparison [n].
        ridge: penalty of phi.
        intercept_ridge: penalty of theta.
        level: confidence level.
        n_resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        ValueError: the arrays are not equally long.
    """
    wins = np.asarray(outcomes, dtype=np.float64).reshape(-1)
    candidate = np.asarray(candidate_lengths, dtype=np.float64).reshape(-1)
    opponent = np.asarray(opponent_lengths, dtype=np.float64).reshape(-1)
    if not wins.size == candidate.size == opponent.size:
        raise ValueError(f"{wins.size} outcomes, {candidate.size} and {opponent.size} lengths")
    differences = candidate - opponent
    codes, n_groups = group_codes(groups, wins.size)
    for values in (wins, differences):
        if (reason := reason_not_estimable(values)) is not None:
            return LengthControlled(unavailable(reason, wins.size, level), math.nan, math.nan)
    deviation = float(differences.std())
    mean_difference = float(differences.mean())
    if deviation == 0 and mean_difference != 0:
        reason = "not identifiable: every comparison has the same length difference"
        return LengthControlled(unavailable(reason, wins.size, level), math.nan, mean_difference)
    feature = np.tanh(differences / deviation) if deviation > 0 else np.zeros(wins.size)
    point = _fit_logistic(wins[None], feature[None], np.ones((1, wins.size)), ridge, intercept_ridge)[0]
    value = _sigmoid(point[0])
    if n_groups < 2:
        estimate = Estimate(value, math.nan, math.nan, wins.size, level, "no interval: one group only")
        return LengthControlled(estimate, float(point[1]), mean_difference)
    if wins[0] in (0.0, 1.0) and np.all(wins == wins[0]):
        # No resample can differ: as in `bootstrap_mean`, Wilson's interval over groups stands in.
        stand_in = bootstrap_mean(wins, groups, level=level)
        low, high = min(stand_in.low, value), max(stand_in.high, value)
        estimate = Estimate(value, low, high, wins.size, level, stand_in.method)
        return LengthControlled(estimate, float(point[1]), mean_difference)
    # The bootstrap refits; the scale of the length difference is part of the definition and stays.
    rng = np.random.default_rng(seed)
    block = max(1, 1_000_000 // wins.size)
    intercepts = []
    for start in range(0, n_resamples, block):
        rows = min(block, n_resamples - start)
        draw = rng.integers(n_groups, size=(rows, n_groups))
        offsets = draw + n_groups * np.arange(rows)[:, None]
        of_groups = np.bincount(offsets.reshape(-1), minlength=rows * n_groups).reshape(rows, n_groups)
        weights = of_groups[:, codes].astype(np.float64)
        intercepts.append(_fit_logistic(wins[None], feature[None], weights, ridge, intercept_ridge)[:, 0])
    ends = expanded_percentile(np.concatenate(intercepts), float(point[0]), n_groups, level)
    low, high = (_sigmoid(end) for end in ends)
    method = f"logistic regression at equal length, bootstrap of {n_groups} groups, expanded percentile"
    estimate = Estimate(value, low, high, wins.size, level, method)
    return LengthControlled(estimate, float(point[1]), mean_difference)


def _sigmoid(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(x / 2))


def _fit_logistic(targets: Floats, feature: Floats, weights: Floats, ridge: float, intercept_ridge: float) -> Floats:
    """Fits many weighted two-parameter logistic regressions at once by Newton's method.

    sklearn's fits one at a time, to 0/1 labels; a bootstrap needs a thousand, to shares.

    Args:
        targets: shares in [0, 1], [1, n].
        feature: [1, n].
        weights: [fits, n].
        ridge: penalty of the slope.
        intercept_ridge: penalty of the intercept.

    Returns:
        (intercept, slope) of each fit [fits, 2].
    """
    theta = np.zeros((weights.shape[0], 1))
    phi = np.zeros_like(theta)
    for _ in range(_NEWTON_STEPS):
        p = 0.5 * (1.0 + np.tanh((theta + phi * feature) / 2))
        residual, curvature = weights * (p - targets), weights * p * (1 - p)
        g0 = residual.sum(axis=1, keepdims=True) + intercept_ridge * theta
        g1 = (residual * feature).sum(axis=1, keepdims=True) + ridge * phi
        h00 = curvature.sum(axis=1, keepdims=True) + intercept_ridge
        h01 = (curvature * feature).sum(axis=1, keepdims=True)
        h11 = (curvature * feature**2).sum(axis=1, keepdims=True) + ridge
        determinant = h00 * h11 - h01**2
        step0 = (h11 * g0 - h01 * g1) / determinant
        step1 = (h00 * g1 - h01 * g0) / determinant
        # Newton may overshoot where the data are separated; a bounded step keeps it on its way.
        shorten = np.minimum(1.0, _LONGEST_STEP / np.maximum(1e-300, np.hypot(step0, step1)))
        theta, phi = theta - shorten * step0, phi - shorten * step1
        if max(np.abs(step0).max(), np.abs(step1).max()) < 1e-10:
            break
    return np.concatenate([theta, phi], axis=1)
