"""The expected latency against the sum over all paths, value and gradient."""

from itertools import combinations_with_replacement

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from domains.translation.expected_latency import Lattice, Measure, expected_latency, path_latency


def enumerated(logits: Tensor, widths: list[int], units: int, reference: int, measure: Measure) -> Tensor:
    """Sum over all paths of probability times latency, differentiable."""
    confidence, total = logits.sigmoid(), torch.zeros((), dtype=torch.float64)
    for path in combinations_with_replacement(range(1, units + 1), len(widths)):
        probability, before = torch.ones((), dtype=torch.float64), 1
        for segment, now in enumerate(path):
            for j in range(before, now):
                probability = probability * (1 - confidence[segment, j - 1])
            if now < units:
                probability = probability * confidence[segment, now - 1]
            before = now
        delays = [read for read, width in zip(path, widths, strict=True) for _ in range(width)]
        total = total + probability * path_latency(delays, units, reference, measure)
    return total + 0 * logits.sum()  # a source of one unit leaves nothing to decide


def lattice(logits: list[Tensor], widths: list[list[int]], units: list[int], reference: list[int]) -> Lattice:
    shape = len(units), max(map(len, widths)), max(units)
    grid = torch.full(shape, 50.0, dtype=torch.float64)  # what lies outside must not matter
    weights = torch.zeros(shape[:2], dtype=torch.float64)
    for number, (one, width) in enumerate(zip(logits, widths, strict=True)):
        grid = grid.index_put(
            (
                torch.tensor(number),
                torch.arange(one.shape[0])[:, None],
                torch.arange(one.shape[1])[None],
            ),
            one,
        )
        weights[number, : len(width)] = torch.tensor(width, dtype=torch.float64)
    return Lattice(grid, weights, torch.tensor(units), torch.tensor(reference, dtype=torch.float64))


@pytest.mark.parametrize("measure", ["ap", "laal"])
@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(1, 5), st.integers(1, 9)),
             min_size=1, max_size=3),
    st.integers(0, 10**6),
)  # fmt: skip
def test_value_and_gradient_are_those_of_the_sum_over_all_paths(
    measure: Measure, cases: list[tuple[list[int], int, int]], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    widths, units, reference = [one for one, _, _ in cases], [one for _, one, _ in cases], [one for _, _, one in cases]
    logits = [
        (3 * torch.randn(len(width), size, generator=generator, dtype=torch.float64)).requires_grad_()
        for width, size, _ in cases
    ]
    found = expected_latency(lattice(logits, widths, units, reference), measure)
    expected = torch.stack(
        [enumerated(one, *case[:1], *case[1:], measure) for one, case in zip(logits, cases, strict=True)]
    )
    assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-12)
    factors = torch.randn(len(cases), generator=generator, dtype=torch.float64)
    ours = torch.autograd.grad((found * factors).sum(), logits, retain_graph=True, allow_unused=True)
    oracle = torch.autograd.grad((expected * factors).sum(), logits, allow_unused=True)
    for one, other, given_logits in zip(ours, oracle, logits, strict=True):
        zeros = torch.zeros_like(given_logits)
        assert torch.allclose(zeros if one is None else one, zeros if other is None else other, atol=1e-11)


def test_a_fixed_path_has_its_own_latency() -> None:
    """Confidences of 0 and 1 leave one path."""
    path, units = (1, 1, 3, 4, 4, 6), 6
    logits = torch.full((len(path), units), -200.0, dtype=torch.float64)
    for segment, read in enumerate(path):
        logits[segment, read - 1] = 200.0
    for measure in ("ap", "laal"):
        found = expected_latency(lattice([logits], [[1] * 6], [units], [7]), measure)
        assert float(found) == pytest.approx(path_latency(path, units, 7, measure), abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(2, 6), st.integers(0, 10**6), st.data())
def test_the_proportion_never_rises_with_a_confidence(
    segments: int, units: int, seed: int, data: st.DataObject
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(segments, units, generator=generator, dtype=torch.float64)
    row, column = data.draw(st.integers(0, segments - 1)), data.draw(st.integers(0, units - 1))
    raised = logits.clone()
    raised[row, column] += data.draw(st.floats(0.01, 5))
    before, after = (expected_latency(lattice([one], [[1] * segments], [units], [1]), "ap") for one in (logits, raised))
    assert float(after) <= float(before) + 1e-12


def test_all_read_first_and_all_written_first() -> None:
    segments, units = 4, 5
    for logit, ap, laal in ((-100.0, 1.0, 1.0), (100.0, 1 / 5, (4 - 5 / 4 * 6) / 4 / 5)):
        case = lattice([torch.full((segments, units), logit, dtype=torch.float64)], [[1] * segments], [units], [3])
        assert float(expected_latency(case, "ap")) == pytest.approx(ap)
        assert float(expected_latency(case, "laal")) == pytest.approx(laal)


def test_long_sentences_stay_finite() -> None:
    logits = (20 * torch.randn(1, 120, 150, generator=torch.Generator().manual_seed(0))).double().requires_grad_()
    for measure in ("ap", "laal"):
        case = lattice([logits[0]], [[1] * 120], [150], [120])
        (gradient,) = torch.autograd.grad(expected_latency(case, measure).sum(), logits)
        assert bool(gradient.isfinite().all())
        assert float(gradient.abs().sum()) > 0


@pytest.mark.parametrize(
    ("path", "units", "reference", "ap", "laal"),
    [
        ((1, 2, 3), 3, 3, 6 / 9, 1 / 3),  # wait-1 on equal lengths: one unit behind
        ((3, 3, 3), 3, 3, 1.0, 1.0),  # the whole source first
        ((1, 1, 1, 1), 2, 2, 4 / 8, (1 + 0.5 + 0 - 0.5) / 4 / 2),  # over-generation: |y| > reference
    ],
)
def test_known_latencies(path: tuple[int, ...], units: int, reference: int, ap: float, laal: float) -> None:
    assert path_latency(path, units, reference, "ap") == pytest.approx(ap)
    assert path_latency(path, units, reference, "laal") == pytest.approx(laal)
