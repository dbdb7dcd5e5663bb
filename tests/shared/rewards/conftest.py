"""Pairs with principle scores of which the preference is known."""

import math
import random

import pytest

from shared.records import Message, PreferenceRecord


@pytest.fixture
def scored_pairs() -> list[PreferenceRecord]:
    """200 pairs: log-odds 1.5 empathy - 1 jargon of the difference; "noise" says nothing."""
    draw = random.Random(1)
    pairs = []
    for number in range(200):
        sides = [{name: draw.gauss(3, 1) for name in ("empathy", "jargon", "noise")} for _ in range(2)]
        log_odds = 1.5 * (sides[0]["empathy"] - sides[1]["empathy"]) - (sides[0]["jargon"] - sides[1]["jargon"])
        if draw.random() > 1 / (1 + math.exp(-log_odds)):
            sides.reverse()
        pairs.append(
            PreferenceRecord(
                id=f"pair-{number}",
                group_id=f"group-{number // 2}",
                source=f"scored.csv:{number + 2}",
                prompt=(Message("user", f"question {number}"),),
                chosen=f"answer {number}.",
                rejected=f"other answer {number}!",
                scores_chosen=sides[0],
                scores_rejected=sides[1],
            )
        )
    return pairs
