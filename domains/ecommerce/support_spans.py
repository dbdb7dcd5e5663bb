"""Which review sentence supports each sentence of a summary, and whether any does.

A summary sentence is split where it contrasts ("sturdy, but loud"), since one review rarely says both; a part counts as
supported where the most similar review sentence (cosine of sentence vectors) reaches the threshold, a sentence where
all its parts do. Similarity in meaning is no entailment: "the strap broke" is close to "the strap did not break".
Sentiment contradictions are therefore counted apart (`domains.ecommerce.faithfulness`).

The threshold is chosen on built negatives: summaries held against the reviews of *other* products of the same kind,
none of which can support them (`choose_threshold`); the share of those that still count as supported is the
false-positive rate, and stands in every report.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domains.ecommerce.sentences import Span, clause_spans, sentence_spans

THRESHOLD = 0.55  # 5 % of statements about other products of the same kind pass; see docs/ecommerce.md
SHORTEST_PART = 4  # words; a shorter clause is no statement of its own
MOST_SENTENCES = 2_000  # of the reviews of one product; every review keeps its first ones
Embed = Callable[[Sequence[str]], "NDArray[Any]"]
"""Vectors of length one of sentences [n, size], e.g. `domains.ecommerce.factors.sentence_vectors.sentence_vectors`."""


class KeptVectors:
    """An `Embed` that keeps what it has made, so that the reviews are encoded once for the summaries of all policies.

    Args:
        embed: makes the vectors; None takes the packaged MiniLM.
    """

    def __init__(self, embed: Embed | None = None) -> None:
        if embed is None:
            from domains.ecommerce.factors.sentence_vectors import sentence_vectors

            embed = sentence_vectors
        self._embed = embed
        self._kept: dict[str, NDArray[np.float32]] = {}

    def __call__(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """float32 [sentences, size]; `sentences` is not empty."""
        # Half of a surrogate pair, which JSON may carry, cannot be encoded.
        readable = [one.encode("utf-8", "replace").decode("utf-8") for one in sentences]
        missing = [one for one in dict.fromkeys(readable) if one not in self._kept]
        if missing:
            self._kept.update(zip(missing, np.asarray(self._embed(missing), dtype=np.float32), strict=True))
        return np.stack([self._kept[one] for one in readable])


@dataclass(frozen=True, slots=True)
class ReviewSentence:
    """A sentence of a review: the review's number from 0, and its place in it."""

    review: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class SupportSpan:
    """A statement of a summary and the review sentence that is closest to it.

    Attributes:
        start: first character of the statement in the summary.
        end: first character behind it.
        similarity: cosine with the closest review sentence, -1 to 1; -1 where there is no review sentence.
        review: number of the review that this stands in, from 0; -1 where there is none.
        evidence: that sentence.
        supported: whether the similarity reaches the threshold.
    """

    start: int
    end: int
    similarity: float
    review: int
    evidence: str
    supported: bool

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {name: getattr(self, name) for name in ("start", "end", "similarity", "review", "evidence", "supported")}


def review_sentences(reviews: Sequence[str]) -> list[ReviewSentence]:
    """The sentences of all reviews; beyond `MOST_SENTENCES` the later sentences of the longest reviews are left out."""
    of_reviews = [sentence_spans(review) for review in reviews]
    most = max((len(spans) for spans in of_reviews), default=0)
    total = sum(len(spans) for spans in of_reviews)
    while most > 1 and total > MOST_SENTENCES:
        total -= sum(len(spans) >= most for spans in of_reviews)
        most -= 1
    return [
        ReviewSentence(number, start, end, review[start:end])
        for number, (review, spans) in enumerate(zip(reviews, of_reviews, strict=True))
        for start, end in spans[:most]
    ]


def statements(summary: str) -> list[Span]:
    """The statements of a summary: its sentences, cut where they contrast, but no part of under four words."""
    found: list[Span] = []
    for sentence in sentence_spans(summary):
        parts: list[Span] = []
        for span in clause_spans(summary, sentence):
            words = len(summary[span[0] : span[1]].split())
            if parts and (words < SHORTEST_PART or len(summary[slice(*parts[-1])].split()) < SHORTEST_PART):
                parts[-1] = (parts[-1][0], span[1])
            else:
                parts.append(span)
        found += parts
    return found


def support_spans(
    reviews: Sequence[str], summary: str, embed: Embed, threshold: float = THRESHOLD
) -> list[SupportSpan]:
    """Every statement of a summary with its best support in the reviews.

    Args:
        reviews: of the product; none at all support nothing.
        summary: "" has no statement.
        embed: makes vectors of sentences.
        threshold: similarity from which a statement counts as supported.

    Returns:
        One span a statement, in order.
    """
    spans = statements(summary)
    pool = review_sentences(reviews)
    if not spans:
        return []
    if not pool:
        return [SupportSpan(start, end, -1.0, -1, "", False) for start, end in spans]
    own, theirs = embed([summary[a:b] for a, b in spans]), embed([one.text for one in pool])
    similarities = np.asarray(own, dtype=np.float32) @ np.asarray(theirs, dtype=np.float32).T  # [spans, pool]
    best = similarities.argmax(axis=1)
    found = []
    for (start, end), row, at in zip(spans, similarities, best, strict=True):
        value = round(float(row[at]), 4)
        found.append(SupportSpan(start, end, value, pool[at].review, pool[at].text, value >= threshold))
    return found


def best_similarities(reviews: Sequence[str], summaries: Sequence[str], embed: Embed) -> list[NDArray[np.float64]]:
    """The similarity of each statement's best support, for several summaries of the same reviews. [statements] each"""
    return [np.array([one.similarity for one in support_spans(reviews, text, embed)]) for text in summaries]


@dataclass(frozen=True, slots=True)
class SupportThreshold:
    """A threshold of support and how it does on built cases.

    Attributes:
        threshold: similarity from which a statement counts as supported.
        false_positives: share of statements of *other* products' summaries that it calls supported.
        recall: share of statements of the product's own summaries that it calls supported.
        negatives: statements of other products.
        positives: statements of the product's own summaries.
    """

    threshold: float
    false_positives: float
    recall: float
    negatives: int
    positives: int

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        names = ("threshold", "false_positives", "recall", "negatives", "positives")
        return {name: getattr(self, name) for name in names}


def support_at(threshold: float, positives: Sequence[float], negatives: Sequence[float]) -> SupportThreshold:
    """How a given threshold does on similarities of own (positives) and other (negatives) products' summaries."""
    own, other = np.asarray(positives, dtype=float), np.asarray(negatives, dtype=float)
    return SupportThreshold(
        threshold,
        float((other >= threshold).mean()) if other.size else float("nan"),
        float((own >= threshold).mean()) if own.size else float("nan"),
        other.size,
        own.size,
    )


def choose_threshold(
    positives: Sequence[float], negatives: Sequence[float], false_positives: float = 0.05
) -> SupportThreshold:
    """The lowest threshold, in steps of .01, whose false-positive rate on built negatives is at most the one allowed.

    Raises:
        ValueError: there are no negatives.
    """
    if len(negatives) == 0:
        raise ValueError("a threshold needs statements of other products")
    for step in range(0, 101):
        found = support_at(step / 100, positives, negatives)
        if found.false_positives <= false_positives:
            return found
    return support_at(1.0, positives, negatives)
