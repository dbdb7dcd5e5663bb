"""How well a preference model's probabilities are right: discrimination and calibration on held-out pairs.

Everything starts from *margins*: the model's log-odds that the chosen response of a pair is the better one
(score(chosen) - score(rejected) for a scalar model), so that p = sigmoid(margin).

A preference has no class of its own: "chosen" is merely the label. So each pair is presented in both orders,
(p, label 1) and (1 - p, label 0), wherever a measure needs two classes (AUC, ECE, reliability). This needs no
random orientation, favours no side, and makes the measures those of "is A better than B" on pairs in unknown
order. Brier score and log-loss are the same in either order.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shared.evaluation.intervals import (
    Estimate,
    Floats,
    Groups,
    bootstrap_mean,
    cluster_bootstrap,
    reason_not_estimable,
    unavailable,
    wilson,
)

Binning = Literal["equal_width", "equal_mass"]
_LOWEST_TEMPERATURE, _HIGHEST_TEMPERATURE = 1e-3, 1e3


def pair_outcomes(margins: ArrayLike) -> Floats:
    """1 where the chosen response is ranked first (margin > 0), .5 for a tie, 0 else, NaN for NaN [n]."""
    margins = np.asarray(margins, dtype=np.float64).reshape(-1)
    return np.where(np.isnan(margins), np.nan, 0.5 * (np.sign(margins) + 1.0))


def both_orders(margins: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    """Presents each pair in both orders: probabilities [2n] = (p, 1 - p) and labels [2n] = (1, 0)."""
    from scipy.special import expit

    margins = np.asarray(margins, dtype=np.float64).reshape(-1)
    labels = np.concatenate([np.ones(margins.size, np.int64), np.zeros(margins.size, np.int64)])
    return expit(np.concatenate([margins, -margins])), labels


def auc(margins: ArrayLike) -> float:
    """Area under the ROC curve of "A is better than B" over all pairs in both orders; NaN for no pairs.

    Not the accuracy: it also asks that right pairs have larger margins than wrong ones. A model that ranks all
    pairs right has 1, and one that knows nothing has .5.
    """
    from sklearn.metrics import roc_auc_score

    margins = np.asarray(margins, dtype=np.float64).reshape(-1)
    if reason_not_estimable(margins) is not None:
        return math.nan
    _, labels = both_orders(margins)
    # Margins, not probabilities: a sigmoid that saturates would make ties of different margins.
    return float(roc_auc_score(labels, np.concatenate([margins, -margins])))


def brier_scores(margins: ArrayLike) -> Floats:
    """(1 - p)^2 of each pair [n]."""
    from scipy.special import expit

    return expit(-np.asarray(margins, dtype=np.float64).reshape(-1)) ** 2


def log_losses(margins: ArrayLike) -> Floats:
    """-log sigmoid(margin) of each pair [n], in nats; log 2 = .693 for a model that knows nothing."""
    return np.logaddexp(0.0, -np.asarray(margins, dtype=np.float64).reshape(-1))


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bin of a reliability diagram.

    Attributes:
        low: lower edge of the predicted probability.
        high: upper edge.
        count: presentations in the bin (each pair is presented in both orders).
        confidence: mean predicted probability; NaN for an empty bin.
        accuracy: share of presentations where the first response is the better one, with Wilson's interval.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: Estimate

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON and plots."""
        row = asdict(self) | {"accuracy": self.accuracy.to_json()}
        return row | {"confidence": None if math.isnan(self.confidence) else self.confidence}


def reliability_table(margins: ArrayLike, *, bins: int = 15, binning: Binning = "equal_width") -> list[ReliabilityBin]:
    """Predicted probability against observed share, by bin, on pairs in both orders.

    Args:
        margins: log-odds that the chosen response is the better one [n].
        bins: number of bins.
        binning: ``equal_width`` over [0, 1], or ``equal_mass`` (adaptive: edges at quantiles of the
            predictions; equal predictions stay in one bin, so there may be fewer bins).

    Returns:
        Bins from low to high; empty for no pairs or where a margin is not finite.
    """
    margins = np.asarray(margins, dtype=np.float64).reshape(-1)
    if reason_not_estimable(margins) is not None:
        return []
    probabilities, labels = both_orders(margins)
    edges = _edges(probabilities, bins, binning)
    codes = _bin_codes(probabilities, edges)
    table = []
    for index in range(len(edges) - 1):
        inside = codes == index
        count = int(inside.sum())
        confidence = float(probabilities[inside].mean()) if count else math.nan
        accuracy = wilson(int(labels[inside].sum()), count)
        table.append(ReliabilityBin(float(edges[index]), float(edges[index + 1]), count, confidence, accuracy))
    return table


def expected_calibration_error(margins: ArrayLike, *, bins: int = 15, binning: Binning = "equal_width") -> float:
    """ECE: mean of |observed share - mean prediction| over bins, weighted by count (Guo et al., 1706.04599).

    On pairs in both orders, so a model that is sure and always right has 0 and one that says .5 of every pair
    has 0 too. The plug-in value is biased upwards on small samples: compare models on the same pairs only.
    NaN for no pairs or where a margin is not finite.
    """
    margins = np.asarray(margins, dtype=np.float64).reshape(-1)
    if reason_not_estimable(margins) is not None:
        return math.nan
    probabilities, labels = both_orders(margins)
    edges = _edges(probabilities, bins, binning)
    codes = _bin_codes(probabilities, edges)
    gaps = np.bincount(codes, weights=labels - probabilities, minlength=len(edges) - 1)
    return float(np.abs(gaps).sum() / probabilities.size)


