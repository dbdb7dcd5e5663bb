"""What is measured: a summary with the reviews that it summarises, and how much of many reviews is looked at."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

MOST_REVIEWS = 64  # of one product; with more, as many that lie evenly over their order
MOST_SENTENCES = 256  # of all its reviews, and of a summary; with more, the first ones of every review come first
MOST_CHARACTERS = 4_000  # of one review and of a summary; what lies beyond is not read


@dataclass(frozen=True, slots=True)
class SummaryItem:
    """A summary and its reviews.

    Attributes:
        reviews: texts, at least one.
        summary: any text, also "".
    """

    reviews: tuple[str, ...]
    summary: str


def item_key(item: SummaryItem) -> str:
    """All that an item's factors depend on, for the cache, in ASCII: half of a surrogate pair has no bytes."""
    return json.dumps([item.reviews, item.summary])


def evenly(values: Sequence[str], most: int) -> list[str]:
    """At most `most` of the values, evenly over their order, the first among them."""
    if len(values) <= most:
        return list(values)
    return [values[number * len(values) // most] for number in range(most)]
