"""Every objective against a float64 formula written from its paper: value, and gradient by central differences."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.training.objectives import UnpairedTerms, build_objective
from shared.training.objectives.config import KNOWN
from shared.training.objectives.kto import reference_point
from tests.shared.training.objectives import paper_formulas
from tests.shared.training.objectives.term_batches import (
    WITH_GRADIENT,
    as_terms,
    as_unpaired,
    random_batch,
    random_unpaired,
)

CASES: list[dict[str, Any]] = [
    {"name": "sigmoid"},
    {"name": "cdpo", "label_smoothing": 0.0},
    {"name": "cdpo", "label_smoothing": 0.3},
    {"name": "robust", "label_smoothing": 0.2},
    {"name": "soft_labels"},
    {"name": "ipo", "reduction": "mean"},
    {"name": "ipo", "reduction": "sum"},
    {"name": "hinge"},
    {"name": "sigmoid_norm"},
    {"name": "ld_dpo", "ld_alpha": 0.0},
    {"name": "ld_dpo", "ld_alpha": 0.4},
    {"name": "odpo", "alpha": 0.7, "scale": "log"},
    {"name": "odpo", "alpha": 0.2, "scale": "identity"},
    {"name": "simpo", "gamma": 1.4},
    {"name": "simpo", "gamma": 0.5, "label_smoothing": 0.1},
    {"name": "orpo"},
    {"name": "nll"},
    {"name": "rpo", "alpha": 0.2},
    {"name": "rationale", "gamma": 0.1, "form": "nll", "reduction": "sum"},
    {"name": "rationale", "gamma": 0.1, "form": "sigmoid", "reduction": "mean"},
    {"name": "rationale_dpo", "gamma": 0.1, "form": "sigmoid", "reduction": "sum"},
    {"name": "rationale_dpo", "gamma": 0.3, "form": "nll", "reduction": "mean"},
    {"name": "context"},
]
BETAS = st.floats(0.01, 5)


def _label(case: dict[str, Any]) -> str:
    return "-".join(str(value) for value in case.values())


def _oracle(case: dict[str, Any], beta: float) -> Any:
    parameters = {key: value for key, value in case.items() if key not in ("name", "prior")}
    return partial(getattr(paper_formulas, case["name"]), beta=beta, **parameters)


def test_every_loss_has_a_case() -> None:
    assert {case["name"] for case in CASES} | {"kto"} == set(KNOWN)


@pytest.mark.parametrize("case", CASES, ids=_label)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), beta=BETAS)
def test_value_and_gradient(case: dict[str, Any], seed: int, beta: float) -> None:
    batch = random_batch(seed)
    oracle = _oracle(case, beta)
    terms = as_terms(batch)
    losses, metrics = build_objective(case, beta)(terms)
    np.testing.assert_allclose(losses.detach().numpy(), oracle(batch), rtol=1e-9, atol=1e-11)
    assert losses.shape == (len(batch["chosen"]),)
    assert all(value.shape == losses.shape and not value.requires_grad for value in metrics.values())

    losses.sum().backward()
    # A central difference across the hinge's kink is no slope.
    smooth = np.abs(1 - paper_formulas.reward_gap(batch, beta)) > 0.01 if case["name"] == "hinge" else slice(None)
    used = 0
    for name in WITH_GRADIENT:
        ours = getattr(terms, name).grad
        expected = paper_formulas.slope(oracle, batch, name)
        found = np.zeros_like(expected) if ours is None else ours.numpy()
        np.testing.assert_allclose(found[smooth], expected[smooth], rtol=2e-5, atol=2e-6, err_msg=name)
        used += ours is not None
    assert used > 0


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    beta=st.floats(0.01, 2),
    desirable=st.floats(0.1, 3),
    undesirable=st.floats(0.1, 3),
)
def test_kto_value_and_gradient(seed: int, beta: float, desirable: float, undesirable: float) -> None:
    batch = random_unpaired(seed)
    point = max(0.0, float(np.mean(batch["mismatched"] - batch["ref_mismatched"])))
    oracle = partial(
        paper_formulas.kto, beta=beta, desirable_weight=desirable, undesirable_weight=undesirable, point=point
    )
    terms = as_unpaired(batch)
    objective = build_objective({"name": "kto", "desirable_weight": desirable, "undesirable_weight": undesirable}, beta)
    losses, metrics = objective(terms)
    np.testing.assert_allclose(losses.detach().numpy(), oracle(batch), rtol=1e-9, atol=1e-11)
    losses.sum().backward()
    assert terms.policy.grad is not None
    np.testing.assert_allclose(
        terms.policy.grad.numpy(), paper_formulas.slope(oracle, batch, "policy"), rtol=2e-5, atol=2e-6
    )
    assert terms.mismatched.grad is None  # the reference point is a constant of the step
    np.testing.assert_allclose(metrics["kl"].numpy(), point, atol=1e-12)
    rewards = beta * (batch["policy"] - batch["reference"])
    wanted = batch["desirable"] > 0.5
    np.testing.assert_allclose(metrics["rewards/chosen"].numpy()[wanted], rewards[wanted])
    assert np.isnan(metrics["rewards/chosen"].numpy()[~wanted]).all()
    np.testing.assert_allclose(metrics["rewards/rejected"].numpy()[~wanted], rewards[~wanted])


def test_kto_reads_a_pair_as_two_examples() -> None:
    batch = random_batch(3, pairs=4)
    pairs = as_terms(batch, weight=torch.tensor([1.0, 2.0, 0.5, 0.0], dtype=torch.float64))
    mismatched = torch.tensor([-10.0, -20.0], dtype=torch.float64)
    terms = UnpairedTerms.of_pairs(pairs, mismatched, mismatched - 1.0)
    losses, _ = build_objective("kto", 0.1)(terms)
    alone = {
        "policy": np.concatenate([batch["chosen"], batch["rejected"]]),
        "reference": np.concatenate([batch["ref_chosen"], batch["ref_rejected"]]),
        "desirable": np.repeat([1.0, 0.0], 4),
    }
    expected = paper_formulas.kto(alone, 0.1, 1.0, 1.0, point=1.0) * np.tile([1.0, 2.0, 0.5, 0.0], 2)
    np.testing.assert_allclose(losses.detach().numpy(), expected, rtol=1e-12)
    assert reference_point(terms).item() == pytest.approx(1.0)
    losses.sum().backward()
    assert pairs.chosen.grad is not None
    assert (pairs.chosen.grad[:3] < 0).all()
    assert pairs.rejected.grad is not None
    assert (pairs.rejected.grad[:3] > 0).all()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), beta=BETAS, share=st.floats(0.01, 10))
def test_a_sum_is_the_sum_of_its_parts(seed: int, beta: float, share: float) -> None:
    batch = random_batch(seed)
    weight = np.random.default_rng(seed).uniform(0, 3, size=6)
    objective = build_objective(["sigmoid", {"name": "nll", "weight": share}, {"name": "context", "weight": 2}], beta)
    terms = as_terms(batch, weight=torch.tensor(weight))
    losses, metrics = objective(terms)
    parts = paper_formulas.sigmoid(batch, beta), paper_formulas.nll(batch, beta), paper_formulas.context(batch, beta)
    expected = weight * (parts[0] + share * parts[1] + 2 * parts[2])
    np.testing.assert_allclose(losses.detach().numpy(), expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(metrics["loss/sigmoid"].numpy(), parts[0], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(metrics["loss/nll"].numpy(), parts[1], rtol=1e-9)
    np.testing.assert_allclose(
        metrics["rewards/margins"].numpy(), paper_formulas.reward_gap(batch, beta), rtol=1e-9, atol=1e-9
    )


def test_the_rewards_of_a_sum_do_not_depend_on_the_order() -> None:
    batch = random_batch(1)
    first = build_objective(["nll", "sigmoid"], 0.1)(as_terms(batch))[1]
    second = build_objective(["sigmoid", "nll"], 0.1)(as_terms(batch))[1]
    assert first.keys() == second.keys()
    for name, values in first.items():
        torch.testing.assert_close(values, second[name])
