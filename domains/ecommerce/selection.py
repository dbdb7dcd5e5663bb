"""Which reviews of a product stand in its prompt: few, of both polarities, the most representative of each.

Cost: for a fixed number of places the time is linear in the number of reviews. A review is looked at once for its
words (its first `MOST_WORDS`) and its polarity (its first `POLARITY_CHARS`), and once more for every place; no two
reviews are compared with each other. 500 reviews of 50 words take some 0.1 s, most of it sentiment where there are no
ratings; a product's number of reviews is bounded before that by `data.max_reviews`.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

from domains.ecommerce.sentiment import polarity, sign
from shared.data.text_keys import text_key

MOST_WORDS = 200
POLARITY_CHARS = 600  # VADER's time grows with the square of a text's words
NEGATIVE, POSITIVE = 2.0, 4.0  # of five stars: at most, at least
_WORD = re.compile(r"[^\W\d_]{3,}")
# Words that stand in most reviews of anything, and make none of them representative.
_COMMON = frozenset(
    _WORD.findall(
        "the and for this that with was are but not you your have has had they them these those its all can will just "
        "very from would one what when which there were been than then also get got out use used using only more much "
        "some other about any how our his her she him who too into did does don didn isn wasn"
    )
)


def select_reviews(reviews: Sequence[str], ratings: Sequence[float] | None, most: int | None) -> tuple[int, ...]:
    """Numbers of the reviews that a prompt holds, ascending; which they are does not depend on the order of reviews.

    Places are shared out among positive, negative and neutral reviews by their numbers (largest remainders), with at
    least one for each of positive and negative where both occur and there are two places. Within a polarity reviews are
    taken one by one: the one whose words are said in most other reviews of the product, words that a chosen review has
    said already counting a quarter. That is the frequency-driven choice of SumBasic (Nenkova and Vanderwende, 2005) for
    whole reviews, over the square root of their length so that long reviews do not always win.

    Args:
        reviews: texts of one product.
        ratings: stars of each review, NaN where one has none, or None. [reviews]
        most: places; None takes all reviews.
    """
    if most is None or len(reviews) <= most:
        return tuple(range(len(reviews)))
    words = [frozenset(_words(review)) for review in reviews]
    said = Counter(word for one in words for word in one)
    by_polarity: dict[int, list[int]] = {1: [], -1: [], 0: []}
    for number, review in enumerate(reviews):
        by_polarity[polarity_of(review, None if ratings is None else ratings[number])].append(number)
    chosen: list[int] = []
    heard: set[str] = set()
    places = _places({one: len(numbers) for one, numbers in by_polarity.items()}, most)
    for one, numbers in by_polarity.items():
        # By content first, so that ties do not depend on the order of reviews.
        left = sorted(numbers, key=lambda number: (text_key(reviews[number]), reviews[number]))
        for _ in range(places[one]):
            best = max(left, key=lambda number: _weight(words[number], said, heard))
            left.remove(best)
            chosen.append(best)
            heard |= words[best]
    return tuple(sorted(chosen))


def polarity_of(review: str, rating: float | None = None) -> int:
    """1 for a positive review, -1 for a negative one, 0 for neither.

    Args:
        review: its text; its sentiment counts where there is no rating.
        rating: stars from 1 to 5; NaN or None where there is none.
    """
    if rating is not None and not math.isnan(rating):
        return (rating >= POSITIVE) - (rating <= NEGATIVE)
    return sign(polarity(review[:POLARITY_CHARS]))


def _words(review: str) -> list[str]:
    found = (match[0] for match in _WORD.finditer(review[: MOST_WORDS * 12].lower()))
    return [word for word in found if word not in _COMMON][:MOST_WORDS]


def _weight(words: frozenset[str], said: Counter[str], heard: set[str]) -> float:
    """How much of what others say a review says; integers are summed, so that no rounding depends on their order."""
    if not words:
        return 0.0
    return sum((said[word] - 1) * (1 if word in heard else 4) for word in words) / math.sqrt(len(words))


def _places(counts: dict[int, int], most: int) -> dict[int, int]:
    """Places of each polarity, never more than it has reviews; all places are given out."""
    total = sum(counts.values())
    shares = {one: most * count / total for one, count in counts.items()}
    places = {one: math.floor(share) for one, share in shares.items()}
    for one in sorted(counts, key=lambda each: (places[each] - shares[each], -each))[: most - sum(places.values())]:
        places[one] += 1
    if most >= 2:
        for one in (-1, 1):
            if counts[one] and not places[one]:
                spare = [each for each in places if places[each] > (each != 0)]
                places[max(spare, key=lambda each: places[each])] -= 1
                places[one] = 1
    return places
