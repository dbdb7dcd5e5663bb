"""Latency of a corpus: every figure of every sentence, and the means with their intervals."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domains.translation.latency.delays import Delays
from domains.translation.latency.metrics import (
    DEGENERATE_ABOVE,
    Floats,
    average_lagging,
    average_proportion,
    differentiable_average_lagging,
    expected_simultaneous_words_share,
    is_degenerate,
    length_adaptive_average_lagging,
    padded,
    simultaneous_words_share,
    words_before_source_end,
    yet_another_average_lagging,
)
from domains.translation.resampling import weighted_bootstrap
from shared.evaluation.intervals import Estimate, Groups, unavailable

MEANS: tuple[str, ...] = ("AL", "LAAL", "YAAL", "AP", "DAL")
_CELLS_AT_ONCE = 50_000  # of a padded table: 400 kB, which a processor keeps at hand


@dataclass(frozen=True, slots=True)
class SentenceLatency:
    """Figures of each sentence of a corpus, in its order; all [n].

    Attributes:
        lags: AL, LAAL, YAAL, AP and DAL by name; NaN without a prediction, and YAAL also where nothing was written
            before the source had ended.
        written_before_end: target units with a delay below the source's length.
        units: H, target units of the prediction.
        source_length: X.
    """

    lags: dict[str, Floats]
    written_before_end: Floats
    units: Floats
    source_length: Floats


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Figures of a corpus.

    Attributes:
        figures: AL, LAAL, YAAL, AP, DAL (means over sentences), SWF and EFSW (per cent over the corpus), by name.
        sentences: how many there are.
        empty: of them, predictions without a unit: in no latency figure.
        left_out: sentences that YAAL and EFSW leave out, since their first unit came after the source had ended.
        degenerate: whether |EFSW - SWF| > 20; None where EFSW is of no sentence.
    """

    figures: dict[str, Estimate]
    sentences: int
    empty: int
    left_out: int
    degenerate: bool | None

    def verdict(self) -> str:
        """The degeneracy flag in words."""
        if self.degenerate is None:
            return "No sentence was begun before its source had ended: this system does not translate simultaneously."
        share, expected = self.figures["SWF"].value, self.figures["EFSW"].value
        shares = (
            f"{share:.1f} % of the words were written before the source ended, the latency lets expect {expected:.1f} %"
        )
        if self.degenerate:
            return (
                f"Likely degenerate: {shares} (more than {DEGENERATE_ABOVE:g} points apart): its lagging "
                "figures do not compare with those of other systems."
            )
        return f"Not degenerate: {shares} (at most {DEGENERATE_ABOVE:g} points apart)."

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            "figures": {name: estimate.to_json() for name, estimate in self.figures.items()},
            "sentences": self.sentences,
            "empty_predictions": self.empty,
            "left_out_by_yaal": self.left_out,
            "degenerate": self.degenerate,
            "verdict": self.verdict(),
        }


def sentence_latency(corpus: Sequence[Delays]) -> SentenceLatency:
    """All figures of every sentence.

    Args:
        corpus: delays of each sentence; for computation-aware figures `Delays.computation_aware` of each.
    """
    lengths = np.array([one.prediction_length for one in corpus], dtype=np.int64)
    source = np.array([one.source_length for one in corpus], dtype=np.float64)
    reference = np.array([one.reference_length for one in corpus], dtype=np.float64)
    found = np.full((len(MEANS) + 1, len(corpus)), np.nan)
    for rows in _blocks(lengths):
        table = padded([corpus[row].delays for row in rows])
        X, Y = source[rows], reference[rows]
        found[:, rows] = [
            average_lagging(table, X, Y),
            length_adaptive_average_lagging(table, X, Y),
            yet_another_average_lagging(table, X, Y),
            average_proportion(table, X, Y),
            differentiable_average_lagging(table, X),
            words_before_source_end(table, X),
        ]
    lags = dict(zip(MEANS, found, strict=False))
    return SentenceLatency(lags, found[-1], lengths.astype(np.float64), source)


def summarise(
    corpus: Sequence[Delays],
    groups: Groups = None,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> LatencySummary:
    """All figures of a corpus with intervals from resampling sentences.

    Args:
        corpus: delays of each sentence.
        groups: what belongs together and is drawn together (documents) [n]; None: every sentence by itself.
        level: confidence level.
        n_resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        ValueError: `groups` has another length than `corpus`.
    """
    if groups is not None and len(groups) != len(corpus):
        raise ValueError(f"{len(groups)} group ids for {len(corpus)} sentences")
    figures = sentence_latency(corpus)
    spoken, lags = figures.units > 0, np.stack([figures.lags[name] for name in MEANS], axis=1)
    there = np.isfinite(lags)
    kept = there[:, MEANS.index("YAAL")]
    columns, counts = np.where(there, lags, 0.0), there.astype(np.float64)

    def statistics(weights: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            means = (weights @ columns) / (weights @ counts)
        written = simultaneous_words_share(figures.written_before_end, figures.units, weights)
        expected = expected_simultaneous_words_share(figures.lags["YAAL"], figures.source_length, weights)
        return np.column_stack([means, written, expected])

    found = weighted_bootstrap(
        statistics,
        np.stack([*there.T, spoken, kept]),
        groups,
        level=level,
        n_resamples=n_resamples,
        seed=seed,
    )
    reason = "every prediction is empty" if not spoken.any() else "nothing was written before a source ended"
    estimates = {
        name: one if one.n else unavailable(reason, 0, level)
        for name, one in zip((*MEANS, "SWF", "EFSW"), found, strict=True)
    }
    share, expected = estimates["SWF"].value, estimates["EFSW"].value
    return LatencySummary(
        estimates,
        len(corpus),
        len(corpus) - int(spoken.sum()),
        int(spoken.sum()) - int(kept.sum()),
        is_degenerate(expected, share) if math.isfinite(expected) and math.isfinite(share) else None,
    )


def _blocks(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Numbers of sentences of like length, so that their table is small and has little padding."""
    order = np.argsort(lengths, kind="stable")
    first = 0
    while first < len(order):
        # The longest of a block is its last: as many as fit under it.
        cells = lengths[order[first:]] * np.arange(1, len(order) - first + 1)
        count = max(1, int(np.searchsorted(cells, _CELLS_AT_ONCE, side="right")))
        yield order[first : first + count]
        first += count
