"""Tiers of quality: what they are called in the published sets, and preferences made of them (synthetic feedback)."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from domains.ecommerce.product_rows import SummaryPair

PER_TIER = 3  # summaries 0-2 were asked to be good, 3-5 slightly bad, 6-8 very bad
TIERS = 3


@dataclass(frozen=True, slots=True)
class Tiered:
    """A summary with its tier: 0 good, 1 slightly bad, 2 very bad, None unknown."""

    text: str
    tier: int | None
    scores: Mapping[str, float]


def tier_of(index: Any) -> int | None:
    """Tier of a summary by its index 0-8 in the published sets; None where it is no such index."""
    if isinstance(index, bool) or not isinstance(index, int | float | str):
        return None
    try:
        number = float(index)
    except ValueError:
        return None
    return int(number) // PER_TIER if number in range(PER_TIER * TIERS) else None


def tier_pairs(summaries: Sequence[Tiered], most: int) -> list[SummaryPair]:
    """Pairs of two tiers, the better one preferred; of more than `most` those whose content hashes lowest.

    Args:
        summaries: of one product.
        most: pairs made.
    """
    if not most:
        return []
    by_tier = sorted((one for one in summaries if one.tier is not None), key=lambda one: (one.tier or 0, one.text))
    pairs = [
        (one, other) for one, other in combinations(by_tier, 2) if one.tier != other.tier and one.text != other.text
    ]
    pairs.sort(key=lambda pair: hashlib.sha256(f"{pair[0].text}\0{pair[1].text}".encode()).digest())
    return [
        SummaryPair(
            chosen=better.text,
            rejected=worse.text,
            scores_chosen=better.scores,
            scores_rejected=worse.scores,
            covariates_chosen={"tier": float(better.tier or 0)},
            covariates_rejected={"tier": float(worse.tier or 0)},
            metadata={"preference": "tier"},
        )
        for better, worse in pairs[:most]
    ]
