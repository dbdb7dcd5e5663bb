"""Folds that tear no product, and the columns of pairs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.ecommerce.reward_study.pairs import product_folds, products, read_pairs, study_pairs
from shared.data.record_files import write_records
from shared.errors import DataError
from shared.records import Message

GROUPS = st.lists(st.integers(0, 30), min_size=12, max_size=120).filter(lambda found: len(set(found)) >= 6)


@settings(deadline=None, max_examples=50)
@given(GROUPS, st.integers(2, 6), st.integers(0, 5), st.randoms())
def test_no_product_is_torn_and_order_does_not_matter(numbers, folds, seed, random):
    groups = [f"p{number}" for number in numbers]
    found = product_folds(groups, folds, seed)
    of_group = {}
    for group, fold in zip(groups, found.tolist(), strict=True):
        assert of_group.setdefault(group, fold) == fold
    assert set(found.tolist()) == set(range(folds))
    largest = max(groups.count(name) for name in set(groups))
    sizes = np.bincount(found)
    assert sizes.max() - sizes.min() <= largest
    places = list(range(len(groups)))
    random.shuffle(places)
    again = product_folds([groups[place] for place in places], folds, seed)
    assert again.tolist() == [found[place] for place in places]


def test_another_seed_gives_other_folds():
    groups = [f"p{number}" for number in range(100)]
    one, other = (product_folds(groups, 10, seed) for seed in (0, 1))
    assert np.bincount(one).tolist() == [10] * 10
    assert 0.05 < float((one == other).mean()) < 0.25


def test_too_few_products_are_named():
    with pytest.raises(DataError, match="3 products are too few for 10 folds"):
        product_folds(["a", "b", "c", "c"], 10, 0)


def test_pairs_with_the_same_reviews_are_one_product(toy_preferences):
    records = toy_preferences(6, 6)
    records[4] = replace(records[4], prompt=records[1].prompt)
    records.append(replace(records[0], id="more", group_id=records[4].group_id, prompt=(Message("user", "other"),)))
    found = products(records)
    assert found[4] == found[1] == found[6] == "product-1"
    assert len(set(found)) == 5


def test_columns_of_pairs(toy_preferences):
    one = replace(toy_preferences(1)[0], chosen="a b c d", rejected="a b")
    pairs = study_pairs(
        [
            replace(one, covariates_chosen={"tier": 0.0}, covariates_rejected={"tier": 2.0}),
            replace(one, chosen="a b c", rejected="a b c", covariates_chosen={"tier": 1.0}),
            replace(one, covariates_chosen={"tier": 1.0}, covariates_rejected={"tier": 1.0}),
        ],
        ["train"] * 3,
    )
    assert pairs.length_differences.tolist() == pytest.approx([np.log(2), 0, np.log(2)])
    assert pairs.matched(0.2).tolist() == [False, True, False]
    assert pairs.matched(1.0).tolist() == [True] * 3
    assert pairs.cross_tier[0]
    assert pairs.same_tier[2]
    unknown = study_pairs([replace(one, covariates_chosen={}, covariates_rejected={})], ["train"])
    assert not unknown.cross_tier.any()
    assert not unknown.same_tier.any()


def test_only_judged_pairs_of_the_splits_that_are_there_are_read(toy_preferences, tmp_path):
    records = toy_preferences(6, 6)
    records[0] = replace(records[0], metadata={"preference": "tier"})
    write_records(tmp_path / "train.arrow", records[:3])
    write_records(tmp_path / "test.arrow", records[3:])
    pairs = read_pairs(tmp_path, ("train", "judge", "test"))
    assert pairs.splits == ("train", "train", "test", "test", "test")
    assert [one.id for one in pairs.records] == [f"pair-{number}" for number in range(1, 6)]
    with pytest.raises(DataError, match="no judged pair in judge"):
        read_pairs(tmp_path, ("judge",))
