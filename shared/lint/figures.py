"""Distributions as a report can draw them: counts and edges, never the values themselves."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

MOST_STEPS = 40
MOST_WHOLE = 2.0**40  # beyond it a step of one is lost among floats


def binned(values: ArrayLike, *, bins: int = 24, symmetric: bool = False, clip: float = 0.99) -> dict[str, Any]:
    """A histogram of finite numbers, its outermost bins holding the few values beyond.

    The bins cover the central share `clip` of the values, so that a handful of extremes does not squeeze all others
    into one bar. Bins of whole numbers are centred on whole numbers; few different ones get a bin each.

    Args:
        values: numbers [n]; NaN is left out.
        bins: number of bins.
        symmetric: the range is as wide to both sides of 0.
        clip: share of the values that the range covers.

    Returns:
        ``{"counts": [...], "edges": [...], "beyond": n}``; `beyond` are the values outside, counted in the
        outermost bins. Empty lists where no value is finite.
    """
    known = np.asarray(values, dtype=np.float64).reshape(-1)
    known = known[np.isfinite(known)]
    if not known.size:
        return {"counts": [], "edges": [], "beyond": 0}
    low, high = (float(np.quantile(known, level)) for level in ((1 - clip) / 2, (1 + clip) / 2))
    if symmetric:
        high = float(np.quantile(np.abs(known), clip)) or 1.0
        low = -high
    if float(np.abs(known).max()) < MOST_WHOLE and bool((known == np.round(known)).all()):
        low, high = math.floor(low), math.ceil(high)
        width = 1 if high - low < MOST_STEPS else math.ceil((high - low) / bins) | 1  # odd, so that 0 is a middle
        first, last = round(low / width), round(high / width)
        edges = (np.arange(first, last + 2) - 0.5) * width
    else:
        closest = 1e-6 * max(1.0, abs(low), abs(high))
        if high - low < closest:  # too near for bins of finite width
            low, high = low - bins * closest, high + bins * closest
        edges = np.linspace(low, high, bins + 1)
    beyond = int(((known < edges[0]) | (known > edges[-1])).sum())
    counts = np.histogram(np.clip(known, edges[0], edges[-1]), bins=edges)[0]
    return {"counts": counts.tolist(), "edges": edges.tolist(), "beyond": beyond}


def shares(values: ArrayLike, *, steps: int = 20, low: float = 0.0) -> dict[str, Any]:
    """A histogram of shares `low`..1 whose bins are centred on the multiples of ``1 / steps``."""
    known = np.asarray(values, dtype=np.float64).reshape(-1)
    known = known[np.isfinite(known)]
    width = 1 / steps
    edges = low + (np.arange(round((1 - low) * steps) + 2) - 0.5) * width
    counts = np.histogram(np.clip(known, edges[0], edges[-1]), bins=edges)[0]
    return {"counts": counts.tolist(), "edges": edges.tolist(), "beyond": int((known < edges[0]).sum())}
