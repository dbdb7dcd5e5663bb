"""What a preference scorer is worth on held-out pairs, beside judges that read nothing but length or a covariate."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from shared.evaluation.baselines import (
    confound_model,
    contrary_accuracy,
    covariate_baseline,
    matched_length_accuracy,
)
from shared.evaluation.calibration import pair_outcomes, preference_report, reliability_table
from shared.evaluation.intervals import Floats
from shared.evaluation.paired import paired_difference
from shared.records import PreferenceRecord


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


def _both_sides(records: Sequence[PreferenceRecord]) -> tuple[list[str], list[str]]:
    return [one.chosen for one in records], [one.rejected for one in records]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
