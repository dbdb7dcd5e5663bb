"""Folds of groups, out-of-fold log-odds, and the temperature that they give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from shared.errors import DataError
from shared.rewards.feature_fit import fit_features
from shared.rewards.feature_folds import calibrate, group_folds, out_of_fold_log_odds
from shared.rewards.pair_targets import PairTargets
from shared.rewards.settings import FeatureConfig


@given(st.lists(st.sampled_from("abcdefghij"), min_size=2, max_size=60), st.integers(2, 8), st.integers(0, 5))
def test_no_group_is_torn_and_no_fold_is_empty(groups: list[str], folds: int, seed: int) -> None:
    if len(set(groups)) < 2:
        with pytest.raises(DataError, match="of one group"):
            group_folds(groups, folds, seed)
        return
    codes = group_folds(groups, folds, seed)
    assert set(codes.tolist()) == set(range(min(folds, len(set(groups)))))
    assert all(len({int(code) for code, name in zip(codes, groups, strict=True) if name == one}) == 1 for one in groups)
    assert np.array_equal(codes, group_folds(groups, folds, seed))
    sizes, largest = np.bincount(codes), max(groups.count(name) for name in groups)
    assert sizes.max() - sizes.min() <= largest


def noisy(n: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, PairTargets]:
    """Only the first of many features tells; a fit to few pairs is far too sure."""
    draw = np.random.default_rng(seed)
    first, second = draw.normal(size=(n, width)), draw.normal(size=(n, width))
    right = (draw.random(n) < expit(first[:, 0] - second[:, 0]))[:, None]
    return (
        np.where(right, first, second),
        np.where(right, second, first),
        PairTargets(*np.ones((3, n)) * [[0], [1], [1]]),
    )


def test_out_of_fold_log_odds_come_from_models_of_the_other_folds() -> None:
    sides, names = noisy(60, 3), ["a", "b", "c"]
    codes = np.arange(60) % 3
    found = out_of_fold_log_odds(names, *sides, FeatureConfig(), codes)
    chosen, rejected, targets = sides
    rest = codes != 1
    part = PairTargets(targets.margin[rest], targets.weight[rest], targets.label[rest])
    network = fit_features(names, chosen[rest], rejected[rest], part, FeatureConfig()).network
    assert found[codes == 1] == pytest.approx(network.score(chosen[~rest]) - network.score(rejected[~rest]))


def test_a_model_that_is_too_sure_is_cooled() -> None:
    sides, names = noisy(120, 25), [f"f{place}" for place in range(25)]
    groups = [f"g{place // 2}" for place in range(120)]
    codes = group_folds(groups, 5)
    held_out = out_of_fold_log_odds(names, *sides, FeatureConfig(l2=0.0), codes)
    found = calibrate(held_out, codes, groups)
    before, after = found.report["before"], found.report["after"]
    assert found.temperature > 1.5
    assert after["ece"]["value"] < before["ece"]["value"] - 0.03
    assert after["log_loss"]["value"] < before["log_loss"]["value"] - 0.05
    assert after["accuracy"]["value"] == before["accuracy"]["value"]
    assert (found.report["folds"], found.report["pairs"], found.report["at_bound"]) == (5, 120, False)
    fresh = noisy(4000, 25, seed=9)
    network = fit_features(names, *sides, FeatureConfig(l2=0.0)).network
    margins = network.score(fresh[0]) - network.score(fresh[1])
    cooled = margins / found.temperature
    assert np.logaddexp(0, -cooled).mean() < np.logaddexp(0, -margins).mean() - 0.03


def test_what_cannot_be_calibrated_stays() -> None:
    found = calibrate(np.full(10, 2.0), np.arange(10) % 2, [str(place) for place in range(10)])
    assert (found.temperature, found.report["at_bound"]) == (1.0, True)
