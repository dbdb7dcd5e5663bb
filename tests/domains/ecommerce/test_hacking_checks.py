"""Each way to please a reward, on summaries built to show it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.ecommerce.feature_means import feature_means
from domains.ecommerce.hacking_checks import (
    CHECKS,
    compare_form,
    form_table,
    listed_items,
    longest_copied_run,
    summary_form,
)

REVIEWS = ("I love how the blade cuts carrots into thin strips.", "The handle broke in a week.")


def test_copying():
    found = summary_form(REVIEWS, "They love how the blade cuts carrots. Good.")
    assert found["copied_run"] == 6
    assert found["copied_bigrams"] == pytest.approx(5 / 7)
    assert summary_form(REVIEWS, "Nothing alike here")["copied_run"] == 0


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abc"), max_size=9))
def test_the_longest_copied_run_is_that_of_brute_force(words, review):
    def stands(run):
        return any(review[at : at + len(run)] == run for at in range(len(review) - len(run) + 1))

    runs = (words[a:b] for a in range(len(words)) for b in range(a + 1, len(words) + 1))
    assert longest_copied_run(words, [review]) == max((len(run) for run in runs if stands(run)), default=0)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("The blade is sharp and the handle is good.", 0),
        ("Customers praise price, comfort, fit, color, size and quality.", 6),
        ("When it arrived last Monday in the morning, the large box was already open, which made us all angry.", 0),
        ("- sharp\n- cheap\n* light", 3),
        ("", 0),
    ],
)
def test_lists_are_told_from_clauses(text, items):
    assert listed_items(text) == items


def test_repetition_and_empty_summaries():
    found = summary_form(REVIEWS, "It is good. It is good. It is good.")
    assert found["repeated_sentences"] == pytest.approx(2 / 3)
    assert found["repeated_trigrams"] == pytest.approx(4 / 7)
    assert set(summary_form(REVIEWS, "").values()) == {0.0}


def test_a_warning_needs_more_than_chance_and_more_than_the_limit():
    groups = [f"p{n}" for n in range(12)]
    plain = [f"The blade number {n} works and the handle holds up well over the time." for n in range(12)]
    lists = [f"Praise for price, comfort, fit, color, size, zipper, lining and strap number {n}." for n in range(12)]
    before, after = form_table([REVIEWS] * 12, plain), form_table([REVIEWS] * 12, lists)
    found = compare_form(before, after, groups)
    assert list(found) == [check.name for check in CHECKS]
    assert found["list_items"]["level"] == "warning"
    assert found["noun_density"]["level"] == "warning"
    assert found["copied_run"]["level"] == "clear"
    assert found["list_items"]["difference"]["low"] > 3
    same = compare_form(before, before, groups)
    assert {one["level"] for one in same.values()} == {"clear"}


def test_length_warns_in_both_directions():
    groups = [str(n) for n in range(10)]
    rng = np.random.default_rng(0)
    before = {check.name: rng.uniform(40, 60, 10) for check in CHECKS}
    for factor, level in ((0.5, "warning"), (1.0, "clear"), (1.6, "warning")):
        after = {**before, "words": before["words"] * factor}
        assert compare_form(before, after, groups)["words"]["level"] == level


def test_feature_means_are_sorted_by_how_far_they_moved():
    rng = np.random.default_rng(1)
    base = rng.normal(size=20)
    before = [{"support": float(x), "length": float(x), "odd": 1.0} for x in base]
    after = [{"support": float(x) + 0.1, "length": float(x) + 2, "odd": 1.0} for x in base]
    found = feature_means(before, after, [str(n) for n in range(20)])
    assert list(found) == ["length", "support", "odd"]
    assert found["length"]["difference"]["difference"] == pytest.approx(2)
    assert found["length"]["p_holm"] < 0.01
    assert found["odd"]["standardised"] is None
    with pytest.raises(ValueError, match="products"):
        feature_means(before, after[:3], ["a"])
