"""Losses of reward models against formulas of their own in float64: values and gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.rewards.losses import (
    bradley_terry_loss,
    centring_loss,
    general_preference_loss,
    preference_score,
    prompt_gate,
)

scores = st.floats(-20, 20, allow_nan=False)
labels = st.floats(0, 1)
smoothings = st.floats(0, 0.49)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def cross_entropy(z: float, label: float, smoothing: float) -> float:
    p = (1 - smoothing) * label + smoothing * (1 - label)
    return p * float(np.logaddexp(0, -z)) + (1 - p) * float(np.logaddexp(0, z))


def slope(z: float, label: float, smoothing: float) -> float:
    """d loss / d z = sigmoid(z) - p."""
    return sigmoid(z) - ((1 - smoothing) * label + smoothing * (1 - label))


def one(value: float, grad: bool = False) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64, requires_grad=grad)


@given(chosen=scores, rejected=scores, margin=st.floats(-3, 3), label=labels, smoothing=smoothings)
def test_bradley_terry(chosen: float, rejected: float, margin: float, label: float, smoothing: float) -> None:
    a, b = one(chosen, grad=True), one(rejected, grad=True)
    loss = bradley_terry_loss(a, b, one(margin), one(label), smoothing)
    z = chosen - rejected - margin
    assert loss.item() == pytest.approx(cross_entropy(z, label, smoothing), rel=1e-9, abs=1e-12)
    loss.sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.item() == pytest.approx(slope(z, label, smoothing), rel=1e-9, abs=1e-12)
    assert b.grad.item() == pytest.approx(-slope(z, label, smoothing), rel=1e-9, abs=1e-12)


def test_bradley_terry_equals_trls_loss_with_margin_and_centring() -> None:
    """The same numbers as the formula in TRL's RewardTrainer.compute_loss."""
    generator = torch.Generator().manual_seed(0)
    chosen, rejected, margin = (torch.randn(7, generator=generator) for _ in range(3))
    ours = (
        bradley_terry_loss(chosen, rejected, margin, torch.ones(7)).mean()
        + 0.01 * centring_loss(chosen, rejected).mean()
    )
    theirs = -torch.nn.functional.logsigmoid(chosen - rejected - margin).mean()
    theirs = theirs + 0.01 * torch.mean((chosen + rejected) ** 2)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@given(a=scores, b=scores)
def test_centring_pulls_the_sum_to_zero(a: float, b: float) -> None:
    x, y = one(a, grad=True), one(b, grad=True)
    loss = centring_loss(x, y)
    assert loss.item() == pytest.approx((a + b) ** 2, rel=1e-12)
    loss.sum().backward()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(2 * (a + b), rel=1e-12)


@given(
    k=st.integers(1, 4),
    seed=st.integers(0, 10_000),
    margin=st.floats(-1, 1),
    tau=st.floats(0.05, 2),
    label=labels,
    smoothing=smoothings,
)
def test_general_preference_loss_against_the_matrix_form(
    k: int, seed: int, margin: float, tau: float, label: float, smoothing: float
) -> None:
    """s = <R D v_i, D v_j> with R block-diagonal and D = diag(sqrt(lambda)) in pairs; gradients by the formula."""
    draw = np.random.default_rng(seed)
    first, second, gate = draw.normal(size=2 * k), draw.normal(size=2 * k), draw.uniform(0.1, 2, size=k)
    operator = np.kron(np.eye(k), np.array([[0.0, -1.0], [1.0, 0.0]]))
    weighed = np.diag(np.repeat(np.sqrt(gate), 2))
    expected = float((operator @ weighed @ first) @ (weighed @ second))
    v, w, lam = (torch.tensor(one, requires_grad=True) for one in (first, second, gate))
    score = preference_score(v[None], w[None], lam[None])
    assert score.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    loss = general_preference_loss(score, one(margin), one(label), tau, smoothing)
    z = (expected - margin) / tau
    assert loss.item() == pytest.approx(cross_entropy(z, label, smoothing), rel=1e-8, abs=1e-9)
    loss.sum().backward()
    assert v.grad is not None
    assert w.grad is not None
    assert lam.grad is not None
    outer = slope(z, label, smoothing) / tau
    matrix = weighed @ operator.T @ weighed  # s = v^T matrix w
    np.testing.assert_allclose(v.grad.numpy(), outer * matrix @ second, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(w.grad.numpy(), outer * matrix.T @ first, rtol=1e-7, atol=1e-10)
    crossed = first[0::2] * second[1::2] - first[1::2] * second[0::2]
    np.testing.assert_allclose(lam.grad.numpy(), outer * crossed, rtol=1e-7, atol=1e-10)


@given(k=st.integers(1, 4), seed=st.integers(0, 10_000), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_the_score_is_exactly_antisymmetric(k: int, seed: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(5, 2 * k, generator=generator, dtype=dtype) for _ in range(2))
    gate = torch.rand(5, k, generator=generator, dtype=dtype)
    assert torch.equal(preference_score(first, second, gate), -preference_score(second, first, gate))
    assert torch.equal(preference_score(first, first, gate), torch.zeros(5, dtype=dtype))


def test_the_gate_sums_to_k_and_is_its_softmax() -> None:
    projected = torch.tensor([[0.0, 0.0, 0.0], [8.0, 0.0, -8.0]], dtype=torch.float64)
    gate = prompt_gate(projected, 64)
    assert gate[0].tolist() == pytest.approx([1, 1, 1])
    weights = np.exp([1.0, 0.0, -1.0])
    assert gate[1].tolist() == pytest.approx((3 * weights / weights.sum()).tolist())


def test_free_embeddings_learn_a_cycle_and_free_scores_do_not() -> None:
    """A > B > C > A: one plane gets 3 of 3, scores at most 2 of 3 (log 2 is the least loss they allow)."""
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(3, 2, generator=generator).requires_grad_()
    r = torch.randn(3, generator=generator).requires_grad_()
    order, ones, none = torch.tensor([1, 2, 0]), torch.ones(3), torch.zeros(3)
    optimiser = torch.optim.Adam([v, r], lr=0.05)
    for _ in range(200):
        score = preference_score(v, v[order], torch.ones(3, 1))
        loss = general_preference_loss(score, none, ones, tau=1.0).mean()
        scalar = bradley_terry_loss(r, r[order], none, ones).mean()
        optimiser.zero_grad()
        (loss + scalar).backward()
        optimiser.step()
    assert (preference_score(v, v[order], torch.ones(3, 1)) > 0).sum() == 3
    assert (r > r[order]).sum() <= 2
    assert scalar.item() >= math.log(2) - 1e-6
    assert loss.item() < 0.05
