"""Factors from the likeness of the summary's sentences to the reviews' sentences, as vectors of a sentence encoder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domains.ecommerce.factors.items import SummaryItem
from domains.ecommerce.factors.readings import READ_REVIEWS, Recent, ReviewsReading, TextReading, read_text
from domains.ecommerce.factors.sentence_vectors import sentence_vectors
from domains.ecommerce.sentiment import POLAR
from shared.explain.factors import factor

if TYPE_CHECKING:
    import numpy as np

SUPPORTED = 0.5  # cosine from which a review sentence counts as support: see docs/ecommerce.md
REPORTED = 0.45  # cosine from which a review sentence counts as reported by the summary
FOCUS = 10.0  # of the softmax over review sentences: the nearest few decide
NEAREST = 3


@dataclass(frozen=True, slots=True)
class EmbeddingView:
    """What embedding factors are functions of.

    Attributes:
        reviews: of the product.
        summary: read.
        likeness: cosine of every sentence of the summary with every one of the reviews, [summary, reviews].
        within: cosine of the summary's sentences with each other, [summary, summary].
        centre: cosine of the summary's mean vector with the reviews' mean vector.
    """

    reviews: ReviewsReading
    summary: TextReading
    likeness: "np.ndarray"
    within: "np.ndarray"
    centre: float


def _vectors_of_reviews(keys: list[tuple[str, ...]]) -> "list[np.ndarray]":
    import numpy as np

    readings = READ_REVIEWS.get(keys)
    vectors = sentence_vectors([sentence for reading in readings for sentence in reading.sentences])
    ends = np.cumsum([len(reading.sentences) for reading in readings])
    return np.split(vectors, ends[:-1])


REVIEW_VECTORS: Recent[tuple[str, ...], "np.ndarray"] = Recent(_vectors_of_reviews)
"""Reviews of a product -> float16 [sentences, width], for all factors of this process."""


def embedding_views(items: Sequence[SummaryItem]) -> Iterator[EmbeddingView]:
    """One view an item, in order; all sentences that are not known are computed in one go."""
    import numpy as np

    keys = [item.reviews for item in items]
    summaries = [read_text(item.summary) for item in items]
    together = zip(READ_REVIEWS.get(keys), REVIEW_VECTORS.get(keys), summaries, strict=True)
    own = sentence_vectors([sentence for one in summaries for sentence in one.sentences])
    place = 0
    for reviews, vectors, summary in together:
        theirs = vectors.astype(np.float32)
        mine = own[place : place + len(summary.sentences)].astype(np.float32)
        place += len(summary.sentences)
        centre = _cosine(mine.mean(axis=0), theirs.mean(axis=0)) if len(mine) and len(theirs) else 0.0
        yield EmbeddingView(reviews, summary, mine @ theirs.T, mine @ mine.T, centre)


def _cosine(a: "np.ndarray", b: "np.ndarray") -> float:
    import numpy as np

    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size else 0.0


def _support(view: EmbeddingView) -> "np.ndarray":
    """Likeness of every summary sentence to its nearest review sentence, [summary]; empty where there is none."""
    import numpy as np

    return view.likeness.max(axis=1) if view.likeness.size else np.zeros(0)


def _report(view: EmbeddingView) -> "np.ndarray":
    """Likeness of every review sentence to its nearest summary sentence, [reviews]; zeros for an empty summary."""
    import numpy as np

    return view.likeness.max(axis=0) if view.likeness.size else np.zeros(len(view.reviews.sentences))


def _mean(values: "np.ndarray") -> float:
    return float(values.mean()) if values.size else 0.0


@factor("support", scale="share 0-1", sign="+", cost="embedding")
def support(view: EmbeddingView) -> float:
    """Share of the summary's sentences that a review sentence supports: cosine of at least 0.5; 0 for an empty one."""
    return _mean(_support(view) >= SUPPORTED)


@factor("support-strength", scale="cosine -1 to 1", sign="+", cost="embedding")
def support_strength(view: EmbeddingView) -> float:
    """Mean over the summary's sentences of the cosine with the nearest review sentence; 0 for an empty one."""
    return _mean(_support(view))


