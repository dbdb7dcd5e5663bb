"""Faithfulness of a summary to its reviews: what share of it is supported, and what contradicts its evidence.

``faithfulness`` is the share of a summary's statements (`domains.ecommerce.support_spans`) that are supported and do
not contradict the reviews; higher is better, so `shared.gate` guards it without more ado. A statement contradicts
where it has a sentiment, and every review sentence that is about as similar as the best one (within `NEAR`) has the
opposite one: reviews disagree, and one critic among them is no contradiction. Sentiment is VADER's, so a contradiction
of facts ("two hours" for "ten") is not seen.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from domains.ecommerce.sentiment import polarity, sign
from domains.ecommerce.support_spans import THRESHOLD, Embed, SupportSpan, review_sentences, support_spans

METRIC = "faithfulness"
NEAR = 0.1  # of the best similarity; sentences that close speak of the same


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How faithful one summary is.

    Attributes:
        faithfulness: share of statements supported and not contradicted; 0 for a summary without a statement, since
            an empty summary must not pass as the most faithful one.
        supported: share of statements that are supported.
        contradicted: share of statements whose sentiment all their evidence contradicts.
        statements: how many.
        spans: the statements with their support.
        contradictions: places in `spans` of the contradicted ones.
    """

    faithfulness: float
    supported: float
    contradicted: float
    statements: int
    spans: tuple[SupportSpan, ...]
    contradictions: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return asdict(self)


def faithfulness(reviews: Sequence[str], summary: str, embed: Embed, threshold: float = THRESHOLD) -> Faithfulness:
    """Measures one summary.

    Args:
        reviews: all reviews that the summary is to be faithful to.
        summary: as the policy wrote it.
        embed: makes vectors of sentences.
        threshold: similarity from which a statement counts as supported.
    """
    spans = support_spans(reviews, summary, embed, threshold)
    if not spans:
        return Faithfulness(0.0, 0.0, 0.0, 0, (), ())
    against = _contradicted(reviews, summary, spans, embed)
    good = sum(one.supported and place not in against for place, one in enumerate(spans))
    return Faithfulness(
        faithfulness=good / len(spans),
        supported=sum(one.supported for one in spans) / len(spans),
        contradicted=len(against) / len(spans),
        statements=len(spans),
        spans=tuple(spans),
        contradictions=tuple(against),
    )


def _contradicted(reviews: Sequence[str], summary: str, spans: Sequence[SupportSpan], embed: Embed) -> list[int]:
    polar = [
        place for place, one in enumerate(spans) if one.supported and sign(polarity(summary[one.start : one.end])) != 0
    ]
    if not polar:
        return []
    pool = review_sentences(reviews)
    own = embed([summary[spans[place].start : spans[place].end] for place in polar])
    similarities = np.asarray(own, dtype=np.float32) @ np.asarray(embed([one.text for one in pool]), np.float32).T
    found = []
    for place, row in zip(polar, similarities, strict=True):
        near = np.flatnonzero(row >= row.max() - NEAR)
        wanted = sign(polarity(summary[spans[place].start : spans[place].end]))
        if all(sign(polarity(pool[at].text)) == -wanted for at in near):
            found.append(place)
    return found
