"""Draws from a small posterior whose weights may be bounded, and whether the chains agree."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shared.rewards.bouncing_normal import BouncingNormal

Floats = NDArray[np.float64]


def elliptical_slice(
    log_density: Callable[[Floats], Floats],
    centre: Floats,
    factor: Floats,
    start: Floats,
    draws: int,
    warmup: int,
    generator: np.random.Generator,
    cut: BouncingNormal | None = None,
) -> Floats:
    """Elliptical slice sampling (https://arxiv.org/abs/1001.0175) in the generalised form of
    https://arxiv.org/abs/1210.7477: a normal near the target takes the prior's place, the ratio of target and normal
    the likelihood's. It has no step size, and bounds are points of density 0.

    Args:
        log_density: [chains, d] -> log of the target but for a constant, [chains]; -inf outside its support.
        centre: mean of the normal, [d].
        factor: lower triangular L of its covariance L L', [d, d].
        start: a point of the support for each chain, [chains, d].
        draws: kept of each chain.
        warmup: first steps, which are not kept.
        generator: of random numbers.
        cut: a normal near the target that is cut where the target is. Ellipses leave the corner between several bounds
            soon, so that its steps are short where weights are correlated; each is then followed by a move within this
            normal, accepted or not by Metropolis' rule for the ratio of target and normal.

    Returns:
        [chains, draws, d].
    """
    chains, size = start.shape
    inverse = np.linalg.inv(factor)

    def log_ratio(offset: Floats) -> Floats:
        return log_density(centre + offset) + 0.5 * ((offset @ inverse.T) ** 2).sum(axis=1)

    offset = start - centre
    height = log_ratio(offset)
    kept = np.empty((chains, draws, size))
    for step in range(-warmup, draws):
        other = generator.standard_normal((chains, size)) @ factor.T
        least = height + np.log1p(-generator.random(chains))  # 1 - u is in (0, 1]
        angle = generator.uniform(0.0, 2.0 * np.pi, chains)
        low, high = angle - 2.0 * np.pi, angle.copy()
        waiting = np.arange(chains)
        while waiting.size:
            turned = angle[waiting, None]
            proposed = offset[waiting] * np.cos(turned) + other[waiting] * np.sin(turned)
            found = log_ratio(proposed)
            taken = found >= least[waiting]
            # An angle that has shrunk to nothing is the point itself, which rounding may put below its own height.
            ended = taken | (high[waiting] - low[waiting] < 1e-12)
            offset[waiting[taken]], height[waiting[taken]] = proposed[taken], found[taken]
            waiting = waiting[~ended]
            below = angle[waiting] < 0.0
            low[waiting[below]], high[waiting[~below]] = angle[waiting[below]], angle[waiting[~below]]
            angle[waiting] = generator.uniform(low[waiting], high[waiting])
        if cut is not None:
            point = centre + offset
            moved = cut.move(point, generator)
            ratios = [log_density(one) - cut.log_density(one) for one in (moved, point)]
            accepted = np.log1p(-generator.random(chains)) <= ratios[0] - ratios[1]
            offset = np.where(accepted[:, None], moved - centre, offset)
            height = log_ratio(offset)
        if step >= 0:
            kept[:, step] = centre + offset
    return kept


def split_r_hat(draws: Floats) -> Floats:
    """Potential scale reduction of every coordinate, each chain cut in halves (Gelman et al., Bayesian Data Analysis,
    3rd ed., section 11.4); near 1 where the chains agree.

    Args:
        draws: [chains, draws, d].

    Returns:
        [d]; 1 for a coordinate that does not vary.
    """
    half = draws.shape[1] // 2
    parts = np.concatenate([draws[:, :half], draws[:, half : 2 * half]])
    within = parts.var(axis=1, ddof=1).mean(axis=0)
    between = parts.mean(axis=1).var(axis=0, ddof=1)
    scale = np.where(within > 0, within, 1.0)
    return np.where(within > 0, np.sqrt((half - 1) / half + between / scale), 1.0)


def effective_draws(draws: Floats) -> Floats:
    """Independent draws that would tell the mean as well, of every coordinate: Geyer's initial positive sequence over
    all chains (Bayesian Data Analysis, 3rd ed., equation 11.8).

    Args:
        draws: [chains, draws, d].

    Returns:
        [d].
    """
    chains, count, size = draws.shape
    centred = draws - draws.mean(axis=1, keepdims=True)
    length = 2 * count
    spectrum = np.fft.rfft(centred, n=length, axis=1)
    covariance = np.fft.irfft(spectrum * spectrum.conj(), n=length, axis=1)[:, :count].mean(axis=0) / count  # [t, d]
    within = covariance[0] * count / (count - 1)
    total = covariance[0] + draws.mean(axis=1).var(axis=0, ddof=1)
    found = np.empty(size)
    for place in range(size):
        if not total[place] > 0:
            found[place] = chains * count
            continue
        correlation = 1.0 - (within[place] - covariance[:, place] * count / (count - 1)) / total[place]
        pairs = correlation[: count // 2 * 2].reshape(-1, 2).sum(axis=1)
        ends = np.flatnonzero(pairs <= 0)
        last = int(ends[0]) if ends.size else len(pairs)
        time = -1.0 + 2.0 * np.minimum.accumulate(pairs[:last]).sum() if last else 1.0
        found[place] = min(chains * count / max(time, 1e-3), chains * count)
    return found
