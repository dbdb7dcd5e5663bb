"""Difficulty of pairs for the reference: by hand, and against the theorem that it rests on."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.records import PreferenceRecord
from shared.training.pair_difficulty import BINS, HARDEST, difficulty_report


def test_numbers_by_hand(toy_pairs: list[PreferenceRecord]) -> None:
    logps = [
        {"chosen": [-1.0, -1.0], "rejected": [-3.0]},  # c = -1, a token -2
        {"chosen": [-4.0], "rejected": [-1.0, -1.0]},  # c = 2, a token 3
        {"chosen": [-0.5, -0.5, -0.5], "rejected": [-1.5]},  # c = 0, a token -1
    ]
    report = difficulty_report(toy_pairs[:3], logps)
    assert report["pairs"] == 3
    assert report["ranking_accuracy"] == pytest.approx(2 / 3)
    assert report["mean"] == pytest.approx(1 / 3)
    assert report["quantiles"] == pytest.approx({"0.05": -0.9, "0.25": -0.5, "0.5": 0, "0.75": 1, "0.95": 1.8})
    assert report["per_token"]["mean"] == pytest.approx(0.0)
    assert report["per_token"]["ranking_accuracy"] == pytest.approx(2 / 3)
    assert report["per_token"]["quantiles"]["0.5"] == pytest.approx(-1)
    hardest = report["hardest"]
    assert [row["id"] for row in hardest] == ["pair-1", "pair-2", "pair-0"]
    assert hardest[0] == {
        "id": "pair-1",
        "source": toy_pairs[1].source,
        "difficulty": 2.0,
        "chosen_tokens": 1,
        "rejected_tokens": 2,
    }


def test_the_report_is_small_holds_no_text_and_is_json(toy_pairs: list[PreferenceRecord]) -> None:
    logps = [{"chosen": [-float(n)], "rejected": [-1.0] * (n + 1)} for n in range(len(toy_pairs))]
    report = difficulty_report(toy_pairs, logps)
    assert len(report["hardest"]) == HARDEST < len(toy_pairs)
    for of in (report, report["per_token"]):
        counts, edges = of["histogram"]["counts"], of["histogram"]["edges"]
        assert (len(counts), len(edges), sum(counts)) == (BINS, BINS + 1, len(toy_pairs))
    written = json.dumps(report)
    assert all(record.chosen not in written and record.prompt_text() not in written for record in toy_pairs)


@given(
    ratio_chosen=st.floats(-30, 30),
    ratio_rejected=st.floats(-30, 30),
    reference=st.tuples(st.floats(-50, -1), st.floats(-50, -1)),
    beta=st.floats(0.02, 1),
)
def test_a_pair_is_ranked_right_where_its_loss_is_below_the_bound(
    ratio_chosen: float, ratio_rejected: float, reference: tuple[float, float], beta: float
) -> None:
    """Theorem 4.1 of https://arxiv.org/abs/2405.19534: so it is iff the DPO loss is at most -log sigmoid(beta c)."""
    record = PreferenceRecord("a", "a", "t:1", (), "y", "n")
    report = difficulty_report([record], [{"chosen": [reference[0]], "rejected": [reference[1]]}])
    difficulty = report["mean"]
    policy_margin = ratio_chosen + reference[0] - ratio_rejected - reference[1]
    if abs(policy_margin) < 1e-6:
        return
    loss = np.logaddexp(0, -beta * (ratio_chosen - ratio_rejected))
    bound = np.logaddexp(0, -beta * difficulty)
    assert (loss < bound) == (policy_margin > 0) or math.isclose(loss, bound, rel_tol=1e-9)
