"""Checks of labels: ties, contradictions, cycles, votes, length, predictors, groups, flips."""

import math
import random

import numpy as np
import pytest

from shared.evaluation.intervals import bootstrap_mean
from shared.lint.groups import gini
from shared.lint.signs import sign_accuracy
from shared.lint.votes import agreement
from shared.records import Votes
from tests.shared.lint.lint_records import TEXTS, ids_of, pair, report_on


def test_ties_by_margin_and_by_votes():
    records = [pair(0, margin=0.0), pair(1, margin=2.0), pair(2, votes=Votes(4, 4, 2)), pair(3, votes=Votes(5, 4))]
    assert ids_of(report_on(records), "ties") == {"r0", "r2"}
    assert ids_of(report_on(records, config={"tie_margin": 2.0}), "ties") == {"r0", "r1", "r2"}


def test_a_margin_overrules_even_votes():
    assert not report_on([pair(0, margin=1.0, votes=Votes(3, 3)), pair(1)]).of("ties")


def test_near_ties_only_where_asked_for():
    records = [pair(0, margin=0.3), pair(1, margin=0.0), pair(2, margin=1.0)]
    assert not report_on(records).of("near_ties")
    assert ids_of(report_on(records, config={"near_tie_margin": 0.5}), "near_ties") == {"r0"}


def test_all_tied_is_an_error():
    records = [pair(0, margin=0.0), pair(1, margin=1.0, rejected=pair(1).chosen)]
    assert report_on(records).of("all_tied")[0].severity == "error"
    assert not report_on([*records, pair(2, margin=1.0)]).of("all_tied")


def test_identical_and_nearly_identical_responses():
    long = " ".join(TEXTS)
    records = [
        pair(0, rejected=pair(0).chosen.upper()),
        pair(1, chosen=long, rejected=long.replace("crooked", "straight")),
        pair(2),
    ]
    report = report_on(records)
    assert ids_of(report, "identical_responses") == {"r0"}
    assert ids_of(report, "near_identical_responses") == {"r1"}


def test_contradictions_need_the_same_prompt_and_context():
    one = pair(0)
    turned = {"prompt": one.prompt, "chosen": one.rejected, "rejected": one.chosen}
    records = [one, pair(1, **turned), pair(2, **turned, context="for a child"), pair(3, chosen=one.rejected)]
    assert ids_of(report_on(records), "contradictory_pairs") == {"r0", "r1"}


def _over(number: int, winner: str, loser: str, prompt: str = "Which one?", **values):
    return pair(number, prompt=prompt, chosen=f"answer {winner} it is", rejected=f"answer {loser} it is", **values)


def test_a_cycle_is_found_and_a_chain_is_not():
    cycle = [_over(0, "a", "b"), _over(1, "b", "c"), _over(2, "c", "a"), _over(3, "a", "d")]
    assert ids_of(report_on(cycle), "preference_cycles") == {"r0", "r1", "r2"}
    across = [_over(0, "a", "b"), _over(1, "b", "c"), _over(2, "c", "a", prompt="Another question?")]
    assert not report_on(across).of("preference_cycles")


def test_a_two_way_pair_is_a_contradiction_and_no_cycle():
    report = report_on([_over(0, "a", "b"), _over(1, "b", "a"), _over(2, "b", "c")])
    assert ids_of(report, "contradictory_pairs") == {"r0", "r1"}
    assert not report.of("preference_cycles")


def test_the_majority_decides_which_way_a_pair_runs_in_a_cycle():
    rows = [_over(0, "a", "b"), _over(1, "a", "b"), _over(2, "b", "a"), _over(3, "b", "c"), _over(4, "c", "a")]
    assert ids_of(report_on(rows), "preference_cycles") == {"r0", "r1", "r3", "r4"}


def test_tied_rows_contradict_nothing():
    rows = [_over(0, "a", "b", margin=1.0), _over(1, "b", "a", margin=0.0)]
    assert not report_on(rows).of("contradictory_pairs")


def test_votes_against_the_label_and_contested_votes():
    records = [pair(0, votes=Votes(9, 1)), pair(1, votes=Votes(5, 4)), pair(2, votes=Votes(2, 7)), pair(3)]
    report = report_on(records)
    assert ids_of(report, "votes_against_label") == {"r2"}
    assert ids_of(report, "contested_votes") == {"r1", "r2"}
    assert report.of("contested_votes")[0].share == pytest.approx(2 / 3)


def test_agreement_is_fleiss_kappa_with_one_marginal_for_both_sides():
    # By hand: items (4,0,0) and (2,2,0): P = (1 + (2+2)/12)/2 = 2/3; chance is 1/2 without ties.
    kappa, observed = agreement(np.array([[4.0, 0, 0], [2, 2, 0]]))
    assert observed == pytest.approx(2 / 3)
    assert kappa == pytest.approx((2 / 3 - 1 / 2) / (1 / 2))
    rng = np.random.default_rng(0)
    coins = rng.binomial(10, 0.5, size=4000)
    votes = np.stack([np.maximum(coins, 10 - coins), np.minimum(coins, 10 - coins), np.zeros(4000)], axis=1)
    assert agreement(votes)[0] == pytest.approx(0, abs=0.01)  # coin flips, though labelled by majority
    assert math.isnan(agreement(np.array([[1.0, 0, 0]]))[0])


