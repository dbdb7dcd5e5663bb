"""Feature networks: the fit against scikit-learn, signs, scores taken apart, saving, mistakes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import DataError, UsageError
from shared.records import Message, PreferenceRecord
from shared.rewards.feature_fit import FeatureFit, fit_features
from shared.rewards.feature_network import FeatureNetwork, FeatureReward
from shared.rewards.feature_rows import features_of_records, matching_features
from shared.rewards.loading import load_reward
from shared.rewards.pair_targets import pair_targets
from shared.rewards.protocol import ScalarReward
from shared.rewards.settings import FeatureConfig
from shared.rewards.text_features import TEXT_FEATURES, text_features
from shared.training.config import RewardConfig

NAMES = ["scores.empathy", "scores.jargon", "scores.noise"]


def fitted(records: list[PreferenceRecord], seed: int = 0, **options: object) -> FeatureFit:
    config = FeatureConfig.model_validate(options)
    names = matching_features(config.inputs, records)
    sides = [features_of_records(records, side, names) for side in ("chosen", "rejected")]
    return fit_features(names, sides[0], sides[1], pair_targets(records, RewardConfig()), config, seed=seed)


def test_the_linear_fit_is_logistic_regression_on_differences(scored_pairs: list[PreferenceRecord]) -> None:
    from sklearn.linear_model import LogisticRegression

    fit = fitted(scored_pairs, l2=0.01)
    chosen, rejected = (features_of_records(scored_pairs, side, NAMES) for side in ("chosen", "rejected"))
    difference = (chosen - rejected) / np.concatenate([chosen, rejected]).std(axis=0)
    n = len(difference)
    both = LogisticRegression(C=1 / (2 * n * 0.01), fit_intercept=False, tol=1e-10, max_iter=1000)
    both.fit(np.concatenate([difference, -difference]), [1] * n + [0] * n)
    assert fit.network.layers[0][0][0] == pytest.approx(both.coef_[0], abs=1e-4)
    assert fit.converged
    assert list(fit.losses) == sorted(fit.losses, reverse=True)
    assert fit.losses[0] == pytest.approx(np.log(2))


def test_the_truth_is_found(scored_pairs: list[PreferenceRecord]) -> None:
    network = fitted(scored_pairs, l2=0.0).network
    weights = network.layers[0][0][0] / network.scale
    assert weights == pytest.approx([1.5, -1.0, 0.0], abs=0.5)


def test_signs_hold_exactly(scored_pairs: list[PreferenceRecord]) -> None:
    wrong = fitted(scored_pairs, signs={"scores.empathy": "-", "scores.jargon": "-"}, l2=0.0).network
    assert wrong.layers[0][0][0][0] == 0.0  # the data say +
    assert wrong.layers[0][0][0][1] < 0


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 100), activation=st.sampled_from(["tanh", "relu"]), place=st.floats(-3, 3))
def test_a_signed_network_is_monotone(seed: int, activation: str, place: float) -> None:
    draw = np.random.default_rng(seed)
    chosen, rejected = draw.normal(size=(30, 2)), draw.normal(size=(30, 2))
    config = FeatureConfig.model_validate(
        {"hidden": [4, 3], "activation": activation, "signs": {"a": "+"}, "max_iterations": 30}
    )
    ones = np.ones(30)
    from shared.rewards.pair_targets import PairTargets

    network = fit_features(["a", "b"], chosen, rejected, PairTargets(0 * ones, ones, ones), config, seed=seed).network
    grid = np.stack([np.linspace(-4, 4, 50), np.full(50, place)], axis=1)
    assert np.diff(network.score(grid)).min() >= -1e-12


@pytest.mark.parametrize("hidden", [[], [6, 4, 2]])
def test_contributions_sum_to_the_score(scored_pairs: list[PreferenceRecord], hidden: list[int]) -> None:
    network = fitted(scored_pairs, hidden=hidden).network
    features = features_of_records(scored_pairs, "chosen", NAMES)
    total = network.score(features) - network.score(network.mean[None])
    assert network.contributions(features).sum(axis=1) == pytest.approx(total, abs=1e-6)
    explained = FeatureReward(network).explain_records(scored_pairs)
    odds = FeatureReward(network).compare_records(scored_pairs)
    assert [sum(row.values()) for row in explained] == pytest.approx(odds.tolist(), abs=1e-6)


def test_a_network_learns_what_a_line_cannot() -> None:
    """The better response is nearer to 0: no linear score tells, seven units do."""
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=(300, 1)), draw.normal(size=(300, 1))
    nearer = np.abs(first) < np.abs(second)
    chosen, rejected = np.where(nearer, first, second), np.where(nearer, second, first)
    ones = np.ones(300)
    from shared.rewards.pair_targets import PairTargets

    targets = PairTargets(0 * ones, ones, ones)
    line = fit_features(["x"], chosen, rejected, targets, FeatureConfig())
    curve = fit_features(["x"], chosen, rejected, targets, FeatureConfig(hidden=[7], l2=1e-5), seed=1)
    assert line.accuracy < 0.6
    assert curve.accuracy > 0.95


def test_weights_and_labels_reach_the_fit(scored_pairs: list[PreferenceRecord]) -> None:
    from dataclasses import replace

    doubled = [*scored_pairs, *(replace(one, id=f"x-{one.id}") for one in scored_pairs[:50])]
    weighed = [replace(one, weight=2.0 if index < 50 else 1.0) for index, one in enumerate(scored_pairs)]
    a, b = fitted(doubled, l2=0.0).network, fitted(weighed, l2=0.0).network
    assert a.layers[0][0] / a.scale == pytest.approx(b.layers[0][0] / b.scale, abs=1e-3)


def test_saved_and_loaded_it_is_the_same(scored_pairs: list[PreferenceRecord], tmp_path: Path) -> None:
    network = fitted(scored_pairs, hidden=[3]).network
    network.save(tmp_path / "rm")
    loaded = load_reward(tmp_path / "rm")
    assert isinstance(loaded, ScalarReward)
    assert np.array_equal(loaded.compare_records(scored_pairs), FeatureReward(network).compare_records(scored_pairs))
    (tmp_path / "rm" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(DataError, match="missing or broken"):
        FeatureNetwork.load(tmp_path / "rm")


def test_a_missing_score_is_named(scored_pairs: list[PreferenceRecord]) -> None:
    from dataclasses import replace

    model = FeatureReward(fitted(scored_pairs).network)
    broken = replace(scored_pairs[4], scores_rejected={"empathy": 3.0, "noise": float("nan"), "jargon": 1.0})
    with pytest.raises(DataError, match=r"scored\.csv:6: the record pair-4 has no score 'noise' of the rejected side"):
        model.compare_records([scored_pairs[0], broken])


def test_texts_need_features_of_texts(scored_pairs: list[PreferenceRecord]) -> None:
    prompts = [one.prompt for one in scored_pairs]
    answers = [one.chosen for one in scored_pairs]
    with pytest.raises(UsageError, match=r"scores\.empathy.*stand in records only"):
        FeatureReward(fitted(scored_pairs).network).score(prompts, answers)
    model = FeatureReward(
        fitted(scored_pairs).network, lambda _, responses: [{"empathy": 1, "jargon": 2, "noise": 3}] * len(responses)
    )
    assert len(set(model.score(prompts, answers).tolist())) == 1
    of_text = FeatureReward(fitted(scored_pairs, inputs=["text.words", "text.letters_a_word"]).network)
    assert of_text.score(prompts, answers).shape == (200,)
    ranking = of_text.rank(prompts[0], [scored_pairs[0].chosen, scored_pairs[0].rejected])
    assert ranking.log_odds[0, 1] == pytest.approx(of_text.compare_records(scored_pairs[:1])[0])


def test_mistakes_are_named(scored_pairs: list[PreferenceRecord]) -> None:
    with pytest.raises(DataError, match=r"no feature matches scores\.warmth.*scores\.empathy"):
        fitted(scored_pairs, inputs=["scores.warmth"])
    with pytest.raises(UsageError, match=r"names scores\.warmth, which is no input"):
        fitted(scored_pairs, signs={"scores.warmth": "+"})
    with pytest.raises(DataError, match="no feature differs"):
        fitted(scored_pairs, inputs=["text.list_items"])


def test_text_features_of_a_known_answer() -> None:
    found = text_features(
        (Message("user", "How do I sleep?"),), "You can sleep. Can't you?\n\n- one idea\n- one more idea"
    )
    assert set(found) == set(TEXT_FEATURES)
    assert found["words"] == 10
    assert found["sentences"] == 2
    assert found["paragraphs"] == 2
    assert found["questions"] == 1
    assert found["list_items"] == 2
    assert found["distinct_words"] == pytest.approx(7 / 10)
    assert found["addressed"] == pytest.approx(2 / 10)
    assert found["prompt_overlap"] == pytest.approx(1 / 10)
    assert text_features((), "")["letters_a_word"] == 0
