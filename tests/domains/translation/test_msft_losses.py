"""The fine-tuning losses against their equations on whole distributions, value and gradient, float64."""

import pytest
import torch
from torch import Tensor

from domains.translation.msft_losses import confidence_losses, full_losses, prefix_losses

TOKENS, WORDS = 7, 11


def drawn() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(logits of p_G, logits of p_S, log-odds, labels, decided) of 7 tokens over 11 words."""
    generator = torch.Generator().manual_seed(0)
    full, prefix = (2 * torch.randn(TOKENS, WORDS, dtype=torch.float64, generator=generator) for _ in range(2))
    odds = 2 * torch.randn(TOKENS, dtype=torch.float64, generator=generator)
    labels = torch.randint(0, WORDS, (TOKENS,), generator=generator)
    decided = torch.tensor([True, True, False, True, True, False, True])
    return full.requires_grad_(), prefix.requires_grad_(), odds.requires_grad_(), labels, decided


def gradients_of(loss: Tensor, *inputs: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses_equal_their_equations(smoothing: float) -> None:
    full, prefix, odds, labels, decided = drawn()
    log_full, log_prefix = full.log_softmax(-1), prefix.log_softmax(-1)
    at = labels[:, None]
    of_full, of_prefix = log_full.gather(1, at)[:, 0], log_prefix.gather(1, at)[:, 0]
    uniform = (log_prefix.mean(-1), log_full.mean(-1)) if smoothing else None
    found = (
        full_losses(of_full, uniform[1] if uniform else None, smoothing).sum()
        + prefix_losses(of_prefix, of_full, odds, decided, uniform, smoothing).sum()
        + 0.1 * confidence_losses(odds, decided).sum()
    )
    share = torch.where(decided, odds.sigmoid(), torch.ones_like(odds))[:, None]
    mixture = share * prefix.softmax(-1) + (1 - share) * full.softmax(-1)
    target = torch.nn.functional.one_hot(labels, WORDS).double()
    fixed = share.detach()
    smooth = -(fixed * log_prefix + (1 - fixed) * log_full).mean(-1)
    expected = (
        ((1 - smoothing) * -(target * log_full).sum(-1) - smoothing * log_full.mean(-1)).sum()
        + ((1 - smoothing) * -(target * mixture.log()).sum(-1) + smoothing * smooth).sum()
        + 0.1 * -share[decided].log().sum()
    )
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for one, other in zip(
        gradients_of(found, full, prefix, odds), gradients_of(expected, full, prefix, odds), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    assert gradients_of(prefix_losses(of_prefix, of_full, odds, decided).sum(), full)[0].abs().max() > 1e-3


def test_the_smoothed_mixture_is_bounded_and_teaches_the_policy_nothing() -> None:
    full, prefix, odds, labels, decided = drawn()
    log_full, log_prefix = full.log_softmax(-1), prefix.log_softmax(-1)
    uniform = (log_prefix.mean(-1), log_full.mean(-1))
    at = labels[:, None]
    of_both = log_prefix.gather(1, at)[:, 0], log_full.gather(1, at)[:, 0]
    smooth = prefix_losses(*of_both, odds, decided, uniform, 1.0)
    share = torch.where(decided, odds.sigmoid(), torch.ones_like(odds))[:, None]
    exact = -(share * prefix.softmax(-1) + (1 - share) * full.softmax(-1)).log().mean(-1)
    assert (smooth >= exact - 1e-12).all()
    assert float(gradients_of(smooth.sum(), odds)[0].abs().max()) == 0


def test_extreme_confidence_stays_finite() -> None:
    odds = torch.tensor([80.0, -80.0, 300.0, -300.0], requires_grad=True)
    prefix, full = torch.tensor([-900.0, -1.0, -900.0, -900.0]), torch.tensor([-1.0, -900.0, -1.0, -1.0])
    decided = torch.ones(4, dtype=torch.bool)
    losses = prefix_losses(prefix, full, odds, decided)
    # log of c p_S + (1 - c) p_G with 1 - c = e^-80: 81 nats; likewise the other way round.
    torch.testing.assert_close(losses, torch.tensor([81.0, 81.0, 301.0, 1.0]))
    gradient = gradients_of(losses.sum() + confidence_losses(odds, decided).sum(), odds)[0]
    assert gradient.isfinite().all()


def test_undecided_states_have_no_gradient() -> None:
    odds = torch.tensor([0.5, -0.5], dtype=torch.float64, requires_grad=True)
    decided = torch.tensor([True, False])
    losses = confidence_losses(odds, decided)
    assert losses[1] == 0
    assert gradients_of(losses.sum(), odds)[0][1] == 0
    prefix, full = torch.tensor([-1.0, -2.0], dtype=torch.float64), torch.tensor([-3.0, -0.5], dtype=torch.float64)
    mixed = prefix_losses(prefix, full, odds, decided)
    assert mixed[1] == 2
    assert gradients_of(mixed.sum(), odds)[0][1] == 0
