"""What a preference scorer is worth on held-out pairs, beside judges that read nothing but length or a covariate."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.evaluation.baselines import (
    confound_model,
    contrary_accuracy,
    covariate_baseline,
    matched_length_accuracy,
)
from shared.evaluation.calibration import pair_outcomes, preference_report, reliability_table
from shared.evaluation.intervals import Floats, bootstrap_mean, cluster_bootstrap, unavailable
from shared.evaluation.paired import paired_difference
from shared.records import PreferenceRecord
from shared.rewards.protocol import PreferenceModel, ScalarReward

if TYPE_CHECKING:
    from shared.rewards.feature_network import FeatureReward


def length_differences(records: Sequence[PreferenceRecord]) -> Floats:
    """Words of chosen minus words of rejected [n]."""
    return np.array([float(len(one.chosen.split()) - len(one.rejected.split())) for one in records])


def covariate_differences(records: Sequence[PreferenceRecord]) -> dict[str, Floats]:
    """Chosen minus rejected of every covariate that each record has on both sides, by name [n]."""
    if not records:
        return {}
    names = set.intersection(*({*one.covariates_chosen} & {*one.covariates_rejected} for one in records))
    return {
        name: np.array([one.covariates_chosen[name] - one.covariates_rejected[name] for one in records])
        for name in sorted(names)
    }


def scorer_report(
    margins: Sequence[float] | Floats,
    train: Sequence[PreferenceRecord],
    test: Sequence[PreferenceRecord],
) -> dict[str, Any]:
    """Accuracy, AUC, calibration of a scorer, and every confound beside it.

    Args:
        margins: the scorer's log-odds that the chosen response is better, of each test pair [n].
        train: pairs from which a baseline learns whether, say, longer answers are preferred.
        test: the held-out pairs.

    Returns:
        JSON: ``estimates`` by name; ``reliability`` (bins); ``baselines`` (length, each covariate, all together in a
        logistic regression) with their accuracy, and the paired difference of the scorer to each; ``contrary``: the
        scorer's accuracy where the confound points the wrong way; ``matched_length``.
    """
    margins = np.asarray(margins, dtype=np.float64)
    groups = [one.group_id for one in test]
    outcomes = pair_outcomes(margins)
    train_differences = {"length": length_differences(train), **covariate_differences(train)}
    test_differences = {"length": length_differences(test), **covariate_differences(test)}
    names = [name for name in train_differences if name in test_differences]
    baselines: dict[str, Any] = {}
    contrary: dict[str, Any] = {}
    for name in names:
        found = covariate_baseline(name, train_differences[name], test_differences[name], groups)
        baselines[name] = {
            "accuracy": found.accuracy.to_json(),
            "auc": _finite(found.auc),
            "prefers": "higher" if found.direction > 0 else "lower",
            "scorer_minus_baseline": paired_difference(outcomes, found.outcomes, groups).to_json(),
        }
        contrary[name] = contrary_accuracy(
            outcomes, test_differences[name], groups, direction=found.direction
        ).to_json()
    if len(names) > 1:
        together = confound_model(
            {name: train_differences[name] for name in names}, {name: test_differences[name] for name in names}, groups
        )
        baselines["all confounds"] = {
            "accuracy": together.accuracy.to_json(),
            "auc": _finite(together.auc),
            "coefficients": together.coefficients,
            "scorer_minus_baseline": paired_difference(outcomes, together.outcomes, groups).to_json(),
        }
    words_chosen, words_rejected = ([float(len(text.split())) for text in texts] for texts in _both_sides(test))
    return {
        "estimates": {name: one.to_json() for name, one in preference_report(margins, groups).items()},
        "reliability": [one.to_json() for one in reliability_table(margins, bins=10)],
        "baselines": baselines,
        "contrary": contrary,
        "matched_length": matched_length_accuracy(outcomes, words_chosen, words_rejected, groups).to_json(),
    }


def reward_report(
    model: PreferenceModel, train: Sequence[PreferenceRecord], test: Sequence[PreferenceRecord]
) -> dict[str, Any]:
    """`scorer_report` of a reward model of any kind, with what is particular to its kind.

    Args:
        model: see `shared.rewards.loading.load_reward`.
        train: pairs that the confound baselines learn from.
        test: held-out pairs.

    Returns:
        That of `scorer_report`, and ``model`` (what it is, in words); for an ensemble ``ensemble`` (see
        `ensemble_section`); for features and principles ``explanation`` (what each adds to the log-odds, see
        `shared.rewards.explanation`); for a feature network also ``weights``, ``pairs`` (single log-odds taken apart)
        and ``shaping`` (see `shaping_section`); for a model without a score ``cycles`` (see `cycle_section`).
    """
    from shared.rewards.ensemble import PairwiseEnsemble, ScalarEnsemble
    from shared.rewards.explanation import describe, explanation_summary, pair_explanations, weight_rows
    from shared.rewards.feature_network import FeatureReward
    from shared.rewards.principles import WeightedPrinciples

    margins = model.compare_records(test)
    report = {**scorer_report(margins, train, test), "model": describe(model)}
    if isinstance(model, PairwiseEnsemble | ScalarEnsemble):
        groups = [one.group_id for one in test]
        report["ensemble"] = ensemble_section(model.member_log_odds(test), margins, groups)
    if isinstance(model, FeatureReward | WeightedPrinciples) and test:
        report["explanation"] = explanation_summary(model.explain_records(test))
    if isinstance(model, FeatureReward):
        report |= {"weights": weight_rows(model), "pairs": pair_explanations(model, test)}
        report["shaping"] = shaping_section(model, margins, test)
    if not isinstance(model, ScalarReward):
        report["cycles"] = cycle_section(model, test)
    return report


def shaping_section(model: "FeatureReward", margins: Floats, records: Sequence[PreferenceRecord]) -> dict[str, Any]:
    """What temperature and posterior of a feature network do on held-out pairs.

    Args:
        model: the network.
        margins: its log-odds that the chosen response is better, [n].
        records: the pairs.

    Returns:
        JSON: ``temperature``; where it is not 1 ``uncalibrated`` and ``calibrated`` (expected calibration error and
        log-loss without and with it); with a posterior ``level``, ``decided`` (share of pairs whose interval of the
        log-odds leaves out 0), ``accuracy_decided`` and ``accuracy_undecided``, ``interval_width`` (of the
        probability), and ``posterior_mean`` (calibration error and log-loss of the posterior mean probability).
    """
    temperature = model.settings.temperature
    groups = [one.group_id for one in records]
    found: dict[str, Any] = {"temperature": temperature}
    if temperature != 1.0 and records:
        found |= {
            "calibrated": _calibration(margins, groups),
            "uncalibrated": _calibration(margins * temperature, groups),
        }
    uncertain = model.uncertain_records(records) if records else None
    if uncertain is None or model.posterior is None:
        return found
    decided = (uncertain.low > 0) | (uncertain.high < 0)
    outcomes = pair_outcomes(margins)
    for name, inside in (("accuracy_decided", decided), ("accuracy_undecided", ~decided)):
        part = [group for group, taken in zip(groups, inside, strict=True) if taken]
        estimate = bootstrap_mean(outcomes[inside], part) if part else unavailable("no such pair")
        found[name] = estimate.to_json()
    chance = np.clip(uncertain.probability, 1e-12, 1.0 - 1e-12)
    width = uncertain.probability_high - uncertain.probability_low
    return found | {
        "level": model.posterior.config.level,
        "decided": bootstrap_mean(decided.astype(float), groups).to_json(),
        "interval_width": bootstrap_mean(width, groups).to_json(),
        "posterior_mean": _calibration(np.log(chance / (1.0 - chance)), groups),
    }


def _calibration(margins: Floats, groups: Sequence[str]) -> dict[str, Any]:
    report = preference_report(margins, groups)
    return {name: report[name].to_json() for name in ("ece", "log_loss")}


def ensemble_section(member_log_odds: Floats, margins: Floats, groups: Sequence[str]) -> dict[str, Any]:
    """How far the members of an ensemble disagree, and whether that tells where it is wrong.

    Args:
        member_log_odds: every member's log-odds that the chosen response is better, [members, n].
        margins: the ensemble's, [n].
        groups: of each pair, [n].

    Returns:
        JSON: ``member_accuracy`` (an estimate a member); ``std`` (mean over pairs of the members' standard deviation,
        log-odds); ``split`` (share of pairs on which they prefer different responses); ``auroc_for_errors`` (chance
        that a wrongly ranked pair has a larger standard deviation than a rightly ranked one).
    """
    from shared.rewards.ensemble import disagreement

    found = disagreement(member_log_odds)
    wrong = pair_outcomes(margins) < 1.0

    def auroc(index: Any) -> float:
        from scipy.stats import rankdata

        bad, ranks = wrong[index], rankdata(found.std[index])
        positives, negatives = int(bad.sum()), int((~bad).sum())
        if not positives or not negatives:
            return float("nan")
        return float((ranks[bad].sum() - positives * (positives + 1) / 2) / (positives * negatives))

    if wrong.any() and not wrong.all():
        separation = cluster_bootstrap(auroc, len(wrong), groups, bounds=(0.0, 1.0))
    else:
        separation = unavailable("all pairs are ranked alike", len(wrong))
    return {
        "member_accuracy": [bootstrap_mean(pair_outcomes(one), groups).to_json() for one in member_log_odds],
        "std": bootstrap_mean(found.std, groups).to_json(),
        "split": bootstrap_mean(found.split, groups).to_json(),
        "auroc_for_errors": separation.to_json(),
    }


def cycle_section(model: PreferenceModel, records: Sequence[PreferenceRecord]) -> dict[str, Any]:
    """How often a model without a score prefers in a circle: among all responses that the records give to one prompt.

    Returns:
        JSON: ``prompts`` (with at least three different responses), ``share`` (of them, with a cycle), ``responses``
        (that were ranked).
    """
    by_prompt: dict[Any, dict[str, None]] = {}
    for one in records:
        by_prompt.setdefault(one.prompt, {}).update({one.chosen: None, one.rejected: None})
    ranked = [(prompt, list(texts)) for prompt, texts in by_prompt.items() if len(texts) > 2]
    cyclic = [float(bool(model.rank(prompt, texts).cycle)) for prompt, texts in ranked]
    return {
        "prompts": len(ranked),
        "responses": sum(len(texts) for _, texts in ranked),
        "share": (bootstrap_mean(cyclic) if ranked else unavailable("no prompt has three responses")).to_json(),
    }


def _both_sides(records: Sequence[PreferenceRecord]) -> tuple[list[str], list[str]]:
    return [one.chosen for one in records], [one.rejected for one in records]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
