"""Pairs from samples: which are taken, what is left out and counted, how given pairs are mixed in."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.records import Message, PreferenceRecord
from shared.training.iterative_config import PairingConfig
from shared.training.pairs_from_samples import ScoredSamples, mixed, pairs_of


def samples(*responses: tuple[str, float], name: str = "q", cut: tuple[int, ...] = ()) -> ScoredSamples:
    texts, scores = zip(*responses, strict=True)
    flags = tuple(number in cut for number in range(len(texts)))
    return ScoredSamples(name, f"group-{name}", (Message("user", name),), texts, scores, flags)


def taken(one: ScoredSamples, **config: Any) -> tuple[list[tuple[str, str]], dict[str, int]]:
    records, counts = pairs_of([one], PairingConfig(**config), 1)
    return [(record.chosen, record.rejected) for record in records], counts


def test_the_best_stands_against_the_worst() -> None:
    pairs, counts = taken(samples(("b", 1.0), ("a", 3.0), ("d", -2.0), ("c", 0.0)))
    assert pairs == [("a", "d")]
    assert (counts["prompts"], counts["responses"], counts["pairs"]) == (1, 4, 1)
    records, _ = pairs_of([samples(("a", 3.0), ("d", -2.0), cut=(0,))], PairingConfig(), 2)
    assert records[0].margin == 5.0
    assert records[0].source == "round-2:q"
    assert records[0].group_id == "group-q"
    assert records[0].metadata == {"on_policy": True, "round": 2, "chosen_cut": True}


def test_responses_that_say_nothing_or_the_same_are_left_out_and_counted() -> None:
    pairs, counts = taken(samples(("  ", 9.0), ("Yes  you can", 1.0), ("yes you CAN", 5.0), ("no", 0.0)))
    assert pairs == [("Yes  you can", "no")]
    assert (counts["empty"], counts["duplicates"]) == (1, 1)
    pairs, counts = taken(samples(("same", 1.0), ("same", 2.0)))
    assert pairs == []
    assert (counts["too_few"], counts["duplicates"]) == (1, 1)


def test_ties_are_left_out() -> None:
    assert taken(samples(("a", 1.0), ("b", 1.0)))[0] == []
    pairs, counts = taken(samples(("a", 1.0), ("b", 0.6)), min_margin=0.5)
    assert pairs == []
    assert counts["ties"] == 1
    assert taken(samples(("a", 1.0), ("b", 0.4)), min_margin=0.5)[0] == [("a", "b")]


def test_a_length_gap_moves_the_pair_or_leaves_the_prompt_out() -> None:
    long = "word " * 12
    one = samples((long, 3.0), ("short", 0.0), ("of two", 1.0))
    pairs, counts = taken(one, max_length_ratio=2.0)
    assert pairs == [("of two", "short")]
    assert counts["moved_by_length"] == 1
    pairs, counts = taken(samples((long, 3.0), ("short", 0.0)), max_length_ratio=2.0)
    assert pairs == []
    assert counts["length_gap"] == 1


def test_a_cut_response_need_not_win() -> None:
    one = samples(("cut", 3.0), ("whole", 2.0), ("worst", 0.0), cut=(0,))
    assert taken(one)[0] == [("cut", "worst")]
    assert taken(one, cut_may_win=False)[0] == [("whole", "worst")]
    pairs, counts = taken(samples(("cut", 3.0), ("worst", 0.0), cut=(0,)), cut_may_win=False)
    assert pairs == []
    assert counts["cut"] == 1


def test_several_pairs_a_prompt_share_no_response() -> None:
    one = samples(("a", 5.0), ("b", 4.0), ("c", 1.0), ("d", 0.0), ("e", 2.0))
    assert taken(one, strategy="margin", max_pairs=2)[0] == [("a", "d"), ("b", "c")]
    assert taken(one, strategy="margin", max_pairs=5, min_margin=3.5)[0] == [("a", "d")]


def test_the_best_against_a_random_other_depends_on_the_prompt_alone() -> None:
    many = [samples(("a", 5.0), ("b", 4.0), ("c", 1.0), ("d", 0.0), name=f"q{number}") for number in range(60)]
    config = PairingConfig(strategy="best-random")
    records, _ = pairs_of(many, config, 1)
    assert {record.chosen for record in records} == {"a"}
    assert {record.rejected for record in records} == {"b", "c", "d"}
    backwards, _ = pairs_of(many[::-1], config, 1)
    assert {record.id for record in backwards} == {record.id for record in records}


@given(
    st.lists(st.tuples(st.text("ab ", max_size=6), st.floats(-5, 5)), min_size=1, max_size=7),
    st.sampled_from(["best-worst", "best-random", "margin"]),
    st.floats(0, 3),
    st.one_of(st.none(), st.floats(1, 3)),
)
@settings(deadline=None)
def test_every_pair_obeys_and_every_prompt_is_accounted_for(
    responses: list[tuple[str, float]], strategy: Any, margin: float, ratio: float | None
) -> None:
    config = PairingConfig(strategy=strategy, min_margin=margin, max_length_ratio=ratio, max_pairs=3)
    records, counts = pairs_of([samples(*responses)], config, 1)
    for record in records:
        assert record.margin is not None
        assert record.margin > margin
        assert record.chosen.lower().split() != record.rejected.lower().split()
        if ratio is not None:
            lengths = sorted(len(text.split()) for text in (record.chosen, record.rejected))
            assert lengths[1] <= ratio * lengths[0]
    without = counts["too_few"] + counts["ties"] + counts["cut"] + counts["length_gap"]
    assert without == (not records)
    assert counts["pairs"] == len(records)
    used = [text for record in records for text in (record.chosen, record.rejected)]
    assert len({" ".join(text.lower().split()) for text in used}) == len(used)


def test_given_pairs_are_mixed_in_by_their_share(toy_pairs: list[PreferenceRecord]) -> None:
    made = toy_pairs[:6]
    given_pairs = toy_pairs[6:]
    first = mixed(made, given_pairs, 0.4, 1)
    assert first[:6] == made
    assert len(first) == 10
    second = mixed(made, given_pairs, 0.4, 2)
    assert not {record.id for record in first[6:]} & {record.id for record in second[6:]}
    assert mixed(made, given_pairs[::-1], 0.4, 1) == first
    assert mixed(made, given_pairs, 0.0, 1) == made
    assert len(mixed(made, given_pairs, 0.9, 3)) == 6 + len(given_pairs)  # there are no more
    assert mixed(made, [], 0.5, 1) == made


def test_a_round_needs_two_samples() -> None:
    from shared.training.iterative_recipe import AlignRecipe

    with pytest.raises(ValueError, match=r"sampling\.n of 2 or more"):
        AlignRecipe.model_validate({"rounds": 1, "on_policy": {"sampling": {"n": 1}}})
    with pytest.raises(ValueError, match=r"set align\.rounds=0"):
        AlignRecipe.model_validate({"rounds": 1, "method": "grpo"})
