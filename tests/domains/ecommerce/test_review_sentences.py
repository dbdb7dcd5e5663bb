"""Sentences and clauses of reviews, on cases with known answers and on anything."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.ecommerce.sentences import clause_spans, sentence_spans, sentences, shortened
from domains.ecommerce.sentiment import polarity, sign


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" ... !! ", []),
        ("One. Two!! Three?", ["One.", "Two!!", "Three?"]),
        ("Good price.You will like it", ["Good price.", "You will like it"]),
        ("It is approx. 5 in. long. Fine.", ["It is approx. 5 in. long.", "Fine."]),
        ("By J. R. Smith. Good", ["By J. R. Smith.", "Good"]),
        ("first line\nsecond line", ["first line", "second line"]),
        ('He said "no." Then left.', ['He said "no."', "Then left."]),
        ("costs 3.50 now", ["costs 3.50 now"]),
    ],
)
def test_sentences(text, expected):
    assert sentences(text) == expected


def test_clauses_are_cut_at_contrasts():
    text = "Well. The fan is quiet, but it broke; I sent it back - although late."
    span = sentence_spans(text)[1]
    assert [text[a:b] for a, b in clause_spans(text, span)] == [
        "The fan is quiet,",
        "but it broke;",
        "I sent it back -",
        "although late.",
    ]


@settings(deadline=None)
@given(st.text(max_size=300))
def test_no_letter_or_digit_is_lost(text):
    spans = sentence_spans(text)
    kept = "".join(text[a:b] for a, b in spans)
    assert [c for c in kept if c.isalnum()] == [c for c in text if c.isalnum()]
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    for span in spans:
        assert not text[span[0]].isspace()
        parts = clause_spans(text, span)
        assert [c for a, b in parts for c in text[a:b] if c.isalnum()] == [c for c in text[slice(*span)] if c.isalnum()]


def test_a_text_is_shortened_after_a_sentence():
    text = "The first one. The second one is longer. The third."
    assert shortened(text, 100) == text
    assert shortened(text, 30) == "The first one. …"
    assert shortened("word " * 20, 22) == "word word word word …"


def test_words_of_product_reviews_have_a_sign():
    assert sign(polarity("The handle is flimsy")) == -1
    assert sign(polarity("A sturdy handle")) == 1
    assert sign(polarity("It does not work")) <= 0
    assert sign(polarity("It has a handle")) == 0
