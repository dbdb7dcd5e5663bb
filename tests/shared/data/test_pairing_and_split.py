"""Pairs from scores, and splits: what must hold for every data set."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.data.pairing import ScoredAnswer, pairs_from_scored
from shared.data.split import assign_splits
from shared.data.text_keys import text_key
from shared.records import Message, PreferenceRecord, content_id

QUESTION = (Message("user", "Q?"),)
FRACTIONS = {"train": 0.5, "judge": 0.2, "validation": 0.0, "test": 0.3}


def answers(*scores: float) -> list[ScoredAnswer]:
    return [ScoredAnswer(f"answer {n}", score, f"a.csv:{n}", {"views": n}) for n, score in enumerate(scores)]


def pair(prompt: str, chosen: str, rejected: str, group: str = "") -> PreferenceRecord:
    identifier = content_id(prompt, chosen, rejected)
    turns = (Message("user", prompt),)
    return PreferenceRecord(identifier, group or content_id(prompt), "a.csv:1", turns, chosen, rejected)


def test_pairs_by_margin() -> None:
    found = pairs_from_scored("g", QUESTION, answers(3, 1, 1, 0), min_margin=2)
    assert sorted((record.chosen, record.rejected, record.margin) for record in found) == [
        ("answer 0", "answer 1", 2),
        ("answer 0", "answer 2", 2),
        ("answer 0", "answer 3", 3),
    ]
    assert {record.source for record in found} == {"a.csv:0+1", "a.csv:0+2", "a.csv:0+3"}
    assert found[0].covariates_chosen == {"views": 0}


def test_pairs_do_not_depend_on_the_order_of_answers() -> None:
    given_answers = answers(5, 4, 3, 2, 1, 0)
    forwards = pairs_from_scored("g", QUESTION, given_answers, 1, max_pairs=4, seed=3)
    backwards = pairs_from_scored("g", QUESTION, given_answers[::-1], 1, max_pairs=4, seed=3)
    assert len(forwards) == 4
    assert forwards == backwards
    every = pairs_from_scored("g", QUESTION, given_answers, 1)
    assert len(every) == 15
    assert (
        len({tuple(one.id for one in pairs_from_scored("g", QUESTION, given_answers, 1, None, 4, s)) for s in range(9)})
        > 1
    )


def test_no_pair_of_ties_or_of_one_text() -> None:
    assert pairs_from_scored("g", QUESTION, answers(1, 1), min_margin=0) == []
    same = [ScoredAnswer("Same  text", 1, "a.csv:2"), ScoredAnswer("same text", 0, "a.csv:3")]
    assert pairs_from_scored("g", QUESTION, same, min_margin=0) == []


WORD = st.sampled_from(["a", "A ", "b", "ﬁ", "fi", "c", "d d", "D  d", "e", "f", "g", "h", "i", "j"])
PAIRS = st.lists(
    st.builds(
        pair,
        prompt=st.integers(0, 40).map("question {}".format) | WORD,
        chosen=st.integers(0, 400).map("answer {}".format) | WORD,
        rejected=st.integers(0, 400).map("answer {}".format) | WORD,
        group=st.sampled_from(["", "", "", "g1", "g2", "g3"]),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(PAIRS, st.sampled_from(["quota", "hash"]), st.integers(1, 6) | st.none(), st.text(max_size=3))
def test_no_text_and_no_group_in_two_splits(
    records: list[PreferenceRecord], mode: str, most: int | None, salt: str
) -> None:
    splits = assign_splits(records, FRACTIONS, salt, mode, most)  # pyright: ignore[reportArgumentType]
    assert list(splits) == list(FRACTIONS)
    assert not splits["validation"]
    where: dict[str, str] = {}
    for name, members in splits.items():
        for record in members:
            for text in (record.prompt_text(), record.chosen, record.rejected):
                assert where.setdefault(text_key(text), name) == name
            assert where.setdefault(f"group {record.group_id}", name) == name
    kept = [record for members in splits.values() for record in members]
    sizes = Counter(record.group_id for record in records)
    assert Counter(record.group_id for record in kept) == {
        group: size if most is None else min(size, most) for group, size in sizes.items()
    }


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(0, 5))
def test_quota_is_within_one_group(sizes: list[int], salt: int) -> None:
    records = [
        pair(f"question {group}", f"good {group} {n}", f"bad {group} {n}")
        for group, size in enumerate(sizes)
        for n in range(size)
    ]
    splits = assign_splits(records, FRACTIONS, str(salt))
    for name, share in FRACTIONS.items():
        assert abs(len(splits[name]) - share * len(records)) <= max(sizes)


@settings(max_examples=50, deadline=None)
@given(PAIRS, st.randoms(use_true_random=False), st.sampled_from(["quota", "hash"]))
def test_order_of_rows_and_names_of_groups_do_not_matter(records: list[PreferenceRecord], random, mode: str) -> None:
    shuffled = list(records)
    random.shuffle(shuffled)
    first = assign_splits(records, FRACTIONS, mode=mode, max_pairs_per_group=None)  # pyright: ignore[reportArgumentType]
    second = assign_splits(shuffled, FRACTIONS, mode=mode, max_pairs_per_group=None)  # pyright: ignore[reportArgumentType]
    assert {name: sorted(one.id for one in members) for name, members in first.items()} == {
        name: sorted(one.id for one in members) for name, members in second.items()
    }


def test_hash_mode_is_stable_under_growth() -> None:
    old = [pair(f"question {n}", f"good {n}", f"bad {n}") for n in range(200)]
    new = [pair(f"question {n}", f"better {n}", f"worse {n}") for n in range(100, 300)]
    before, after = assign_splits(old, FRACTIONS, mode="hash"), assign_splits([*new, *old], FRACTIONS, mode="hash")
    for name, members in before.items():
        assert {one.id for one in members} <= {one.id for one in after[name]}
    assert 0.35 < len(after["train"]) / 400 < 0.65


def test_a_dominant_group_goes_to_the_largest_split() -> None:
    records = [pair("big", f"good {n}", f"bad {n}") for n in range(80)]
    records += [pair(f"question {n}", f"fine {n}", f"poor {n}") for n in range(40)]
    for salt in range(5):
        splits = assign_splits(records, FRACTIONS, str(salt))
        assert {one.prompt_text() for one in splits["train"]} == {"big"}
        assert all(len(splits[name]) >= 10 for name in ("judge", "test"))


def test_large_and_small_questions_mix_in_every_split() -> None:
    records = [pair(f"q{n}", f"good {n} {k}", f"bad {n} {k}") for n in range(300) for k in range(1 + n % 6)]
    splits = assign_splits(records, FRACTIONS)
    for name in ("train", "judge", "test"):
        groups = Counter(one.group_id for one in splits[name])
        assert 2.8 < sum(groups.values()) / len(groups) < 4.2


def test_a_dialogue_and_its_continuation_stay_together() -> None:
    records: list[PreferenceRecord] = []
    for n in range(40):
        turns = [
            Message("user", f"hello {n}"),
            Message("assistant", f"hi {n}"),
            Message("user", "ok"),
            Message("assistant", f"so {n}"),
        ]
        short, long = tuple(turns[:3]), (*turns, Message("user", f"and {n}"))
        for number, prompt in enumerate((short, long)):
            name = f"{n}-{number}"
            records.append(PreferenceRecord(name, name, "a:1", prompt, f"yes {name}", f"no {name}"))
    splits = assign_splits(records, FRACTIONS)
    for members in splits.values():
        assert all(count == 2 for count in Counter(one.id.split("-")[0] for one in members).values())


def test_chains_of_shared_texts_are_one_component() -> None:
    texts = [f"text {n}" for n in range(30)]
    chain = [pair(f"question {n}", one, other) for n, (one, other) in enumerate(pairwise(texts))]
    splits = assign_splits(chain, FRACTIONS)
    assert sorted(len(members) for members in splits.values()) == [0, 0, 0, 29]


@pytest.mark.parametrize("fractions", [{}, {"train": 0.0}, {"train": 1.0, "test": -0.1}])
def test_impossible_fractions(fractions: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="fractions"):
        assign_splits([], fractions)


@given(st.text())
def test_text_key_is_idempotent(text: str) -> None:
    assert text_key(text_key(text)) == text_key(text)
    assert text_key(f" {text}\u00a0") == text_key(text)
