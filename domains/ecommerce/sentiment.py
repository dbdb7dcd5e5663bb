"""Sentiment of sentences and clauses: VADER (Hutto and Gilbert, ICWSM 2014) with words of product reviews added.

VADER's lexicon was rated on tweets, so it knows "awful" and not "flimsy". The words below are ours: terms of wear, fit
and build whose sign does not depend on the product ("sharp", "heavy" or "small" do, and are left out), on VADER's own
scale of -4 to 4.
"""

from functools import cache, lru_cache
from typing import Any

_BY_VALENCE = {
    -2.4: "junk garbage unwearable",
    -1.8: "flimsy cheaply wobbly shoddy rusts rusted rusty chipped scratched warped tore leaks leaking leaky breaks "
    "cracked cracks ripped rips frayed peeled peeling",
    -1.4: "fades faded shrank shrunk shrinks stretched blurred unusable unreliable returned refund refunded",
    -1.2: "overpriced smelly uneven bulky scratchy issue issues",
    1.2: "works worked lasts lasted soft roomy lightweight quiet smooth accurate",
    1.8: "sturdy durable reliable comfy washable affordable inexpensive stylish versatile",
}
PRODUCT_WORDS = {word: value for value, words in _BY_VALENCE.items() for word in words.split()}
POLAR = 0.2  # |compound| from which a clause counts as an opinion


@cache
def _analyser() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    analyser.lexicon.update(PRODUCT_WORDS)
    return analyser


@lru_cache(maxsize=65_536)
def polarity(text: str) -> float:
    """VADER's compound score of a sentence or clause, -1 (negative) to 1 (positive); 0 where no word is polar."""
    return float(_analyser().polarity_scores(text)["compound"])


def sign(value: float) -> int:
    """1 for a positive, -1 for a negative opinion, 0 for none (|compound| below `POLAR`)."""
    return (value >= POLAR) - (value <= -POLAR)
