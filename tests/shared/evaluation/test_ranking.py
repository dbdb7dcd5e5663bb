import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.evaluation.ranking import (
    PairLogps,
    difficulty_threshold,
    idealised_outcomes,
    kl_to_reference,
    ranking_outcomes,
    ranking_report,
)

POLICY = PairLogps.of([-10.0, -8.0, -5.0], [-12.0, -8.0, -4.0], [5, 4, 5], [4, 8, 2])
REFERENCE = PairLogps.of([-11.0, -8.5, -5.0], [-11.0, -8.0, -6.0], [5, 4, 5], [4, 8, 2])


def test_hand_computed():
    out = ranking_outcomes(POLICY, REFERENCE, beta=0.1)
    assert out["ranking_accuracy"].tolist() == [1, 1, 0]  # a tie counts
    assert out["ranking_accuracy_normalised"].tolist() == [1, 0, 1]  # -2 > -3; -2 < -1; -1 > -2
    assert out["reward_chosen"] == pytest.approx([0.1, 0.05, 0.0])
    assert out["reward_rejected"] == pytest.approx([-0.1, 0.0, 0.2])
    assert out["reward_margin"] == pytest.approx([0.2, 0.05, -0.2])
    assert out["reward_accuracy"].tolist() == [1, 1, 0]
    assert out["difficulty"] == pytest.approx([0.0, 0.5, -1.0])
    assert out["change_chosen"] == pytest.approx([1.0, 0.5, 0.0])
    assert out["logps_rejected_per_token"] == pytest.approx([-3, -1, -2])


def test_policy_that_equals_its_reference():
    out = ranking_outcomes(REFERENCE, REFERENCE, beta=0.1)
    assert out["reward_accuracy"].tolist() == [0, 0, 0]
    assert out["reward_margin"].tolist() == [0, 0, 0]


logp = st.floats(-60, -0.1)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(logp, logp, logp, logp), min_size=1, max_size=10), st.floats(0.01, 1.0))
def test_ranked_right_iff_the_loss_is_below_the_threshold(table, beta):
    chosen, rejected, ref_chosen, ref_rejected = (np.array(column) for column in zip(*table, strict=True))
    tokens = np.ones(len(table))
    policy = PairLogps.of(chosen, rejected, tokens, tokens)
    reference = PairLogps.of(ref_chosen, ref_rejected, tokens, tokens)
    out = ranking_outcomes(policy, reference, beta=beta)
    loss = np.logaddexp(0, -out["reward_margin"])
    threshold = difficulty_threshold(out["difficulty"], beta=beta)
    clear = np.abs(chosen - rejected) > 1e-6
    assert ((loss <= threshold) == (out["ranking_accuracy"] == 1))[clear].all()


def test_idealised_accuracy_needs_votes():
    # log-ratio of the reference 0, -.5, 1; share .5 adds nothing, .9 adds log 9 / beta
    assert idealised_outcomes(REFERENCE, [0.4, 0.5, 0.5], beta=0.1).tolist() == [0, 0, 1]
    assert idealised_outcomes(REFERENCE, [0.9, 0.52, 0.0], beta=0.1).tolist() == [1, 1, 0]
    assert ranking_report(POLICY, REFERENCE, beta=0.1).idealised_accuracy is None
    assert ranking_report(POLICY, REFERENCE, beta=0.1, votes_share=[math.nan] * 3).idealised_accuracy is None
    some = ranking_report(POLICY, REFERENCE, beta=0.1, votes_share=[0.9, math.nan, 0.0], groups=["a", "b", "c"])
    assert some.idealised_accuracy is not None
    assert (some.idealised_accuracy.value, some.idealised_accuracy.n) == (0.5, 2)
    json.dumps(some.to_json(), allow_nan=False)


def test_nan_is_kept_and_named():
    broken = PairLogps.of([math.nan, -8.0, -5.0], [-12.0, -8.0, -4.0], [5, 4, 5], [4, 8, 2])
    report = ranking_report(broken, REFERENCE, beta=0.1)
    assert math.isnan(report.estimates["ranking_accuracy"].value)
    assert "1 of 3" in report.estimates["reward_accuracy"].method
    assert report.estimates["difficulty"].value == pytest.approx(-1 / 6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="different length"):
        PairLogps.of([1.0], [1.0, 2.0], [1], [1])
    with pytest.raises(ValueError, match="without tokens"):
        PairLogps.of([1.0], [1.0], [0], [1])
    other = PairLogps.of([-1.0] * 3, [-1.0] * 3, [5, 4, 6], [4, 8, 2])
    with pytest.raises(ValueError, match="not the same tokens"):
        ranking_outcomes(POLICY, other, beta=0.1)


def test_kl_estimators_reach_the_true_divergence():
    rng = np.random.default_rng(0)
    p, q = np.array([0.6, 0.3, 0.1]), np.array([0.3, 0.3, 0.4])
    true = float((p * np.log(p / q)).sum())
    samples = [rng.choice(3, size=4, p=p) for _ in range(6000)]
    found = kl_to_reference([np.log(p)[s] for s in samples], [np.log(q)[s] for s in samples])
    assert found["kl_k1_per_token"].value == pytest.approx(true, abs=0.02)
    assert found["kl_k3_per_token"].value == pytest.approx(true, abs=0.02)
    assert found["kl_k1_per_sequence"].value == pytest.approx(4 * true, abs=0.08)
    assert found["kl_k3_per_sequence"].value == pytest.approx(4 * true, abs=0.08)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(logp, logp), min_size=1, max_size=10))
def test_k3_is_never_negative(tokens):
    policy, reference = zip(*tokens, strict=True)
    found = kl_to_reference([policy], [reference])
    assert found["kl_k3_per_token"].value >= 0
    assert kl_to_reference([policy], [policy])["kl_k3_per_token"].value == 0


def test_kl_edges():
    assert kl_to_reference([], [])["kl_k1_per_token"].method == "no samples"
    empty = kl_to_reference([[], [-1.0]], [[], [-2.0]], ["a", "b"])
    assert empty["kl_k1_per_token"].n == 1
    assert empty["kl_k1_per_sequence"].value == pytest.approx(0.5)
    assert math.isnan(kl_to_reference([[-2000.0]], [[0.0]])["kl_k3_per_token"].value)
    with pytest.raises(ValueError, match="sample 0"):
        kl_to_reference([[-1.0]], [[-1.0, -2.0]])
    with pytest.raises(ValueError, match="samples of the policy"):
        kl_to_reference([[-1.0]], [])
