"""Orders and cycles of tables of log-odds, against brute force."""

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rewards.ranking import rank_table, score_table


@st.composite
def tables(draw: st.DrawFn) -> np.ndarray:
    size = draw(st.integers(1, 5))
    upper = draw(st.lists(st.sampled_from([-2.0, -0.5, 0.0, 0.5, 2.0]), min_size=size**2, max_size=size**2))
    half = np.triu(np.array(upper).reshape(size, size), 1)
    return half - half.T


def has_cycle(beats: np.ndarray) -> bool:
    return any(
        all(beats[a, b] for a, b in zip(path, (*path[1:], path[0]), strict=True))
        for length in range(3, len(beats) + 1)
        for path in permutations(range(len(beats)), length)
    )


def smith_set(beats: np.ndarray) -> set[int]:
    everything = range(len(beats))
    for size in range(1, len(beats) + 1):
        for members in combinations(everything, size):
            if all(beats[a, b] for a in members for b in everything if b not in members):
                return set(members)
    raise AssertionError


@given(table=tables())
def test_ranking_against_brute_force(table: np.ndarray) -> None:
    ranking = rank_table(table)
    beats, size = table > 0, len(table)
    assert sorted(ranking.order) == list(range(size))
    assert bool(ranking.cycle) == has_cycle(beats)
    for a, b in zip(ranking.cycle, ranking.cycle[1:] + ranking.cycle[:1], strict=True):
        assert beats[a, b]
    smith = smith_set(beats)
    if ranking.cycle and has_cycle(beats[np.ix_(sorted(smith), sorted(smith))]):
        assert set(ranking.cycle) <= smith
    winners = [index for index in range(size) if beats[index].sum() == size - 1]
    assert ranking.condorcet_winner == (winners[0] if winners else None)
    if winners:
        assert ranking.order[0] == winners[0]
    assert ranking.wins.sum() == pytest.approx(size * (size - 1) / 2)
    if size > 1:
        assert ranking.mean_probability.mean() == pytest.approx(0.5)


@given(scores=st.lists(st.floats(-50, 50), min_size=1, max_size=6))
def test_scores_have_no_cycle_and_keep_their_order(scores: list[float]) -> None:
    ranking = rank_table(score_table(np.array(scores)))
    assert ranking.cycle == ()
    ranked = [scores[index] for index in ranking.order]
    assert ranked == sorted(scores, reverse=True)


def test_the_reported_cycle_is_at_the_top() -> None:
    """0, 1, 2 run in a circle and beat 3; 3, 4, 5 run in a circle below."""
    beats = np.zeros((6, 6))
    for a, b in [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]:
        beats[a, b] = 1
    beats[:3, 3:] = 1
    ranking = rank_table(beats - beats.T)
    assert set(ranking.cycle) == {0, 1, 2}
    assert ranking.condorcet_winner is None
    assert set(ranking.order[:3]) == {0, 1, 2}


@pytest.mark.parametrize(
    "table", [np.zeros((0, 0)), np.zeros((2, 3)), np.array([[0, 1], [1, 0]]), np.array([[0, np.nan], [np.nan, 0]])]
)
def test_no_table_of_log_odds(table: np.ndarray) -> None:
    with pytest.raises(ValueError, match="log-odds"):
        rank_table(table)
