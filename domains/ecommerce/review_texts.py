"""Reviews and summaries as plain text: mark-up, entities and escapes resolved, reviews on one line, repeats dropped."""

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from shared.data.plain_text import BREAKS, TAGS, plain_text
from shared.data.text_keys import text_hash, text_key

MOST_ROUNDS = 5  # a text escaped more often than that is no review; the bound keeps the time linear
MOST_SEARCHED = 10_000  # characters of a long text in which the end of a sentence is looked for
_ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_SENTENCE_END = re.compile(r"[.!?]['\")\]]?(?=\s|$)")


@dataclass
class CleaningCounts:
    """What cleaning changed or dropped, for the metrics ``data/...``.

    Attributes:
        marked_up: texts that held HTML tags, entities or written-out escapes.
        empty_reviews: reviews without a text.
        repeated_reviews: reviews that stand twice in one product.
        surplus_reviews: reviews beyond the most that are kept of one product.
        empty_summaries: reference summaries without a text.
    """

    marked_up: int = 0
    empty_reviews: int = 0
    repeated_reviews: int = 0
    surplus_reviews: int = 0
    empty_summaries: int = 0

    def to_json(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in type(self).__dataclass_fields__}


def one_line(text: str) -> str:
    """The text with every run of white space, line breaks too, made one space."""
    return " ".join(text.split())


def clean_text(text: str) -> tuple[str, bool]:
    """(plain text, whether it held mark-up).

    Tags and entities are resolved as `shared.data.plain_text` does, also where they were escaped twice (``&amp;#34;``),
    and so are characters written as escapes (``\\u2026``). Line breaks stay.
    """
    marked = False
    for _ in range(MOST_ROUNDS):
        has_markup = "<" in text and (TAGS.search(text) is not None or BREAKS.search(text) is not None)
        unescaped = _ESCAPES.sub(_characters, text) if "\\u" in text else text
        found = has_markup or unescaped != text or ("&" in text and html.unescape(text) != text)
        text = plain_text(unescaped)
        if not found:
            break
        marked = True
    return text, marked


def _characters(match: re.Match[str]) -> str:
    """What escapes stand for; they stay where they are half of a surrogate pair."""
    characters = str(json.loads(f'"{match[0]}"'))
    try:
        characters.encode("utf-8")
    except UnicodeEncodeError:
        return match[0]
    return characters.replace("\0", "")


def clean_summary(text: str, counts: CleaningCounts) -> str:
    """A summary as plain text; its line breaks stay."""
    cleaned, marked = clean_text(text)
    counts.marked_up += marked
    return cleaned


def clean_reviews(
    reviews: Sequence[str], ratings: Sequence[float | None] | None, most: int | None, counts: CleaningCounts
) -> tuple[tuple[str, ...], tuple[float | None, ...] | None]:
    """The reviews of one product as they are stored, with their ratings.

    Empty and repeated ones are dropped; of more than `most` those stay whose content hashes lowest, so that the order
    of rows does not matter. Time is linear in the characters.

    Args:
        reviews: texts as given.
        ratings: of each review. [reviews]
        most: most reviews kept; None keeps all.
        counts: takes in what happened.
    """
    kept: dict[str, int] = {}
    texts: list[str] = []
    for number, review in enumerate(reviews):
        cleaned, marked = clean_text(review)
        texts.append(one_line(cleaned))
        counts.marked_up += marked
        if not texts[number]:
            counts.empty_reviews += 1
        elif kept.setdefault(text_key(texts[number]), number) != number:
            counts.repeated_reviews += 1
    numbers = list(kept.values())
    if most is not None and len(numbers) > most:
        counts.surplus_reviews += len(numbers) - most
        by_key = sorted(kept, key=lambda key: (text_hash(key), key))[:most]
        numbers = sorted(kept[key] for key in by_key)
    chosen = tuple(texts[number] for number in numbers)
    return chosen, None if ratings is None else tuple(ratings[number] for number in numbers)


def cut_review(review: str, most: int | None) -> str:
    """A review of at most `most` characters: cut after a sentence where one ends in its second half, else at a space.

    Args:
        review: on one line.
        most: characters; None cuts nothing.
    """
    if most is None or len(review) <= most:
        return review
    head = review[:most]
    searched = max(most // 2, most - MOST_SEARCHED)
    ends = [match.end() for match in _SENTENCE_END.finditer(review[: most + 1], searched) if match.end() <= most]
    if ends:
        return head[: ends[-1]].rstrip()
    cut = head if review[most].isspace() else head.rpartition(" ")[0] or head
    return cut.rstrip()
