"""Which scored renderings become a pair."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.translation.construction.candidates import Rendering
from domains.translation.construction.config import PairingConfig
from domains.translation.construction.selection import ChosenPair, Scored, pair_record, select
from tests.domains.translation.construction.conftest import toy_record


def scored(*scores: float, cut: tuple[int, ...] = ()) -> list[Scored]:
    return [
        Scored(Rendering(f"text {number}", "offline", (1, 1), True, number in cut), {"quality": score}, score)
        for number, score in enumerate(scores)
    ]


def places(pairs: list[ChosenPair]) -> list[tuple[str, str]]:
    return [(one.chosen.rendering.text[-1], one.rejected.rendering.text[-1]) for one in pairs]


def test_best_against_worst():
    pairs, reason = select(scored(0.2, 0.9, 0.5), PairingConfig(), random.Random(0))
    assert places(pairs) == [("1", "0")]
    assert pairs[0].margin == pytest.approx(0.7)
    assert reason is None


def test_best_against_a_random_other_is_drawn_and_repeatable():
    config = PairingConfig(strategy="best-random")
    found = [places(select(scored(0.2, 0.9, 0.5), config, random.Random(seed))[0])[0] for seed in range(20)]
    assert set(found) == {("1", "0"), ("1", "2")}
    assert found == [places(select(scored(0.2, 0.9, 0.5), config, random.Random(seed))[0])[0] for seed in range(20)]


def test_margin_takes_several_pairs_of_different_renderings():
    config = PairingConfig(strategy="margin", max_pairs=3, min_margin=0.2)
    pairs, _ = select(scored(0.1, 0.9, 0.2, 0.8, 0.5), config, random.Random(0))
    assert places(pairs) == [("1", "0"), ("3", "2")]


@pytest.mark.parametrize(
    ("candidates", "config", "reason"),
    [
        (scored(0.5), PairingConfig(), "too_few"),
        (scored(), PairingConfig(), "too_few"),
        (scored(0.5, 0.5), PairingConfig(), "ties"),
        (scored(0.5, 0.6), PairingConfig(min_margin=0.2), "ties"),
        (scored(0.5, 0.6, cut=(1,)), PairingConfig(), "cut"),
    ],
)
def test_why_there_is_no_pair(candidates, config, reason):
    assert select(candidates, config, random.Random(0)) == ([], reason)


def test_a_rendering_that_was_cut_may_lose_and_wins_only_where_allowed():
    candidates = scored(0.1, 0.9, 0.5, cut=(0, 1))
    assert places(select(candidates, PairingConfig(), random.Random(0))[0]) == [("2", "0")]
    assert places(select(candidates, PairingConfig(cut_may_win=True), random.Random(0))[0]) == [("1", "0")]


@given(
    st.lists(st.floats(0, 1), max_size=7),
    st.sampled_from(["best-worst", "best-random", "margin"]),
    st.floats(0, 0.9),
    st.integers(1, 4),
    st.integers(0, 5),
)
def test_every_pair_prefers_by_more_than_the_least_margin_and_no_rendering_stands_in_two(
    scores, strategy, least, most, seed
):
    config = PairingConfig(strategy=strategy, min_margin=least, max_pairs=most)
    pairs, reason = select(scored(*scores), config, random.Random(seed))
    assert all(one.chosen.score - one.rejected.score > least for one in pairs)
    used = [id(side) for one in pairs for side in (one.chosen, one.rejected)]
    assert len(set(used)) == len(used)
    assert len(pairs) <= (most if strategy == "margin" else 1)
    exists = bool(scores) and max(scores) - min(scores) > least
    assert bool(pairs) == exists
    assert (reason is None) == bool(pairs)


def test_the_record_of_a_pair():
    record = toy_record(0)
    chosen = Scored(Rendering("the house", "target", (1, 2)), {"latency": 0.8}, 0.8)
    rejected = Scored(Rendering("a house here", "wait-k:3", (2, 2, 2), True), {"latency": 0.5}, 0.5)
    found = pair_record(record, ChosenPair(chosen, rejected, 0.3), "sample", "word")
    assert (found.target_text, found.target_path) == ("the house", (1, 2))
    assert (found.rejected_text, found.rejected_path) == ("a house here", (2, 2, 2))
    assert found.scores_target == {"latency": 0.8, "score": 0.8}
    assert found.scores_rejected == {"latency": 0.5, "score": 0.5}
    assert (found.weight, found.group_id, found.source) == (2.0, record.group_id, record.source)
    assert found.id != record.id
    assert found.metadata["record"] == record.id
    assert (found.metadata["chosen_origin"], found.metadata["rejected_origin"]) == ("target", "wait-k:3")
    with pytest.raises(ValueError, match="without a path"):
        pair_record(record, ChosenPair(Scored(Rendering("x", "target"), {}, 1.0), rejected, 0.3), "sample", "word")
