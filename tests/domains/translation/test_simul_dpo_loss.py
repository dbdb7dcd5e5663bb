"""SimulDPO's losses against float64 formulas, value and gradient, and what each form does to latency."""

import math

import pytest
import torch
from torch import Tensor

from domains.translation.expected_latency import Lattice, expected_latency
from domains.translation.path_logps import PathLogps
from domains.translation.simul_dpo_loss import Form, path_terms, simul_dpo
from shared.training.objectives import PairTerms, build_objective

BETA, ALPHA, SFT = 0.3, 2.5, 0.7


def random_terms(pairs: int = 5, weight: bool = False) -> tuple[PairTerms, list[Tensor], Tensor]:
    """(terms, leaves [translation and policy of chosen and rejected], expected latency)."""
    generator = torch.Generator().manual_seed(3)

    def some(scale: float = 10.0) -> Tensor:
        return -scale * torch.rand(pairs, generator=generator, dtype=torch.float64)

    leaves = [some().requires_grad_() for _ in range(4)]
    tokens = [torch.randint(3, 9, (pairs,), generator=generator).double() for _ in range(2)]
    chosen, rejected = PathLogps(leaves[0], leaves[1], tokens[0]), PathLogps(leaves[2], leaves[3], tokens[1])
    latency_w, latency_l = (torch.rand(pairs, generator=generator, dtype=torch.float64) for _ in range(2))
    terms = path_terms(chosen, rejected, some(20), some(20), latency_w, latency_l, -some(1) if weight else None)
    expected = torch.rand(pairs, generator=generator, dtype=torch.float64).requires_grad_()
    return terms, leaves, expected


def by_hand(terms: PairTerms, pair: int, form: Form, expected: float) -> tuple[float, float, float]:
    """(loss, its derivative by log pi(y_w, g_w), by log pi(y_l, g_l)) in plain numbers."""
    assert terms.ref_chosen is not None
    assert terms.ref_rejected is not None
    assert terms.margin is not None
    assert terms.chosen_tokens is not None
    chosen, rejected = terms.chosen[pair].item(), terms.rejected[pair].item()
    argument = BETA * (chosen - float(terms.ref_chosen[pair]) - rejected + float(terms.ref_rejected[pair]))
    if form == "offset":  # Lat(g_w) - Lat(g_l) is minus the margin
        argument += ALPHA * -float(terms.margin[pair])
    loss = math.log1p(math.exp(-argument))
    slope = -BETA / (1 + math.exp(argument))
    if form == "explicit":
        loss += ALPHA * expected
    tokens = float(terms.chosen_tokens[pair])
    return loss - SFT * chosen / tokens, slope - SFT / tokens, -slope


@pytest.mark.parametrize("weight", [False, True])
@pytest.mark.parametrize("form", ["offset", "explicit", "none"])
def test_value_and_gradient_of_every_form(form: Form, weight: bool) -> None:
    terms, leaves, expected = random_terms(weight=weight)
    losses, _ = simul_dpo(terms, form=form, beta=BETA, alpha=ALPHA, sft_weight=SFT, expected=expected)
    found = torch.autograd.grad(losses.sum(), [*leaves, expected], allow_unused=True)
    for pair in range(len(losses)):
        factor = 1.0 if terms.weight is None else float(terms.weight[pair])
        loss, by_chosen, by_rejected = by_hand(terms, pair, form, expected[pair].item())
        assert losses[pair].item() == pytest.approx(factor * loss, abs=1e-12)
        # A path's translation and policy parts weigh alike.
        for number, slope in enumerate((by_chosen, by_chosen, by_rejected, by_rejected)):
            gradient = found[number]
            assert gradient is not None
            assert float(gradient[pair]) == pytest.approx(factor * slope, abs=1e-12)
        if form == "explicit":
            assert float(found[4][pair]) == pytest.approx(factor * ALPHA, abs=1e-12)
    assert (found[4] is None) == (form != "explicit")


@pytest.mark.parametrize("form", ["offset", "explicit", "none"])
def test_without_alpha_every_form_is_dpo_on_paths(form: Form) -> None:
    terms, _, expected = random_terms()
    losses, metrics = simul_dpo(terms, form=form, beta=BETA, alpha=0.0, expected=expected)
    plain, of_plain = build_objective("sigmoid", beta=BETA)(terms)
    assert torch.equal(losses, plain)
    assert all(torch.equal(metrics[name], value) for name, value in of_plain.items())


def test_a_faster_chosen_path_asks_for_a_larger_margin() -> None:
    terms, _, _ = random_terms()
    assert terms.margin is not None
    faster = terms.margin > 0
    assert bool(faster.any())
    assert not bool(faster.all())
    with_offset, _ = simul_dpo(terms, form="offset", beta=BETA, alpha=ALPHA)
    without, _ = simul_dpo(terms, form="none", beta=BETA, alpha=ALPHA)
    assert torch.equal(with_offset > without, faster)


def test_the_explicit_form_lowers_the_latency_that_a_sigmoid_would_raise() -> None:
    """One step down each loss in the confidences: why a differentiable latency does not stand inside the sigmoid."""
    start = torch.zeros(1, 4, 5, dtype=torch.float64)

    def latency(logits: Tensor) -> Tensor:
        ones = torch.ones(1, 4, dtype=torch.float64)
        return expected_latency(Lattice(logits, ones, torch.tensor([5]), torch.tensor([4.0])), "ap")

    def after_a_step(inside: bool) -> float:
        logits = start.clone().requires_grad_()
        loss = -torch.nn.functional.logsigmoid(latency(logits)) if inside else latency(logits)
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        return float(latency(start - gradient))

    before = float(latency(start))
    assert after_a_step(inside=False) < before < after_a_step(inside=True)


def test_the_explicit_form_needs_its_expectation() -> None:
    with pytest.raises(ValueError, match="expected latency"):
        simul_dpo(random_terms()[0], form="explicit", beta=BETA, alpha=ALPHA)
