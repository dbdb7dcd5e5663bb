"""Whether a translation keeps what its source says: numbers, and words that carry content."""

from collections import Counter
from collections.abc import Collection, Sequence

from domains.translation.preferences.function_words import FUNCTION_WORDS, language_code
from domains.translation.preferences.numbers import numbers_in
from domains.translation.preferences.words import Word


def number_recall(source: str, target: str, source_language: str, target_language: str) -> float | None:
    """Share of the source's numbers that the target has, each as often; None where the source has none."""
    wanted = Counter(numbers_in(source, source_language))
    if not wanted:
        return None
    there = Counter(numbers_in(target, target_language))
    return (wanted & there).total() / wanted.total()


def key_point_recall(
    source: str,
    target: str,
    words: Sequence[Word],
    links: Collection[tuple[int, int]],
    source_language: str,
    target_language: str,
) -> float | None:
    """Share of the source's key points that the target has.

    A number is there where the target has the same number. A content word (no function word, no number) is there where
    one of its units is linked to the target, or where the word itself stands in the target (a name).

    Args:
        source: the source sentence.
        target: its translation.
        words: of the source.
        links: (source unit, target unit).
        source_language: ISO 639-1 code.
        target_language: the same.

    Returns:
        From 0 to 1; None for a language without a list of function words here, or where there is no key point.
    """
    function = FUNCTION_WORDS.get(language_code(source_language))
    if function is None:
        return None
    linked = {one for one, _ in links}
    lowered = target.lower()
    content = [word for word in words if word.text not in function and not numbers_in(word.text, source_language)]
    covered = sum(not linked.isdisjoint(word.units) or word.text in lowered for word in content)
    numbers = Counter(numbers_in(source, source_language))
    covered += (numbers & Counter(numbers_in(target, target_language))).total()
    points = len(content) + numbers.total()
    return covered / points if points else None
