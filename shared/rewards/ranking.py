"""From a table of pairwise log-odds to an order of K responses, and the cycles that no order can satisfy."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Ranking:
    """K responses to one prompt in order.

    Attributes:
        order: indices of the responses, best first: by wins, then by mean probability, then by index.
        log_odds: float64 [K, K]; entry (i, j) is the log-odds that i is preferred to j; antisymmetric.
        wins: float64 [K]; pairwise majorities won, a tie counting one half (Copeland's score).
        mean_probability: float64 [K]; mean probability of being preferred to one of the others; .5 where K is 1.
        condorcet_winner: the response that beats every other, or None.
        cycle: a shortest cycle of strict preferences among the undominated responses (the Smith set), each beating
            the next and the last beating the first; or, where that set has none, any shortest cycle; () if there is
            none.
    """

    order: tuple[int, ...]
    log_odds: NDArray[np.float64]
    wins: NDArray[np.float64]
    mean_probability: NDArray[np.float64]
    condorcet_winner: int | None
    cycle: tuple[int, ...]


def rank_table(log_odds: NDArray[np.float64]) -> Ranking:
    """Ranks by a table of log-odds.

    Args:
        log_odds: antisymmetric float64 [K, K], K >= 1.

    Returns:
        The ranking.

    Raises:
        ValueError: where the table is empty, not square, not finite or not antisymmetric.
    """
    table = np.asarray(log_odds, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not table.size:
        raise ValueError(f"a table of log-odds is square and not empty, not of shape {table.shape}")
    if not np.array_equal(table, -table.T):  # also false for NaN
        raise ValueError("a table of log-odds is finite and antisymmetric")
    size = len(table)
    beats = table > 0
    wins = beats.sum(axis=1) + 0.5 * ((table == 0).sum(axis=1) - 1)
    if size == 1:
        mean = np.array([0.5])
    else:
        probability = 0.5 * (1.0 + np.tanh(0.5 * table))
        mean = (probability.sum(axis=1) - 0.5) / (size - 1)
    order = sorted(range(size), key=lambda index: (-wins[index], -mean[index], index))
    winner = next((index for index in range(size) if beats[index].sum() == size - 1), None)
    return Ranking(tuple(order), table, wins.astype(np.float64), mean, winner, _cycle(beats))


def score_table(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The table of log-odds of scalar scores [K]: differences, [K, K]."""
    return scores[:, None] - scores[None, :]


def _smith_set(beats: NDArray[np.bool_]) -> list[int]:
    """The smallest set whose members all beat every response outside it."""
    reach = ~beats.T  # i beats j or ties with it; from a member of the Smith set such steps lead everywhere
    np.fill_diagonal(reach, val=True)
    for middle in range(len(reach)):
        reach |= reach[:, middle, None] & reach[None, middle, :]
    return [index for index in range(len(reach)) if reach[index].all()]


def _cycle(beats: NDArray[np.bool_]) -> tuple[int, ...]:
    for members in (_smith_set(beats), list(range(len(beats)))):
        found = [path for start in members if (path := _shortest_back(beats, start, members))]
        if found:
            return min(found, key=lambda path: (len(path), path))
    return ()


def _shortest_back(beats: NDArray[np.bool_], start: int, members: list[int]) -> tuple[int, ...]:
    """The shortest path of strict preferences from `start` back to it, through `members`; () if there is none."""
    before: dict[int, int] = {}
    queue = deque([start])
    while queue:
        at = queue.popleft()
        if beats[at, start]:
            path = [at]
            while path[-1] != start:
                path.append(before[path[-1]])
            return tuple(reversed(path))
        for other in members:
            if beats[at, other] and other != start and other not in before:
                before[other] = at
                queue.append(other)
    return ()
