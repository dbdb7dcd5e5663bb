"""Near-duplicates in data preparation: what is left out is alike to something that stays, and nothing else is."""

import json
import random
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.data.near_duplicates import MIN_SHINGLES, PairSignatures, Texts
from shared.data.preparing import SplitSettings, prepare_records, write_dropped
from shared.data.record_files import read_records
from shared.data.rows import RowTally
from shared.data.split import PairIndex
from shared.data.text_keys import text_key
from shared.lint.near_duplicates import jaccard, shingles
from shared.records import Message, PreferenceRecord

SETTINGS = SplitSettings({"train": 0.5, "test": 0.5}, near_duplicates="drop")
WORDS = [f"word{number}" for number in range(400)]


def text(rng: random.Random, words: int = 40) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(words))


def edited(rng: random.Random, given_text: str, changes: int) -> str:
    words = given_text.split()
    for place in rng.sample(range(len(words)), changes):
        words[place] = f"new{rng.randrange(10**6)}"
    return " ".join(words)


def similarity(one: Texts, other: Texts) -> float:
    """The exact one of the least similar texts; short texts are alike only where they are the same."""
    values = []
    for a, b in zip(map(text_key, one), map(text_key, other), strict=True):
        left, right = shingles(a), shingles(b)
        short = min(len(left), len(right)) < MIN_SHINGLES
        values.append(1.0 if a == b else 0.0 if short else jaccard(left, right))
    return min(values)


def record(number: int, texts: Texts) -> PreferenceRecord:
    prompt, chosen, rejected = texts
    return PreferenceRecord(f"p{number}", f"g{number}", f"a:{number}", (Message("user", prompt),), chosen, rejected)


@st.composite
def families(draw: st.DrawFn) -> list[Texts]:
    """Pairs and edited copies of them, in any order: some nearly the same, some far, some sharing two texts of three,
    some with the other response preferred, some too short to be compared."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    pairs: list[Texts] = []
    for _ in range(draw(st.integers(1, 8))):
        base = [text(rng), text(rng), text(rng, draw(st.sampled_from([3, 12, 40])))]
        pairs.append((base[0], base[1], base[2]))
        for _ in range(draw(st.integers(0, 4))):
            kind = draw(st.sampled_from(["near", "far", "other answer", "swapped", "case"]))
            copy = list(base)
            if kind == "swapped":
                copy[1], copy[2] = copy[2], copy[1]
            elif kind == "other answer":
                copy[2] = text(rng)
            elif kind == "case":
                copy = [each.upper() + " end" * (len(each) > 200) for each in copy]
            else:
                place = rng.randrange(2)
                copy[place] = edited(rng, copy[place], 1 if kind == "near" else draw(st.integers(3, 20)))
            pairs.append((copy[0], copy[1], copy[2]))
    rng.shuffle(pairs)
    return list(dict.fromkeys(pairs))


def left_out(pairs: list[Texts], least: float = 0.8) -> set[Texts]:
    index, signatures = PairIndex(), PairSignatures()
    for number, texts in enumerate(pairs):
        one = record(number, texts)
        index.add(one.group_id, index.keys(one))
        signatures.add(*texts)
    assert len(signatures) == len(pairs)
    found = signatures.repeated(index.order, least, pairs.__getitem__)
    return {pairs[place] for place in np.flatnonzero(found)}


@settings(max_examples=60, deadline=None)
@given(families(), st.sampled_from([0.6, 0.8, 0.95]))
def test_every_pair_left_out_is_alike_to_one_that_stays(pairs: list[Texts], least: float) -> None:
    out = left_out(pairs, least)
    staying = [each for each in pairs if each not in out]
    assert all(max(similarity(each, other) for other in staying) >= least for each in out)


@settings(max_examples=60, deadline=None)
@given(families())
def test_no_two_pairs_that_stay_are_clearly_alike(pairs: list[Texts]) -> None:
    staying = [each for each in pairs if each not in left_out(pairs)]
    for place, one in enumerate(staying):
        for other in staying[:place]:
            same_key = tuple(map(text_key, one)) == tuple(map(text_key, other))
            assert same_key or similarity(one, other) < 0.93  # one changed word of 40: .95; found with p > .999


@settings(max_examples=40, deadline=None)
@given(families(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(pairs: list[Texts], rng: random.Random) -> None:
    keys = {tuple(map(text_key, each)): each for each in pairs}  # exact repeats are dropped before
    once = list(keys.values())
    mixed = rng.sample(once, len(once))
    assert left_out(once) == left_out(mixed)


def test_another_answer_and_the_other_preference_stay() -> None:
    rng = random.Random(0)
    prompt, good, bad = text(rng, 200), text(rng), text(rng)
    pairs = [
        (prompt, good, bad),
        (prompt, good, text(rng)),
        (prompt, bad, good),
        (prompt, "yes", "no"),
        (prompt, "no", "yes"),
    ]
    assert left_out(pairs) == set()


@settings(max_examples=15, deadline=None)
@given(families())
def test_what_is_dropped_is_written_down_and_no_near_copy_is_in_another_split(pairs: list[Texts]) -> None:
    with TemporaryDirectory() as name:
        folder, tally = Path(name), RowTally()
        records = [record(number, texts) for number, texts in enumerate(pairs)]
        prepared = prepare_records(iter(records), folder, SETTINGS, tally)
        dropped = write_dropped(folder / "dropped.jsonl", tally)
        kept = [each for split in SETTINGS.fractions for each in read_records(folder / f"{split}.arrow")]
        rows = [json.loads(line) for line in (folder / "dropped.jsonl").read_text().splitlines()]
    assert prepared.near_duplicates == dropped.get("nearly repeats another pair", 0)
    assert prepared.kept == len(kept) == len(records) - sum(dropped.values())
    assert {each.source for each in kept} | {row["source"] for row in rows} == {each.source for each in records}
    by_source = {each.source: each for each in records}
    stay = [(each.prompt_text(), each.chosen, each.rejected) for each in kept]
    for row in rows:
        if row["reason"] == "nearly repeats another pair":
            one = by_source[row["source"]]
            assert max(similarity((one.prompt_text(), one.chosen, one.rejected), other) for other in stay) >= 0.8


@pytest.mark.parametrize("setting", ["keep", "drop"])
def test_near_duplicates_are_kept_by_default(tmp_path: Path, setting: str) -> None:
    rng = random.Random(1)
    base = (text(rng), text(rng), text(rng))
    near = (base[0], edited(rng, base[1], 1), base[2])
    records = [record(0, base), record(1, near), record(2, (text(rng), text(rng), text(rng)))]
    chosen = SETTINGS if setting == "drop" else replace(SETTINGS, near_duplicates="keep")
    prepared = prepare_records(records, tmp_path, chosen, RowTally())
    assert (prepared.kept, prepared.near_duplicates) == ((2, 1) if setting == "drop" else (3, None))
    assert SplitSettings(SETTINGS.fractions).near_duplicates == "keep"


def test_a_chain_keeps_its_far_ends() -> None:
    """Each differs from the next by one word of 20, the ends by ten: only neighbours are near-duplicates."""
    rng = random.Random(3)
    chain = [text(rng, 20)]
    for place in range(10):
        words = chain[-1].split()
        words[2 * place] = f"new{place}"
        chain.append(" ".join(words))
    fixed = text(rng), text(rng)
    pairs: list[Texts] = [(fixed[0], each, fixed[1]) for each in chain]
    out = left_out(pairs)
    staying = [each for each in pairs if each not in out]
    assert 2 <= len(staying) < len(pairs)
    assert all(max(similarity(each, other) for other in staying) >= 0.8 for each in out)