def test_sign_accuracy_agrees_with_the_cluster_bootstrap():
    rng = np.random.default_rng(3)
    groups = rng.integers(60, size=500)
    bias = rng.normal(0.4, 0.8, size=60)
    signs = np.where(rng.normal(bias[groups]) > 0, 1, -1).astype(np.int8)
    result, reference = sign_accuracy(signs, groups), bootstrap_mean(signs == 1, groups)
    assert result.accuracy == pytest.approx(reference.value)
    assert result.low == pytest.approx(reference.low, abs=0.015)
    assert result.high == pytest.approx(reference.high, abs=0.015)


def test_sign_accuracy_rejects_chance_as_often_as_it_should():
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(40), 5)
    rejected = 0
    for _ in range(400):
        of_group = rng.choice([-1, 1], size=40)  # whole groups agree: pairs are anything but independent
        rejected += sign_accuracy(of_group[groups].astype(np.int8), groups).p_value < 0.05
    assert 0.02 <= rejected / 400 <= 0.09


def test_sign_accuracy_leaves_out_equal_and_missing_values():
    result = sign_accuracy(np.array([1, 0, 2, 1, -1], dtype=np.int8), np.arange(5))
    assert (result.n, result.accuracy) == (3, pytest.approx(2 / 3))
    assert math.isnan(sign_accuracy(np.array([0, 2], dtype=np.int8), np.arange(2)).accuracy)


@pytest.mark.parametrize(("share", "subject"), [(0.8, "longer"), (0.2, "shorter"), (0.5, None)])
def test_length_bias_in_both_directions(share, subject):
    rng = random.Random(1)
    records = []
    for n in range(300):
        longer = rng.random() < share
        records.append(pair(n, **{"chosen" if longer else "rejected": " ".join(TEXTS[:3])}))
    found = report_on(records).of("length_bias")
    assert [each.subject for each in found] == ([subject] if subject else [])


def test_columns_that_predict_the_label_either_way():
    rng = random.Random(2)
    records = []
    for n in range(400):
        right, wrong = rng.random() < 0.8, rng.random() < 0.8
        records.append(
            pair(
                n,
                covariates_chosen={"views": float(right), "rank": -float(wrong), "noise": rng.random()},
                covariates_rejected={"views": float(not right), "rank": -float(not wrong), "noise": rng.random()},
                scores_chosen={"warmth": 2.0},
                scores_rejected={"warmth": 1.0},
                metadata={"model_chosen": "m1" if right else "m2", "model_rejected": "m2" if right else "m1"},
            )
        )
    report = report_on(records)
    found = {each.subject: each.severity for each in report.of("label_predictors")}
    assert found == {
        "covariates.views": "warning",
        "covariates.rank": "warning",
        "metadata.model": "warning",
        "scores.warmth": "info",
    }
    assert "lower on the chosen side" in report.of("label_predictors", "covariates.rank")[0].message
    usual = {record.id for record in records if record.covariates_chosen["views"] == 1.0}
    assert not usual & ids_of(report, "label_predictors", "covariates.views")  # examples contradict the column


def test_missing_values_of_a_column_are_left_out():
    records = [pair(n) for n in range(50)]
    records += [pair(n, covariates_chosen={"v": 2.0}, covariates_rejected={"v": 1.0}) for n in range(50, 150)]
    records += [pair(n, covariates_chosen={"v": math.nan}, covariates_rejected={"v": 1.0}) for n in range(150, 160)]
    row, length = report_on(records).figures["label_predictors"]["columns"]
    assert (row["column"], row["n"], row["accuracy"]) == ("covariates.v", 100, 1.0)
    assert length["kind"] == "length"


def test_where_the_chosen_response_always_stands_is_found():
    rng = random.Random(4)
    records = [pair(n, metadata={"chosen_first": rng.random() < 0.9, "fold": n % 2}) for n in range(200)]
    report = report_on(records)
    assert [each.subject for each in report.of("label_predictors")] == ["metadata.chosen_first"]


def test_dominating_groups_and_their_figures():
    records = [pair(n) for n in range(60)] + [pair(n, group_id="hot") for n in range(60, 100)]
    report = report_on(records)
    (finding,) = report.of("dominating_groups")
    assert (finding.count, finding.share) == (1, pytest.approx(0.4))
    assert report.figures["dominating_groups"]["effective_groups"] == pytest.approx(1 / (0.4**2 + 60 * 0.01**2))
    assert not report_on(records[:60]).of("dominating_groups")


def test_gini_of_even_and_of_uneven_groups():
    assert gini(np.array([3, 3, 3])) == pytest.approx(0)
    sizes = np.array([1, 2, 7])
    by_definition = np.abs(sizes[:, None] - sizes[None]).sum() / (2 * 3 * sizes.sum())
    assert gini(sizes) == pytest.approx(by_definition)


def _worded(n: int, flipped: bool = False):
    good, bad = f"gentle warm kind words {n}", f"harsh cold rude words {n}"
    return pair(n, chosen=bad if flipped else good, rejected=good if flipped else bad)


def test_flipped_labels_are_suspected_where_words_tell_the_label():
    flipped = {7, 77, 177}
    report = report_on([_worded(n, n in flipped) for n in range(300)])
    assert ids_of(report, "label_flips") == {f"r{n}" for n in flipped}


def test_no_flip_is_suspected_where_words_say_nothing():
    report = report_on(
        [pair(n) if n % 2 else pair(n, chosen=pair(n).rejected, rejected=pair(n).chosen) for n in range(300)]
    )
    assert not report.of("label_flips")
    assert "chance" in report.figures["label_flips"]["reason"]


def test_the_classifiers_sample_is_stated():
    report = report_on([_worded(n, n % 30 == 0) for n in range(600)], config={"flip_sample": 200})
    (finding,) = report.of("label_flips")
    assert "of a random sample of 200 of 600" in finding.message
