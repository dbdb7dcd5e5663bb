"""Feature rewards on the expert preferences of OpinPref: levels that were measured by other means."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.evaluation.calibration import log_losses, pair_outcomes
from shared.evaluation.scorer_report import reward_report
from shared.records import Message, PreferenceRecord, content_id
from shared.rewards.feature_fit import fit_features
from shared.rewards.feature_network import FeatureReward
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
