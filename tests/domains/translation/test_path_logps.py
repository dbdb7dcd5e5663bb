"""The path's log-probability against its formula, and the policy's part as a probability distribution."""

import math
from itertools import combinations_with_replacement, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.translation.path_logps import policy_logps


def monotone_paths(segments: int, units: int) -> list[tuple[int, ...]]:
    return list(combinations_with_replacement(range(1, units + 1), segments))


def grid_states(paths: int, segments: int, units: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rows = torch.tensor(list(product(range(paths), range(segments), range(1, units + 1))))
    return rows[:, 0], rows[:, 1], rows[:, 2]


def by_hand(confidences: torch.Tensor, path: tuple[int, ...], units: int) -> float:
    """The formula as it stands, in plain numbers."""
    total, before = 0.0, 1
    for segment, now in enumerate(path):
        for j in range(before, now):
            total += math.log(1 - float(confidences[segment, j - 1]))
        if now < units:
            total += math.log(float(confidences[segment, now - 1]))
        before = now
    return total


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10**6), st.data())
def test_the_policy_part_is_the_formula(segments: int, units: int, seed: int, data: st.DataObject) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, segments, units, generator=generator, dtype=torch.float64)
    paths = [data.draw(st.sampled_from(monotone_paths(segments, units))) for _ in range(2)]
    found = policy_logps(logits.view(-1), *grid_states(2, segments, units), paths, [units, units])
    expected = [by_hand(logits[number].sigmoid(), path, units) for number, path in enumerate(paths)]
    # The oracle takes 1 - c, which loses up to four digits where c is within 1e-4 of 1.
    assert found.tolist() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("segments", "units"), [(1, 1), (1, 4), (3, 1), (3, 4), (4, 3)])
def test_the_policy_part_is_a_distribution_over_paths(segments: int, units: int) -> None:
    logits = 2 * torch.randn(segments, units, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    paths = monotone_paths(segments, units)
    states = grid_states(len(paths), segments, units)
    found = policy_logps(logits.expand(len(paths), -1, -1).reshape(-1), *states, paths, [units] * len(paths))
    assert float(found.exp().sum()) == pytest.approx(1.0, abs=1e-12)


def test_an_end_that_waits_for_the_source_leaves_out_the_texts_that_go_on() -> None:
    """Paths whose last segment is the end (g = |x|): what lacks is the probability of writing there before."""
    segments, units = 3, 4
    logits = torch.randn(segments, units, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    everything = monotone_paths(segments, units)
    ended = [path for path in everything if path[-1] == units]
    on = [path for path in everything if path[-1] < units]

    def total(paths: list[tuple[int, ...]]) -> float:
        given = logits.expand(len(paths), -1, -1).reshape(-1)
        states = grid_states(len(paths), segments, units)
        return float(policy_logps(given, *states, paths, [units] * len(paths)).exp().sum())

    assert total(ended) == pytest.approx(1 - total(on), abs=1e-12)
    assert 0 < total(ended) < 1


def test_extreme_logits_stay_finite_and_keep_their_gradient() -> None:
    logits = torch.tensor([800.0, -800.0, 800.0], dtype=torch.float32, requires_grad=True)
    branch, segment, read = torch.tensor([0, 0, 0]), torch.tensor([0, 0, 0]), torch.tensor([1, 2, 3])
    found = policy_logps(logits, branch, segment, read, [(2,)], [3])
    found.sum().backward()
    assert found.dtype == torch.float64
    assert found.tolist() == [-1600.0]  # READ against 800, WRITE against -800
    assert logits.grad is not None
    assert logits.grad.tolist() == [-1.0, 1.0, 0.0]


def test_a_path_is_checked() -> None:
    states = grid_states(1, 2, 2)
    for path, message in (((0, 2), "from 0"), ((1, 3), "to 3"), ((2, 1), "falls"), ((), "nothing")):
        with pytest.raises(ValueError, match=message):
            policy_logps(torch.zeros(4), *states, [path], [2])
    none = torch.zeros(0, dtype=torch.long)
    with pytest.raises(ValueError, match="branch 0 has 0 of the 2 states"):
        policy_logps(torch.zeros(0), none, none, none, [(1, 2)], [2])
