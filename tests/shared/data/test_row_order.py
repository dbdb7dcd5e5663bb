"""What is kept and where it goes depends on the content alone, not on the order of rows."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.data.split import Mode, assign_splits
from shared.records import Message, PreferenceRecord, content_id

FRACTIONS = {"train": 0.5, "judge": 0.2, "validation": 0.0, "test": 0.3}
NUMBER = st.integers(0, 60)
# Some pairs share a question, an answer or a group; no two are the same.
PAIRS = st.dictionaries(st.tuples(NUMBER, NUMBER, NUMBER), st.integers(0, 15), max_size=50).map(
    lambda found: [
        pair(f"question {question}", f"good {good}", f"bad {bad}", f"group {group}")
        for (question, good, bad), group in found.items()
    ]
)


def pair(question: str, chosen: str, rejected: str, group: str) -> PreferenceRecord:
    turns = (Message("user", question),)
    return PreferenceRecord(content_id(question, chosen, rejected), group, "a:1", turns, chosen, rejected)


def ids(splits: dict[str, list[PreferenceRecord]]) -> dict[str, set[str]]:
    return {name: {record.id for record in members} for name, members in splits.items()}


@settings(max_examples=80, deadline=None)
@given(PAIRS, st.integers(1, 4), st.sampled_from(["quota", "hash"]), st.integers())
def test_capped_splits(records: list[PreferenceRecord], most: int, mode: Mode, seed: int) -> None:
    shuffled = Random(seed).sample(records, len(records))
    first = assign_splits(records, FRACTIONS, mode=mode, max_pairs_per_group=most)
    assert ids(first) == ids(assign_splits(shuffled, FRACTIONS, mode=mode, max_pairs_per_group=most))
    kept = [record for members in first.values() for record in members]
    assert len({record.id for record in kept}) == len(kept)
    sizes = Counter(record.group_id for record in records)
    assert Counter(record.group_id for record in kept) == {group: min(size, most) for group, size in sizes.items()}


@settings(max_examples=80, deadline=None)
@given(PAIRS, st.integers(0, 3))
def test_quota_is_within_one_component(records: list[PreferenceRecord], salt: int) -> None:
    largest = max(_components(records).values(), default=0)
    splits = assign_splits(records, FRACTIONS, str(salt))
    for name, share in FRACTIONS.items():
        assert abs(len(splits[name]) - share * len(records)) <= largest + 1e-9


def _components(records: list[PreferenceRecord]) -> Counter[int]:
    """Sizes of the components, found by spreading the lowest label until nothing changes."""
    keys = [{record.group_id, record.prompt_text(), record.chosen, record.rejected} for record in records]
    label = list(range(len(records)))
    changed = True
    while changed:
        changed = False
        for one in range(len(records)):
            least = min(label[other] for other in range(len(records)) if keys[one] & keys[other])
            changed |= least < label[one]
            label[one] = least
    return Counter(label)


@pytest.mark.parametrize("mode", ["quota", "hash"])
def test_the_salt_changes_the_split(mode: Mode) -> None:
    records = [pair(f"question {n}", f"good {n}", f"bad {n}", f"group {n}") for n in range(50)]
    one, same, other = (ids(assign_splits(records, FRACTIONS, salt, mode)) for salt in ("a", "a", "b"))
    assert one == same
    assert one != other


def test_hash_mode_moves_no_pair_when_groups_are_capped() -> None:
    old = [pair(f"question {n}", f"good {n} {k}", f"bad {n} {k}", f"group {n}") for n in range(60) for k in range(3)]
    new = [pair(f"question {n}", f"more {n} {k}", f"less {n} {k}", f"group {n}") for n in range(90) for k in range(3)]
    before = assign_splits(old, FRACTIONS, mode="hash", max_pairs_per_group=2)
    after = assign_splits([*new, *old], FRACTIONS, mode="hash", max_pairs_per_group=2)
    where = {record.group_id: name for name, members in after.items() for record in members}
    assert len(where) == 90
    assert all(where[record.group_id] == name for name, members in before.items() for record in members)