def _edges(probabilities: Floats, bins: int, binning: Binning) -> Floats:
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    if binning == "equal_width":
        return np.linspace(0.0, 1.0, bins + 1)
    edges = np.unique(np.quantile(probabilities, np.linspace(0.0, 1.0, bins + 1)))
    return edges if edges.size > 1 else np.array([edges[0], edges[0]])


def _bin_codes(probabilities: Floats, edges: Floats) -> NDArray[np.int64]:
    """Bin of each prediction: [low, high), the last one closed."""
    return np.clip(np.searchsorted(edges, probabilities, side="right") - 1, 0, len(edges) - 2)


@dataclass(frozen=True, slots=True)
class Temperature:
    """A temperature fitted on validation pairs; divide margins by `value`.

    Attributes:
        value: the temperature; above 1 the model was too sure.
        log_loss_before: mean log-loss on the validation pairs at temperature 1.
        log_loss_after: the same at `value`.
        n: validation pairs.
        at_bound: the optimum lies outside the range searched (every pair right, or no better than chance), so
            the value says only "very small" or "very large"; 1 is then kept.
    """

    value: float
    log_loss_before: float
    log_loss_after: float
    n: int
    at_bound: bool

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in asdict(self).items()
        }


def fit_temperature(validation_margins: ArrayLike) -> Temperature:
    """The temperature that minimises the log-loss of sigmoid(margin / T) on validation pairs.

    The loss is convex in 1/T. With one parameter accuracy and AUC do not change. Where the optimum is at a
    bound (or there are no usable pairs) the temperature stays 1, and `at_bound` says so.
    """
    from scipy.optimize import minimize_scalar

    margins = np.asarray(validation_margins, dtype=np.float64).reshape(-1)
    if reason_not_estimable(margins) is not None:
        return Temperature(1.0, math.nan, math.nan, margins.size, True)
    before = float(log_losses(margins).mean())
    bounds = (math.log(_LOWEST_TEMPERATURE), math.log(_HIGHEST_TEMPERATURE))
    result = minimize_scalar(
        lambda log_t: float(log_losses(margins * math.exp(-log_t)).mean()), bounds=bounds, method="bounded"
    )
    # Where no pair is wrong the loss falls to an exact 0 well within the bounds, and the search ends anywhere.
    at_bound = bool(margins.min() >= 0.0 or min(result.x - bounds[0], bounds[1] - result.x) < 0.05)
    if at_bound:
        return Temperature(1.0, before, before, margins.size, True)
    return Temperature(float(math.exp(result.x)), before, float(result.fun), margins.size, False)


def preference_report(
    margins: ArrayLike,
    groups: Groups = None,
    *,
    bins: int = 15,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Every measure of a preference model on held-out pairs, with intervals clustered by group.

    Args:
        margins: log-odds that the chosen response is the better one [n].
        groups: the group of each pair [n].
        bins: bins of both calibration errors.
        level: confidence level.
        n_resamples: bootstrap resamples of AUC and the calibration errors.
        seed: of the resampling.

    Returns:
        accuracy (ties .5), auc, ece, ece_adaptive, brier, log_loss; all unavailable, with the reason, where a
        margin is not finite.
    """
    margins = np.asarray(margins, dtype=np.float64).reshape(-1)
    names = ("accuracy", "auc", "ece", "ece_adaptive", "brier", "log_loss")
    if (reason := reason_not_estimable(margins)) is not None:
        return {name: unavailable(reason, margins.size, level) for name in names}

    def ece(indices: NDArray[np.int64], binning: Binning) -> float:
        return expected_calibration_error(margins[indices], bins=bins, binning=binning)

    shared = {"level": level, "seed": seed}
    resampled = shared | {"n_resamples": n_resamples, "bounds": (0.0, 1.0)}
    n = margins.size
    return {
        "accuracy": bootstrap_mean(pair_outcomes(margins), groups, **shared),
        "auc": cluster_bootstrap(lambda indices: _auc_by_ranks(margins[indices]), n, groups, **resampled),
        "ece": cluster_bootstrap(lambda indices: ece(indices, "equal_width"), n, groups, kind="basic", **resampled),
        "ece_adaptive": cluster_bootstrap(
            lambda indices: ece(indices, "equal_mass"), n, groups, kind="basic", **resampled
        ),
        "brier": bootstrap_mean(brier_scores(margins), groups, **shared),
        "log_loss": bootstrap_mean(log_losses(margins), groups, **shared),
    }


def _auc_by_ranks(margins: Floats) -> float:
    """`auc` by ranks: the same number without sklearn's checks, which dominate a bootstrap's time."""
    from scipy.stats import rankdata

    n = margins.size
    ranks = rankdata(np.concatenate([margins, -margins]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * n))
