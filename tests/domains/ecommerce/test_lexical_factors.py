"""Lexical factors on built reviews and summaries whose values can be counted by hand."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.ecommerce.factors import FACTORS, SummaryItem, measure
from domains.ecommerce.factors.items import MOST_CHARACTERS, MOST_REVIEWS, MOST_SENTENCES, evenly
from domains.ecommerce.factors.readings import Recent, read_reviews, read_text
from domains.ecommerce.factors.words import carries_content, numbers_of, stem, words_of
from shared.errors import DataError

REVIEWS = (
    "The battery is great. The screen is terrible.",
    "I love the battery. It lasts 12 hours.",
    "The screen is awful and the price is too high.",
)
LEXICAL = FACTORS.names(costs=["lexical"])


def of(summary: str, name: str, reviews: tuple[str, ...] = REVIEWS) -> float:
    return measure([SummaryItem(reviews, summary)], [name])[0][name]


def test_length_and_sentence_length() -> None:
    assert of("One two three. Four five six.", "length") == pytest.approx(math.log(7))
    assert of("One two three. Four five six.", "sentence-length") == pytest.approx(math.log(4))
    assert of("", "length") == of("", "sentence-length") == 0.0


def test_terms_that_reviews_repeat_are_covered() -> None:
    # Content stems that at least two reviews have: battery (2), screen (2).
    assert of("The battery.", "term-coverage") == pytest.approx(0.5)
    assert of("Battery and screen.", "term-coverage") == pytest.approx(1.0)
    assert of("Nothing of it.", "term-coverage") == 0.0


def test_terms_that_no_review_has_cost_precision() -> None:
    assert of("battery warranty", "term-precision") == pytest.approx(0.5)
    assert of("the of and", "term-precision") == 0.0
    assert of("battery warranty", "consensus") == pytest.approx((2 / 3 + 0) / 2)


def test_aspects_covered_and_invented() -> None:
    assert of("The battery is great.", "aspect-coverage") == pytest.approx(0.5)
    assert of("The battery is great, the screen is terrible.", "aspect-coverage") == pytest.approx(1.0)
    assert of("The battery and the warranty are good.", "aspect-precision") == pytest.approx(0.5)
    assert of("Good.", "aspect-precision") == 0.0
    assert of("Good.", "aspect-coverage", ("Good.", "Nice.")) == 1.0  # the reviews have none
    assert of("The battery, the battery, the screen.", "aspect-count") == pytest.approx(math.log(3))
    assert of("The battery, the screen.", "aspect-density") == pytest.approx(0.5)


def test_sentiment_by_aspect_agrees_or_contradicts() -> None:
    right = "The battery is great. The screen is terrible."
    wrong = "The battery is terrible. The screen is great."
    assert of(right, "aspect-sentiment") > 0.9 > 0.6 > of(wrong, "aspect-sentiment")
    assert of("It is fine.", "aspect-sentiment") == 0.5
    assert of(right, "aspect-contradiction") == 0.0
    assert of(wrong, "aspect-contradiction") == 1.0


def test_a_contrast_within_a_sentence_splits_the_opinion() -> None:
    assert of("The battery is great, but the screen is terrible.", "aspect-contradiction") == 0.0


def test_one_sided_summaries_miss_a_polarity() -> None:
    praise, both = "The battery is great.", "The battery is great. The screen is awful."
    assert of(praise, "polarity-coverage") == pytest.approx(0.5)
    assert of(both, "polarity-coverage") > 0.9
    assert of("Anything.", "polarity-coverage", ("It is a box.",)) == 1.0
    assert of(praise, "sentiment-gap") > of(both, "sentiment-gap")
    assert of(praise, "sentiment-shift") > 0 > of("The screen is awful.", "sentiment-shift")
    assert of(praise, "negative-balance") > of(both, "negative-balance")


def test_repetition_of_words_and_phrases() -> None:
    assert of("battery screen price hours", "repetition") == 0.0
    assert of("battery battery battery battery", "repetition") == pytest.approx(0.75)
    once = " ".join(f"word{number}" for number in range(40))
    assert of(once, "repetition") == 0.0
    assert of(f"{once} {once}", "repetition") == pytest.approx(0.0)  # 40 words apart: no run of 20 has one twice
    assert of("a b c d a b c d", "phrase-repetition") == pytest.approx(2 / 6)
    assert of("", "repetition") == of("", "phrase-repetition") == 0.0


def test_copied_runs() -> None:
    assert of("Buyers say it lasts 12 hours.", "copying") == pytest.approx(math.log(1 + 4))  # "it lasts 12 hours"
    assert of("Entirely other words here.", "copying") == 0.0
    assert of("the battery is fine", "bigram-copying") == pytest.approx(2 / 3)
    whole = of("The battery is great. The screen is terrible.", "copying")
    assert whole == pytest.approx(math.log(1 + 8))


def test_new_numbers_and_names() -> None:
    assert of("It lasts 12 hours.", "new-numbers") == 0.0
    assert of("It lasts 14 hours, or 1,500 charges.", "new-numbers") == pytest.approx(math.log(3))
    assert of("Bought at Walmart by me.", "new-names") == pytest.approx(math.log(2))
    assert of("The Battery is great.", "new-names") == 0.0


@pytest.mark.parametrize(
    ("name", "summary", "value"),
    [
        ("first-person", "I love my battery", 0.5),
        ("attribution", "users like it", 1 / 3),
        ("quantifiers", "some like it", 1 / 3),
        ("non-ascii", "caféé", 0.4),
        ("unfinished", "It is good", 1.0),
        ("unfinished", 'They said "it is good."', 0.0),
    ],
)
def test_style(name: str, summary: str, value: float) -> None:
    assert of(summary, name) == pytest.approx(value)


def test_reviews_without_a_word_are_refused() -> None:
    with pytest.raises(DataError, match="no review that holds a word"):
        measure([SummaryItem((), "Good.")], LEXICAL)
    with pytest.raises(DataError, match="no review that holds a word"):
        measure([SummaryItem(("", "..."), "Good.")], LEXICAL)


def test_one_review_is_enough() -> None:
    row = measure([SummaryItem(("The battery is great.",), "The battery is great.")], LEXICAL)[0]
    assert row["aspect-coverage"] == row["term-coverage"] == row["bigram-copying"] == 1.0


def test_five_hundred_reviews_are_read_within_bounds() -> None:
    long = " ".join(["The battery is great."] * 2_000)
    reading = read_reviews([f"{long} {number}" for number in range(500)])
    assert len(reading) == MOST_REVIEWS
    assert len(reading.sentences) == MOST_SENTENCES
    assert len(set(reading.owners)) == MOST_REVIEWS  # every review that is read is heard
    assert all(len(one.text) <= MOST_CHARACTERS for one in reading.reviews)


def test_reviews_are_taken_evenly() -> None:
    values = [str(number) for number in range(500)]
    taken = [int(one) for one in evenly(values, 64)]
    steps = [b - a for a, b in pairwise(taken)]
    assert len(taken) == 64
    assert taken[0] == 0
    assert {*steps} == {7, 8}
    assert evenly(values[:64], 64) == values[:64]


@settings(max_examples=60, deadline=None)
@given(summary=st.text(max_size=200), review=st.text(max_size=200))
def test_any_text_has_finite_values_on_their_scale(summary: str, review: str) -> None:
    row = measure([SummaryItem((review, REVIEWS[0]), summary)], LEXICAL)[0]
    scales = {one.name: one.scale for one in FACTORS}
    assert all(math.isfinite(value) for value in row.values())
    assert all(
        -1e-9 <= value <= 1 + 1e-9 for name, value in row.items() if scales[name] in ("share 0-1", "0-1", "0 or 1")
    )


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=80))
def test_words_are_lower_and_stems_need_no_model(text: str) -> None:
    for word in words_of(text):
        assert word
        assert "’" not in word
        assert stem(word) == stem(word)
    assert all(any(letter.isdigit() for letter in number) for number in numbers_of(text))


def test_words_stems_and_numbers() -> None:
    assert words_of("Don’t buy it, well-made!") == ["don't", "buy", "it", "well", "made"]
    assert stem("batteries") == stem("battery") == stem("battery's")
    assert carries_content("battery")
    assert not carries_content("the")
    assert numbers_of("1,500 at 2.5%") == {"1500", "2.5"}


def test_clauses_and_polarities_lie_in_the_text() -> None:
    reading = read_text("The battery is great, but the screen is terrible.")
    first, second = (reading.text[one.begin : one.end] for one in reading.clauses)
    assert first.startswith("The battery")
    assert second.startswith("but the screen")
    assert reading.clauses[0].polarity > 0 > reading.clauses[1].polarity


def test_recent_values_are_made_once_together_and_the_oldest_go() -> None:
    asked: list[list[int]] = []

    def make(keys: list[int]) -> list[int]:
        asked.append(keys)
        return [2 * key for key in keys]

    recent = Recent(make, most=2)
    assert recent.get([1, 2, 1]) == [2, 4, 2]
    assert recent.get([2, 3]) == [4, 6]
    assert recent.get([1]) == [2]  # it went when 3 came
    assert asked == [[1, 2], [3], [1]]
    assert recent.get([4, 5, 6]) == [8, 10, 12]  # more than are kept
