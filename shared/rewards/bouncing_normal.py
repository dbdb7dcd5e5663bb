"""Moves within a normal distribution that is cut at signs: its motion under the normal's own force, mirrored there."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_BOUNCES = 500


@dataclass(frozen=True, slots=True)
class BouncingNormal:
    """Exact Hamiltonian Monte Carlo for a truncated normal (Pakman and Paninski, https://arxiv.org/abs/1208.4118).

    In whitened coordinates a point moves on ``x cos t + v sin t``, v a fresh standard normal velocity, for t from 0 to
    pi / 2, and bounces off the bounds at times that are known in closed form. Where no bound is met the end is an
    independent draw; correlations cost nothing.

    Attributes:
        mean: of the normal before it is cut, [d]; it may lie beyond the bounds.
        factor: lower triangular L of its covariance L L', [d, d].
        signs: 1 or -1 of each bounded coordinate, 0 of a free one, [d].
    """

    mean: Floats
    factor: Floats
    signs: Floats

    def log_density(self, points: Floats) -> Floats:
        """Log of the normal but for a constant, [n], at points [n, d] within the bounds."""
        return -0.5 * (self._whitened(points) ** 2).sum(axis=1)

    def _whitened(self, points: Floats) -> Floats:
        return np.linalg.solve(self.factor, (points - self.mean).T).T.astype(np.float64)

    def move(self, points: Floats, generator: np.random.Generator) -> Floats:
        """One move of each chain, which leaves the cut normal as it is and is reversible.

        Args:
            points: within the bounds, [chains, d].
            generator: of the velocities.

        Returns:
            [chains, d]; a chain that bounces more than 500 times stays where it was.
        """
        bounded = np.flatnonzero(self.signs)
        walls = self.signs[bounded, None] * self.factor[bounded]  # [walls, d]: inside is walls @ x + shift >= 0
        shift = self.signs[bounded] * self.mean[bounded]
        lengths = (walls**2).sum(axis=1)
        place, velocity = self._whitened(points), generator.standard_normal(points.shape)
        left = np.full(len(points), 0.5 * math.pi)
        rows = np.arange(len(points))
        for _ in range(MOST_BOUNCES + 1):
            if bounded.size:
                # walls @ x(t) = reach cos(t + phase); it leaves where that falls through -shift.
                along, across = place @ walls.T, velocity @ walls.T
                reach, phase = np.hypot(along, across), np.arctan2(-across, along)
                met = reach > np.abs(shift)
                angle = np.arccos(np.clip(-shift / np.where(met, reach, 1.0), -1.0, 1.0))
                times = (angle - phase) % (2.0 * math.pi)
                times = np.where(times > 2.0 * math.pi - 1e-9, 0.0, times)
                times = np.where(met, times, np.inf)
                wall = times.argmin(axis=1)
                bounces = times[rows, wall] < left
                step = np.where(bounces, times[rows, wall], left)
            else:
                wall, bounces, step = np.zeros(len(points), dtype=int), np.zeros(len(points), dtype=bool), left
            cosine, sine = np.cos(step)[:, None], np.sin(step)[:, None]
            place, velocity = place * cosine + velocity * sine, velocity * cosine - place * sine
            left = left - step
            if not bounces.any():
                break
            hit = walls[wall[bounces]]
            speed = (velocity[bounces] * hit).sum(axis=1) / lengths[wall[bounces]]
            velocity[bounces] -= 2.0 * speed[:, None] * hit
        found = self.mean + place @ self.factor.T
        tolerance = 1e-9 * np.sqrt((self.factor**2).sum(axis=1))
        lost = (left > 0.0) | (found * self.signs < -tolerance).any(axis=1)
        # Rounding may leave a point a hair beyond the wall that it has just touched.
        found = np.where(self.signs != 0, self.signs * np.maximum(found * self.signs, 0.0), found)
        return np.where(lost[:, None], points, found)