@factor("support-weakest", scale="cosine -1 to 1", sign="+", cost="embedding")
def support_weakest(view: EmbeddingView) -> float:
    """The same of the sentence that has least support."""
    found = _support(view)
    return float(found.min()) if found.size else 0.0


@factor("support-breadth", scale="cosine -1 to 1", sign="+", cost="embedding")
def support_breadth(view: EmbeddingView) -> float:
    """Mean over the summary's sentences of the mean cosine with the three nearest review sentences: opinions that
    several hold."""
    import numpy as np

    if not view.likeness.size:
        return 0.0
    return float(np.sort(view.likeness, axis=1)[:, -NEAREST:].mean())


@factor("review-coverage", scale="cosine -1 to 1", sign="+", cost="embedding")
def review_coverage(view: EmbeddingView) -> float:
    """Mean over the reviews' sentences of the cosine with the nearest summary sentence."""
    return _mean(_report(view))


@factor("reported", scale="share 0-1", sign="+", cost="embedding")
def reported(view: EmbeddingView) -> float:
    """Share of the reviews' sentences that a summary sentence reports: cosine of at least 0.45."""
    return _mean(_report(view) >= REPORTED)


@factor("reviewer-coverage", scale="cosine -1 to 1", sign="+", cost="embedding")
def reviewer_coverage(view: EmbeddingView) -> float:
    """Mean over the reviews of the cosine of their best reported sentence: whether every reviewer is heard."""
    import numpy as np

    best = np.full(len(view.reviews), -np.inf)
    np.maximum.at(best, list(view.reviews.owners), _report(view))
    return _mean(best[np.isfinite(best)])


@factor("negative-coverage", scale="cosine -1 to 1", sign="+", cost="embedding")
def negative_coverage(view: EmbeddingView) -> float:
    """review-coverage of the reviews' negative sentences; of all sentences where none is negative."""
    return _polar_coverage(view, -1)


@factor("positive-coverage", scale="cosine -1 to 1", sign="+", cost="embedding")
def positive_coverage(view: EmbeddingView) -> float:
    """review-coverage of the reviews' positive sentences; of all sentences where none is positive."""
    return _polar_coverage(view, 1)


def _polar_coverage(view: EmbeddingView, side: int) -> float:
    import numpy as np

    report, wanted = _report(view), np.array(view.reviews.polarities) * side >= POLAR
    return _mean(report[wanted] if wanted.any() else report)


@factor("opinion-faithfulness", scale="agreement 0-1", sign="+", cost="embedding")
def opinion_faithfulness(view: EmbeddingView) -> float:
    """Mean over the summary's sentences of 1 - |s - r| / 2: s is the sentence's polarity (-1 to 1) and r that of the
    review sentences that are nearest to it, weighted by a softmax of 10 * cosine; 0.5 for an empty summary."""
    import numpy as np

    if not view.likeness.size:
        return 0.5
    weights = np.exp(FOCUS * (view.likeness - view.likeness.max(axis=1, keepdims=True)))
    weights /= weights.sum(axis=1, keepdims=True)
    theirs = weights @ np.array(view.reviews.polarities)
    return 1 - float(np.abs(np.array(view.summary.polarities) - theirs).mean()) / 2


@factor("relevance", scale="cosine -1 to 1", sign="+", cost="embedding")
def relevance(view: EmbeddingView) -> float:
    """Cosine of the mean vector of the summary's sentences with that of the reviews' sentences."""
    return view.centre


@factor("redundancy", scale="cosine -1 to 1", sign="-", cost="embedding")
def redundancy(view: EmbeddingView) -> float:
    """Mean cosine over all pairs of the summary's sentences; 0 for a single sentence."""
    import numpy as np

    count = len(view.within)
    return float(view.within[np.triu_indices(count, 1)].mean()) if count > 1 else 0.0


EMBEDDING = (
    support,
    support_strength,
    support_weakest,
    support_breadth,
    review_coverage,
    reported,
    reviewer_coverage,
    negative_coverage,
    positive_coverage,
    opinion_faithfulness,
    relevance,
    redundancy,
)
