"""Which rendering of a preference pair supervised training learns from."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from domains.translation.records import SentencePair

Rendering = Literal["target", "rejected"]


def supervised_pairs(pairs: Sequence[SentencePair], rendering: Rendering) -> list[SentencePair]:
    """The pairs with what is to be learned as their target.

    Args:
        pairs: the training pairs.
        rendering: ``target``, the preferred one, or ``rejected``; a pair without a rejected rendering gives its target.
    """
    if rendering == "target":
        return list(pairs)
    return [
        pair
        if pair.rejected_text is None
        else replace(
            pair,
            target_text=pair.rejected_text,
            target_path=pair.rejected_path,
            scores_target=pair.scores_rejected,
            rejected_text=None,
            rejected_path=None,
            scores_rejected={},
        )
        for pair in pairs
    ]
