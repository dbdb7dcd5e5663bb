"""Margins, weights and soft labels of training pairs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.errors import DataError
from shared.records import PreferenceRecord, Votes
from shared.rewards.pair_targets import pair_targets, vote_share
from shared.training.config import RewardConfig

counts = st.integers(0, 50)


@given(chosen=counts, rejected=counts, ties=counts, prior=st.floats(0.1, 5))
def test_vote_shares_are_complements(chosen: int, rejected: int, ties: int, prior: float) -> None:
    share = vote_share(Votes(chosen, rejected, ties), prior)
    assert 0 < share < 1
    assert share + vote_share(Votes(rejected, chosen, ties), prior) == pytest.approx(1)
    if chosen > rejected:
        assert share > 0.5


def test_defaults_are_the_records_weight_and_no_more(scored_pairs: list[PreferenceRecord]) -> None:
    records = [replace(scored_pairs[0], weight=0.5, margin=3.0, votes=Votes(2, 1)), scored_pairs[1]]
    targets = pair_targets(records, RewardConfig())
    assert targets.margin.tolist() == [0, 0]
    assert targets.weight.tolist() == [0.5, 1]
    assert targets.label.tolist() == [1, 1]


def test_every_option(scored_pairs: list[PreferenceRecord]) -> None:
    votes = [Votes(3, 1), Votes(1, 1, 2), Votes(0, 4)]
    records = [replace(one, votes=vote, margin=2.0) for one, vote in zip(scored_pairs, votes, strict=False)]
    options = RewardConfig(use_margin=True, margin_scale=0.5, soft_labels=True, pair_weights="votes", vote_prior=0.5)
    targets = pair_targets(records, options)
    assert targets.margin.tolist() == [1, 1, 1]
    assert targets.label == pytest.approx([3.5 / 5, 0.5, 0.5 / 5])
    assert targets.weight.tolist() == [1, 1, 1]
    more = [*records[:2], replace(records[2], votes=Votes(8, 0))]
    assert pair_targets(more, options).weight.mean() == pytest.approx(1)
    assert np.all(pair_targets(more, RewardConfig(pair_weights="none")).weight == 1)


def test_votes_that_are_asked_for_and_missing_are_an_error(scored_pairs: list[PreferenceRecord]) -> None:
    with pytest.raises(DataError, match=r"scored\.csv: no record has votes.*soft_labels"):
        pair_targets(scored_pairs[:3], RewardConfig(soft_labels=True))
    some = [replace(scored_pairs[0], votes=Votes(1, 0)), scored_pairs[1]]
    assert pair_targets(some, RewardConfig(soft_labels=True)).label.tolist() == [1, 1]
    with pytest.raises(DataError, match=r"scored\.csv:3: the record pair-1 has no votes"):
        pair_targets(some, RewardConfig(pair_weights="votes"))


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "principles", "ensemble": {}},
        {"kind": "features", "ensemble": {}},
        {"label_smoothing": 0.5},
        {"kind": "gpm", "gpm": {"tau": 0}},
        {"principles": {"weights": {"empathy": 0}}},
        {"features": {"signs": {"empathy": "up"}}},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RewardConfig.model_validate(options)
