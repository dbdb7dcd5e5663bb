"""What a judge is, whatever stands behind it: an endpoint, a trained scorer, people.

A judge compares two responses to one prompt (`compare`) or scores one (`score`). What it cannot answer has a
`failure` instead of a verdict and is counted; it is never scored in silence.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from shared.errors import ValignError
from shared.records import Message

Winner = Literal["a", "b", "tie"]
Failure = Literal["refused", "malformed", "truncated", "rejected", "unreachable", "skipped", "unrated"]
FAILURES: tuple[Failure, ...] = (
    "refused", "malformed", "truncated", "rejected", "unreachable", "skipped", "unrated",
)  # fmt: skip
OnProgress = Callable[[int, int], None]


def no_progress(_done: int, _total: int) -> None:
    """Reports to nobody."""


@dataclass(frozen=True, slots=True)
class PairItem:
    """Two responses to one prompt; texts are de-identified already.

    Attributes:
        id: names the comparison; ratings of people are joined by it.
        group_id: comparisons of one group are resampled together.
        prompt: the conversation before the responses, oldest turn first.
        a: one response.
        b: the other.
        context: what the judge sees beside the prompt.
    """

    id: str
    group_id: str
    prompt: tuple[Message, ...]
    a: str
    b: str
    context: str | None = None


@dataclass(frozen=True, slots=True)
class ResponseItem:
    """One response to a prompt, as `PairItem`."""

    id: str
    group_id: str
    prompt: tuple[Message, ...]
    response: str
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says of one pair.

    Attributes:
        id: of the pair.
        winner: the better response, ``tie``, or None where there is no verdict (`failure` says why).
        log_odds: log-odds that a is the better one, of judges that have them.
        orders: for judges that see an order: (winner where a stood first, winner where b stood first), once for every
            repetition; winners by name, not by place.
        votes: (for a, for b, ties) of judges that are several raters.
        reason: the judge's words, of the first order.
        failure: why there is no verdict.
    """

    id: str
    winner: Winner | None
    log_odds: float | None = None
    orders: tuple[tuple[Winner, Winner], ...] = ()
    votes: tuple[int, int, int] | None = None
    reason: str = ""
    failure: Failure | None = None

    @property
    def preference(self) -> float | None:
        """1 where a won, 0 where b did, .5 for a tie, None without a verdict."""
        return None if self.winner is None else {"a": 1.0, "tie": 0.5, "b": 0.0}[self.winner]

    def to_json(self, rater: str, group: str) -> dict[str, Any]:
        """A row of a verdict file: the columns of human ratings (item, rater, verdict), and what else is known."""
        row: dict[str, Any] = {"item": self.id, "group": group, "rater": rater, "verdict": self.winner}
        if self.log_odds is not None:
            row["log_odds"] = self.log_odds
        if self.orders:
            row["orders"] = [list(both) for both in self.orders]
        if self.votes is not None:
            row["votes"] = list(self.votes)
        if self.reason:
            row["reason"] = self.reason
        if self.failure:
            row["failure"] = self.failure
        return row


@dataclass(frozen=True, slots=True)
class ScoredResponse:
    """What a judge says of one response.

    Attributes:
        id: of the response.
        overall: weighted mean of the criteria in the rubric's unit (or a scorer's log-odds); None without an answer.
        criteria: score by criterion.
        reasons: the judge's words by criterion.
        failure: why there is no score.
    """

    id: str
    overall: float | None
    criteria: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    failure: Failure | None = None

    def to_json(self, rater: str, group: str) -> dict[str, Any]:
        """A row of a score file: the columns of human ratings (item, rater, score), and what else is known."""
        row: dict[str, Any] = {"item": self.id, "group": group, "rater": rater, "score": self.overall}
        if self.criteria:
            row["scores"] = dict(self.criteria)
        if any(self.reasons.values()):
            row["reasons"] = dict(self.reasons)
        if self.failure:
            row["failure"] = self.failure
        return row


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The verdicts of one judge, one an item and in the items' order.

    Attributes:
        judge: its name; tells judges apart in reports and agreement tables.
        rows: the verdicts.
        facts: what the judging took: requests, tokens, cost, cache hits, settings (JSON values).
        stopped: why the judge stopped before the end (budget, server gone); the rest has failure ``skipped``.
    """

    judge: str
    rows: tuple[Verdict, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    stopped: ValignError | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one judge, as `Verdicts`."""

    judge: str
    rows: tuple[ScoredResponse, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    stopped: ValignError | None = None


class Judge(Protocol):
    """Compares and scores; one that has no scalar score raises UsageError in `score`."""

    @property
    def name(self) -> str:
        """Tells it from other judges."""
        ...

    def compare(self, items: Sequence[PairItem], on_progress: OnProgress = no_progress) -> Verdicts:
        """The better response of each pair."""
        ...

    def score(self, items: Sequence[ResponseItem], on_progress: OnProgress = no_progress) -> Scores:
        """A score for each response; comparable under one prompt."""
        ...


def count_failures(rows: Sequence[Verdict] | Sequence[ScoredResponse]) -> dict[str, int]:
    """Rows without an answer by reason, those that occur."""
    counted = Counter(one.failure for one in rows if one.failure is not None)
    return {name: counted[name] for name in FAILURES if counted[name]}
