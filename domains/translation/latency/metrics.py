"""Latency metrics of simultaneous translation, as functions of numbers.

Every function takes the delays d_i of one sentence [H], or of several as a table [n, H] whose rows end in NaN
(`padded`), with source lengths X and reference lengths Y as numbers or [n]; it returns a number or [n]. H is the
number of delays of a sentence. A sentence without delays has no latency: NaN.

Delays and X are in one measure: source units (text) or milliseconds (speech, computation-aware). Positions i count
from 1, as in the formulas.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

DEGENERATE_ABOVE = 20.0  # points between the simultaneous words that a latency lets expect and those there are


def average_lagging(delays: ArrayLike, source_length: ArrayLike, reference_length: ArrayLike) -> Floats:
    """AL (Ma et al. 2019, arXiv 1810.08398): ``(1/tau) sum_{i<=tau} [d_i - (i-1) X/Y]``.

    ``tau`` is the first i with ``d_i >= X``, or H where there is none; ``d_1`` where ``d_1 > X``, as SimulEval has it.
    It rewards over-generation: 16 words at delay 1 with X = Y = 8 give -6.5.
    """
    return _lagging(delays, source_length, _column(reference_length))


def length_adaptive_average_lagging(delays: ArrayLike, source_length: ArrayLike, reference_length: ArrayLike) -> Floats:
    """LAAL (Papi et al. 2022, arXiv 2206.05807): AL with ``max(Y, H)`` in place of Y."""
    return _lagging(delays, source_length, np.maximum(_column(reference_length), _units(_table(delays))))


def average_proportion(delays: ArrayLike, source_length: ArrayLike, reference_length: ArrayLike) -> Floats:
    """AP (Cho and Esipova 2016, arXiv 1606.02012): ``sum_i d_i / (X Y)``; above 1 where H > Y is written late."""
    table = _table(delays)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.nansum(table, axis=1) / (_column(source_length) * _column(reference_length))[:, 0]
    return _shaped(values, table, delays)


def differentiable_average_lagging(delays: ArrayLike, source_length: ArrayLike) -> Floats:
    """DAL (Cherry and Foster 2019, arXiv 1906.00048): ``(1/H) sum_i [d'_i - (i-1) X/H]``.

    ``d'_1 = d_1`` and ``d'_i = max(d_i, d'_{i-1} + X/H)``: every word takes at least its share of the source. With
    ``e_i = d'_i - (i-1) X/H`` that is ``e_i = max(d_i - (i-1) X/H, e_{i-1})``, a running maximum.
    """
    table = _table(delays)
    units = _units(table)
    with np.errstate(divide="ignore", invalid="ignore"):
        ahead = table - np.arange(table.shape[1]) * (_column(source_length) / units)
        lags = np.maximum.accumulate(np.where(np.isnan(ahead), -np.inf, ahead), axis=1)
        values = np.where(np.isnan(table), 0.0, lags).sum(axis=1) / units[:, 0]
    return _shaped(values, table, delays)


def yet_another_average_lagging(delays: ArrayLike, source_length: ArrayLike, reference_length: ArrayLike) -> Floats:
    """YAAL (Polák et al. 2025, arXiv 2509.17349): ``(1/tau) sum_{i<=tau} [d_i - (i-1) X/max(Y, H)]``.

    ``tau`` is the last i before the first ``d_i >= X``: what is written after the source has ended does not count.
    NaN where ``d_1 >= X``, since then nothing was written before: the summary leaves such a sentence out.
    """
    table = _table(delays)
    length = np.maximum(_column(reference_length), _units(table))
    ended = table >= _column(source_length)
    tau = np.where(ended.any(axis=1), ended.argmax(axis=1), _units(table)[:, 0])
    return _shaped(_mean_lag(table, source_length, length, tau), table, delays)


def words_before_source_end(delays: ArrayLike, source_length: ArrayLike) -> Floats:
    """Number of target units with ``d_i < X``; 0 for a sentence without delays."""
    table = _table(delays)
    counts = (table < _column(source_length)).sum(axis=1).astype(np.float64)
    return counts if np.ndim(delays) == 2 else counts[0]


def simultaneous_words_share(
    written_before_end: ArrayLike, units: ArrayLike, weights: ArrayLike | None = None
) -> Floats:
    """SWF in per cent: target units of a corpus that were written before their source had ended, of all.

    Args:
        written_before_end: of each sentence (`words_before_source_end`) [n].
        units: target units H of each sentence [n].
        weights: how often each sentence counts [n] or, of several resamples, [b, n]; None: once.

    Returns:
        A number, or [b]; NaN where there are no units.
    """
    return _share(np.asarray(written_before_end, dtype=np.float64), np.asarray(units, dtype=np.float64), weights)


def expected_simultaneous_words_share(
    yaal: ArrayLike, source_length: ArrayLike, weights: ArrayLike | None = None
) -> Floats:
    """EFSW in per cent: ``sum max(0, X - YAAL) / sum X`` over the sentences that YAAL keeps.

    The share of words that a system of steady pace with this latency writes before the source ends.

    Args:
        yaal: of each sentence, NaN where it is left out [n].
        source_length: X of each sentence [n].
        weights: how often each sentence counts [n] or, of several resamples, [b, n]; None: once.

    Returns:
        A number, or [b]; NaN where YAAL keeps no sentence.
    """
    lags, lengths = np.asarray(yaal, dtype=np.float64), np.asarray(source_length, dtype=np.float64)
    kept = np.isfinite(lags)
    expected = np.where(kept, np.maximum(0.0, lengths - np.where(kept, lags, 0.0)), 0.0)
    return _share(expected, np.where(kept, lengths, 0.0), weights)


def is_degenerate(expected_share: float, share: float) -> bool:
    """Whether ``|EFSW - SWF| > 20``: the policy does not translate steadily, so that its lagging misleads.

    Such a system writes a few words early, which makes its latency look low, and the rest after the source has ended.
    """
    return abs(expected_share - share) > DEGENERATE_ABOVE


def padded(rows: Sequence[Sequence[float]]) -> Floats:
    """Delays of several sentences as a table [n, longest], NaN behind the shorter ones."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    table = np.full((len(rows), int(lengths.max(initial=0))), np.nan)
    if lengths.sum():
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.float64, count=int(lengths.sum()))
        table[np.arange(table.shape[1]) < lengths[:, None]] = flat
    return table


def _share(parts: Floats, wholes: Floats, weights: ArrayLike | None) -> Floats:
    """``100 sum(parts) / sum(wholes)``, weighted."""
    times = np.ones(parts.size) if weights is None else np.asarray(weights, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100.0 * (times @ parts) / (times @ wholes)


def _lagging(delays: ArrayLike, source_length: ArrayLike, length: Floats) -> Floats:
    """AL over a target of `length` [n, 1]."""
    table = _table(delays)
    ended = table >= _column(source_length)
    tau = np.where(ended.any(axis=1), ended.argmax(axis=1) + 1, _units(table)[:, 0])
    values = _mean_lag(table, source_length, length, tau)
    first = table[:, 0]
    values = np.where(first > _column(source_length)[:, 0], first, values)
    return _shaped(values, table, delays)


def _mean_lag(table: Floats, source_length: ArrayLike, length: Floats, tau: Floats) -> Floats:
    """Mean of ``d_i - (i-1) X/length`` over the first tau [n] units; NaN for tau = 0."""
    position = np.arange(table.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        lags = table - position * (_column(source_length) / length)
        return np.where(position < tau[:, None], lags, 0.0).sum(axis=1) / tau


def _table(delays: ArrayLike) -> Floats:
    table = np.asarray(delays, dtype=np.float64)
    table = table.reshape(1, -1) if table.ndim < 2 else table
    # One column at least, so that the empty sentence is no special case.
    return table if table.shape[1] else np.full((len(table), 1), np.nan)


def _column(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64).reshape(-1, 1)


def _units(table: Floats) -> Floats:
    """H of each row [n, 1]."""
    return (~np.isnan(table)).sum(axis=1, keepdims=True).astype(np.float64)


def _shaped(values: Floats, table: Floats, delays: ArrayLike) -> Floats:
    """Without the rows that have no delay; a number for the delays of one sentence."""
    values = np.where(_units(table)[:, 0] > 0, values, np.nan)
    return values if np.ndim(delays) == 2 else values[0]
