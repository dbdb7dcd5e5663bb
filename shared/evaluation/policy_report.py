"""Policies against the base on held-out pairs and prompts: ranking, implicit rewards, divergence, win rate."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shared.evaluation.intervals import Estimate, Floats, bootstrap_mean, over_seeds, t_interval
from shared.evaluation.paired import holm, paired_difference
from shared.evaluation.ranking import PairLogps, idealised_outcomes, kl_to_reference, ranking_outcomes
from shared.evaluation.win_rate import win_rate_report
from shared.records import PreferenceRecord

# Compared between a policy and the base by paired tests; the rest is described, not tested.
TESTED = ("ranking_accuracy", "ranking_accuracy_normalised", "margin_per_token", "logps_chosen_per_token")


def pair_outcomes_of(policy: PairLogps, base: PairLogps, beta: float) -> dict[str, Floats]:
    """`ranking_outcomes` and ``margin_per_token``: log pi(y_w)/|y_w| - log pi(y_l)/|y_l|, nats a token [n].

    The margin is defined for every model alike, the base included, so that candidate and champion are compared on it.
    """
    outcomes = ranking_outcomes(policy, base, beta=beta)
    outcomes["margin_per_token"] = outcomes["logps_chosen_per_token"] - outcomes["logps_rejected_per_token"]
    return outcomes


def ranking_section(
    base: PairLogps,
    policies: Mapping[str, PairLogps],
    seeds: Sequence[str],
    records: Sequence[PreferenceRecord],
    beta: float,
) -> dict[str, Any]:
    """Ranking metrics of base and policies, per seed and over seeds, with paired tests against the base.

    Args:
        base: log-probabilities of the base on the test pairs.
        policies: those of every other model, by name.
        seeds: names of the policies that are training seeds of one recipe.
        records: the test pairs.
        beta: scale of the implicit rewards.

    Returns:
        JSON: ``models`` (name -> metric -> estimate), ``over_seeds`` (metric -> estimate with items and seeds
        resampled, and `t_over_seeds`), ``differences`` (policy -> metric -> paired difference to the base,
        with Holm-corrected p over the tested metrics), ``idealised_accuracy`` or null with the reason.
    """
    groups = [one.group_id for one in records]
    outcomes = {name: pair_outcomes_of(logps, base, beta) for name, logps in {"base": base, **policies}.items()}
    models = {
        name: {
            metric: bootstrap_mean(values, groups).to_json()
            for metric, values in found.items()
            if name != "base" or not metric.startswith("reward_")  # the base has no reward against itself
        }
        for name, found in outcomes.items()
    }
    differences = {}
    for name in policies:
        tests = {
            metric: paired_difference(outcomes[name][metric], outcomes["base"][metric], groups) for metric in TESTED
        }
        corrected = holm({metric: test.p_value for metric, test in tests.items()})
        differences[name] = {
            metric: {**test.to_json(), "p_holm": _finite(corrected[metric])} for metric, test in tests.items()
        }
    together: dict[str, Any] = {}
    if len(seeds) > 1:
        for metric in outcomes[seeds[0]]:
            values = [outcomes[name][metric] for name in seeds]
            together[metric] = {
                "estimate": over_seeds(values, groups).to_json(),
                "t_over_seeds": t_interval([float(np.mean(one)) for one in values]).to_json(),
            }
        for metric in TESTED:
            gains = [outcomes[name][metric] - outcomes["base"][metric] for name in seeds]
            together[metric]["gain"] = over_seeds(gains, groups).to_json()
            together[metric]["gain_t_over_seeds"] = t_interval([float(np.mean(one)) for one in gains]).to_json()
    ideal, reason = _idealised(base, records, beta, groups)
    return {
        "models": models,
        "differences": differences,
        "over_seeds": together,
        "idealised_accuracy": ideal,
        "idealised_accuracy_reason": reason,
    }


def _idealised(
    base: PairLogps, records: Sequence[PreferenceRecord], beta: float, groups: Sequence[str]
) -> tuple[dict[str, Any] | None, str]:
    voted = [index for index, one in enumerate(records) if one.votes is not None and _raters(one)]
    if not voted:
        return None, "not available: the data hold one label a pair, no votes (with one label it is trivially 1)"
    share = np.full(len(records), np.nan)
    for index in voted:
        votes = records[index].votes
        assert votes is not None
        share[index] = votes.chosen / (votes.chosen + votes.rejected)
    values = idealised_outcomes(base, share, beta=beta)[voted]
    return bootstrap_mean(values, [groups[index] for index in voted]).to_json(), f"{len(voted)} pairs with votes"


def _raters(record: PreferenceRecord) -> int:
    return record.votes.chosen + record.votes.rejected if record.votes else 0


def kl_section(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """KL(policy || base) from kl.json of a measured policy; None where it was not sampled."""
    if not rows:
        return None
    found = kl_to_reference(
        [row["policy"] for row in rows], [row["base"] for row in rows], [row["group"] for row in rows]
    )
    return {name: one.to_json() for name, one in found.items()}


def win_rate_section(
    scores: Mapping[str, Floats],
    lengths: Mapping[str, Floats],
    groups: Sequence[str],
    judge_accuracy: Estimate,
    judge_length_contrary: Estimate | None,
) -> dict[str, Any]:
    """Win rate of every policy over the base by a judge's scores, free and length-controlled.

    Args:
        scores: judge's score of each answer, by model, ``base`` among them [n].
        lengths: tokens of each answer, by model [n].
        groups: prompt of each answer [n].
        judge_accuracy: the judge's accuracy on held-out pairs.
        judge_length_contrary: its accuracy where the better answer is the shorter one.
    """
    sections = {}
    for name, values in scores.items():
        if name == "base":
            continue
        found = win_rate_report(
            values - scores["base"],
            lengths[name],
            lengths["base"],
            groups,
            judge_accuracy=judge_accuracy,
            judge_length_contrary_accuracy=judge_length_contrary,
        )
        sections[name] = found.to_json()
    return sections


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
