"""The aspect report on reviews whose aspects, sides and quotes are known; its page."""

import json

import pytest

from domains.ecommerce.aspect_blocks import aspect_page, aspect_section
from domains.ecommerce.aspect_report import LONGEST_QUOTE, aspect_report, opinions_text, report_text
from domains.ecommerce.products import Product
from shared.errors import DataError
from tests.domains.ecommerce.word_vectors import word_vectors

REVIEWS = (
    "The blade is excellent. The handle feels awful.",
    "I love the blade, but the handle is terrible.",
    "A great blade. Shipping took weeks.",
    "The blade is awful. The handle is fine.",
    "The blade is horrible and dull.",
    "Blade arrived on time.",
    "The blade is wonderful, though the blade guard is a disappointment. The blade was bad at first.",
)


def product(reviews=REVIEWS, ratings=None):
    return Product("knife-1", "reviews.csv:2", tuple(reviews), ratings, "kitchen")


@pytest.fixture(scope="module")
def report():
    return aspect_report(product(ratings=(5.0, 4.0, 5.0, 2.0, 1.0, 3.0, float("nan"))), word_vectors)


def test_aspects_are_counted_by_review_and_sorted_by_mentions(report):
    assert [one.name for one in report.aspects][:2] == ["blade", "handle"]
    blade, handle = report.aspects[:2]
    assert blade.reviews == (1, 2, 3, 4, 5, 6, 7)
    assert (blade.positive, blade.negative, blade.mixed, blade.neutral) == (3, 2, 1, 1)
    assert blade.share_positive.value == pytest.approx(3 / 6)
    assert (handle.positive, handle.negative) == (1, 2)
    assert "blade guard" in blade.also
    assert report.mean_rating == pytest.approx(20 / 6)


def test_customers_disagree_where_both_sides_are_worth_a_look(report):
    assert [one.name for one in report.disagreements()] == ["blade"]


def test_quotes_are_verbatim_of_both_sides_and_of_different_reviews(report):
    quotes = report.aspects[0].quotes
    for quote in quotes:
        assert quote.text in REVIEWS[quote.review - 1]
    assert {quote.sentiment > 0 for quote in quotes} == {True, False}
    assert len({quote.review for quote in quotes if quote.sentiment > 0}) == 2


def test_a_long_sentence_is_cut_and_says_so():
    long = "The blade " + "went on and on with the work " * 20 + "and is excellent."
    found = aspect_report(product([long, "A great blade.", "The blade is fine."]), word_vectors)
    texts = [quote.text for one in found.aspects for quote in one.quotes]
    assert all(len(text) <= LONGEST_QUOTE + 4 for text in texts)


def test_json_can_be_written_and_the_text_tells_the_same(report):
    row = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert row["aspects"][0]["mentioned_by"] == 7
    assert row["disagreements"] == ["blade"]
    text = report_text(report)
    assert "blade  (7 reviews: 3 positive, 2 negative, 1 mixed, 1 without opinion)" in text
    assert "Customers disagree on blade." in text
    assert opinions_text(report.aspects[1]) == "1 positive, 2 negative"


def test_no_review_is_an_error_that_names_the_row():
    with pytest.raises(DataError, match=r"reviews\.csv:2: the product knife-1 has no review"):
        aspect_report(product([]), word_vectors)
    with pytest.raises(DataError, match="no review"):
        aspect_report(product([" "]), word_vectors)


def test_one_review_shows_all_its_aspects_and_a_caution():
    found = aspect_report(product(REVIEWS[:1]), word_vectors)
    assert [one.name for one in found.aspects] == ["blade", "handle"]
    assert "Only 1 review is at hand" in aspect_page([found], "a.csv", "2026-01-01")


def test_reviews_without_a_common_aspect_say_so():
    found = aspect_report(product(["Love it!", "Great.", "Bad."]), word_vectors)
    assert found.aspects == ()
    assert "No aspect" in report_text(found)
    assert "No aspect" in aspect_section(found).notices[0].text


def test_html_in_reviews_is_escaped_on_the_page():
    evil = '<script>alert("x")</script> The blade is excellent <img src=x onerror=alert(1)>.'
    page = aspect_page([aspect_report(product([evil, evil + " really", REVIEWS[0]]), word_vectors)], "a.csv", "2026")
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;img" in page or "&lt;script" in page


def test_the_page_loads_nothing_and_shows_counts_and_quotes(report):
    page = aspect_page([report], "reviews.csv", "2026-01-01 10:00", "valign aspects reviews.csv")
    assert "http://" not in page
    assert "https://" not in page
    assert "<b>3</b> positive" in page
    assert "7 of 7 reviews" in page
    assert "Customers disagree on blade (3 positive, 2 negative, 1 mixed)." in page
    both = aspect_page([report, report], "reviews.csv", "2026-01-01 10:00", note="A note.")
    assert both.count("Product knife-1") >= 2
    assert "A note." in both


def test_five_hundred_reviews_encode_names_only():
    encoded = []

    def counted(texts):
        encoded.extend(texts)
        return word_vectors(texts)

    found = aspect_report(product([f"{REVIEWS[n % 7]} Number {n}." for n in range(500)]), counted)
    assert found.read == 500
    assert len(found.aspects[0].reviews) == 500
    assert len(encoded) < 20


def test_beyond_the_bound_reviews_are_sampled_and_the_page_says_so(monkeypatch):
    monkeypatch.setattr("domains.ecommerce.aspect_report.MOST_REVIEWS", 5)
    found = aspect_report(product(), word_vectors)
    assert (found.read, found.reviews) == (5, 7)
    assert "5 of 7 reviews were read" in aspect_page([found], "a.csv", "2026")
