"""What objectives become at their limits, and that no input makes them NaN or infinite."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.training.objectives import PairTerms, UnpairedTerms, build_objective
from tests.shared.training.objectives.term_batches import WITH_GRADIENT, as_terms, random_batch
from tests.shared.training.objectives.test_objective_formulas import CASES

LOGPS = st.floats(-1e6, 0, width=32)
EXTREME = {
    "chosen_tokens": st.sampled_from([0.0, 1.0, 30.0, 1e5]),
    "rejected_tokens": st.sampled_from([0.0, 1.0, 30.0, 1e5]),
    "rationale_tokens": st.sampled_from([0.0, 1.0, 500.0]),
    "margin": st.sampled_from([0.0, 1e-30, 1.0, 1e6]),
    "soft_label": st.sampled_from([0.0, 1e-6, 0.5, 1.0]),
}
NAMES = [name for name in PairTerms.__dataclass_fields__ if name != "weight"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
@settings(max_examples=15, deadline=None)
@given(values=st.fixed_dictionaries({name: EXTREME.get(name, LOGPS) for name in NAMES}), beta=st.floats(1e-3, 100))
def test_no_input_gives_nan_or_infinity(case: dict[str, Any], values: dict[str, float], beta: float) -> None:
    terms = as_terms({name: np.array([value]) for name, value in values.items()}, torch.float32)
    losses, metrics = build_objective(case, beta)(terms)
    assert losses.isfinite().all()
    assert all(value.isfinite().all() for value in metrics.values())
    losses.sum().backward()
    for name in WITH_GRADIENT:
        gradient = getattr(terms, name).grad
        assert gradient is None or gradient.isfinite().all(), name


@settings(max_examples=30, deadline=None)
@given(policy=LOGPS, reference=LOGPS, other=LOGPS, other_reference=LOGPS, desirable=st.sampled_from([0.0, 1.0]))
def test_kto_is_finite_everywhere(
    policy: float, reference: float, other: float, other_reference: float, desirable: float
) -> None:
    leaf = torch.tensor([policy], requires_grad=True)
    rest = [torch.tensor([value]) for value in (reference, desirable, other, other_reference)]
    losses, _ = build_objective("kto", 0.1)(UnpairedTerms(leaf, *rest))
    losses.sum().backward()
    assert losses.isfinite().all()
    assert 0 <= losses.item() <= 1
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("sigmoid", math.log(2)),
        ("cdpo", math.log(2)),
        ("robust", math.log(2)),
        ("soft_labels", math.log(2)),
        ("sigmoid_norm", math.log(2)),
        ("ld_dpo", math.log(2)),
        ("hinge", 1.0),
        ("ipo", 25.0),
        ({"name": "odpo", "alpha": 0.0}, math.log(2)),
        ({"name": "odpo", "alpha": 2.0, "scale": "identity"}, float(np.logaddexp(0.0, 2.0 * 3.0))),
        ({"name": "odpo", "alpha": 1.0}, math.log(4)),  # sigmoid(-log 3) = 1 / 4
    ],
    ids=str,
)
def test_policy_equal_to_reference(loss: Any, expected: float) -> None:
    batch = random_batch(2)
    for name in ("chosen", "rejected", "chosen_common", "rejected_common"):
        batch[f"ref_{name}"] = batch[name]
    batch["margin"] = np.full(6, 3.0)
    losses, metrics = build_objective(loss, 0.1)(as_terms(batch))
    np.testing.assert_allclose(losses.detach().numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(metrics["rewards/margins"].numpy(), 0.0, atol=1e-12)
    assert not metrics["rewards/accuracies"].any()


@pytest.mark.parametrize("loss", ["sigmoid", "cdpo", "robust", "soft_labels", "sigmoid_norm", "ld_dpo", "context"])
def test_without_beta_there_is_no_preference(loss: str) -> None:
    losses, _ = build_objective(loss, 1e-12)(as_terms(random_batch(4)))
    np.testing.assert_allclose(losses.detach().numpy(), math.log(2), rtol=1e-9)


def test_equal_responses_of_simpo_and_orpo() -> None:
    batch = random_batch(4)
    batch["rejected"], batch["rejected_tokens"] = batch["chosen"], batch["chosen_tokens"]
    losses, _ = build_objective({"name": "simpo", "gamma": 1.4}, 2.0)(as_terms(batch))
    np.testing.assert_allclose(losses.detach().numpy(), np.logaddexp(0.0, 1.4), rtol=1e-12)
    losses, metrics = build_objective("orpo", 0.1)(as_terms(batch))
    mean = batch["chosen"] / batch["chosen_tokens"]
    np.testing.assert_allclose(losses.detach().numpy(), -mean + 0.1 * math.log(2), rtol=1e-12)
    np.testing.assert_allclose(metrics["log_odds_ratio"].numpy(), 0.0, atol=1e-12)


def test_what_reduces_to_dpo() -> None:
    batch = random_batch(6)
    batch["soft_label"] = np.ones(6)
    plain = build_objective("sigmoid", 0.1)(as_terms(batch))[0]
    for loss in (
        {"name": "cdpo", "label_smoothing": 0},
        {"name": "robust", "label_smoothing": 0},
        {"name": "ld_dpo", "ld_alpha": 1},
        {"name": "odpo", "alpha": 0},
        {"name": "rpo", "alpha": 0},
        "soft_labels",
    ):
        torch.testing.assert_close(build_objective(loss, 0.1)(as_terms(batch))[0], plain, rtol=1e-12, atol=1e-12)
    without = replace(as_terms(batch), soft_label=None)
    torch.testing.assert_close(build_objective("soft_labels", 0.1)(without)[0], plain, rtol=1e-12, atol=1e-12)


def test_robust_is_unbiased_under_flipped_labels() -> None:
    """Averaged over labels flipped with probability e, robust DPO is DPO on the clean labels."""
    batch = random_batch(8)
    flipped = {}
    for name in batch:
        other = name.replace("chosen", "*").replace("rejected", "chosen").replace("*", "rejected")
        flipped[name] = batch[other]
    objective = build_objective({"name": "robust", "label_smoothing": 0.2}, 0.1)
    mean = 0.8 * objective(as_terms(batch))[0] + 0.2 * objective(as_terms(flipped))[0]
    torch.testing.assert_close(mean, build_objective("sigmoid", 0.1)(as_terms(batch))[0], rtol=1e-12, atol=1e-12)


def test_soft_labels_are_least_at_the_raters_share() -> None:
    share = torch.tensor([0.8], dtype=torch.float64)
    gap = torch.tensor([math.log(4)], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, dtype=torch.float64)
    terms = PairTerms(gap, zero, ref_chosen=zero, ref_rejected=zero, soft_label=share)
    losses, _ = build_objective("soft_labels", 1.0)(terms)
    losses.sum().backward()
    assert gap.grad is not None
    assert gap.grad.item() == pytest.approx(0.0, abs=1e-12)


def test_an_empty_response_costs_nothing_and_divides_by_nothing() -> None:
    zero = torch.zeros(1, requires_grad=True)
    terms = PairTerms(zero, torch.tensor([-3.0]), chosen_tokens=torch.zeros(1), rejected_tokens=torch.tensor([2.0]))
    losses, _ = build_objective("nll")(terms)
    assert losses.item() == 0.0


def test_no_mismatched_responses_put_the_reference_point_at_zero() -> None:
    one, none = torch.tensor([-3.0]), torch.zeros(0)
    losses, metrics = build_objective("kto", 0.1)(UnpairedTerms(one, one, torch.ones(1), none, none))
    assert losses.item() == pytest.approx(0.5)
    assert metrics["kl"].item() == 0.0
