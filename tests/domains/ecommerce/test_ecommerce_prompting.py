"""Reviews to prompts and back, which reviews a prompt holds, and lists written out in cells."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from domains.ecommerce.products import Product, read_products, write_products
from domains.ecommerce.prompting import SummaryPrompt, product_prompt, prompt_of, reviews_of
from domains.ecommerce.review_texts import CleaningCounts, clean_reviews, clean_text, cut_review, one_line
from domains.ecommerce.selection import polarity_of, select_reviews
from domains.ecommerce.value_lists import listed, texts_in
from shared.errors import DataError
from shared.records import Message

TEXT = st.text(st.characters(codec="utf-8"), max_size=80)
REVIEW = TEXT.map(one_line).filter(bool)


@settings(deadline=None)
@given(st.lists(REVIEW, min_size=1, max_size=12), st.sampled_from(["", "Reviews:", "About a product\nin two lines"]))
def test_reviews_come_back_as_they_went_in(reviews: list[str], head: str) -> None:
    prompt = prompt_of(reviews, SummaryPrompt(head=head))
    assert reviews_of(prompt) == tuple(reviews)
    assert reviews_of((Message("system", "- no review"), *prompt, Message("assistant", "- none"))) == tuple(reviews)


@settings(deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=6))
def test_any_text_comes_back_on_one_line(texts: list[str]) -> None:
    if all(one_line(text) for text in texts):
        assert reviews_of(prompt_of(texts)) == tuple(map(one_line, texts))
    else:
        with pytest.raises(ValueError, match="none of them empty"):
            prompt_of(texts)


def test_a_prompt_reads_as_it_should() -> None:
    [message] = prompt_of(["Great  mug.", "- Broke\nin a week"], SummaryPrompt(instruction="Sum up."))
    assert message == Message("user", "Reviews:\n- Great mug.\n- - Broke in a week\n\nSum up.")


@pytest.mark.parametrize("changes", [{"head": "a\n- b"}, {"instruction": "- list\nthem"}, {"instruction": ""}])
def test_wordings_that_would_be_taken_for_reviews(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SummaryPrompt(**changes)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("prompt", [(), (Message("user", "Summarise -this"),), (Message("assistant", "- one"),)])
def test_prompts_without_reviews(prompt: tuple[Message, ...]) -> None:
    with pytest.raises(DataError, match="holds no reviews"):
        reviews_of(prompt)


def test_the_prompt_of_a_product_is_selected_and_cut() -> None:
    reviews = tuple(f"Number {n} is good. It was delivered in time and works." for n in range(20))
    product = Product("p", "a.csv:2", reviews)
    kept = reviews_of(product_prompt(product, SummaryPrompt(reviews_in_prompt=5, review_chars=30)))
    assert len(kept) == 5
    assert all(review.endswith("is good.") for review in kept)
    assert reviews_of(product_prompt(product, SummaryPrompt(reviews_in_prompt=None, review_chars=None))) == reviews


@settings(deadline=None)
@given(
    st.lists(st.tuples(REVIEW, st.sampled_from([1.0, 2.0, 3.0, 5.0, math.nan])), max_size=14),
    st.integers(1, 6),
    st.randoms(),
)
def test_selection_does_not_depend_on_the_order(rows: list[tuple[str, float]], most: int, random) -> None:
    rows = list(dict(rows).items())
    chosen = select_reviews([text for text, _ in rows], [stars for _, stars in rows], most)
    assert list(chosen) == sorted(set(chosen))
    assert len(chosen) == min(most, len(rows))
    shuffled = random.sample(rows, len(rows))
    again = select_reviews([text for text, _ in shuffled], [stars for _, stars in shuffled], most)
    assert {rows[number][0] for number in chosen} == {shuffled[number][0] for number in again}
    signs = {polarity_of(text, stars) for text, stars in rows} - {0}
    if most >= 2 and signs == {-1, 1}:
        assert {polarity_of(*rows[number]) for number in chosen} >= signs


def test_selection_takes_the_most_representative_of_each_polarity() -> None:
    good = [
        "battery lasts and the screen is sharp",
        "battery lasts long",
        "my cousin bought yellow paint",
        "screen sharp",
    ]
    bad = ["the hinge broke", "hinge broke after the winter", "parcel came late on thursday evening"]
    ratings = [5.0] * len(good) + [1.0] * len(bad)
    chosen = select_reviews(good + bad, ratings, 3)
    assert chosen == (0, 3, 4)  # never 2 or 6: nobody else says anything of that
    assert select_reviews(good + bad, ratings, None) == tuple(range(7))


@pytest.mark.parametrize(
    ("text", "stars", "expected"),
    [("fine", 5.0, 1), ("fine", 4.0, 1), ("x", 3.0, 0), ("lovely", 1.0, -1), ("It is awful.", None, -1),
     ("I love it, it is great!", math.nan, 1), ("It is a table.", None, 0)],
)  # fmt: skip
def test_polarity(text: str, stars: float | None, expected: int) -> None:
    assert polarity_of(text, stars) == expected


def test_selection_is_linear_in_the_number_of_reviews() -> None:
    import time

    def seconds(count: int) -> float:
        texts = [f"review {n} says word{n % 97} and word{n % 31} of the handle and battery " * 4 for n in range(count)]
        start = time.process_time()
        assert len(select_reviews(texts, [float(1 + n % 5) for n in range(count)], 8)) == 8
        return time.process_time() - start

    seconds(100)
    # Eight times the reviews: a comparison of all pairs would take 64 times as long.
    assert min(seconds(4_000) for _ in range(3)) < 24 * max(min(seconds(500) for _ in range(3)), 1e-3)


@pytest.mark.parametrize(
    ("raw", "plain", "marked"),
    [
        ("5 &lt; 6 &amp;amp; &#34;fine&#34;", '5 < 6 & "fine"', True),
        ("A<br />B<b>C</b>", "A\nBC", True),
        ("&lt;b&gt;bold&lt;/b&gt;", "bold", True),
        ("waste \\u2026 of \\ud83d\\ude00", "waste … of 😀", True),
        ("half \\ud83d", "half \\ud83d", False),
        ("a < b & c > d, <sigh>", "a < b & c > d, <sigh>", False),
        ("  plain\ttext ", "plain text", False),
    ],
)
def test_cleaning(raw: str, plain: str, marked: bool) -> None:
    assert clean_text(raw) == (plain, marked)


PIECES = st.lists(
    st.sampled_from(["&amp;", "lt;", "<br>", "<b>", "</b>", "\\u0041", "word", " ", "&#39;", "\n", "é"]), max_size=5
)


@settings(deadline=None)
@given(PIECES.map("".join))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    cleaned, _ = clean_text(text)
    assert clean_text(cleaned) == (cleaned, False)


@settings(deadline=None)
@given(REVIEW, st.integers(20, 60))
def test_cut_reviews_are_beginnings(review: str, most: int) -> None:
    cut = cut_review(review, most)
    assert 0 < len(cut) <= most
    assert review.startswith(cut)
    assert cut == review or len(review) > most


def test_reviews_are_cut_at_sentences_or_words() -> None:
    assert cut_review("It is good. It works well.", 20) == "It is good."
    assert cut_review("It is. It works well and long.", 20) == "It is. It works well"
    assert cut_review("One sentence here. Another one follows", 30) == "One sentence here."
    assert cut_review("no stop in these words at all", 20) == "no stop in these"
    assert cut_review("x" * 50, 20) == "x" * 20


def test_clean_reviews_counts_what_it_drops() -> None:
    counts = CleaningCounts()
    given_ = ["<b>Good</b>", "", "good", "bad\nbuy", "fine", "odd"]
    texts, ratings = clean_reviews(given_, [5, None, 4, 1, 3, None], 3, counts)
    assert counts == CleaningCounts(marked_up=1, empty_reviews=1, repeated_reviews=1, surplus_reviews=1)
    assert ratings is not None
    assert len(texts) == len(ratings) == 3
    assert dict(zip(texts, ratings, strict=True)).items() <= {"Good": 5, "bad buy": 1, "fine": 3, "odd": None}.items()


@settings(deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), max_size=6))
def test_written_lists_come_back(texts: list[str]) -> None:
    expected = [text.strip() for text in texts]
    assert texts_in({"a": repr(texts)}, "a", "reviews") == expected
    assert texts_in({"a": json.dumps(texts)}, "a", "reviews") == expected
    assert texts_in({"a": texts}, "a", "reviews") == expected


@settings(deadline=None)
@given(st.text(max_size=60))
def test_a_cell_is_a_list_or_said_to_be_none(text: str) -> None:
    for cell in (text, f"[{text}]", f"[{text!r}", f"['a', {text}]"):
        found: list[object] | str = ""
        try:
            found = listed({"a": cell}, "a", "reviews")
        except ValueError as error:
            found = str(error)
        assert isinstance(found, list) or ("column 'a'" in found and "\n" not in found)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("good", "a text where a list of reviews is expected"),
        (3, "a number where a list of reviews"),
        ({"a": 1}, "an object where a list"),
        ("[__import__('os').system('true')]", "holds no list of reviews that can be read"),
        ("[1, 2", "holds no list of reviews"),
        ("[" * 3_000, "holds no list of reviews"),
        ("['a' 'b']", "without commas"),
        ("['a'\n 'b']", "without commas"),
        ("[1]", "a number among its reviews"),
        ([["a"]], "a list among its reviews"),
    ],
)
def test_cells_that_hold_no_list_of_texts(cell: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        texts_in({"a": cell}, "a", "reviews")


def test_objects_with_a_text_count_as_texts() -> None:
    assert texts_in({"a": [{"text": "x", "rating": 5}, None, math.nan, "y"]}, "a", "reviews") == ["x", "", "", "y"]


PRODUCTS = st.builds(
    Product,
    id=st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
    source=st.just("a.csv:2"),
    reviews=st.lists(REVIEW, min_size=1, max_size=4).map(tuple),
    ratings=st.none() | st.lists(st.floats(1, 5), min_size=1, max_size=4).map(tuple),
    category=st.none() | REVIEW,
    summaries=st.lists(TEXT, max_size=3).map(tuple),
    summaries_by_model=st.booleans(),
)


@settings(deadline=None)
@given(products=st.lists(PRODUCTS, max_size=4))
def test_products_are_read_as_they_were_written(tmp_path_factory, products: list[Product]) -> None:
    path = tmp_path_factory.mktemp("products") / "p.arrow"
    assert write_products(path, products) == len(products)
    assert read_products(path) == products


def test_missing_ratings_are_not_a_number(tmp_path) -> None:
    write_products(tmp_path / "p.arrow", [Product("p", "a:1", ("x", "y"), ratings=(4.0, math.nan))])
    [product] = read_products(tmp_path / "p.arrow")
    assert product.ratings is not None
    assert product.ratings[0] == 4.0
    assert math.isnan(product.ratings[1])
