"""Feature rewards on the expert preferences of OpinPref: levels that were measured by other means."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shared.evaluation.calibration import log_losses, pair_outcomes
from shared.evaluation.scorer_report import reward_report
from shared.records import Message, PreferenceRecord, content_id
from shared.rewards.feature_fit import fit_features
from shared.rewards.feature_folds import calibrate, group_folds, out_of_fold_log_odds
from shared.rewards.feature_network import FeatureReward
from shared.rewards.feature_posterior import weight_posterior
from shared.rewards.feature_rows import features_of_records, matching_features
from shared.rewards.pair_targets import pair_targets
from shared.rewards.principles import weigh_principles
from shared.rewards.settings import FeatureConfig, PrinciplesConfig
from shared.training.config import RewardConfig


def opinpref(folder: Path) -> Iterator[PreferenceRecord]:
    lines = (folder / "ecommerce" / "opinpref_train.jsonl").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        row = json.loads(line)
        sides = [row["summary-pairs"]["summary-one"], row["summary-pairs"]["summary-two"]]
        chosen, rejected = sides if int(row["preference-data"]) == 1 else reversed(sides)
        yield PreferenceRecord(
            id=str(number),
            group_id=content_id(*row["reviews"]),
            source=f"opinpref_train.jsonl:{number}",
            prompt=(Message("user", "\n".join(row["reviews"])),),
            chosen=chosen["summary-text"],
            rejected=rejected["summary-text"],
            scores_chosen=chosen["summary-score"],
            scores_rejected=rejected["summary-score"],
        )


@pytest.fixture(scope="module")
def records(real_data: Path) -> list[PreferenceRecord]:
    return list(opinpref(real_data))


def test_the_naive_mean_and_the_line_have_their_known_levels(records: list[PreferenceRecord]) -> None:
    names = matching_features(["scores.*"], records)
    assert len(names) == 7
    mean = weigh_principles(records, PrinciplesConfig(weights={name.removeprefix("scores."): 1 for name in names}))
    assert pair_outcomes(mean.compare_records(records)).mean() == pytest.approx(0.736, abs=0.01)
    chosen, rejected = (features_of_records(records, side, names) for side in ("chosen", "rejected"))
    fit = fit_features(names, chosen, rejected, pair_targets(records, RewardConfig()), FeatureConfig(l2=1e-6))
    assert fit.converged
    assert fit.accuracy == pytest.approx(0.745, abs=0.01)
    assert log_losses(FeatureReward(fit.network).compare_records(records)).mean() == pytest.approx(0.485, abs=0.005)


def test_the_paper_s_network_does_not_die(records: list[PreferenceRecord]) -> None:
    """7-6-4-2-1 with relu and a linear output: every seed learns (with an activation on the output, one in ten)."""
    train, test = records[:600], records[600:]
    names = matching_features(["scores.*"], records)
    chosen, rejected = (features_of_records(train, side, names) for side in ("chosen", "rejected"))
    config = FeatureConfig(hidden=[6, 4, 2], activation="relu", l2=0.001, max_iterations=100)
    for seed in range(5):
        fit = fit_features(names, chosen, rejected, pair_targets(train, RewardConfig()), config, seed=seed)
        report = reward_report(FeatureReward(fit.network), train, test)
        assert report["estimates"]["accuracy"]["value"] > 0.68
        assert set(report["explanation"]) == set(names)


def test_the_posterior_of_the_expert_s_signs_and_its_calibration(records: list[PreferenceRecord]) -> None:
    """More of every score is better, the domain says; of some the data are sure. Seven correlated weights mix well."""
    names = matching_features(["scores.*"], records)
    chosen, rejected = (features_of_records(records, side, names) for side in ("chosen", "rejected"))
    targets, groups = pair_targets(records, RewardConfig()), [one.group_id for one in records]
    found = {}
    for method in ("laplace", "sampling"):
        options = {"signs": dict.fromkeys(names, "+"), "posterior": {"method": method}}
        config = FeatureConfig.model_validate(options)
        network = fit_features(names, chosen, rejected, targets, config).network
        posterior = weight_posterior(network, chosen, rejected, targets, config)
        assert posterior.r_hat.max() < 1.02
        assert posterior.effective.min() > 500
        assert posterior.draws.min() >= 0.0
        found[method] = posterior
    spread = np.sqrt(np.diag(found["sampling"].covariance))
    assert np.abs(found["laplace"].mean - found["sampling"].mean).max() < 0.4 * spread.max()
    low, _ = found["sampling"].weight_intervals()
    ends = dict(zip(names, low.tolist(), strict=True))
    assert ends["scores.language-correctness"] > 0.05 > ends["scores.aspect-coverage"]
    codes = group_folds(groups, 5)
    held_out = out_of_fold_log_odds(names, chosen, rejected, targets, FeatureConfig(), codes)
    calibration = calibrate(held_out, codes, groups)
    assert 0.5 < calibration.temperature < 2.0
    assert calibration.report["after"]["ece"]["value"] < 0.08
