"""A trained scorer as a judge: anything that compares (log-odds), and scores where it has a scalar."""

import math
from collections.abc import Sequence
from typing import Any

from shared.errors import UsageError
from shared.judges.protocol import (
    OnProgress,
    PairItem,
    ResponseItem,
    ScoredResponse,
    Scores,
    Verdict,
    Verdicts,
    no_progress,
)
from shared.rewards.protocol import PreferenceModel, ScalarReward

_AT_ONCE = 256  # items between two reports of progress


class RewardJudge:
    """Judges by a reward model. It sees no order, so that it has no position bias by construction.

    Args:
        scorer: the model.
        name: tells it from other judges.
        tie_log_odds: log-odds up to which a pair is a tie.
        facts: what is known of the model (JSON values), for the report.
    """

    def __init__(
        self, scorer: PreferenceModel, name: str, *, tie_log_odds: float = 0.0, facts: dict[str, Any] | None = None
    ) -> None:
        self.name = name
        self._scorer, self._tie = scorer, tie_log_odds
        self._facts = {"kind": "reward", "tie_log_odds": tie_log_odds, **(facts or {})}

    def compare(self, items: Sequence[PairItem], on_progress: OnProgress = no_progress) -> Verdicts:
        """The response with the higher log-odds; log-odds that are no number have failure ``malformed``."""
        rows: list[Verdict] = []
        for start in range(0, len(items), _AT_ONCE):
            part = items[start : start + _AT_ONCE]
            odds = self._scorer.compare([one.prompt for one in part], [one.a for one in part], [one.b for one in part])
            rows.extend(self._verdict(item.id, float(value)) for item, value in zip(part, odds, strict=True))
            on_progress(len(rows), len(items))
        return Verdicts(self.name, tuple(rows), self._facts_of(items))

    def _verdict(self, name: str, log_odds: float) -> Verdict:
        if not math.isfinite(log_odds):
            return Verdict(name, None, failure="malformed")
        if abs(log_odds) <= self._tie:
            return Verdict(name, "tie", log_odds)
        return Verdict(name, "a" if log_odds > 0 else "b", log_odds)

    def score(self, items: Sequence[ResponseItem], on_progress: OnProgress = no_progress) -> Scores:
        """The scalar reward.

        Raises:
            UsageError: the model compares only (a general preference model).
        """
        if not isinstance(self._scorer, ScalarReward):
            raise UsageError(f"the judge {self.name} compares and has no scores: judge pairs, not scores, with it.")
        rows: list[ScoredResponse] = []
        for start in range(0, len(items), _AT_ONCE):
            part = items[start : start + _AT_ONCE]
            values = self._scorer.score([one.prompt for one in part], [one.response for one in part])
            for item, value in zip(part, values, strict=True):
                number = float(value)
                good = math.isfinite(number)
                rows.append(ScoredResponse(item.id, number if good else None, failure=None if good else "malformed"))
            on_progress(len(rows), len(items))
        return Scores(self.name, tuple(rows), self._facts_of(items))

    def _facts_of(self, items: Sequence[PairItem] | Sequence[ResponseItem]) -> dict[str, Any]:
        unseen = sum(one.context is not None for one in items)  # the scorer reads prompt and response only
        return {**self._facts, "contexts_not_seen": unseen}
