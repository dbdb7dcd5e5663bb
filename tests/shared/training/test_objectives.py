"""Objectives against float64 formulas and finite differences."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.training.objectives import bradley_terry_loss, dpo_loss

logps = st.floats(-300, 0, allow_nan=False)
scores = st.floats(-30, 30, allow_nan=False)


def minus_log_sigmoid(x: float) -> float:
    return float(np.logaddexp(0.0, -x))


@given(chosen=scores, rejected=scores, margin=st.none() | st.floats(-3, 3))
def test_bradley_terry_loss_and_gradient(chosen: float, rejected: float, margin: float | None) -> None:
    a, b = (torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in (chosen, rejected))
    m = None if margin is None else torch.tensor([margin], dtype=torch.float64)
    loss, metrics = bradley_terry_loss(a, b, m)
    difference = chosen - rejected - (margin or 0.0)
    assert loss.item() == pytest.approx(minus_log_sigmoid(difference), rel=1e-9, abs=1e-12)
    loss.sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    slope = -1 / (1 + math.exp(difference))
    assert a.grad.item() == pytest.approx(slope, rel=1e-9, abs=1e-15)
    assert b.grad.item() == pytest.approx(-slope, rel=1e-9, abs=1e-15)
    assert metrics["accuracy"].item() == float(chosen > rejected)
    assert not any(value.requires_grad for value in metrics.values())


@given(policy=st.tuples(logps, logps), reference=st.tuples(logps, logps), beta=st.floats(0.01, 1))
def test_dpo_loss_and_gradient(policy: tuple[float, float], reference: tuple[float, float], beta: float) -> None:
    w, l = (torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in policy)  # noqa: E741
    rw, rl = (torch.tensor([value], dtype=torch.float64) for value in reference)
    loss, metrics = dpo_loss(w, l, rw, rl, beta)
    margin = beta * ((policy[0] - reference[0]) - (policy[1] - reference[1]))
    assert loss.item() == pytest.approx(minus_log_sigmoid(margin), rel=1e-8, abs=1e-9)
    loss.sum().backward()
    assert w.grad is not None
    slope = -beta * float(1 / (1 + np.exp(np.clip(margin, -700, 700))))
    assert w.grad.item() == pytest.approx(slope, rel=1e-6, abs=1e-12)
    assert metrics["rewards/margins"].item() == pytest.approx(margin, rel=1e-8, abs=1e-9)


def test_dpo_loss_equals_trl() -> None:
    """The objective is TRL's `sigmoid` loss: the same numbers from its own formula on a batch."""
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(5, generator=generator) * 20 - 80 for _ in range(4)]
    loss, _ = dpo_loss(*values, beta=0.1)
    delta = (values[0] - values[2]) - (values[1] - values[3])
    torch.testing.assert_close(loss, -torch.nn.functional.logsigmoid(0.1 * delta))
