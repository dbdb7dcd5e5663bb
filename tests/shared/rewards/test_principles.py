"""Weighted principles: normalised weights, the unit of log-odds, missing scores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import DataError, UsageError
from shared.evaluation.calibration import log_losses
from shared.records import PreferenceRecord
from shared.rewards.loading import load_reward
from shared.rewards.principles import normalised, weigh_principles
from shared.rewards.protocol import ScalarReward
from shared.rewards.settings import PrinciplesConfig


@given(weights=st.dictionaries(st.text(min_size=1), st.floats(-10, 10).filter(lambda w: abs(w) > 1e-6), min_size=1))
def test_the_sizes_of_normalised_weights_sum_to_one(weights: dict[str, float]) -> None:
    found = normalised(weights)
    assert sum(map(abs, found.values())) == pytest.approx(1)
    assert all(np.sign(found[name]) == np.sign(weight) for name, weight in weights.items())


def test_the_score_is_the_weighted_mean(scored_pairs: list[PreferenceRecord], tmp_path: Path) -> None:
    config = PrinciplesConfig(weights={"empathy": 3, "jargon": -1}, tau=0.5)
    model = weigh_principles(scored_pairs, config)
    expected = [
        (0.75 * one.scores_chosen["empathy"] - 0.25 * one.scores_chosen["jargon"]) / 0.5 for one in scored_pairs
    ]
    assert model.score_records(scored_pairs, "chosen") == pytest.approx(expected)
    explained = model.explain_records(scored_pairs)
    assert [sum(row.values()) for row in explained] == pytest.approx(model.compare_records(scored_pairs).tolist())
    model.save(tmp_path)
    loaded = load_reward(tmp_path)
    assert isinstance(loaded, ScalarReward)
    assert np.array_equal(loaded.compare_records(scored_pairs), model.compare_records(scored_pairs))


def test_tau_is_fitted_to_the_preferences(scored_pairs: list[PreferenceRecord]) -> None:
    fit = weigh_principles(scored_pairs, PrinciplesConfig(weights={"empathy": 3, "jargon": -2}))
    assert fit.settings.tau == pytest.approx(1 / 2.5, rel=0.3)  # log-odds 1.5 and -1 are 2.5 times .6 and -.4
    least = log_losses(fit.compare_records(scored_pairs)).mean()
    for tau in (0.7, 1.3):
        other = PrinciplesConfig(weights={"empathy": 3, "jargon": -2}, tau=tau * fit.settings.tau)
        assert log_losses(weigh_principles(scored_pairs, other).compare_records(scored_pairs)).mean() > least


def test_a_missing_principle_names_record_and_principle(scored_pairs: list[PreferenceRecord]) -> None:
    broken = replace(scored_pairs[2], scores_chosen={"jargon": 1.0})
    with pytest.raises(DataError, match=r"scored\.csv:4: the record pair-2 has no score 'empathy' of the chosen side"):
        weigh_principles([*scored_pairs[:2], broken], PrinciplesConfig(weights={"empathy": 1}))
    with pytest.raises(UsageError, match="weight of at least one principle"):
        weigh_principles(scored_pairs, PrinciplesConfig())
    model = weigh_principles(scored_pairs, PrinciplesConfig(weights={"empathy": 1}))
    with pytest.raises(UsageError, match="stand in records only"):
        model.compare([scored_pairs[0].prompt], ["a"], ["b"])
