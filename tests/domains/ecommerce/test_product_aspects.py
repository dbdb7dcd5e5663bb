"""Aspects found in texts whose aspects are known."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.ecommerce.aspect_groups import merged_names
from domains.ecommerce.aspects import LONGEST, _common_noun, aspects_of, singular
from tests.domains.ecommerce.word_vectors import word_vectors


def names(text):
    return [one.aspect for one in aspects_of([text])[0]]


def test_noun_compounds_are_named_in_the_singular():
    assert names("I like the really clear pictures and the battery life.") == ["picture", "battery life"]
    assert [singular(word) for word in ("batteries", "boxes", "feet", "bus")] == ["battery", "box", "foot", "bus"]


def test_what_is_no_property_is_no_aspect():
    assert names("My husband bought this item for his brother last week at Amazon.") == []


def test_adjectives_are_no_nouns_whatever_the_tagger_says():
    class Token:
        tag_, lower_ = "NN", "bulky"

    assert _common_noun(Token()) is None
    Token.lower_ = "sweater"
    assert _common_noun(Token()) == "sweater"


def test_words_imply_aspects():
    found = names("It is very comfortable, too expensive, and it broke.")
    assert found == ["comfort", "price", "durability"]
    assert "size" in names("The bowl is too small.")
    assert "size" not in names("There was a small problem with delivery.")


def test_shouting_is_read():
    assert "battery" in names("THE BATTERY IS TERRIBLE AND THE SCREEN TOO")


def test_sentiment_is_that_of_the_clause():
    text = "The screen is excellent, but the battery is terrible. The box came."
    by_name = {one.aspect: one for one in aspects_of([text])[0]}
    assert by_name["screen"].sentiment > 0.2
    assert by_name["battery"].sentiment < -0.2
    assert text[by_name["battery"].start : by_name["battery"].end] == "battery"
    assert (by_name["box"].sentence, by_name["box"].sentiment) == (1, 0.0)


def test_texts_do_not_depend_on_each_other():
    texts = ["The zipper is stuck.", "", "A warm lining.", "The zipper is stuck."]
    together = aspects_of(texts)
    assert together == [aspects_of([text])[0] for text in texts]
    assert together[1] == []


def test_long_texts_are_read_up_to_a_bound():
    text = "The zipper is fine. " * 1000
    assert max(one.end for one in aspects_of([text])[0]) <= LONGEST


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=80))
def test_any_text_has_mentions_that_lie_in_it(text):
    for one in aspects_of([text])[0]:
        assert 0 <= one.start < one.end <= len(text)
        assert -1 <= one.sentiment <= 1


def test_half_a_surrogate_pair_is_no_trouble():
    assert "zipper" in names("The zipper \ud83d is stuck.")


def test_names_are_merged_by_similarity_into_the_most_frequent():
    counts = {"peeler": 5, "julienne peeler": 2, "price": 3, "blade": 4, "price tag": 1}
    found = merged_names(counts, word_vectors)
    assert found["julienne peeler"] == "peeler"
    assert found["blade"] == "blade"
    # "price" gathers words of its own and is not merged.
    assert (found["price"], found["price tag"]) == ("price", "price tag")
    assert merged_names({}, word_vectors) == {}


@pytest.mark.parametrize("similar", [0.3, 0.99])
def test_merging_depends_on_the_threshold(similar):
    found = merged_names({"steel blade": 2, "steel handle": 1}, word_vectors, similar)
    assert (found["steel handle"] == "steel blade") == (similar < 0.5)
