"""What every reward model can do, and what only those with a scalar score can."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from shared.records import Message, PreferenceRecord

if TYPE_CHECKING:
    import numpy as np

    from shared.rewards.ranking import Ranking

Prompt = tuple[Message, ...]
Side = Literal["chosen", "rejected"]


@runtime_checkable
class PreferenceModel(Protocol):
    """Tells which of two responses is better; `shared.rewards.loading.load_reward` gives one."""

    def compare(self, prompts: Sequence[Prompt], a: Sequence[str], b: Sequence[str]) -> "np.ndarray":
        """Log-odds that response a is preferred to b, float64 [n]; of exactly opposite sign where a and b change."""
        ...

    def compare_records(self, records: Sequence[PreferenceRecord]) -> "np.ndarray":
        """Log-odds that the chosen response is preferred, float64 [n]; may use scores that the records carry."""
        ...

    def rank(self, prompt: Prompt, responses: Sequence[str]) -> "Ranking":
        """K responses to one prompt in order, with the K x K table of log-odds."""
        ...


@runtime_checkable
class ScalarReward(PreferenceModel, Protocol):
    """A reward model whose log-odds are differences of one score a response."""

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> "np.ndarray":
        """Scores in log-odds units, float64 [n]; only differences under one prompt have a meaning."""
        ...

    def score_records(self, records: Sequence[PreferenceRecord], side: Side) -> "np.ndarray":
        """Scores of one side of every record, float64 [n]; may use scores that the records carry."""
        ...


def candidate_scores(
    model: PreferenceModel, prompts: Sequence[Prompt], candidates: Sequence[Sequence[str]]
) -> "list[np.ndarray]":
    """A score of every candidate response, whatever the model's kind.

    A scalar model gives its score. Any other has a score only relative to a table of candidates: the mean log-odds of
    a candidate against all of them (the score that General Preference Optimization uses, arXiv:2410.02197).
    Differences between candidates of one prompt mean the same in both cases.

    Args:
        model: a reward model.
        prompts: n conversations.
        candidates: for each, its responses (any number, at least one).

    Returns:
        n float64 arrays, one number a candidate, in log-odds units.
    """
    import numpy as np

    if isinstance(model, ScalarReward):
        flat = model.score(
            [prompt for prompt, responses in zip(prompts, candidates, strict=True) for _ in responses],
            [response for responses in candidates for response in responses],
        )
        ends = np.cumsum([len(responses) for responses in candidates])[:-1]
        return [part.copy() for part in np.split(flat, ends)]
    tables = (model.rank(prompt, responses).log_odds for prompt, responses in zip(prompts, candidates, strict=True))
    return [table.sum(axis=1) / len(table) for table in tables]
