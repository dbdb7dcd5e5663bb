"""The packaged e-commerce sample: its schema, and that neither length nor shared text gives an answer away."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from importlib.resources import files

import pytest

Product = dict  # one parsed line of reviews.jsonl

FLAWS = {
    "misses-aspects",
    "one-sided",
    "invented-claim",
    "wrong-sentiment",
    "copies-reviews",
    "repeats",
    "too-long",
    "ungrammatical",
    "off-topic",
}


@pytest.fixture(scope="module")
def products() -> list[Product]:
    text = (files("domains") / "ecommerce" / "sample" / "reviews.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def words(text: str) -> int:
    return len(text.split())


def pairs_of(products: list[Product]) -> list[dict[str, str]]:
    return [pair for product in products for pair in product["pairs"]]


def texts_of(product: Product) -> Iterator[str]:
    yield from product["reviews"]
    yield from product["summaries"]
    for pair in product["pairs"]:
        yield pair["chosen"]
        yield pair["rejected"]


def sentences(text: str) -> set[str]:
    parts = re.split(r"(?<=[.!?;:])\s+", text.lower())
    return {re.sub(r"[^a-z0-9 ]", "", part).strip() for part in parts} - {""}


def four_grams(text: str) -> set[tuple[str, ...]]:
    tokens = re.findall(r"[a-z0-9']+", text.lower())
    return set(zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False))


def copied(summary: str, product: Product) -> float:
    """The share of a summary's four-grams that stand in one of the product's reviews."""
    source = set().union(*(four_grams(review) for review in product["reviews"]))
    grams = four_grams(summary)
    return len(grams & source) / len(grams)


def test_every_line_has_the_schema(products: list[Product]) -> None:
    assert len(products) == 36
    assert len({product["id"] for product in products}) == 36
    assert len({product["category"] for product in products}) == 36
    for product in products:
        assert set(product) == {"id", "category", "reviews", "ratings", "summaries", "pairs"}
        assert 6 <= len(product["reviews"]) <= 8, product["id"]
        assert len(product["summaries"]) == 2, product["id"]
        assert len(product["pairs"]) == 4, product["id"]
        for pair in product["pairs"]:
            assert set(pair) == {"chosen", "rejected", "flaw"}, product["id"]


def test_ratings_stand_for_every_review_and_disagree(products: list[Product]) -> None:
    for product in products:
        ratings = product["ratings"]
        assert len(ratings) == len(product["reviews"]), product["id"]
        assert all(isinstance(rating, int) and 1 <= rating <= 5 for rating in ratings), product["id"]
        assert min(ratings) <= 2, product["id"]
        assert max(ratings) >= 4, product["id"]


def test_lengths_of_reviews_and_references(products: list[Product]) -> None:
    for product in products:
        assert all(15 <= words(review) <= 45 for review in product["reviews"]), product["id"]
        assert all(35 <= words(summary) <= 60 for summary in product["summaries"]), product["id"]
        assert all(30 <= words(pair["chosen"]) <= 60 for pair in product["pairs"]), product["id"]


@pytest.mark.parametrize("measure", [words, len], ids=["words", "characters"])
def test_length_does_not_tell_the_chosen_one(products: list[Product], measure: Callable[[str], int]) -> None:
    pairs = pairs_of(products)
    longer = sum(measure(pair["chosen"]) > measure(pair["rejected"]) for pair in pairs) / len(pairs)
    assert 0.45 <= longer <= 0.55
    similar = [pair for pair in pairs if pair["flaw"] != "too-long"]
    assert all(0.7 <= words(pair["chosen"]) / words(pair["rejected"]) <= 1.45 for pair in similar)
    excess = sum(measure(pair["chosen"]) - measure(pair["rejected"]) for pair in similar)
    assert abs(excess) <= 0.03 * sum(measure(pair["chosen"]) for pair in similar)


def test_every_flaw_is_there_and_names_what_can_be_measured(products: list[Product]) -> None:
    counts = Counter(pair["flaw"] for pair in pairs_of(products))
    assert set(counts) == FLAWS
    assert min(counts.values()) >= 10
    for product in products:
        for pair in product["pairs"]:
            assert (copied(pair["rejected"], product) > 0.5) == (pair["flaw"] == "copies-reviews"), pair["rejected"]
            too_long = words(pair["rejected"]) >= 2 * words(pair["chosen"])
            assert too_long == (pair["flaw"] == "too-long"), pair["rejected"]
            assert copied(pair["chosen"], product) < 0.2, pair["chosen"]
        assert all(copied(summary, product) < 0.2 for summary in product["summaries"]), product["id"]


def test_no_text_stands_twice_and_no_two_products_share_a_sentence(products: list[Product]) -> None:
    texts = Counter(text for product in products for text in texts_of(product))
    assert [text for text, count in texts.items() if count > 1] == []
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for product in products:
        for text in texts_of(product):
            for sentence in sentences(text):
                owners[sentence].add(product["id"])
    assert {sentence: ids for sentence, ids in owners.items() if len(ids) > 1} == {}


def test_no_contact_details_and_no_markup(products: list[Product]) -> None:
    for product in products:
        for text in texts_of(product):
            assert text.isascii(), text
            assert text == " ".join(text.split()), text
            assert re.search(r"@|https?:|www\.|<[a-z/]|\d{5,}", text) is None, text
